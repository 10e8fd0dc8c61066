"""A real cluster: three booted machines with Corosync and Pacemaker, set up from what deploy/pacemaker ships."""

import contextlib
import json
import re
import shutil
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from machine import BARE, Machine, wait_until
from network import Network
from runs import Records
from service import CHECKOUT, install

PACKAGES = (
    *BARE,
    *("python3-apscheduler", "python3-systemd", "python3-dotenv", "logrotate"),
    *("corosync", "pacemaker", "crmsh", "pcs"),
)
NODES = ("node1", "node2", "node3")
SHIPPED = CHECKOUT / "deploy/pacemaker"
SHARED = "/srv/main-scheduler"
RESOURCE = "main-scheduler"
UNIT = "main-scheduler.service"

# Shorter than what is shipped, so that the tests don't take an hour: in seconds.
TOKEN = 1
MONITOR = 2
STOP_GRACE = 5

SETTINGS = f"""\
SCHED_INTERVAL={{interval}}s
SCHED_START=resume
SCHED_STATE_DIR={{state}}
SCHED_STOP_GRACE={STOP_GRACE}s
"""
SHARED_STATE = f"{SHARED}/state"
OWN_STATE = "/var/lib/main-scheduler"

# The first election waits for 20 s for nodes that don't come.
FIRST_CIB = """
            cibadmin --empty > /tmp/cib.xml
            CIB_file=/tmp/cib.xml crm_attribute --name dc-deadtime --update 3s
            install -m 600 -o hacluster -g haclient /tmp/cib.xml /var/lib/pacemaker/cib/cib.xml
"""

# The sandbox shows the boot id of the kernel, which the nodes have in common here: each gets one of its own, as hosts have.
OWN_BOOT = "[Service]\nBindReadOnlyPaths=/etc/boot-id:/proc/sys/kernel/random/boot_id\n"

# It says that it is alive every 20 ms, to a file that all hosts see, by a clock that all hosts have.
MAIN = f"""
import os, signal, sys, time

def record(event):
    words = [event, name, os.uname().nodename, os.environ["SCHED_RUN"], str(time.monotonic())]
    os.write(file, (" ".join(words) + "\\n").encode())

def finish(signum, frame):
    global ends
    record("asked")
    ends = min(ends, time.monotonic() + when_asked)

file = os.open("{SHARED}/records", os.O_WRONLY | os.O_APPEND)
name = os.urandom(4).hex()
length, when_asked = map(float, open("{SHARED}/length").read().split())
signal.signal(signal.SIGTERM, finish)
ends = time.monotonic() + length
record("start")
while time.monotonic() < ends:
    time.sleep(0.02)
    record("alive")
record("end")
sys.exit(os.path.exists("{SHARED}/fails"))
"""


def substitute(text, changes):
    """Replaces patterns, each of which has to be there."""
    for pattern, new in changes.items():
        text, count = re.subn(pattern, new, text)
        assert count, f"not in the shipped file: {pattern}"
    return text


class Node(Machine):
    """A host of the cluster."""

    def __init__(self, name, network, shared):
        super().__init__("bookworm", PACKAGES, network=network.path(name), keep=True, binds={shared: SHARED})
        self.node = name

    def _mount_layers(self):
        super()._mount_layers()
        Path(self.root, "etc/hostname").write_text(self.node + "\n")
        # They would be up already, and stopping them while they come up takes a minute.
        for unit in ("corosync", "pacemaker", "pcsd", "pcsd-ruby"):
            Path(self.root, f"etc/systemd/system/multi-user.target.wants/{unit}.service").unlink()

    def stop(self):
        if self.is_on():  # in order it would leave the cluster first, and wait for it
            self.cut_power()
        super().stop()

    def set_up(self, corosync_conf, key):
        self.run(f"""
            set -e
            rm -rf /var/lib/pacemaker/cib/* /var/lib/corosync/*
            {FIRST_CIB}
            cat /proc/sys/kernel/random/uuid > /etc/boot-id
            groupadd --system --gid 850 main-scheduler
            useradd --system --uid 850 --gid 850 --no-create-home --shell /usr/sbin/nologin main-scheduler
        """)
        self.write("/etc/corosync/corosync.conf", corosync_conf)
        self.run("base64 -d > /etc/corosync/authkey && chmod 400 /etc/corosync/authkey", input=key)
        install(self)
        self.write("/opt/main-scheduler/main.py", MAIN, 0o755)
        self.write(f"/etc/systemd/system/{UNIT}.d/60-cluster.conf", (SHIPPED / "cluster.conf").read_text())
        self.write(f"/etc/systemd/system/{UNIT}.d/boot.conf", OWN_BOOT)
        self.run("systemctl daemon-reload")

    def is_on(self):
        return self.init is not None

    def is_up(self):
        return self.property(UNIT, "ActiveState") == "active"

    def when(self, name):
        """A time stamp of the unit's, in seconds of CLOCK_MONOTONIC, which is the same in all containers."""
        return int(self.property(UNIT, f"{name}Monotonic")) / 1e6

    def cut_power(self):
        self.off_since = time.monotonic()
        super().cut_power()

    def last_word(self):
        """When its scheduler last wrote to the journal, which is as it ends; or when its power was cut. As `when`."""
        if not self.is_on():
            return self.off_since
        said = self.run(f"journalctl --unit={UNIT} --identifier={RESOURCE} --lines=1 --output=json").stdout
        return int(json.loads(said)["__MONOTONIC_TIMESTAMP"]) / 1e6

    def processes(self):
        """The pids of the scheduler and of what it has started; none where the power is cut while we look."""
        return self.run("find /proc -maxdepth 1 -name '[0-9]*' -user main-scheduler", check=False).stdout.split()


class Cluster:
    """Three nodes, the service installed on each, and the resource; with all of its files in a shared directory."""

    def __enter__(self):
        self._stack = contextlib.ExitStack()
        with contextlib.ExitStack() as stack:
            self.shared = Path(tempfile.mkdtemp(prefix="main-scheduler-test-shared-"))
            stack.callback(shutil.rmtree, self.shared)
            self.records = Records(self.shared / "records")
            self.network = stack.enter_context(Network(NODES))
            nodes = [Node(name, self.network, self.shared) for name in NODES]
            self.nodes = {node.node: node for node in nodes}
            for entered in self.each(Node.__enter__):
                stack.push(entered)
            self._set_up()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exception):
        self._stack.close()

    def __getitem__(self, name):
        return self.nodes[name]

    def _set_up(self):
        (self.shared / "state").mkdir()
        (self.shared / "records").touch()
        for path in (self.shared, self.shared / "state", self.shared / "records"):
            shutil.chown(path, 850, 850)
            path.chmod(0o755)
        self.script()
        first = self.nodes[NODES[0]]
        key = first.run("corosync-keygen -l >&2 && base64 /etc/corosync/authkey").stdout
        conf = substitute(
            (SHIPPED / "corosync.conf").read_text(),
            {r"192\.0\.2\.": "10.77.0.", r"token: \d+": f"token: {TOKEN * 1000}"},
        )
        self.each(lambda node: node.set_up(conf, key))
        self.each(lambda node: node.run("systemctl -q enable --now corosync pacemaker"))
        self.wait_for_members(NODES)
        crm = substitute(
            (SHIPPED / "main-scheduler.crm").read_text(),
            {"stonith-enabled=true": "stonith-enabled=false", r"monitor interval=\d+s": f"monitor interval={MONITOR}s"},
        )
        first.write("/root/main-scheduler.crm", crm)
        self._settings(interval=2, state=SHARED_STATE)
        first.run("crm configure load update /root/main-scheduler.crm")

    def _settings(self, interval, state, more=""):
        text = SETTINGS.format(interval=interval, state=state) + more
        self.each(lambda node: node.write("/etc/default/main-scheduler", text, 0o640))
        self.state = state

    def each(self, function):
        with ThreadPoolExecutor() as pool:
            return list(pool.map(function, self.nodes.values()))

    def reset(self, interval=2, state=SHARED_STATE, more=""):
        """All nodes on and connected, the schedule up on one of them, and nothing of earlier tests."""
        self.script()
        for node in self.nodes.values():
            self.network.plug(node.node)
            if not node.is_on():
                node.power_on()
        self.wait_for_members(NODES)
        moved = state != self.state
        self._settings(interval, state, more)
        self.run(f"crm_resource --clear --resource {RESOURCE}; crm_resource --cleanup")
        self.run("crm_resource --wait", timeout=120)
        if moved:
            self.run(f"crm_resource --restart --resource {RESOURCE}", timeout=120)
        else:
            self[self.place()].run("systemctl reload main-scheduler")
        self.reset_since()
        self.wait_for_runs(1)

    def reset_since(self):
        """From here on, runs() gives only those that are new."""
        self.since = time.monotonic()

    def run(self, command, **options):
        """By one who is at a node that is on."""
        return next(node for node in self.nodes.values() if node.is_on()).run(command, **options)

    def script(self, length=0.5, when_asked=0.0):
        """How long main.py takes, and how long it goes on when it is asked to end, in seconds."""
        (self.shared / "length.new").write_text(f"{length} {when_asked}")
        (self.shared / "length.new").replace(self.shared / "length")

    def runs(self, since=None):
        return self.records.runs(self.since if since is None else since)

    def wait_for_runs(self, count, since=None, timeout=30):
        """Waits for the end of so many runs that began since, and gives them."""

        def ended():
            runs = [run for run in self.runs(since) if run.ended]
            return runs if len(runs) >= count else None

        return wait_until(ended, timeout, f"{count} runs have ended")

    def wait_for_a_long_run(self, when_asked=0.0):
        """Waits for the beginning of a run that takes a minute, and gives it; the next ones are short again."""
        self.script(60, when_asked)
        now = time.monotonic()

        def going():
            runs = self.runs(now)
            return runs[-1] if runs and runs[-1].last > runs[-1].start + 1 else None

        run = wait_until(going, 30, "a long run is going")
        self.script()
        return run

    def wait_for_start(self, since, timeout=60, elsewhere=None):
        """Waits for the first run that began since, and gives it; on a host other than `elsewhere` says."""

        def begun():
            return next((run for run in self.runs(since) if run.host != elsewhere), None)

        return wait_until(begun, timeout, "another run has begun")

    def members(self, node):
        """The nodes of which Pacemaker on this node says that they are online."""
        text = self[node].run("crm_mon --one-shot --output-as=xml", check=False).stdout
        return set(re.findall(r'<node name="(\w+)"[^>]* online="true"', text))

    def wait_for_members(self, names):
        for name in names:
            wait_until(lambda name=name: self.members(name) == set(names), 60, f"{name} sees {names}")

    @contextlib.contextmanager
    def fencing(self):
        """With a fence agent, which asks us to cut the power of a node. Gives the names of those that were fenced."""
        requests = self.shared / "fence"
        requests.mkdir(exist_ok=True)
        agent = (Path(__file__).parent / "fence_test.sh").read_text()
        self.each(lambda node: node.write("/usr/sbin/fence_test", agent, 0o755))
        self.run("""
            set -e
            crm configure primitive fencing stonith:fence_test params pcmk_host_list="node1 node2 node3" \\
                pcmk_host_check=static-list
            crm configure property stonith-enabled=true
            crm_resource --wait
        """)
        fenced, over = [], threading.Event()
        thread = threading.Thread(target=self._fence, args=(requests, fenced, over))
        thread.start()
        try:
            yield fenced
        finally:
            over.set()
            thread.join()
            self.run("crm configure property stonith-enabled=false; crm --force configure delete fencing")

    def _fence(self, requests, fenced, over):
        while not over.wait(0.05):
            for request in requests.iterdir():
                self[request.name].cut_power()
                fenced.append(request.name)
                request.unlink()

    def told(self):
        """What Pacemaker says of its actions, and the journal of each node that is on."""
        shown = [self.run("crm_mon --one-shot --operations --failcounts", check=False).stdout]
        lines = "journalctl --quiet --no-pager --output=short-monotonic --since=-60s --lines=150"
        shown += [node.run(lines, check=False).stdout for node in self.nodes.values() if node.is_on()]
        return "\n".join(shown)

    def fail_count(self, node):
        found = self[node].run(f"crm_failcount --query --resource {RESOURCE} --node {node}").stdout
        return found.split("value=")[1].strip()

    def places(self):
        """The nodes whose scheduler is up."""
        return [name for name, node in self.nodes.items() if node.is_on() and node.is_up()]

    def place(self):
        """The one node whose scheduler is up."""
        return wait_until(lambda: (places := self.places()) and len(places) == 1 and places[0], 30, "one is up")
