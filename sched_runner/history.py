"""What ``main-scheduler history`` prints: the runs that have ended, from the journal and from state.json."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

from sched_runner import words
from sched_runner.config import parse_span
from sched_runner.outcome import FAILURES, Outcome, signal_name, signal_number
from sched_runner.status import mark

_BAR = 20
_EIGHTHS = " ▏▎▍▌▋▊▉█"
_FAILED = {outcome.value for outcome in FAILURES}

Run = dict[str, Any]


def parse_since(text: str, now: float) -> float:
    """A date, a time, or a time span before ``now``: seconds since the epoch. Raises ValueError."""
    with suppress(ValueError):
        return datetime.fromisoformat(text).timestamp()
    try:
        return now - parse_span(text)
    except ValueError:
        raise ValueError(f"{text}: use a date (2026-01-31), a date with a time, or a time span (7d)") from None


def of_record(record: Mapping[str, Any]) -> Run | None:
    """The run that a record of the journal tells of, as state.json would have it."""

    def number(field: str) -> float | None:
        try:
            return float(record[field])
        except (KeyError, ValueError):
            return None

    started, run, status = number("STARTED"), number("RUN"), number("EXIT_STATUS")
    if started is None or run is None or record.get("OUTCOME") not in {outcome.value for outcome in Outcome}:
        return None
    return {
        "number": int(run),
        "outcome": record["OUTCOME"],
        "started": started,
        "duration": number("DURATION_SEC") or 0.0,
        "exit_status": None if status is None else int(status),
        "signal": signal_number(record.get("SIGNAL", "")),
        "cpu": number("CPU_SEC") or 0.0,
        "peak_kib": int(number("PEAK_MEMORY_KIB") or 0),
        "reason": str(record.get("REASON", "")),
    }


def _key(run: Run) -> tuple[int, float]:
    return run["number"], round(run["started"], 3)  # as exact as the journal has it


def runs(records: Iterable[Mapping[str, Any]], kept: Iterable[Run], since: float, *, failed: bool) -> list[Run]:
    """The runs that have ended since then, oldest first: of the journal, and those of state.json that it lacks."""
    found = {_key(run): run for run in kept}
    found |= {_key(run): run for record in records if (run := of_record(record))}
    wanted = (run for run in found.values() if run["started"] + run["duration"] >= since)
    return sorted(
        (run for run in wanted if run["outcome"] in _FAILED or not failed),
        key=lambda run: (run["started"], run["number"]),
    )


def text(found: Sequence[Run], *, coloured: bool, barred: bool) -> str:
    """A line for each run; ``barred`` draws the durations too, so that a script which is getting slower is seen."""
    if not found:
        return "no run has ended yet"
    longest = max(run["duration"] for run in found) or 1.0
    title = (
        f"{'run':>5}  {'started':19}    {'outcome':11}  {'duration':>12}{' ' * (_BAR + 2) * barred}  CPU       memory"
    )
    return "\n".join([title, *(_line(run, longest if barred else None, coloured=coloured) for run in found)])


def _line(run: Run, longest: float | None, *, coloured: bool) -> str:
    cells = [
        f"{run['number']:5}",
        words.clock_time(run["started"]),
        f"{mark(run['outcome'], 1, coloured=coloured)} {run['outcome']:11}",
        f"{words.duration(run['duration']):>12}",
        *([] if longest is None else [_bar(run["duration"] / longest)]),
        f"{words.duration(run['cpu']):8}",
        f"{words.size(run['peak_kib']):10}",
        run["reason"] or _ending(run),
    ]
    return "  ".join(cells).rstrip()


def _ending(run: Run) -> str:
    if run["signal"] is not None:
        return signal_name(run["signal"])
    return f"exit status {run['exit_status']}" if run["exit_status"] else ""


def _bar(share: float) -> str:
    full, eighths = divmod(round(share * _BAR * 8), 8)
    return ("█" * full + _EIGHTHS[eighths].strip()).ljust(_BAR)
