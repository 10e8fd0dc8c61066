"""``main-scheduler status``: show how the scheduler is doing."""

import argparse
import json
import sys

from sched_runner import words
from sched_runner.commands.installation import environ, find
from sched_runner.commands.owner import OperatorError
from sched_runner.output.live import is_coloured
from sched_runner.record.status import Health
from sched_runner.record.store import StateError
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
    except (OSError, StateError, OperatorError) as error:
        fault = words.printable(said(error))
        print(f"{name}: unknown: {fault}", file=sys.stderr)
        if arguments.json:
            print(json.dumps({"name": name, "health": "unknown", "fault": fault}, indent=1))
        return Health.UNKNOWN
    print(json.dumps(status.as_json(), indent=1) if arguments.json else status.text(coloured=is_coloured(environ())))
    return status.health()
