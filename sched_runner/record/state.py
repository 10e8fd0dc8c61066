"""The content of state.json, which outlives the scheduler, and the changes to that content."""

import os
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from sched_runner import clock
from sched_runner.record import columns, run_record
from sched_runner.record.columns import column
from sched_runner.record.outcome import FAILURES, Outcome
from sched_runner.record.run_record import Run
from sched_runner.settings.table import Settings

_KEPT_RUNS = 50


class Due(NamedTuple):
    """The due time of a run, in seconds since the epoch and on the boot clock, and the number of the attempt.

    A retry has the due time of the first attempt.
    """

    last: float
    boottime: float
    attempt: int


class Retry(NamedTuple):
    """The time of a retry, in seconds since the epoch and on the boot clock, and the number of the attempt."""

    when: float
    boottime: float
    attempt: int


class Plan(NamedTuple):
    """The schedule from now on: in words how often a run is due, the next due time, and the retry before it, if any.

    ``expected_by`` is the time by which a calendar expects a success after now; None for an interval. Times are in
    seconds since the epoch.
    """

    every: str
    next_due: float
    expected_by: float | None
    retry: Retry | None


def _retry(value: Any) -> Retry:
    if not isinstance(value, list) or len(value) != len(Retry._fields):
        raise ValueError("not three numbers")
    when, boottime, attempt = value
    return Retry(columns.moment(when), columns.due_moment(boottime), columns.integer(attempt))


def _counts(value: Any) -> dict[str, int]:
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    return {Outcome(outcome).value: columns.counter(number) for outcome, number in value.items()}


@dataclass
class State:
    """The content of state.json.

    Times are in seconds since the epoch; ``due_boottime`` and ``fresh_boottime`` (of the last success, or of the start)
    are in seconds of the boot clock within the boot ``boot_id`` of ``host``. ``every`` says in words how often a run is
    due. ``gap`` is the interval in seconds; a calendar has none, but has ``expected_by``, the time by which the
    next success should come. ``outcomes`` counts the runs by outcome; ``runs`` has the last 50.
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
    due: float | None = column(columns.optional(columns.due_moment), None)
    due_boottime: float | None = column(columns.optional(columns.due_moment), None)
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
        """Whether the state is of this host, by the host's name or by its boot.

        The name may change, and in a container the sandbox may show another boot id than a shell sees.
        """
        return self.host in ("", os.uname().nodename) or self.boot_id == clock.boot_id()

    def longest_wait(self) -> float:
        """The longest time between two successes, in seconds, if no run fails and there is an interval."""
        return (self.gap or 0.0) + (self.timeout or 0.0)

    def copy(self) -> "State":
        """A copy whose changes do not change this state."""
        return replace(self, outcomes=dict(self.outcomes), runs=list(self.runs))

    def start(self, settings: Settings, plan: Plan) -> None:
        """Note that a scheduler has started."""
        expected_by = self.expected_by
        is_fresh = self._take_over()
        self.clean, self.started = False, clock.wall()
        self.follow(settings, plan)
        if not is_fresh and expected_by is not None and plan.expected_by is not None:
            self.expected_by = expected_by  # or a crash loop would never look stale

    def _take_over(self) -> bool:
        """Make the state this boot's: another boot's clock counts no more. True if a wait for a success begins anew."""
        is_new = self.boot_id != clock.boot_id()
        if is_new:
            self.due_boottime = None
        is_fresh = is_new or self.clean  # not after a crash in this boot, or a crash loop would never look stale
        if is_fresh:
            self.fresh_boottime = clock.boottime()
        self.boot_id, self.host = clock.boot_id(), os.uname().nodename
        return is_fresh

    def follow(self, settings: Settings, plan: Plan) -> None:
        """Note the settings and the plan of the scheduler."""
        self.environment, self.timeout = settings.environment, settings.timeout
        self.gap = None if settings.calendar else settings.interval
        self.every, self.expected_by = plan.every, plan.expected_by
        self.plan(plan)

    def stop(self) -> None:
        """Note that the scheduler has stopped, and that nothing is due."""
        self.clean, self.next_due = True, None

    def plan(self, plan: Plan) -> None:
        """Note the next due time and the retry."""
        self.next_due, self.retry = plan.next_due, plan.retry

    def skip_run(self) -> None:
        """Note that a due run was skipped."""
        self.skipped += 1

    def begin_run(self, due: Due | None = None, plan: Plan | None = None) -> Run:
        """Note that a run begins, and give its record; ``due`` and ``plan`` are the schedule's, if there is one."""
        self.end_lost_run()  # this process has the run's lock: a run noted as going has lost its scheduler
        self.number += 1
        self.running = run_record.begin(self.number, due.attempt if due else 1)
        if due is not None and plan is not None:
            self.due, self.due_boottime, _ = due
            self.boot_id = clock.boot_id()
            self.plan(plan)
        return self.running

    def end_run(self, run: Run, plan: Plan | None) -> None:
        """Note that a run has ended; ``plan`` is the schedule's, if there is one."""
        self.running = None
        if plan is not None:
            self.plan(plan)
        self._keep(run)
        if run.outcome is Outcome.SUCCEEDED:
            self.failures_in_a_row = 0
            if plan is not None:
                self.expected_by = plan.expected_by
            # main-scheduler once may make its run on another host than the scheduler's.
            self.last_success = clock.wall()
            self.fresh_boottime = clock.boottime() if self.is_of_this_host() else None
        elif run.outcome in FAILURES:
            self.failures_in_a_row += 1
            self.last_failure = clock.wall()

    def end_lost_run(self) -> Run | None:
        """If a run is noted as going, the run's scheduler was killed: note the run as interrupted, and give it."""
        if self.running is None:
            return None
        run = replace(self.running, outcome=Outcome.INTERRUPTED)
        self.running = None
        self._keep(run)
        return run

    def _keep(self, run: Run) -> None:
        assert run.outcome is not None
        self.runs = [*self.runs, run][-_KEPT_RUNS:]
        self.outcomes[run.outcome.value] = self.outcomes.get(run.outcome.value, 0) + 1


def as_json(state: State) -> dict[str, Any]:
    """The state as the JSON object in state.json."""
    running = None if state.running is None else run_record.as_json(state.running)
    return vars(state) | {"running": running, "runs": [run_record.as_json(run) for run in state.runs]}


def from_json(values: Any) -> State:
    """The state in an object that ``as_json`` has made; unknown names are skipped. Raises ValueError."""
    return columns.read(State, values)
