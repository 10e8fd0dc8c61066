"""A network of the test's own: a bridge and a cable to each node, all of it in network namespaces.

Nothing of it is in the host's own namespace, so it collides with nothing there, and goes with the namespaces.
"""

import json
import os
import subprocess

PREFIX = "10.77.0"


def ip(*arguments):
    return subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True).stdout


class Network:
    """`with Network(["node1", "node2"]) as network: network.unplug("node1")`."""

    def __init__(self, nodes):
        self.addresses = {node: f"{PREFIX}.{number}" for number, node in enumerate(nodes, start=1)}
        self.hub = f"ms-{os.getpid()}-hub"

    def __enter__(self):
        ip("netns", "add", self.hub)
        try:
            self._hub("link", "add", "bridge", "type", "bridge")
            self._hub("link", "set", "bridge", "up")
            for node in self.addresses:
                self._lay_cable(node)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception):
        there = {entry["name"] for entry in json.loads(ip("-json", "netns", "list") or "[]")}
        for name in (*map(self._namespace, self.addresses), self.hub):
            if name in there:
                ip("netns", "delete", name)

    def _namespace(self, node):
        return f"ms-{os.getpid()}-{node}"

    def path(self, node):
        """Where the node's namespace can be entered."""
        return f"/run/netns/{self._namespace(node)}"

    def _lay_cable(self, node):
        space = self._namespace(node)
        ip("netns", "add", space)
        self._hub("link", "add", node, "type", "veth", "peer", "name", "eth0", "netns", space)
        self._hub("link", "set", node, "up")
        self.plug(node)
        for command in (
            ["link", "set", "lo", "up"],
            ["link", "set", "eth0", "up"],
            ["address", "add", f"{self.addresses[node]}/24", "dev", "eth0"],
        ):
            ip("-netns", space, *command)

    def _hub(self, *arguments):
        ip("-netns", self.hub, *arguments)

    def plug(self, node):
        self._hub("link", "set", node, "master", "bridge")

    def unplug(self, node):
        """What it sends goes nowhere, and nothing tells it: as behind a switch that is broken."""
        self._hub("link", "set", node, "nomaster")
