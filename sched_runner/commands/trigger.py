"""``main-scheduler trigger``: ask the running scheduler to run now."""

import argparse
import os

from sched_runner.commands.installation import find
from sched_runner.commands.owner import OperatorError
from sched_runner.exit_status import ExitStatus
from sched_runner.record.status import Status
from sched_runner.record.store import StateError
from sched_runner.schedule.signals import TRIGGER
from sched_runner.troubles import said

HELP = "ask the running scheduler to run the script now"


def main(arguments: argparse.Namespace) -> int:
    """Ask the scheduler for a run. Raises OperatorError."""
    installation = find(arguments)
    name = installation.place.name
    try:
        status = installation.look()
    except (OSError, StateError) as error:
        raise OperatorError(f"{name}: unknown: {said(error)}", ExitStatus.UNKNOWN) from None
    if status.pid is None:
        raise OperatorError(f"{name} is not running", ExitStatus.NOT_RUNNING)
    ask(status)
    print(f"asked process {status.pid} to run now")
    return 0


def ask(status: Status) -> None:
    """Send the signal for a run to the scheduler with this status. Raises OperatorError."""
    if status.pid is None or status.pid == 0:
        raise OperatorError(f"{status.name} is running {status.where()}")
    if status.state.running:
        number = status.state.running.number
        raise OperatorError(f"run {number} of {status.name} is going, so none was asked for", ExitStatus.TEMPFAIL)
    try:
        os.kill(status.pid, TRIGGER)
    except PermissionError:
        raise OperatorError(f"not allowed to signal process {status.pid}; try with sudo") from None
    except ProcessLookupError:
        raise OperatorError(f"{status.name} is not running", ExitStatus.NOT_RUNNING) from None
