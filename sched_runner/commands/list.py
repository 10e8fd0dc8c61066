"""``main-scheduler list``: a line for the service and for each instance."""

import argparse
import json
import os
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sched_runner import clock, words
from sched_runner.commands import units
from sched_runner.commands.configured import as_configured, environ_of, owner_of
from sched_runner.commands.installation import environ, folders, hint_of_user, installed
from sched_runner.commands.owner import acting_as
from sched_runner.commands.units import Unit
from sched_runner.exit_status import OperatorError
from sched_runner.output.live import is_coloured
from sched_runner.record import messages
from sched_runner.record.status import Health, Status
from sched_runner.schedule import cadence
from sched_runner.settings.places import Place
from sched_runner.troubles import said
from sched_runner.words import RED, painted

HELP = "show a line for the service and each instance; the exit status is the highest that status has for one"
_TITLE = ("name", "up", "schedule", "last run", "last success", "next run")


class Entry(NamedTuple):
    """A scheduler; ``fault`` says what is wrong, or why nothing is known of it."""

    name: str
    status: Status | None
    every: str
    fault: str
    is_enabled: bool

    def health(self) -> Health:
        """The exit status that ``main-scheduler status`` has for this scheduler."""
        return Health.UNKNOWN if self.status is None else self.status.health()

    def is_used(self) -> bool:
        """Whether anybody has started or enabled this scheduler; true too if its state cannot be read."""
        return self.is_enabled or self.status is None or self.status.state.started is not None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's own options to its parser."""
    parser.add_argument("--json", action="store_true", help="for programs")


def main(arguments: argparse.Namespace) -> int:
    """Print the list; gives the exit status. Raises OperatorError."""
    there = folders(is_users=arguments.user)
    if not there.is_installed():
        raise OperatorError(f"no service is installed here{'' if arguments.user else hint_of_user()}")
    found = [there.place(instance) for instance in ("", *there.instances())]
    shown = units.show([place.service for place in found], is_users=arguments.user)
    found_units = [(place, shown.get(place.service, {})) for place in found]
    entries = [_entry(place, unit) for place, unit in found_units if _is_there(place, unit)]
    if arguments.json:
        print(json.dumps([_as_json(entry) for entry in entries], indent=1))
    else:
        print("\n".join(_table(entries, coloured=is_coloured(environ()))))
    # If an operator uses instances only, the health of the service itself does not count.
    counted = [entry for entry in entries if entry.is_used() or entry is not entries[0]]
    return max((entry.health() for entry in counted or entries), default=Health.HEALTHY)


def _is_there(place: Place, unit: Unit) -> bool:
    """Whether the scheduler is set up: a removed instance is not, even if its state is still there."""
    return units.is_wanted(unit) or os.path.lexists(place.env_file or place.main)


def _entry(place: Place, unit: Unit) -> Entry:
    is_enabled = units.is_enabled(unit)
    try:
        place = as_configured(place, unit)
        given = environ_of(place, unit)
        with acting_as(owner_of(place, unit)):
            found = installed(place, unit, given)
            status = found.look_around()
    except (OSError, OperatorError) as error:
        return Entry(place.name, None, "", words.printable(said(error)), is_enabled)
    every = status.state.every if status.pid is not None or found.faults else ""
    every = every or cadence.of(found.reading.settings, datetime.fromtimestamp(status.now, UTC)).every
    remarks = [status.fault(), "" if is_enabled else "not enabled"]
    return Entry(place.name, status, every, "; ".join(filter(None, remarks)), is_enabled)


def _as_json(entry: Entry) -> dict[str, Any]:
    known = {"name": entry.name, "health": "unknown"} if entry.status is None else entry.status.as_json()
    return known | {"every": entry.every or None, "fault": entry.fault or None, "enabled": entry.is_enabled}


def _table(entries: Sequence[Entry], *, coloured: bool) -> Iterator[str]:
    rows = [_TITLE, *(_cells(entry) for entry in entries)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_TITLE))]
    for row, entry in zip(rows, (None, *entries), strict=True):
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        fault = painted(entry.fault, RED, coloured=coloured) if entry else ""
        yield f"{line}  {fault}".rstrip()


def _cells(entry: Entry) -> tuple[str, ...]:
    if entry.status is None:
        return (entry.name, "?", "?", "?", "?", "?")
    status, state = entry.status, entry.status.state
    last = state.runs[-1] if state.runs else None
    up = "down" if status.pid is None else "running" if state.running else "up"
    next_due = state.next_due if status.pid is not None else None
    return (
        entry.name,
        up,
        words.printable(entry.every),
        f"{messages.was(last.outcome)} {_ago(last.ended or last.started)}" if last else "none",
        _ago(state.last_success) if state.last_success is not None else "never",
        words.clock_time(next_due) if next_due is not None else "none",
    )


def _ago(when: float) -> str:
    return f"{words.duration(max(0.0, clock.wall() - when))} ago"
