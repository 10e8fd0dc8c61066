"""The output of ``main-scheduler history``: the runs that have ended, from the journal and from state.json."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

from sched_runner import words
from sched_runner.record import messages, run_record
from sched_runner.record.outcome import FAILURES
from sched_runner.record.run_record import Run
from sched_runner.record.status import mark
from sched_runner.settings.spans import parse_span

_BAR = 20
_EIGHTHS = " ▏▎▍▌▋▊▉█"


def parse_since(text: str, now: float) -> float:
    """Seconds since the epoch, from 0 on, of a date, of a date with a time, or of a time span before ``now``.

    Raises ValueError.
    """
    with suppress(ValueError, OverflowError):
        return max(0.0, datetime.fromisoformat(text).timestamp())
    try:
        return max(0.0, now - parse_span(text))
    except ValueError:
        shown = words.printable(text)
        raise ValueError(f"{shown}: use a date (2026-01-31), a date with a time, or a time span (7d)") from None


def _key(run: Run) -> tuple[int, float]:
    return run.number, round(run.started, 3)  # the journal has three decimals


def _told(records: Iterable[Mapping[str, Any]]) -> Iterable[Run]:
    for record in records:
        with suppress(ValueError):  # anybody can write into the journal
            yield run_record.from_journal(record)


def runs(records: Iterable[Mapping[str, Any]], kept: Iterable[Run], since: float, *, failed: bool) -> list[Run]:
    """The runs that ended from ``since`` on, oldest first: the ``kept`` ones, and those that only the journal has."""
    found = {_key(run): run for run in (*_told(records), *kept)}
    wanted = (run for run in found.values() if run.started + (run.duration or 0.0) >= since)
    return sorted(
        (run for run in wanted if run.outcome in FAILURES or not failed), key=lambda run: (run.started, run.number)
    )


def text(found: Sequence[Run], *, coloured: bool, barred: bool) -> str:
    """A line for each run; ``barred`` also draws the durations, to show that a script gets slower."""
    if not found:
        return "no run has ended yet"
    longest = max(run.duration or 0.0 for run in found) or 1.0
    title = (
        f"{'run':>5}  {'started':19}    {'outcome':11}  {'duration':>12}{' ' * (_BAR + 2) * barred}  CPU       memory"
    )
    return "\n".join([title, *(_line(run, longest if barred else None, coloured=coloured) for run in found)])


def _line(run: Run, longest: float | None, *, coloured: bool) -> str:
    cells = [
        f"{run.number:5}",
        words.clock_time(run.started),
        f"{mark(run, 1, coloured=coloured)} {run.outcome.value if run.outcome else '':11}",
        f"{messages.how_long(run):>12}",
        *([] if longest is None else [_bar((run.duration or 0.0) / longest)]),
        f"{words.duration(run.cpu):8}",
        f"{words.size(run.peak_kib):10}",
        messages.cause(run),
    ]
    return "  ".join(cells).rstrip()


def _bar(share: float) -> str:
    full, eighths = divmod(round(share * _BAR * 8), 8)
    return ("█" * full + _EIGHTHS[eighths].strip()).ljust(_BAR)
