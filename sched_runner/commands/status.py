"""``main-scheduler status``: show how the scheduler is doing."""

import argparse
import json
import sys

from sched_runner import words
from sched_runner.commands.installation import Installation, environ, find
from sched_runner.exit_status import OperatorError
from sched_runner.output.live import is_coloured
from sched_runner.record.status import Health, Status
from sched_runner.troubles import said

HELP = "show how the scheduler is doing; exit status 0 healthy, 1 something is wrong, 3 not running, 4 unknown"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's own options to its parser."""
    parser.add_argument("--json", action="store_true", help="for programs")


def main(arguments: argparse.Namespace) -> int:
    """Print the status; gives the exit status. Raises OperatorError."""
    installation = find(arguments)
    name = installation.place.name
    try:
        status = installation.look_around()
    except (OSError, OperatorError) as error:
        fault = words.printable(said(error))
        print(f"{name}: unknown: {fault}", file=sys.stderr)
        if arguments.json:
            print(json.dumps({"name": name, "health": "unknown", "fault": fault}, indent=1))
        return Health.UNKNOWN
    if arguments.json:
        print(json.dumps(status.as_json(), indent=1))
    else:
        print(status.text(coloured=is_coloured(environ())))
        if how := _how_to_start(installation, status):
            print(f"  not enabled: {how}")
    return status.health()


def _how_to_start(installation: Installation, status: Status) -> str:
    """The command that starts a service for the first time, now and at every boot; empty if that does not fit."""
    is_fresh = status.pid is None and not status.trouble and status.state.started is None
    if not (is_fresh and installation.unit.get("UnitFileState") == "disabled"):
        return ""
    return f"{installation.place.systemctl} enable --now {installation.place.name}"
