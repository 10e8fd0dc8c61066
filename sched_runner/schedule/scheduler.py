"""Our BlockingScheduler: an eventfd wakes its loop, and its cadence stays when somebody sets the clock."""

import logging
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from apscheduler.events import EVENT_JOB_MAX_INSTANCES, JobSubmissionEvent
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.blocking import BlockingScheduler
from apscheduler.triggers.base import BaseTrigger

from sched_runner import words
from sched_runner.clock import SteadyClock
from sched_runner.record import messages
from sched_runner.record.run_record import Run
from sched_runner.record.state import Due, Plan, Retry
from sched_runner.run.execution import is_readable
from sched_runner.run.runs import Schedule
from sched_runner.schedule import cadence as cadences
from sched_runner.schedule import retries
from sched_runner.schedule.cadence import Cadence
from sched_runner.settings.table import Settings

# A suspend does not end a sleep early: the loop notices it after so many seconds at most. It makes four turns a minute.
_LONGEST_SLEEP = 16.0
_STEP_TOLD = 1.0
# If no thread has begun a due run after this time, in seconds, the schedule is not being kept.
_OVERDUE_AFTER = 10.0
_POOL_TAKES_NOTE = timedelta(milliseconds=20)
_JOB = "main.py"

log = logging.getLogger(__name__)


class CadenceTrigger(BaseTrigger):  # type: ignore[misc]  # APScheduler has no types
    """A cadence in the form of a trigger of APScheduler."""

    def __init__(self, cadence: Cadence) -> None:
        self.cadence = cadence

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime:
        """The first due time after ``now``, in one step: APScheduler's own triggers go through all missed ones."""
        return self.cadence.after(now)


class Scheduler(BlockingScheduler, Schedule):  # type: ignore[misc]  # APScheduler has no types
    """Calls ``perform`` in a thread at every due time, never twice at once.

    ``on_turn`` is called in the main thread at each turn of the loop, and says if that is the last one; ``on_skip`` is
    called if a run is going at a due time, as ``is_performing`` says. ``max_sleep`` is in seconds. APScheduler's job
    has one next time: that of a retry, if one is planned, else the due time.
    """

    def __init__(
        self,
        perform: Callable[[], None],
        *,
        on_turn: Callable[[], bool],
        on_skip: Callable[[datetime], None],
        max_sleep: float = _LONGEST_SLEEP,
        clock: SteadyClock | None = None,
    ) -> None:
        self._thread = ThreadPoolExecutor(1)
        # State all of these, and as objects: APScheduler would look names up among its plug-ins.
        super().__init__(
            timezone=UTC,
            executors={"default": self._thread},
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        )
        self._perform = perform
        self._on_turn = on_turn
        self._on_skip = on_skip
        self._max_sleep = min(max_sleep, _LONGEST_SLEEP)
        self.clock = clock or SteadyClock()
        self._wake = os.eventfd(0)
        self.is_performing = False
        self._due_boottime = 0.0
        self._attempt = 1
        self._retry: Retry | None = None
        self._due_after_retry: datetime | None = None
        self._awaited_since: float | None = None
        self.add_listener(self._skipped, EVENT_JOB_MAX_INSTANCES)

    def begin(self, settings: Settings, first: datetime, retry: Retry | None) -> None:
        """Plan the first run at ``first``, then follow the cadence. Raises RuntimeError if no thread can be started."""
        self._thread._pool.submit(int).result()  # noqa: SLF001 - there is no other way to start the thread now
        trigger = CadenceTrigger(cadences.of(settings, first))
        self.add_job(self._execute, trigger, id=_JOB, next_run_time=first)
        self._set_retry(retry)

    def follow(self, settings: Settings) -> None:
        """Go on with the cadence of other settings. A run that is due already, or was asked for, is still made."""
        now, due, cadence = self.now(), self.next_due, cadences.of(settings, self.last_due)
        is_pending = due < self._cadence.after(now)
        retry = self._retry if self._retry and self._retry.attempt <= settings.retries + 1 else None
        self._take(cadence, due if is_pending else cadence.after(now), retry)

    def run_now(self) -> None:
        """Ask for one run at once, which moves no due time."""
        self._retry = None
        self.modify_job(_JOB, next_run_time=self.now())

    def plan_retry(self, run: Run, settings: Settings) -> None:
        """Plan a retry of the run, which has ended, if the settings say so."""
        self._set_retry(retries.after(run, settings, self.clock.now(), self.clock.boottime()))

    def _take(self, cadence: Cadence, due: datetime, retry: Retry | None) -> None:
        self._retry = None
        self.modify_job(_JOB, trigger=CadenceTrigger(cadence), next_run_time=due)
        self._set_retry(retry)

    def _set_retry(self, retry: Retry | None) -> None:
        """Make the retry the next run, unless the due time comes first."""
        due = self.next_due
        if retry and retry.when < due.timestamp():
            self._retry, self._due_after_retry = retry, due
            self.modify_job(_JOB, next_run_time=datetime.fromtimestamp(retry.when, UTC))

    def now(self) -> datetime:
        """The time by the clock that the due times go by."""
        return datetime.fromtimestamp(self.clock.now(), UTC)

    @property
    def _cadence(self) -> Cadence:
        return self.get_job(_JOB).trigger.cadence  # type: ignore[no-any-return]

    @property
    def next_due(self) -> datetime:
        """When the next run is due; a retry may come before."""
        if self._retry and self._due_after_retry:
            return self._due_after_retry
        return self.get_job(_JOB).next_run_time  # type: ignore[no-any-return]

    @property
    def last_due(self) -> datetime:
        """The last due time that has come."""
        now = self.now()
        return self._cadence.last(now) or now

    def overdue(self, seconds: float) -> float:
        """For how long, in seconds, the next run has been due, if the current one has been going for ``seconds``."""
        now = self.now()
        due = self._cadence.after(now - timedelta(seconds=seconds))
        return max(0.0, (now - due).total_seconds())

    def due(self) -> Due:
        """Why the current run is made, or why the last one was if none is going."""
        return Due(self.clock.at(self._due_boottime), self._due_boottime, self._attempt)

    def plan(self) -> Plan:
        """What is to come."""
        cadence, expected_by = self._cadence, self._cadence.expected_by(self.now())
        by = None if expected_by is None else expected_by.timestamp()
        return Plan(cadence.every, self.next_due.timestamp(), by, self._retry)

    def is_kept(self) -> bool:
        """Whether the schedule is being kept: a run is going, or none is overdue."""
        waited = self._awaited_since
        return self.is_performing or waited is None or self.clock.boottime() - waited < _OVERDUE_AFTER

    def wakeup(self) -> None:
        """End the loop's sleep; safe in a signal handler and in any thread."""
        os.eventfd_write(self._wake, 1)

    def shutdown(self, wait: bool = True) -> None:  # noqa: FBT001, FBT002 - APScheduler's
        """Wait for the run, then end the scheduler: APScheduler itself would wait with a lock that the run needs."""
        self._thread.shutdown(wait)
        super().shutdown(wait)

    def _main_loop(self) -> None:
        while True:
            self._follow_clock()
            if self._on_turn():
                break
            self._sleep(self._process_jobs())

    def _sleep(self, wait: float | None) -> None:
        seconds = self._max_sleep if wait is None else min(wait, self._max_sleep)
        if is_readable(self._wake, within=seconds):
            os.eventfd_read(self._wake)

    def _follow_clock(self) -> None:
        """If somebody has set the wall clock, let the cadence say what that means."""
        step = self.clock.step()
        if not step:
            return
        self.clock.follow(step)
        moved, retry = timedelta(seconds=step), self._retry
        cadence = self._cadence.stepped(moved)
        following = cadence.due_after_step(self.next_due, moved, self.now())
        self._take(cadence, following, retry and retry._replace(when=self.clock.at(retry.boottime)))
        if abs(step) >= _STEP_TOLD:
            way = "forward" if step > 0 else "back"
            told = words.duration(abs(step))
            fields = messages.fields(messages.CLOCK_STEPPED, STEP_SEC=f"{step:.3f}")
            log.info("the clock was set %s by %s; %s", way, told, cadence.when_stepped, extra=fields)

    def _process_jobs(self) -> float | None:
        early: float = (self.get_job(_JOB).next_run_time - self.now()).total_seconds()
        if early > 0:
            return early
        if not self.is_performing and self._awaited_since is None:
            self._note_what_is_due()
        wait: float | None = super()._process_jobs()
        if self.clock.step():  # somebody set the clock in this turn: APScheduler may have used the new time
            following = self._cadence.after(self.now())
            self.modify_job(_JOB, next_run_time=min(self.get_job(_JOB).next_run_time, following))
            return 0.0
        return wait

    def _note_what_is_due(self) -> None:
        self._awaited_since = self.clock.boottime()
        retry, self._retry = self._retry, None
        if retry and self._due_after_retry and self._due_after_retry > self.now():
            self._attempt = retry.attempt
        else:
            self._attempt, self._due_boottime = 1, self.last_due.timestamp() - self.clock.at(0.0)

    def _execute(self) -> None:
        self.is_performing, self._awaited_since = True, None
        try:
            self._perform()
        finally:
            self.is_performing = False
            self.wakeup()

    def _skipped(self, _: JobSubmissionEvent) -> None:
        if self.is_performing:
            self._on_skip(self.last_due)
        else:
            # The run before has ended, but the pool has not noted that yet.
            self.modify_job(_JOB, next_run_time=self.now() + _POOL_TAKES_NOTE)
