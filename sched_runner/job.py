"""The job that the schedule keeps: one run, from its lock and its number to its summary."""

import contextlib
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sched_runner import outcome, records, state, words
from sched_runner.capture import Capture, Tail
from sched_runner.config import Settings
from sched_runner.outcome import Outcome, RunResult
from sched_runner.outputs import Outputs
from sched_runner.processes import Sweeper
from sched_runner.run import Leftovers, Run, environment
from sched_runner.state import LockFile, State, StateError, StateFile

log = logging.getLogger(__name__)

_LEVELS = {Outcome.SUCCEEDED: logging.INFO, Outcome.INTERRUPTED: logging.WARNING}
_STDERR_LINES = 20
_NAMED = 5
_STATE, _MARKER = "state.json", "last_success.txt"


@dataclass(frozen=True)
class Due:
    """The schedule at the start of a run, in seconds since the epoch; ``boottime`` is ``last`` on CLOCK_BOOTTIME."""

    last: float
    boottime: float
    following: float


class Job:
    """Performs runs, one at a time, also beside another process that does."""

    def __init__(self, store: StateFile, lock: LockFile, outputs: Outputs, stop: int) -> None:
        self._store = store
        self._lock = lock
        self._outputs = outputs
        self._stop = stop
        self._sweeper = Sweeper()
        self._faults: set[str] = set()
        self.state = State()

    def perform(
        self,
        settings: Settings,
        environ: Mapping[str, str],
        due: Callable[[], Due | None] = lambda: None,
        started: Callable[[], None] = lambda: None,
    ) -> RunResult | None:
        """Run main.py and record how it went; None where another process has a run going.

        ``due`` tells the schedule; ``started`` is called when state.json says that the run is going.
        """
        if not self._lock.acquire(LockFile.RUN):
            holder = self._lock.holder(LockFile.RUN)
            fields = records.fields(records.RUN_SKIPPED, RUN=self.state.number)
            log.warning("skipped a run: main-scheduler once has one going (process %s)", holder, extra=fields)
            self.update(count_skipped)
            return None
        try:
            return self._perform(settings, environ, due, started)
        finally:
            self._lock.release(LockFile.RUN)

    def _perform(
        self,
        settings: Settings,
        environ: Mapping[str, str],
        due: Callable[[], Due | None],
        started: Callable[[], None],
    ) -> RunResult:
        # Not durable yet: a disk that takes its time would delay the run.
        self.update(lambda s: _begin(s, due()), durable=False)
        number = self.state.number

        def on_start(pid: int) -> None:
            log.info("run %d started: %s, process %d", number, settings.main, pid, extra={"fields": {"RUN": number}})
            self._sync()
            started()

        tail = Tail("stderr")
        capture = Capture(number, [*self._outputs.sinks, tail])
        run = Run(number, settings, environment(environ, settings, number), capture, self._sweeper, stop=self._stop)
        result = run.execute(on_start)
        self._outputs.tell()
        self._mark(result)
        self.update(lambda s: _end(s, result, due()))
        self._tell(result, run.leftovers, tail, sandboxed={"INVOCATION_ID", "LOGS_DIRECTORY"} <= environ.keys())
        return result

    def update(self, change: Callable[[State], object], *, durable: bool = True) -> None:
        """Change the state, here and in state.json; while that cannot be written, here alone."""
        fault = ""
        with self._store.exclusive(self._lock):
            if _STATE not in self._faults:
                with contextlib.suppress(OSError, StateError):  # what is known here is good enough
                    self.state = self._store.load()
            change(self.state)
            try:
                self._store.save(self.state, durable=durable)
            except OSError as error:
                fault = str(error)
        self._tell_fault(_STATE, fault)

    def _sync(self) -> None:
        try:
            self._store.sync()
        except OSError as error:
            self._tell_fault(_STATE, str(error))

    def _tell_fault(self, name: str, fault: str) -> None:
        """Once when a file cannot be written, and once when it can again: ``fault`` is empty."""
        if fault and name not in self._faults:
            log.warning("%s cannot be written, the schedule goes on: %s", name, fault)
            self._faults.add(name)
        elif not fault and name in self._faults:
            log.warning("%s can be written again", name)
            self._faults.remove(name)

    def _mark(self, result: RunResult) -> None:
        if result.outcome is Outcome.SUCCEEDED:
            fault = ""
            try:
                self._store.mark_success(words.timestamp(time.time()))
            except OSError as error:
                fault = str(error)
            self._tell_fault(_MARKER, fault)

    def _tell(self, result: RunResult, leftovers: Leftovers, tail: Tail, *, sandboxed: bool) -> None:
        if leftovers.killed:
            _tell_leftovers("killed", result.number, leftovers.killed)
        if leftovers.given_up:
            _tell_leftovers("could not kill", result.number, leftovers.given_up)
        text = outcome.summary(result)
        if self.state.next_due is not None and result.outcome is not Outcome.INTERRUPTED:
            text += f"; next run at {words.clock_time(self.state.next_due)}"
        lines: list[str] = []
        if result.outcome in outcome.FAILURES:
            lines = tail.last(_STDERR_LINES)
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
    stored.number += 1
    stored.running = {"number": stored.number, "started": time.time()}
    if due is not None:
        stored.due, stored.due_boottime, stored.next_due = due.last, due.boottime, due.following
        stored.boot_id = state.boot_id()


def _end(stored: State, result: RunResult, due: Due | None) -> None:
    stored.running = None
    if due is not None:
        stored.next_due = due.following
    stored.runs.append(as_json(result))
    if result.outcome is Outcome.SUCCEEDED:
        stored.failures_in_a_row = 0
        stored.last_success, stored.fresh_boottime = time.time(), state.boottime()
    elif result.outcome in outcome.FAILURES:
        stored.failures_in_a_row += 1


def as_json(result: RunResult) -> dict[str, Any]:
    """A run as state.json keeps it."""
    return asdict(result) | {"outcome": result.outcome.value}


def note_interrupted(stored: State) -> int | None:
    """Where the state says that a run is going, its scheduler was killed: record it. Gives the run's number."""
    if stored.running is None:
        return None
    number, started = int(stored.running["number"]), float(stored.running["started"])
    stored.runs.append(as_json(RunResult(number, Outcome.INTERRUPTED, started, 0.0)))
    stored.running = None
    return number
