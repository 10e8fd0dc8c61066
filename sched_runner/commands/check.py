"""``main-scheduler check``: every setting, where it came from, the next due times, and every fault."""

import argparse
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime

from sched_runner import clock, words
from sched_runner.commands.installation import find
from sched_runner.record.status import Status
from sched_runner.record.store import StateError
from sched_runner.schedule import cadence
from sched_runner.settings import table
from sched_runner.settings.table import Settings

HELP = "every setting, where it came from, the next five due times; every fault (exit status 78)"
_DUE_TIMES = 5


def main(arguments: argparse.Namespace) -> int:
    """Print them. Raises SettingsError."""
    installation = find(arguments)
    settings, environ, warnings = installation.source.read()
    first = clock.wall()
    with suppress(OSError, StateError):  # a start would go on without it
        first = next_due(settings, installation.look())
    for warning in warnings:
        print(f"warning: {warning}")
    print(text(settings, environ, str(installation.place.env_file or "the environment"), first))
    return 0


def text(settings: Settings, environ: Mapping[str, str], given: str, first: float) -> str:
    """For a person; ``given`` says where the settings come from, ``first`` is the next due time since the epoch."""
    return "\n".join(_lines(settings, environ, given, first))


def _lines(settings: Settings, environ: Mapping[str, str], given: str, first: float) -> Iterator[str]:
    for name, value in table.shown(settings).items():
        yield f"{name:19} {value or 'none':40} from {given if environ.get(name) else 'the default'}"
    if not os.path.exists(settings.main):  # Path.exists() raises where one may not look
        yield f"\n{settings.main} is not there (yet): a run would end as not started"
    yield "\nnext due times:"
    due = datetime.fromtimestamp(first, UTC)
    kept = cadence.of(settings, due)
    for _ in range(_DUE_TIMES):
        yield f"  {words.zoned_time(due.timestamp())}"
        due = kept.after(due)


def next_due(settings: Settings, status: Status) -> float:
    """When the next run will be with these settings reloaded; if no scheduler runs, when it would be if one started.

    In seconds since the epoch.
    """
    stored = status.state
    if status.pid is not None and stored.next_due is not None:
        due = stored.next_due - (stored.gap or settings.interval) + settings.interval
        due = min(due, status.now + settings.interval)  # main.py may have written any time into the state
    else:
        due = cadence.first_due(stored, settings, status.now, status.boottime, supervised=False)
    return max(status.now, due)
