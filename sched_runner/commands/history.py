"""``main-scheduler history``: the runs that have ended."""

import argparse
import json
import os
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from sched_runner import clock, words
from sched_runner.commands.installation import environ, find
from sched_runner.exit_status import ExitStatus, OperatorError
from sched_runner.output.live import is_coloured
from sched_runner.record import history, messages, run_record
from sched_runner.record.run_record import Run

_LAST_ONES = "only the last runs are shown; root and members of the group systemd-journal see all that the journal has"
HELP = "show the runs that have ended, from the journal"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's own options to its parser."""
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument("--since", default="", metavar="TIME", help="a date, or a time span: 7d, 12h")
    parser.add_argument("--failed", action="store_true", help="only those that failed; interrupted runs are left out")


def main(arguments: argparse.Namespace) -> int:
    """Print the runs that have ended. Raises OperatorError."""
    from sched_runner.output import journal

    try:
        since = history.parse_since(arguments.since, clock.wall()) if arguments.since else 0.0
    except ValueError as error:
        raise OperatorError(str(error), ExitStatus.USAGE) from None
    reader = journal.open_reader()  # before ``find``: root may read the journal, and becomes another user there
    has_all = journal.is_readable()
    installation = find(arguments)
    kept: list[Run] = []
    try:
        kept = installation.look().state.runs
    except OperatorError as error:
        if not (installation.is_service and has_all):
            raise  # otherwise it would seem that there are no runs
        print(f"main-scheduler: only the journal is used: {words.printable(error)}", file=sys.stderr)
    told: Iterable[Mapping[str, Any]] = ()
    if installation.is_service and not has_all:
        print(f"main-scheduler: {_LAST_ONES}", file=sys.stderr)
    if installation.is_service and reader is not None:
        place = installation.place
        told = journal.read_records(reader, place.service, messages.RUN_ENDINGS, since, is_users=place.is_users)
    runs = history.runs(told, kept, since, failed=arguments.failed)
    if arguments.json:
        print(json.dumps([run_record.as_json(run) for run in runs], indent=1))
    else:
        print(history.text(runs, coloured=is_coloured(environ()), barred=os.isatty(1)))
    return 0
