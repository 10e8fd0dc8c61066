"""The BlockingScheduler of ours: an eventfd for its loop, and a cadence that stays when the clock is set."""

import logging
import math
import os
import select
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from apscheduler.events import EVENT_JOB_MAX_INSTANCES, JobSubmissionEvent
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.blocking import BlockingScheduler
from apscheduler.triggers.interval import IntervalTrigger

from sched_runner import records, words

# Suspend does not end a sleep early: this is how late it may be noticed, and makes four turns a minute.
_LONGEST_SLEEP = 16.0
# Wall clock against boot clock: beyond this it was set, not merely read late. In seconds.
_STEP = 0.05
_STEP_TOLD = 1.0
# A due run that no thread has begun after this time: the schedule is not being kept.
_OVERDUE_AFTER = 10.0
_POOL_TAKES_NOTE = timedelta(milliseconds=20)
# A run is prepared by so much before it is due, so that main.py begins on time.
_LEAD = timedelta(milliseconds=10)
_JOB = "main.py"

log = logging.getLogger(__name__)


class FixedRate(IntervalTrigger):  # type: ignore[misc]  # APScheduler has no types
    """Due times on a grid from ``start_date``. However many have passed, the next is the first one to come."""

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime:
        """The first due time after ``now``, in one step: APScheduler's own goes through all that were missed."""
        if now < self.start_date:
            return self.start_date  # type: ignore[no-any-return]
        return self.last_due(now) + self.interval  # type: ignore[no-any-return]

    def last_due(self, now: datetime) -> datetime:
        """The last due time at or before ``now``."""
        return self.start_date + (now - self.start_date) // self.interval * self.interval  # type: ignore[no-any-return]


def _rate(interval: timedelta, start: datetime) -> FixedRate:
    return FixedRate(seconds=interval.total_seconds(), start_date=start, timezone=UTC)


class Clock:
    """Wall clock and boot clock; CLOCK_BOOTTIME counts suspend, and cannot be set (clock_gettime(2))."""

    def wall(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def boot(self) -> float:
        """Seconds since boot."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)


class Scheduler(BlockingScheduler):  # type: ignore[misc]  # APScheduler has no types
    """Calls ``perform`` in a thread a moment before every due time, never twice at once.

    ``on_turn`` is called in the main thread at each turn of the loop, ``on_skip`` when a due run finds one going.
    ``max_sleep`` is in seconds, and so is ``due_boottime``: when the run was due that is being made, or was the last to
    be, since boot.
    """

    def __init__(
        self,
        perform: Callable[[], None],
        *,
        on_turn: Callable[[], None],
        on_skip: Callable[[datetime], None],
        max_sleep: float = _LONGEST_SLEEP,
        clock: Clock | None = None,
    ) -> None:
        # All stated, and as objects: names would be looked up among the plug-ins.
        super().__init__(
            timezone=UTC,
            executors={"default": ThreadPoolExecutor(1)},
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        )
        self._perform = perform
        self._on_turn = on_turn
        self._on_skip = on_skip
        self._max_sleep = min(max_sleep, _LONGEST_SLEEP)
        self._clock = clock or Clock()
        self._offset = self._clock.wall() - self._clock.boot()
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._poller = select.poll()
        self._poller.register(self._wake, select.POLLIN)
        self._active = False
        self.due_boottime = 0.0
        self._awaited_since: float | None = None
        self._over = False
        self.add_listener(self._skipped, EVENT_JOB_MAX_INSTANCES)

    def plan(self, interval: timedelta, first: datetime) -> None:
        """The first run at ``first``, and one every interval from there; replaces an earlier plan."""
        start = first - _LEAD
        self.add_job(self._execute, _rate(interval, start), id=_JOB, next_run_time=start, replace_existing=True)

    def set_interval(self, interval: timedelta) -> None:
        """Count it from the last due time on. A run that is due already, or was asked for, is still made."""
        job, now = self.get_job(_JOB), self.now()
        last = job.trigger.last_due(now)
        is_pending = job.next_run_time < job.trigger.get_next_fire_time(None, now)
        following = job.next_run_time if is_pending else last + interval
        self.modify_job(_JOB, trigger=_rate(interval, last), next_run_time=following)

    def run_now(self) -> None:
        """One run at once, which moves no due time."""
        self.modify_job(_JOB, next_run_time=self.now())

    @property
    def next_due(self) -> datetime:
        """When the next run is due."""
        return self.get_job(_JOB).next_run_time + _LEAD  # type: ignore[no-any-return]

    @property
    def last_due(self) -> datetime:
        """The last due time that has come, or is about to."""
        return self.get_job(_JOB).trigger.last_due(self.now()) + _LEAD  # type: ignore[no-any-return]

    @property
    def due(self) -> datetime:
        """``due_boottime`` by the wall clock."""
        return datetime.fromtimestamp(self.due_boottime + self._offset, UTC)

    def due_in(self) -> float:
        """In how many seconds that is; 0 where it has come."""
        return max(0.0, self.due_boottime - self._clock.boot())

    @property
    def is_performing(self) -> bool:
        """Whether a run is going."""
        return self._active

    def now(self) -> datetime:
        """The wall clock, as it was set at the beginning of this turn."""
        return datetime.fromtimestamp(self._clock.boot() + self._offset, UTC)

    def is_kept(self) -> bool:
        """Whether the schedule is being kept: no run is overdue without one going."""
        waited = self._awaited_since
        return self._active or waited is None or self._clock.boot() - waited < _OVERDUE_AFTER

    def wakeup(self) -> None:
        """End the loop's sleep; safe in a signal handler and in any thread."""
        os.eventfd_write(self._wake, 1)

    def leave(self) -> None:
        """Let the loop end after this turn."""
        self._over = True

    def _main_loop(self) -> None:
        while True:
            self._follow_clock()
            self._on_turn()
            if self._over:
                break
            self._sleep(self._process_jobs())

    def _sleep(self, wait: float | None) -> None:
        seconds = self._max_sleep if wait is None else min(wait, self._max_sleep)
        if self._poller.poll(math.ceil(seconds * 1000)):
            os.eventfd_read(self._wake)

    def _step(self) -> float:
        """By how much the wall clock was set since that was last followed, in seconds; 0 where it was not."""
        step = self._clock.wall() - self._clock.boot() - self._offset
        return step if abs(step) >= _STEP else 0.0

    def _follow_clock(self) -> None:
        """Where the wall clock was set, move the due times with it: an interval is elapsed time."""
        step = self._step()
        if not step:
            return
        self._offset += step
        job = self.get_job(_JOB)
        moved = timedelta(seconds=step)
        trigger = _rate(job.trigger.interval, job.trigger.start_date + moved)
        self.modify_job(_JOB, trigger=trigger, next_run_time=job.next_run_time + moved)
        if abs(step) >= _STEP_TOLD:
            way = "forward" if step > 0 else "back"
            told = words.duration(abs(step))
            fields = records.fields(records.CLOCK_STEPPED, STEP_SEC=f"{step:.3f}")
            log.info("the clock was set %s by %s; the time between runs stays", way, told, extra=fields)

    def _process_jobs(self) -> float | None:
        early: float = (self.get_job(_JOB).next_run_time - self.now()).total_seconds()
        if early > 0:
            return early
        if not self._active:
            self.due_boottime = self.last_due.timestamp() - self._offset
            if self._awaited_since is None:
                self._awaited_since = self._clock.boot()
        wait: float | None = super()._process_jobs()
        if self._step():  # within this turn: APScheduler went by another clock than the due times
            job = self.get_job(_JOB)
            following = job.trigger.get_next_fire_time(None, self.now())
            self.modify_job(_JOB, next_run_time=min(job.next_run_time, following))
            return 0.0
        return wait

    def _execute(self) -> None:
        self._active, self._awaited_since = True, None
        try:
            self._perform()
        finally:
            self._active = False
            self.wakeup()

    def _skipped(self, _: JobSubmissionEvent) -> None:
        due = self.last_due
        if self._active and due <= self.now():
            self._on_skip(due)
        else:
            # It may end until then, or the pool has not taken note yet of its end.
            self.modify_job(_JOB, next_run_time=self.now() + _POOL_TAKES_NOTE)
