"""What ``main-scheduler status`` prints, and the one line that systemd shows."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from sched_runner import words
from sched_runner.colours import DIM, GREEN, RED, painted
from sched_runner.state import State

# How long after interval and time-out a success may still be on its way, in seconds.
_SLACK = 60.0
_SHOWN_RUNS = 12
_MARKS = {"succeeded": ("✓", GREEN), "interrupted": ("–", DIM)}
_FAILED_MARK = ("✗", RED)


class Health(IntEnum):
    """The exit statuses of ``main-scheduler status`` (LSB's, but for 1)."""

    HEALTHY = 0
    WRONG = 1
    NOT_RUNNING = 3
    UNKNOWN = 4


@dataclass(frozen=True)
class Status:
    """What is known of a scheduler; ``pid`` is None where none is running, 0 where it cannot be seen.

    ``now`` is in seconds since the epoch, ``boottime`` in seconds of CLOCK_BOOTTIME of the boot ``boot_id``.
    """

    name: str
    pid: int | None
    state: State
    now: float
    boottime: float
    boot_id: str

    def fault(self) -> str:
        """What is wrong, in words; empty where all is well."""
        state = self.state
        if state.failures_in_a_row:
            outcome = next((r["outcome"] for r in reversed(state.runs) if r["outcome"] != "interrupted"), "failed")
            return f"the last run {_was(outcome)}, {words.count(state.failures_in_a_row, 'failure')} in a row"
        return self.stale() if self.pid is not None else ""

    def stale(self) -> str:
        """In words, where the last success is older than it should be, whether a scheduler runs or not."""
        state, now, since = self.state, self.boottime, self.state.fresh_boottime
        if state.boot_id != self.boot_id or since is None:  # nothing but the wall clock knows
            now, since = self.now, state.last_success or state.started
            if self.pid is not None and state.started is not None and since is not None:
                since = max(since, state.started)  # in a container the sandbox may show another boot than a shell
        if since is None:
            return "it was never started"
        allowed = (state.interval or 0.0) + (state.timeout or 0.0) + _SLACK
        return f"no success for {words.duration(now - since)}" if now - since > allowed else ""

    def where(self) -> str:
        """Which process it is, or on which host."""
        if self.pid:
            return f"process {self.pid}"
        return "where it cannot be seen" if self.state.is_of_this_host() else f"on {self.state.host}"

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
            "up": self.pid is not None,
            "pid": self.pid or None,
            "host": state.host,
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
            lines.append("  " + painted(f"wrong: {fault}", RED, coloured=coloured))
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
            return f"up ({self.where()}), run {running['number']} is going for {going}"
        return f"up ({self.where()}), waiting for the next run"

    def _ago(self, when: float | None) -> str:
        if when is None:
            return "never"
        return f"{words.clock_time(when)}, {words.duration(max(0.0, self.now - when))} ago"

    def _bar(self, *, coloured: bool) -> list[str]:
        runs = self.state.runs[-_SHOWN_RUNS:]
        if not runs:
            return ["  no run has ended yet"]
        took = [words.duration(run["duration"]).replace(" ", "") for run in runs]
        marks = [mark(run["outcome"], len(text), coloured=coloured) for run, text in zip(runs, took, strict=True)]
        last = runs[-1]
        return [
            f"  last runs     {' '.join(marks)}",
            f"                {' '.join(took)}",
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


def mark(outcome: str, width: int, *, coloured: bool) -> str:
    """One character for an outcome, in the middle of so many."""
    character, colour = _MARKS.get(outcome, _FAILED_MARK)
    return painted(character.center(width), colour, coloured=coloured)
