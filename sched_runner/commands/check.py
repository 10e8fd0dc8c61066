"""``main-scheduler check``: every setting, where it came from, the next due times, and every fault."""

import argparse
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict

from sched_runner import clock, words
from sched_runner.commands import inspection, report, run
from sched_runner.commands.installation import Installation, environ, find, known, place_of, who_may
from sched_runner.commands.report import Report
from sched_runner.exit_status import ExitStatus, OperatorError

HELP = "show every setting, where it came from, the next five due times, and every fault (exit status 78)"
_LONGEST_NOTE = 1000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's own options to its parser: only ``inspection`` uses them."""
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    run.add_arguments(parser, hidden=True)


def main(arguments: argparse.Namespace) -> int:
    """Print what the check finds; gives the exit status. Raises OperatorError."""
    if arguments.inside:
        print(json.dumps(asdict(_from_inside(arguments))))
        return 0
    place = place_of(arguments)
    if place is not None and not place.is_users and os.getuid() == 0 and os.path.isdir("/run/systemd/system"):
        return _tell(inspection.inspect(place, known(place)), "the environment of the service")
    installation = find(arguments)
    if closed := installation.closed_file():
        raise OperatorError(who_may(closed), ExitStatus.UNKNOWN)
    is_seen_by_another = installation.is_another_users()
    clock.follow_zone(installation.reading.environ.get("TZ"))
    found = report.of(installation, has_its_eyes=not is_seen_by_another)
    exit_status = _tell(found, str(installation.place.env_file or "the environment"))
    if is_seen_by_another:
        print("only root sees the rest, with the service's user, environment and sandbox: sudo main-scheduler check")
    return exit_status or (ExitStatus.UNKNOWN if is_seen_by_another else 0)


def _from_inside(arguments: argparse.Namespace) -> Report:
    run.import_scheduler()  # if a part cannot be imported, the service cannot start either
    place, source = run.source_of(arguments, environ())
    return report.of(Installation(place, *source.read_all(), is_service=True), has_its_eyes=True)


def _tell(found: Report, given: str) -> int:
    print(text(found, given), flush=True)
    if not found.faults:
        return 0
    lines = [f"{words.count(len(found.faults), 'fault')}:", *found.faults]
    print("\n  ".join(map(words.printable, lines)), file=sys.stderr)
    return ExitStatus.CONFIG


def text(found: Report, given: str) -> str:
    """The report as text; ``given`` names the source of the settings that are set and have no other origin."""
    return "\n".join(_lines(found, given))


def _lines(found: Report, given: str) -> Iterator[str]:
    for warning in found.warnings:
        yield f"warning: {words.printable(warning)}"
    widest = max(map(len, found.values), default=0)
    for name, value in found.values.items():
        origin = found.origins.get(name, given if name in found.given else "the default")
        shown = f"{words.printable(name):{widest}} {words.printable(value) or 'none':42}"
        yield f"{shown} from {words.printable(origin)}"
    for note in found.notes:
        yield f"\n{words.printable(note, _LONGEST_NOTE)}"
    if found.due:
        yield "\nnext due times:"
        yield from (f"  {words.zoned_time(due)}" for due in found.due)
