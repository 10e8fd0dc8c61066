"""What outlives the scheduler: the content of state.json, and the changes to it."""

import os
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

from sched_runner import clock
from sched_runner.record import columns, run_record
from sched_runner.record.columns import column
from sched_runner.record.outcome import FAILURES, Outcome
from sched_runner.record.run_record import Run
from sched_runner.settings.table import Settings

_KEPT_RUNS = 50


class Due(NamedTuple):
    """Why a run begins: when it was due, in seconds since the epoch and on the boot clock, and as which attempt.

    A retry was due when its first attempt was.
    """

    last: float
    boottime: float
    attempt: int


class Retry(NamedTuple):
    """A failed run is made again: when, in seconds since the epoch and on the boot clock, and as which attempt."""

    when: float
    boottime: float
    attempt: int


class Plan(NamedTuple):
    """What is to come: how often a run is due in words, when the next one is, and a retry before that, if there is one.

    ``expected_by`` says until when a success after now is to come, if the wall clock says so. Times are in seconds
    since the epoch.
    """

    every: str
    next_due: float
    expected_by: float | None
    retry: Retry | None


def _retry(value: Any) -> Retry:
    if not isinstance(value, list) or len(value) != len(Retry._fields):
        raise ValueError("not three numbers")
    when, boottime, attempt = value
    return Retry(columns.moment(when), columns.moment(boottime), columns.integer(attempt))


def _counts(value: Any) -> dict[str, int]:
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    return {Outcome(outcome).value: columns.counter(number) for outcome, number in value.items()}


@dataclass
class State:
    """The content of state.json.

    Times are in seconds since the epoch; ``due_boottime`` and ``fresh_boottime`` (of the last success, or of the start)
    are in seconds of the boot clock within the boot ``boot_id`` of ``host``. ``every`` says in words how often a run is
    due, ``gap`` in seconds how far apart; if that is not always the same, ``expected_by`` says until when the next
    success is to come. ``outcomes`` counts the runs by outcome; ``runs`` has the last 50.
    """

    boot_id: str = column(columns.text, "")
    host: str = column(columns.text, "")
    clean: bool = column(columns.flag, default=True)
    started: float | None = column(columns.optional(columns.moment), None)
    environment: str = column(columns.text, "")
    every: str = column(columns.text, "")
    gap: float | None = column(columns.optional(columns.length), None)
    expected_by: float | None = column(columns.optional(columns.moment), None)
    timeout: float | None = column(columns.optional(columns.length), None)
    due: float | None = column(columns.optional(columns.moment), None)
    due_boottime: float | None = column(columns.optional(columns.moment), None)
    next_due: float | None = column(columns.optional(columns.moment), None)
    retry: Retry | None = column(columns.optional(_retry), None)
    number: int = column(columns.counter, 0)
    running: Run | None = column(columns.optional(run_record.from_json), None)
    last_success: float | None = column(columns.optional(columns.moment), None)
    last_failure: float | None = column(columns.optional(columns.moment), None)
    fresh_boottime: float | None = column(columns.optional(columns.moment), None)
    failures_in_a_row: int = column(columns.counter, 0)
    skipped: int = column(columns.counter, 0)
    outcomes: dict[str, int] = column(_counts, dict)
    runs: list[Run] = column(columns.list_of(run_record.ended_from_json, _KEPT_RUNS), list)

    def is_of_this_host(self) -> bool:
        """By name, which may change, or boot, of which a container's sandbox may show another id than a shell sees."""
        return self.host in ("", os.uname().nodename) or self.boot_id == clock.boot_id()

    def longest_wait(self) -> float:
        """How many seconds at most lie between two successes, if no run fails and there is an interval."""
        return (self.gap or 0.0) + (self.timeout or 0.0)

    def copy(self) -> "State":
        """One that can be changed without changing this."""
        return replace(self, outcomes=dict(self.outcomes), runs=list(self.runs))

    def start(self, settings: Settings, plan: Plan) -> None:
        """A scheduler has started."""
        expected_by = self.expected_by
        is_fresh = self._take_over()
        self.clean, self.started = False, clock.wall()
        self.follow(settings, plan)
        if not is_fresh and expected_by is not None and plan.expected_by is not None:
            self.expected_by = expected_by  # a crash loop would never look stale

    def _take_over(self) -> bool:
        """Make it this boot's: what the clock of another boot has counted says nothing here. Whether it is fresh."""
        is_new = self.boot_id != clock.boot_id()
        if is_new:
            self.due_boottime = None
        is_fresh = is_new or self.clean  # else a crash loop would never look stale
        if is_fresh:
            self.fresh_boottime = clock.boottime()
        self.boot_id, self.host = clock.boot_id(), os.uname().nodename
        return is_fresh

    def follow(self, settings: Settings, plan: Plan) -> None:
        """The scheduler has these settings."""
        self.environment, self.timeout = settings.environment, settings.timeout
        self.gap = None if settings.calendar else settings.interval
        self.every, self.expected_by = plan.every, plan.expected_by
        self.plan(plan)

    def stop(self) -> None:
        """The scheduler has stopped, and nothing is due."""
        self.clean, self.next_due = True, None

    def plan(self, plan: Plan) -> None:
        """The next run is due at another time, or is made again at another time."""
        self.next_due, self.retry = plan.next_due, plan.retry

    def skip_run(self) -> None:
        """A due run was not made."""
        self.skipped += 1

    def begin_run(self, due: Due | None = None, plan: Plan | None = None) -> Run:
        """A run begins, by the schedule if there is one; gives its record."""
        self.end_lost_run()  # who has the lock of the run has no rival: that scheduler was killed
        self.number += 1
        self.running = run_record.begin(self.number, due.attempt if due else 1)
        if due is not None and plan is not None:
            self.due, self.due_boottime, _ = due
            self.boot_id = clock.boot_id()
            self.plan(plan)
        return self.running

    def end_run(self, run: Run, plan: Plan | None) -> None:
        """A run has ended, and ``plan`` is to come if there is a schedule."""
        self.running = None
        if plan is not None:
            self.plan(plan)
        self._keep(run)
        if run.outcome is Outcome.SUCCEEDED:
            self.failures_in_a_row = 0
            if plan is not None:
                self.expected_by = plan.expected_by
            # A run of main-scheduler once may be on another host than the scheduler.
            self.last_success = clock.wall()
            self.fresh_boottime = clock.boottime() if self.is_of_this_host() else None
        elif run.outcome in FAILURES:
            self.failures_in_a_row += 1
            self.last_failure = clock.wall()

    def end_lost_run(self) -> Run | None:
        """If a run is said to be going, its scheduler was killed: record the run as interrupted, and give it."""
        if self.running is None:
            return None
        run = replace(self.running, outcome=Outcome.INTERRUPTED, duration=0.0)
        self.running = None
        self._keep(run)
        return run

    def _keep(self, run: Run) -> None:
        assert run.outcome is not None
        self.runs = [*self.runs, run][-_KEPT_RUNS:]
        self.outcomes[run.outcome.value] = self.outcomes.get(run.outcome.value, 0) + 1


def as_json(state: State) -> dict[str, Any]:
    """The state as state.json has it."""
    values = {f.name: getattr(state, f.name) for f in fields(state)}
    running = None if state.running is None else run_record.as_json(state.running)
    return values | {"running": running, "runs": [run_record.as_json(run) for run in state.runs]}


def from_json(values: Any) -> State:
    """The inverse; unknown names are skipped. Raises ValueError."""
    return columns.read(State, values)
