"""``main-scheduler trigger``: ask the running scheduler to run now."""

import argparse
import os

from sched_runner.commands.installation import Installation, find
from sched_runner.exit_status import ExitStatus, OperatorError
from sched_runner.record.status import Status
from sched_runner.schedule.signals import TRIGGER

HELP = "ask the running scheduler to run the script now"


def main(arguments: argparse.Namespace) -> int:
    """Ask the scheduler for a run. Raises OperatorError."""
    installation = find(arguments)
    status = installation.look()
    if status.pid is None:
        raise OperatorError(_how_to_start(installation), ExitStatus.NOT_RUNNING)
    ask(status)
    print(f"asked process {status.pid} to run now")
    return 0


def _how_to_start(installation: Installation) -> str:
    if not installation.is_service:
        return "no scheduler runs in this directory: main-scheduler run, or deploy/run.sh of the project, starts one"
    place = installation.place
    once = ["main-scheduler", "--user" if place.is_users else "", "once", place.name.partition("@")[2]]
    how = f"{place.systemctl} start {place.name} starts it, {' '.join(filter(None, once))} makes one run"
    return f"{place.name} is not running: {how}"


def ask(status: Status) -> None:
    """Send the signal for a run to the scheduler with this status. Raises OperatorError."""
    if not status.pid:
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
