"""Wires the parts of ``main-scheduler run``, and holds the order of start, reload and stop."""

import logging
import os
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sched_runner import job, notify, records, state, status, words
from sched_runner.config import Settings, SettingsError
from sched_runner.job import Due, Job
from sched_runner.monitoring import Monitoring
from sched_runner.outcome import RunResult
from sched_runner.outputs import Outputs
from sched_runner.processes import become_subreaper
from sched_runner.scheduler import Scheduler
from sched_runner.signals import RELOAD, STOP, TRIGGER, Signals
from sched_runner.state import LockFile, State, StateError, StateFile

log = logging.getLogger(__name__)

# Beyond the stop grace: for what cannot be killed, twice 5 s, and for a slow journal and disk. In seconds.
_STOP_TAKES = 20.0
_LAST_PING_LASTS = 2.0
# By so much at most, in seconds, between hosts that share their state.
_CLOCKS_DIFFER = 10.0

Source = Callable[[], tuple[Settings, Mapping[str, str]]]


class AlreadyRunningError(Exception):
    """Another scheduler has this state directory."""


class StateDirectoryError(Exception):
    """The state directory cannot be used."""


class Service:
    """One scheduler, from its start to its stop."""

    def __init__(
        self,
        source: Source,
        outputs: Outputs,
        signals: Signals,
        monitoring: Monitoring,
        *,
        supervised: bool,
        reloadable: bool,
        watchdog: float | None,
    ) -> None:
        """``source`` reads the settings and main.py's environment; ``watchdog`` is systemd's time in seconds.

        Raises SettingsError.
        """
        self._source = source
        self._settings, self._environ = source()
        self._outputs = outputs
        self._signals = signals
        self._monitoring = monitoring
        self._supervised = supervised
        self._reloadable = reloadable
        self._stopping = False
        self._stop = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        # Less than half of the watchdog's time between two pings.
        max_sleep = watchdog / 3 if watchdog else float("inf")
        self._scheduler = Scheduler(self._perform, on_turn=self._on_turn, on_skip=self._on_skip, max_sleep=max_sleep)

    def run(self) -> None:
        """Keep the schedule until SIGTERM or SIGINT. Raises AlreadyRunningError, StateDirectoryError."""
        notify.status("starting")
        self._outputs.attach()
        directory = self._settings.state_dir
        lock = _claim(directory)
        become_subreaper()
        self._store = StateFile(directory)
        self._job = Job(self._store, lock, self._outputs, self._monitoring, self._stop)
        first = self._begin(lock)
        self._signals.wake = self._scheduler.wakeup
        self._scheduler.plan(self._settings.interval, first)
        log.info("%s, next run at %s", self._describe(), words.clock_time(first.timestamp()))
        notify.ready(status.one_line(self._job.state, time.time()))
        self._scheduler.start()
        self._scheduler.shutdown(wait=False)
        self._job.update(_stopped)
        self._monitoring.close(_LAST_PING_LASTS)
        log.info("stopped")
        notify.status("stopped")
        self._outputs.tell()

    def _begin(self, lock: LockFile) -> datetime:
        """Take over the state of the scheduler before. Gives the first due time."""
        previous = self._load()
        first = first_due(previous, self._settings, time.time(), state.boottime(), supervised=self._supervised)
        interrupted: list[RunResult | None] = []

        def begin(stored: State) -> None:
            if lock.holder(LockFile.RUN) is None:  # else it is that of main-scheduler once, and goes on
                interrupted.append(job.note_interrupted(stored))
            stored.take_over()
            stored.clean, stored.started = False, time.time()
            stored.interval, stored.timeout = self._settings.interval.total_seconds(), self._settings.timeout
            stored.next_due = first

        self._job.update(begin)
        if interrupted and (result := interrupted[0]):
            text = "run %d was interrupted: its scheduler ended unexpectedly"
            log.warning(text, result.number, extra=records.of_run(result))
        return datetime.fromtimestamp(first, UTC)

    def _load(self) -> State:
        try:
            return self._store.load()
        except (OSError, StateError) as error:
            log.warning("%s; beginning anew", error)
            try:
                log.warning("the faulty file is kept as %s", self._store.set_aside())
            except OSError as fault:
                log.warning("it cannot be set aside: %s", fault)
            return State()

    def _describe(self) -> str:
        settings = self._settings
        interval = words.duration(settings.interval.total_seconds())
        return f"{settings.main} runs every {interval} (SCHED_ENV={settings.environment})"

    def _on_turn(self) -> None:
        self._outputs.tell()
        arrived = self._signals.take()
        if arrived & STOP or (RELOAD in arrived and not self._reloadable):
            self._begin_stop()
        elif RELOAD in arrived and not self._stopping:
            self._reload()
        if TRIGGER in arrived and not self._stopping:
            self._trigger()
        if not self._stopping:
            self._follow_plan()
            self._follow_once()
        if self._scheduler.is_kept():
            notify.watchdog_ping()
        if self._stopping and not self._scheduler.is_performing:
            self._scheduler.leave()

    def _follow_plan(self) -> None:
        """Where a skipped run or the clock has moved the next due time, say so."""
        following, told = self._scheduler.next_due.timestamp(), self._job.state.next_due
        if told is None or abs(following - told) > 1:
            self._job.update(lambda stored: setattr(stored, "next_due", following))
            self._tell_status()

    def _follow_once(self) -> None:
        """Where a run of ``main-scheduler once`` has ended, say how."""
        if not self._scheduler.is_performing and self._job.follow() and self._job.state.running is None:
            self._tell_status()

    def _begin_stop(self) -> None:
        if self._stopping:
            return
        self._stopping = True
        log.info("stopping")
        notify.stopping(within=self._settings.stop_grace + _STOP_TAKES)
        self._scheduler.pause()
        os.eventfd_write(self._stop, 1)

    def _reload(self) -> None:
        notify.reloading()
        try:
            settings, environ = self._source()
        except SettingsError as error:
            log.error("reload: the old settings stay: %s", error)  # noqa: TRY400 - a fault of the operator's
        else:
            self._take(settings, environ)
        notify.ready(status.one_line(self._job.state, time.time()))

    def _take(self, settings: Settings, environ: Mapping[str, str]) -> None:
        """Go on with new settings; a run in progress keeps those that it began with."""
        old = self._settings
        if (settings.log_dir, settings.state_dir) != (old.log_dir, old.state_dir):
            log.warning("reload: the directories change only with a restart")
        self._settings, self._environ = settings, environ
        if settings.interval != old.interval:
            self._scheduler.set_interval(settings.interval)
        following = self._scheduler.next_due.timestamp()

        def change(stored: State) -> None:
            stored.interval, stored.timeout = settings.interval.total_seconds(), settings.timeout
            stored.next_due = following

        self._job.update(change)
        log.info("reloaded: %s, next run at %s", self._describe(), words.clock_time(following))

    def _trigger(self) -> None:
        if self._scheduler.is_performing:
            log.warning("asked to run now, but %s", self._going(), extra=self._skip_fields())
        else:
            log.info("asked to run now")
            self._scheduler.run_now()

    def _perform(self) -> None:
        """In the scheduler's thread."""
        if not self._stopping:
            due, due_in = self._due, self._scheduler.due_in
            self._job.perform(self._settings, self._environ, due, due_in, self._tell_status)
            self._tell_status()

    def _tell_status(self) -> None:
        if not self._stopping:
            notify.status(status.one_line(self._job.state, time.time()))

    def _due(self) -> Due:
        scheduler = self._scheduler
        return Due(scheduler.due.timestamp(), scheduler.due_boottime, scheduler.next_due.timestamp())

    def _on_skip(self, due: datetime) -> None:
        when = words.clock_time(due.timestamp())
        log.warning("skipped the run due at %s: %s", when, self._going(), extra=self._skip_fields())
        self._job.update(job.count_skipped)

    def _skip_fields(self) -> dict[str, Any]:
        return records.fields(records.RUN_SKIPPED, RUN=self._job.state.number)

    def _going(self) -> str:
        """Which run is going, since when, and how late it is."""
        running = self._job.state.running
        if running is None:  # the other thread is that far
            return "one is about to begin"
        going = time.time() - running["started"]
        late = max(0.0, going - self._settings.interval.total_seconds())
        number, since = running["number"], words.clock_time(running["started"])
        return f"run {number} is going since {since}, for {words.duration(going)}, {words.duration(late)} late"


def _claim(directory: Path) -> LockFile:
    try:
        directory.mkdir(mode=0o750, parents=True, exist_ok=True)
        lock = LockFile(directory)
    except OSError as error:
        raise StateDirectoryError(f"{directory} cannot be used: {error.strerror}") from error
    if not lock.acquire(LockFile.SCHEDULER):
        holder = lock.holder(LockFile.SCHEDULER)
        who = f"process {holder}" if holder else "a process that cannot be seen from here"
        raise AlreadyRunningError(f"{who} is the scheduler of {directory}")
    return lock


def first_due(previous: State, settings: Settings, now: float, boottime: float, *, supervised: bool) -> float:
    """When the first run is due, in seconds since the epoch, as ``now``: at once, or where the cadence resumes."""
    same_boot = previous.boot_id == state.boot_id()
    crashed = supervised and same_boot and not previous.clean
    if previous.due is None or not (crashed or settings.start == "resume"):
        return now
    last = previous.due
    if same_boot and previous.due_boottime is not None:
        last = now - (boottime - previous.due_boottime)  # whatever was done to the wall clock since
    # A due time to come is from a clock that was wrong then, or is now; from another host's, if it is that near.
    return now if last > now + _CLOCKS_DIFFER else last + settings.interval.total_seconds()


def _stopped(stored: State) -> None:
    stored.clean, stored.next_due = True, None
