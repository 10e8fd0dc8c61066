"""The job that the schedule keeps: one run, from its lock and its number to its summary."""

import contextlib
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from sched_runner import outcome, records, state, words
from sched_runner.capture import Capture, Tail
from sched_runner.complaints import Complaints, fault_of
from sched_runner.config import Settings
from sched_runner.monitoring import Monitoring
from sched_runner.outcome import Outcome, RunResult
from sched_runner.outputs import Outputs
from sched_runner.processes import Sweeper
from sched_runner.run import Leftovers, Run, environment
from sched_runner.state import LockFile, State, StateError, StateFile

log = logging.getLogger(__name__)

_LEVELS = {Outcome.SUCCEEDED: logging.INFO, Outcome.INTERRUPTED: logging.WARNING}
_STDERR_LINES = 20
_REPORTED_LINES = 50
_NAMED = 5


@dataclass(frozen=True)
class Due:
    """The schedule at the start of a run, in seconds since the epoch; ``boottime`` is ``last`` on CLOCK_BOOTTIME."""

    last: float
    boottime: float
    following: float


class Job:
    """Performs runs, one at a time, also beside another process that does."""

    def __init__(self, store: StateFile, lock: LockFile, outputs: Outputs, monitoring: Monitoring, stop: int) -> None:
        self._store = store
        self._lock = lock
        self._outputs = outputs
        self._monitoring = monitoring
        self._stop = stop
        self._sweeper = Sweeper()
        self._complaints = Complaints()
        self._version = (0, 0)
        self.state = State()

    def perform(
        self,
        settings: Settings,
        environ: Mapping[str, str],
        due: Callable[[], Due | None] = lambda: None,
        due_in: Callable[[], float] = lambda: 0.0,
        started: Callable[[], None] = lambda: None,
    ) -> RunResult | None:
        """Run main.py and record how it went; None where another process has a run going, or a stop came before.

        ``due`` tells the schedule, ``due_in`` in how many seconds main.py is to begin; ``started`` is called when
        state.json says that the run is going.
        """
        if not self._lock.acquire(LockFile.RUN):
            time.sleep(due_in())  # it may be over by then
        if not self._lock.acquire(LockFile.RUN):
            holder = self._lock.holder(LockFile.RUN)
            fields = records.fields(records.RUN_SKIPPED, RUN=self.state.number)
            who = f"process {holder}" if holder else "another process"
            log.warning("skipped a run: %s has one going, or is about to stop the scheduler", who, extra=fields)
            self.update(count_skipped)
            return None
        try:
            return self._perform(settings, environ, due, due_in, started)
        finally:
            self._lock.release(LockFile.RUN)

    def _perform(
        self,
        settings: Settings,
        environ: Mapping[str, str],
        due: Callable[[], Due | None],
        due_in: Callable[[], float],
        started: Callable[[], None],
    ) -> RunResult | None:
        # Not durable yet: a disk that takes its time would delay the run.
        before = self.state.due, self.state.due_boottime
        self.update(lambda s: _begin(s, due()), durable=False)
        number = self.state.number

        def on_start(pid: int) -> None:
            log.info("run %d started: %s, process %d", number, settings.main, pid, extra={"fields": {"RUN": number}})
            self._monitoring.begun(settings, environ, self.state)
            if fault := fault_of(self._store.sync):
                self._complaints.tell(state.STATE, fault)
            started()

        errors, output = Tail("stderr"), Tail("stdout", "stderr")
        capture = Capture(number, [*self._outputs.sinks, errors, output])
        run = Run(number, settings, environment(environ, settings, number), capture, self._sweeper, stop=self._stop)
        result = run.execute(on_start, due_in)
        if result is None:
            self.update(lambda s: _take_back(s, *before))
            return None
        if result.outcome in outcome.FAILURES and not result.reason:
            result = replace(result, reason=outcome.error_line(errors.last()))
        self._outputs.tell()
        failed_before = self.state.failures_in_a_row > 0
        self._mark(result)
        self.update(lambda s: _end(s, result, due()))
        self._tell(result, run.leftovers, errors, sandboxed={"INVOCATION_ID", "LOGS_DIRECTORY"} <= environ.keys())
        self._mark_failure(result, output, failed_before=failed_before)
        self._monitoring.ended(settings, environ, self.state, result, output)
        return result

    def update(self, change: Callable[[State], object], *, durable: bool = True) -> None:
        """Change the state, here and in state.json; while that cannot be written, here alone."""
        with self._store.exclusive(self._lock):
            if state.STATE not in self._complaints:
                with contextlib.suppress(OSError, StateError):  # what is known here is good enough
                    self.state = self._store.load()
            change(self.state)
            fault = fault_of(lambda: self._store.save(self.state, durable=durable))
            with contextlib.suppress(OSError):
                self._version = self._store.version()
        self._complaints.tell(state.STATE, fault)

    def follow(self) -> bool:
        """Take over what ``main-scheduler once`` has written to state.json; whether it has."""
        with contextlib.suppress(OSError, StateError):
            if self._store.version() != self._version:
                with self._store.exclusive(self._lock):
                    self.state, self._version = self._store.load(), self._store.version()
                return True
        return False

    def _mark(self, result: RunResult) -> None:
        if result.outcome is Outcome.SUCCEEDED:
            fault = fault_of(lambda: self._store.mark_success(words.timestamp(time.time())))
            self._complaints.tell(state.MARKER, fault)

    def _mark_failure(self, result: RunResult, output: Tail, *, failed_before: bool) -> None:
        """Write last_failure.json: after each failure, and after the success that ends them."""
        if result.outcome in outcome.FAILURES:
            told = outcome.report(result, self.state.failures_in_a_row, output.last(_REPORTED_LINES))
        elif result.outcome is Outcome.SUCCEEDED and failed_before:
            told = {"recovered": words.timestamp(time.time())}
        else:
            return
        self._complaints.tell(state.FAILURE, fault_of(lambda: self._store.mark_failure(told)))

    def _tell(self, result: RunResult, leftovers: Leftovers, errors: Tail, *, sandboxed: bool) -> None:
        if leftovers.killed:
            _tell_leftovers("killed", result.number, leftovers.killed)
        if leftovers.given_up:
            _tell_leftovers("could not kill", result.number, leftovers.given_up)
        text = outcome.summary(result)
        if self.state.next_due is not None and result.outcome is not Outcome.INTERRUPTED:
            text += f"; next run at {words.clock_time(self.state.next_due)}"
        lines: list[str] = []
        if result.outcome in outcome.FAILURES:
            lines = errors.last(_STDERR_LINES)
            if sandboxed and (hint := outcome.sandbox_hint("\n".join([result.reason, *lines]))):
                text += f"; {hint}"
        level = _LEVELS.get(result.outcome, logging.ERROR)
        log.log(level, "%s", text, extra={**records.of_run(result), "tail": lines})


def _tell_leftovers(what: str, number: int, found: tuple[str, ...]) -> None:
    names = ", ".join(found[:_NAMED])
    if len(found) > _NAMED:
        names += f" and {len(found) - _NAMED} more"
    fields = records.fields(records.LEFTOVERS, RUN=number)
    log.warning("%s %s of run %d: %s", what, words.count(len(found), "leftover"), number, names, extra=fields)


def count_skipped(stored: State) -> None:
    """A due run was not made."""
    stored.skipped += 1


def _begin(stored: State, due: Due | None) -> None:
    note_interrupted(stored)  # one who was killed: it is we who have the lock of the run
    stored.number += 1
    stored.running = {"number": stored.number, "started": time.time()}
    if due is not None:
        stored.due, stored.due_boottime, stored.next_due = due.last, due.boottime, due.following
        stored.boot_id = state.boot_id()


def _take_back(stored: State, due: float | None, due_boottime: float | None) -> None:
    """The run never began: it is due as before."""
    stored.number -= 1
    stored.running = None
    stored.due, stored.due_boottime = due, due_boottime


def _end(stored: State, result: RunResult, due: Due | None) -> None:
    stored.running = None
    if due is not None:
        stored.next_due = due.following
    _record(stored, result)
    if result.outcome is Outcome.SUCCEEDED:
        stored.failures_in_a_row = 0
        # main-scheduler once may be on another host than the scheduler.
        stored.last_success, stored.fresh_boottime = time.time(), state.boottime() if stored.is_of_this_host() else None
    elif result.outcome in outcome.FAILURES:
        stored.failures_in_a_row += 1
        stored.last_failure = time.time()


def _record(stored: State, result: RunResult) -> None:
    stored.runs.append(as_json(result))
    stored.outcomes[result.outcome.value] = stored.outcomes.get(result.outcome.value, 0) + 1


def as_json(result: RunResult) -> dict[str, Any]:
    """A run as state.json keeps it."""
    return asdict(result) | {"outcome": result.outcome.value}


def note_interrupted(stored: State) -> RunResult | None:
    """Where the state says that a run is going, its scheduler was killed: record that run, and give it."""
    if stored.running is None:
        return None
    result = RunResult(stored.running["number"], Outcome.INTERRUPTED, stored.running["started"], 0.0)
    _record(stored, result)
    stored.running = None
    return result
