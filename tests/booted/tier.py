"""The tiers that boot machines: the booted and the cluster tests."""

import os

import pytest
from machine import why_not_here

# Where the first of several processes of pytest tells the others what it has found.
REASON = "NO_MACHINE_BECAUSE"


def find_out_whether_machines_boot(config):
    """By booting one, once. In CI a host that cannot is a failure, elsewhere need_machines() leaves out what needs it."""
    if config.option.collectonly or REASON in os.environ:
        return
    os.environ[REASON] = why_not_here() or ""
    if os.environ[REASON] and os.environ.get("CI") == "true":
        raise pytest.UsageError(os.environ[REASON])


def need_machines():
    if os.environ[REASON]:
        pytest.skip(os.environ[REASON])


def group_by_machine(items):
    """With xdist each release has two processes, with a machine and a half of the files each; the cluster has one."""
    for item in items:
        if not item.get_closest_marker("xdist_group") and item.path.parent.name in ("booted", "cluster"):
            parameters = item.callspec.params if hasattr(item, "callspec") else {}
            half = "release" in parameters and item.path.name < "test_j"
            item.add_marker(pytest.mark.xdist_group(f"{parameters.get('release', item.path.parent.name)}-{half}"))


def need_loopback(machine):
    """Mail and ssh need one, and a machine in a container that may not set up networks has none."""
    if not int(machine.read("/sys/class/net/lo/flags"), 16) & 1:
        leave_out = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        leave_out("it needs the loopback interface, and this host may not bring one up in a machine")
