"""The runs of a scheduler: each from its lock and its number to its summary."""

import logging
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

from sched_runner import clock, words
from sched_runner.output.capture import Capture, Tail
from sched_runner.output.outputs import Outputs
from sched_runner.record import messages, run_record, store
from sched_runner.record.lock import LockFile
from sched_runner.record.outcome import FAILURES, Outcome
from sched_runner.record.run_record import Run
from sched_runner.record.state import Due, Plan, State
from sched_runner.record.store import Store
from sched_runner.run.command import environment
from sched_runner.run.execution import Execution, Leftovers, NotStartedError, is_readable
from sched_runner.run.hints import hint
from sched_runner.run.reasons import error_line
from sched_runner.run.sweeper import Sweeper
from sched_runner.settings.table import Settings
from sched_runner.tell.monitoring import Monitoring

log = logging.getLogger(__name__)

_LEVELS = {Outcome.SUCCEEDED: logging.INFO, Outcome.INTERRUPTED: logging.WARNING}
_STDERR_LINES = 20
_REPORTED_LINES = 50
_NAMED = 5
_PATIENCE = 0.5  # seconds
_ALERT_ENDS = 5.0  # seconds that the alert's unit may take to end when it has looked for the last time


class Schedule:
    """What a run is told of the schedule that it belongs to; this one is that of a single run: none."""

    def due(self) -> Due | None:
        """Why the current run is made; None if there is no schedule."""
        return None

    def plan(self) -> Plan | None:
        """What is to come; None if there is no schedule."""
        return None

    def plan_retry(self, run: Run, settings: Settings) -> None:
        """Plan a retry of the run, which has ended, if the settings say so."""

    def wakeup(self) -> None:
        """Wake the loop: a run has begun."""


class Runs:
    """Makes runs, never two at a time, even if another process makes runs too."""

    def __init__(
        self, store: Store, outputs: Outputs, monitoring: Monitoring, stop: int, schedule: Schedule | None = None
    ) -> None:
        """A run is ended early when the descriptor ``stop`` becomes readable."""
        self._store = store
        self._outputs = outputs
        self._monitoring = monitoring
        self._stop = stop
        self._schedule = schedule or Schedule()
        self._sweeper = Sweeper()
        self._patient_until = time.monotonic() + _PATIENCE
        self._remind_at = math.inf

    def make_run(self, settings: Settings, environ: Mapping[str, str]) -> Run | None:
        """Run main.py and record how it went; None if another process has a run going."""
        if not self._acquire():
            holder = self._store.lock.holder(LockFile.RUN)
            fields = messages.fields(messages.RUN_SKIPPED, RUN=self._store.state.number)
            who = f"process {holder}" if holder else "another process"
            log.warning("skipped a run: %s is making a run, or is about to restart the scheduler", who, extra=fields)
            self._store.update(State.skip_run)
            return None
        try:
            return self._make_run(settings, environ)
        finally:
            self._outputs.wait_until(math.inf)
            if self._store.state.running:  # a fault here: the run has ended, and its record does not say so
                self._store.update(State.end_lost_run)
            self._store.lock.release(LockFile.RUN)

    def _acquire(self) -> bool:
        """Take the lock of the run; at first wait, for ``main-scheduler restart`` may give it back a little late."""
        while not (is_ours := self._store.lock.acquire(LockFile.RUN)) and time.monotonic() < self._patient_until:
            time.sleep(0.01)
        return is_ours

    def _make_run(self, settings: Settings, environ: Mapping[str, str]) -> Run:
        # Not durable yet: a disk that takes its time would delay the run.
        run = self._store.update(
            lambda state: state.begin_run(self._schedule.due(), self._schedule.plan()), durable=False
        )
        errors, output = Tail("stderr"), Tail("stdout", "stderr")
        capture = Capture(run.number, [*self._outputs.sinks, errors, output])
        own_environ = environment(environ, settings, run)
        execution = Execution(settings, own_environ, capture, self._sweeper, stop=self._stop)
        run = self._execute(execution, settings, environ, run)
        if run.outcome in FAILURES and not run.reason:
            run = replace(run, reason=error_line(errors.last()))
        self._outputs.tell()
        self._schedule.plan_retry(run, settings)
        self._record(run, output)
        self._tell(run, execution.leftovers, errors, settings, environ)
        self._monitoring.ended(settings, environ, self._store.state, run, output)
        return run

    def _execute(self, execution: Execution, settings: Settings, environ: Mapping[str, str], run: Run) -> Run:
        try:
            execution.start()
            self._outputs.wait_until(execution.deadline)
            fields = {"fields": {"RUN": run.number}}
            log.info("run %d started: %s, process %d", run.number, settings.main, execution.pid, extra=fields)
            self._monitoring.begun(settings, environ, self._store.state)
            self._store.sync()
            self._schedule.wakeup()
            return execution.wait(run)
        except NotStartedError as error:
            return run.end(Outcome.NOT_STARTED, reason=str(error))
        except Exception as error:
            # Whatever has failed here, no run may go on that nobody watches.
            execution.abort()
            log.exception("the scheduler has ended run %d, because it had a fault of its own", run.number)
            return run.end(Outcome.KILLED, reason=f"the scheduler had a fault of its own: {error}")

    def _record(self, run: Run, output: Tail) -> None:
        """Write what outlives the scheduler: the time of a success, the state, and the file that starts an alert."""
        failed_before = self._store.state.failures_in_a_row > 0
        ended = words.timestamp(run.ended or 0.0)
        if run.outcome is Outcome.SUCCEEDED:
            self._store.write(store.MARKER, ended + "\n")
        self._store.update(lambda state: state.end_run(run, self._schedule.plan()))
        if run.outcome in FAILURES:
            self._store.write_json(store.FAILURE, self._failure(run, output.last(_REPORTED_LINES)))
        elif run.outcome is Outcome.SUCCEEDED and failed_before:
            self._store.write_json(store.FAILURE, self._store.read_object(store.FAILURE) | {"recovered": ended})
        else:
            return
        self._remind_at = clock.boottime() + _ALERT_ENDS

    def remind(self) -> None:
        """Touch the file that starts an alert again some seconds later, after the alert of an earlier run has ended.

        A path unit does not see what changes while the unit that it starts is ending (systemd.path(5), PathChanged=).
        """
        if clock.boottime() >= self._remind_at:
            self._remind_at = math.inf
            self._store.touch(store.FAILURE)

    def _failure(self, run: Run, tail: Sequence[str]) -> dict[str, object]:
        """What last_failure.json says of a run whose output ended with the lines ``tail``."""
        return {
            **run_record.as_json(run),
            "started": words.timestamp(run.started),
            "summary": messages.summary(run),
            "headline": messages.headline(run),
            "failures_in_a_row": self._store.state.failures_in_a_row,
            "tail": list(tail),
            "recovered": None,
        }

    def _what_comes(self, run: Run, settings: Settings) -> str:
        """When the next run is; empty if there is none or the scheduler is being stopped, however the run has ended."""
        state = self._store.state
        if run.outcome is Outcome.INTERRUPTED or is_readable(self._stop):
            return ""
        if state.retry is not None:
            again = words.clock_time(state.retry.when)
            return f"; retry at {again}, attempt {state.retry.attempt} of {settings.retries + 1}"
        return "" if state.next_due is None else f"; next run at {words.clock_time(state.next_due)}"

    def _tell(
        self, run: Run, leftovers: Leftovers, errors: Tail, settings: Settings, environ: Mapping[str, str]
    ) -> None:
        _tell_leftovers("ended {} of run {}; the last output may be missing: {}", run.number, leftovers.ended)
        _tell_leftovers("could not kill {} of run {}: {}", run.number, leftovers.given_up)
        text = messages.summary(run) + self._what_comes(run, settings)
        lines: list[str] = []
        if run.outcome in FAILURES:
            lines = errors.last(_STDERR_LINES)
            said = [*lines, run.reason] if run.outcome is Outcome.NOT_STARTED else lines
            if found := hint(said, settings, environ):
                text += f"; {found}"
        level = _LEVELS.get(run.outcome or Outcome.FAILED, logging.ERROR)
        log.log(level, "%s", text, extra={**messages.of_run(run), "tail": lines})


def _tell_leftovers(sentence: str, number: int, found: Sequence[str]) -> None:
    if not found:
        return
    names = ", ".join(found[:_NAMED])
    if len(found) > _NAMED:
        names += f" and {len(found) - _NAMED} more"
    fields = messages.fields(messages.LEFTOVERS, RUN=number)
    log.warning("%s", sentence.format(words.count(len(found), "leftover"), number, names), extra=fields)
