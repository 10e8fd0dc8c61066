"""What ``main-scheduler status`` prints, and the one line that systemd shows."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from sched_runner import words
from sched_runner.state import State

# How long after interval and time-out a success may still be on its way, in seconds.
_SLACK = 60.0
_SHOWN_RUNS = 12
_SYMBOLS = {"succeeded": "✓", "interrupted": "–"}
_FAILED_SYMBOL = "✗"
_GREEN, _RED, _DIM, _RESET = "\033[32m", "\033[31m", "\033[2m", "\033[0m"


class Health(IntEnum):
    """The exit statuses of ``main-scheduler status`` (LSB's, but for 1)."""

    HEALTHY = 0
    WRONG = 1
    NOT_RUNNING = 3
    UNKNOWN = 4


@dataclass(frozen=True)
class Status:
    """What is known of a scheduler; ``pid`` is None where none is running.

    ``now`` is in seconds since the epoch, ``boottime`` in seconds of CLOCK_BOOTTIME.
    """

    name: str
    pid: int | None
    state: State
    now: float
    boottime: float

    def fault(self) -> str:
        """What is wrong, in words; empty where all is well."""
        state = self.state
        if state.failures_in_a_row:
            outcome = next((r["outcome"] for r in reversed(state.runs) if r["outcome"] != "interrupted"), "failed")
            return f"the last run {_was(outcome)}, {words.count(state.failures_in_a_row, 'failure')} in a row"
        age = self.boottime - (state.fresh_boottime or 0.0)
        allowed = (state.interval or 0.0) + (state.timeout or 0.0) + _SLACK
        return f"no success for {words.duration(age)}" if self.pid is not None and age > allowed else ""

    def health(self) -> Health:
        """The exit status."""
        if self.pid is None:
            return Health.NOT_RUNNING
        return Health.WRONG if self.fault() else Health.HEALTHY

    def as_json(self) -> dict[str, Any]:
        """For ``--json``; times are in seconds since the epoch."""
        state = self.state
        return {
            "name": self.name,
            "health": self.health().name.lower().replace("_", " "),
            "fault": self.fault() or None,
            "pid": self.pid,
            "started": state.started,
            "running": state.running if self.pid is not None else None,
            "last_success": state.last_success,
            "next_due": state.next_due if self.pid is not None else None,
            "failures_in_a_row": state.failures_in_a_row,
            "skipped": state.skipped,
            "runs": state.runs,
        }

    def text(self, *, coloured: bool) -> str:
        """For a person."""
        fault = self.fault()
        lines = [f"{self.name}: {self._up()}"]
        if fault:
            lines.append("  " + _painted(f"wrong: {fault}", _RED, coloured=coloured))
        lines.append(f"  last success  {self._ago(self.state.last_success)}")
        if self.pid is not None and self.state.next_due is not None:
            lines.append(f"  next run      {words.clock_time(self.state.next_due)}")
        return "\n".join(lines + self._bar(coloured=coloured))

    def _up(self) -> str:
        if self.pid is None:
            return "not running"
        running = self.state.running
        if running:
            going = words.duration(max(0.0, self.now - running["started"]))
            return f"up (process {self.pid}), run {running['number']} is going for {going}"
        return f"up (process {self.pid}), waiting for the next run"

    def _ago(self, when: float | None) -> str:
        if when is None:
            return "never"
        return f"{words.clock_time(when)}, {words.duration(max(0.0, self.now - when))} ago"

    def _bar(self, *, coloured: bool) -> list[str]:
        runs = self.state.runs[-_SHOWN_RUNS:]
        if not runs:
            return ["  no run has ended yet"]
        cells = [(_symbol(run), words.duration(run["duration"]).replace(" ", "")) for run in runs]
        widths = [max(len(took), 1) for _, took in cells]
        marks = " ".join(
            _painted(mark.center(width), _GREEN if mark == "✓" else _RED if mark == "✗" else _DIM, coloured=coloured)
            for (mark, _), width in zip(cells, widths, strict=True)
        )
        took = " ".join(text.center(width) for (_, text), width in zip(cells, widths, strict=True))
        last = runs[-1]
        return [
            f"  last runs     {marks}",
            f"                {took}",
            f"  last run      {last['number']} {_was(last['outcome'])}, begun {words.clock_time(last['started'])}",
        ]


def one_line(state: State, now: float) -> str:
    """STATUS= for systemd: the truth in one line."""
    parts = []
    if state.running:
        parts.append(f"run {state.running['number']} is going since {words.clock_time(state.running['started'])}")
    if state.runs:
        last = state.runs[-1]
        parts.append(f"last run {last['number']} {_was(last['outcome'])}")
    if state.last_success is not None:
        parts.append(f"last success {words.clock_time(state.last_success)}")
    if state.next_due is not None:
        parts.append(f"next run {words.clock_time(state.next_due)}")
    if state.failures_in_a_row:
        parts.append(f"{words.count(state.failures_in_a_row, 'failure')} in a row")
    return "; ".join(parts) or f"started {words.clock_time(now)}"


def _was(outcome: str) -> str:
    return outcome if outcome in ("succeeded", "failed", "timed out") else f"was {outcome}"


def _symbol(run: dict[str, Any]) -> str:
    return _SYMBOLS.get(run["outcome"], _FAILED_SYMBOL)


def _painted(text: str, colour: str, *, coloured: bool) -> str:
    return f"{colour}{text}{_RESET}" if coloured else text
