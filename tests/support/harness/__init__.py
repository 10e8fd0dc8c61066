"""The real command with real children in a directory of its own, and what a test can see of it from outside."""

from harness.processes import (
    DEADLINE,
    Command,
    Processes,
    can_mount,
    copy_for_everybody,
    tmpfs_prefix,
    unprivileged_prefix,
    wait_until,
)
from harness.site import PACKAGE, SUPPORT, Site, gaps, joined, share_a_grid
from harness.supervisor import Supervisor

__all__ = [
    "DEADLINE",
    "PACKAGE",
    "SUPPORT",
    "Command",
    "Processes",
    "Site",
    "Supervisor",
    "can_mount",
    "copy_for_everybody",
    "gaps",
    "joined",
    "share_a_grid",
    "tmpfs_prefix",
    "unprivileged_prefix",
    "wait_until",
]
