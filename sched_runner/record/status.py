"""The status of a scheduler: the output of ``main-scheduler status``, and the one line for systemd."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from sched_runner import clock, words
from sched_runner.exit_status import ExitStatus
from sched_runner.record import messages, run_record
from sched_runner.record.outcome import Outcome
from sched_runner.record.run_record import Run
from sched_runner.record.state import State
from sched_runner.words import DIM, GREEN, RED, painted

# A success may come this many seconds later than the interval and the time-out allow.
_SLACK = 60.0
_SHOWN_RUNS = 12
_MARKS = {Outcome.SUCCEEDED: ("✓", GREEN), Outcome.INTERRUPTED: ("–", DIM)}
_FAILED_MARK = ("✗", RED)


class Health(IntEnum):
    """The exit statuses of ``main-scheduler status``."""

    HEALTHY = ExitStatus.OK
    WRONG = ExitStatus.FAULT
    NOT_RUNNING = ExitStatus.NOT_RUNNING
    UNKNOWN = ExitStatus.UNKNOWN


@dataclass(frozen=True)
class Status:
    """The status of a scheduler; ``pid`` is None if none is running, and 0 if its process cannot be seen.

    ``now`` is in seconds since the epoch, ``boottime`` in seconds of the boot clock of the boot ``boot_id``.
    ``trouble`` says what is wrong beside the runs.
    """

    name: str
    pid: int | None
    state: State
    now: float
    boottime: float
    boot_id: str
    trouble: str = ""

    def fault(self) -> str:
        """What is wrong, in words; empty if all is well."""
        return "; ".join(filter(None, [self._fault_of_runs(), self.trouble]))

    def _fault_of_runs(self) -> str:
        state = self.state
        if state.failures_in_a_row:
            last = next((run for run in reversed(state.runs) if run.outcome is not Outcome.INTERRUPTED), None)
            what = f"run {last.number} {messages.was(last.outcome)}" if last else "the last run failed"
            return f"{what}, {words.count(state.failures_in_a_row, 'failure')} in a row"
        return self.stale() if self.pid is not None else ""

    def stale(self) -> str:
        """What is wrong, in words, if the last success is too old, even if no scheduler runs; else empty."""
        if self.state.expected_by is not None:
            return self._overdue(self.state.expected_by)
        state, now, since = self.state, self.boottime, self.state.fresh_boottime
        if state.boot_id != self.boot_id or since is None:  # only the wall clock can tell
            now, since = self.now, state.last_success or state.started
            if self.pid is not None and state.started is not None and since is not None:
                since = max(since, state.started)  # a container's sandbox may show another boot id than a shell
        if since is None:
            return "it was never started"
        allowed = state.longest_wait() + _SLACK
        return f"no success for {words.duration(now - since)}" if now - since > allowed else ""

    def has_stopped(self) -> bool:
        """Whether no success comes because no run comes: the scheduler is not up, or it makes no run that is due."""
        due = self.state.next_due
        is_late = due is not None and self.now > due + (self.state.timeout or 0.0) + _SLACK
        is_down = self.pid is None and self.state.started is not None  # no scheduler makes the runs of once
        return bool(self.stale()) and (is_down or is_late)

    def _overdue(self, expected_by: float) -> str:
        """What is wrong, if a calendar expects a success by ``expected_by`` and none has come; else empty."""
        if self.now <= expected_by + (self.state.timeout or 0.0) + _SLACK:
            return ""
        success = self.state.last_success
        return "no success yet" if success is None else f"no success since {words.zoned_time(success)}"

    def where(self) -> str:
        """Where the scheduler runs: as which process, or on which host."""
        if self.pid:
            return f"process {self.pid}"
        return (
            "its process cannot be seen from here"
            if self.state.is_of_this_host()
            else f"on {words.printable(self.state.host)}"
        )

    def health(self) -> Health:
        """The health of the scheduler, which is the exit status of the command."""
        if self.pid is None:
            return Health.NOT_RUNNING
        return Health.WRONG if self.fault() else Health.HEALTHY

    def as_json(self) -> dict[str, Any]:
        """The status for ``--json``; times are in seconds since the epoch."""
        state, is_up = self.state, self.pid is not None
        return {
            "name": self.name,
            "health": self.health().name.lower().replace("_", " "),
            "fault": self.fault() or None,
            "up": is_up,
            "pid": self.pid or None,
            "host": state.host,
            "environment": state.environment,
            "every": state.every,
            "started": state.started,
            "running": run_record.as_json(state.running) if is_up and state.running else None,
            "last_success": state.last_success,
            "next_due": state.next_due if is_up else None,
            "retry": state.retry.when if is_up and state.retry else None,
            "failures_in_a_row": state.failures_in_a_row,
            "skipped": state.skipped,
            "runs": [run_record.as_json(run) for run in state.runs],
        }

    def text(self, *, coloured: bool) -> str:
        """The status for a person, in several lines."""
        fault = self.fault()
        lines = [f"{self.name}: {self._up()}"]
        if fault:
            lines.append("  " + painted(f"wrong: {fault}", RED, coloured=coloured))
        if self.state.every:
            every, environment = words.printable(self.state.every), words.printable(self.state.environment)
            lines.append(f"  schedule      {every}, SCHED_ENV={environment}")
        lines.append(f"  last success  {self._ago(self.state.last_success)}")
        if self.pid is not None and self.state.retry is not None:
            lines.append(f"  retry         {words.zoned_time(self.state.retry.when)}")
        if self.pid is not None and self.state.next_due is not None:
            lines.append(f"  next run      {words.zoned_time(self.state.next_due)}")
        return "\n".join(lines + self._bar(coloured=coloured))

    def _up(self) -> str:
        if self.pid is None:
            return "not running"
        if running := self.state.running:
            boottime = self.boottime if self.state.boot_id == self.boot_id else None
            going = words.duration(running.going_for(self.now, boottime))
            return f"up ({self.where()}), run {running.number} has been going for {going}"
        return f"up ({self.where()}), waiting for the next run"

    def _ago(self, when: float | None) -> str:
        if when is None:
            return "never"
        return f"{words.zoned_time(when)}, {words.duration(max(0.0, self.now - when))} ago"

    def _bar(self, *, coloured: bool) -> list[str]:
        runs = self.state.runs[-_SHOWN_RUNS:]
        if not runs:
            return ["  no run has ended yet"]
        took = [messages.how_long(run).replace(" ", "") for run in runs]
        marks = [mark(run, len(text), coloured=coloured) for run, text in zip(runs, took, strict=True)]
        last = runs[-1]
        begun = words.zoned_time(last.started)
        reason = f": {words.printable(last.reason)}" if last.reason else ""
        return [
            f"  last runs     {' '.join(marks)}",
            f"                {' '.join(took)}",
            f"  last run      {last.number} {messages.was(last.outcome)}, begun {begun}{reason}",
        ]


def of(name: str, pid: int | None, state: State) -> Status:
    """The status as it is now."""
    return Status(name, pid, state, clock.wall(), clock.boottime(), clock.boot_id())


def one_line(state: State, now: float) -> str:
    """The state in one line, for STATUS= of systemd."""
    parts = []
    if state.running:
        parts.append(f"run {state.running.number} has been going since {words.clock_time(state.running.started)}")
    if state.runs:
        last = state.runs[-1]
        parts.append(f"last run {last.number} {messages.was(last.outcome)}")
    if state.last_success is not None:
        parts.append(f"last success {words.clock_time(state.last_success)}")
    if state.next_due is not None:
        parts.append(f"next run {words.clock_time(state.next_due)}")
    if state.retry is not None:
        parts.append(f"retry {words.clock_time(state.retry.when)}")
    if state.failures_in_a_row:
        parts.append(f"{words.count(state.failures_in_a_row, 'failure')} in a row")
    return "; ".join(parts) or f"started {words.clock_time(now)}"


def mark(run: Run, width: int, *, coloured: bool) -> str:
    """One character for the outcome of a run, in the middle of ``width`` characters."""
    character, colour = _MARKS.get(run.outcome or Outcome.FAILED, _FAILED_MARK)
    return painted(character.center(width), colour, coloured=coloured)
