"""``main-scheduler trigger``: ask the running scheduler to run now."""

import argparse
import os

from sched_runner.commands.installation import OperatorError, find
from sched_runner.record.store import StateError
from sched_runner.schedule.signals import TRIGGER

HELP = "ask the running scheduler to run now"
_NOT_RUNNING = 3
_EX_TEMPFAIL = 75  # sysexits.h


def main(arguments: argparse.Namespace) -> int:
    """Ask it. Raises OperatorError."""
    installation = find(arguments)
    name = installation.place.name
    try:
        status = installation.look()
    except (OSError, StateError) as error:
        raise OperatorError(f"{name}: unknown: {error}") from None
    if status.pid is None:
        raise OperatorError(f"{name} is not running", _NOT_RUNNING)
    if status.pid == 0:
        raise OperatorError(f"{name} is running {status.where()}")
    if status.state.running:
        raise OperatorError(f"run {status.state.running.number} of {name} is going: asked for none", _EX_TEMPFAIL)
    try:
        os.kill(status.pid, TRIGGER)
    except PermissionError:
        raise OperatorError(f"not allowed to signal process {status.pid}; try with sudo") from None
    print(f"asked process {status.pid} to run now")
    return 0
