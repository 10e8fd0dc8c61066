"""Wires the parts of ``main-scheduler run``, and holds the order of start, reload and stop."""

import logging
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sched_runner import clock, words
from sched_runner.output.outputs import Outputs
from sched_runner.record import messages, status
from sched_runner.record.lock import LockFile
from sched_runner.record.run_record import Run
from sched_runner.record.state import State
from sched_runner.record.store import Store
from sched_runner.run.runs import Runs
from sched_runner.run.sweeper import become_subreaper
from sched_runner.schedule import cadence, retries
from sched_runner.schedule.notify import Notifier, watchdog
from sched_runner.schedule.scheduler import Scheduler
from sched_runner.schedule.signals import RELOAD, STOP, TRIGGER, Signals
from sched_runner.settings.source import Reading, Source
from sched_runner.settings.table import Settings, SettingsError
from sched_runner.tell.monitoring import Monitoring

log = logging.getLogger(__name__)

# Beyond the stop grace, in seconds: twice 5 s for what cannot be killed, the rest for a slow journal and disk.
_STOP_TAKES = 20.0
_LAST_PING_LASTS = 2.0


class Service:
    """One scheduler, from its start to its stop."""

    def __init__(
        self,
        source: Source,
        reading: Reading,
        outputs: Outputs,
        signals: Signals,
        monitoring: Monitoring,
        environ: Mapping[str, str],
    ) -> None:
        """``source`` has given ``reading`` and is read again at a reload; ``environ`` has the variables of systemd."""
        self._source = source
        self._settings, self._environ = reading.settings, reading.environ
        self._warnings = reading.warnings
        self._outputs = outputs
        self._signals = signals
        self._monitoring = monitoring
        self._notifier = Notifier(environ)
        self._is_supervised = "NOTIFY_SOCKET" in environ
        self._stopping = False
        self._told = ""
        self._zone = clock.zone_of_host()
        self._stop = os.eventfd(0)
        # Between two pings, less than half of the watchdog's time shall pass.
        max_sleep = watchdog(environ) / 3
        self._scheduler = Scheduler(self._perform, on_turn=self._on_turn, on_skip=self._on_skip, max_sleep=max_sleep)

    def run(self, lock: LockFile) -> None:
        """Keep the schedule until SIGTERM or SIGINT; ``lock`` is that of the state directory, with the scheduler's."""
        self._notifier.status("starting")
        become_subreaper()
        self._store = Store(self._settings.state_dir, lock)
        self._runs = Runs(self._store, self._outputs, self._monitoring, self._stop, self._scheduler)
        self._plan()
        self._signals.wake = self._wake
        self._notifier.ready(status.one_line(self._store.state, clock.wall()))
        try:
            self._scheduler.start()
        except BaseException:
            self._outputs.hurry()
            os.eventfd_write(self._stop, 1)  # whatever has failed, end the run: nobody watches it from here on
            raise
        finally:
            self._scheduler.shutdown(wait=True)
        self._store.update(State.stop)
        self._monitoring.close(_LAST_PING_LASTS)
        log.info("stopped")
        self._notifier.status("stopped")
        self._outputs.tell()

    def _plan(self) -> None:
        """Take over the state of the previous scheduler, and say when the first run is due."""
        self._store.refresh()
        clock.follow_zone(self._environ.get("TZ"))
        settings, steady = self._settings, self._scheduler.clock
        now, boottime = steady.now(), steady.boottime()
        previous, supervised = self._store.state, self._is_supervised
        first = cadence.first_due(previous, settings, now, boottime, supervised=supervised)
        begins_anew = cadence.start_of(previous, settings, supervised=supervised) == "now"
        retry = None if begins_anew else retries.resumed(previous, settings, now, boottime)
        self._scheduler.begin(settings, datetime.fromtimestamp(first, UTC), retry)

        def start(state: State) -> Run | None:
            # If the lock of the run is taken, the run is that of main-scheduler once, and goes on.
            lost = state.end_lost_run() if self._store.lock.holder(LockFile.RUN) is None else None
            state.start(settings, self._scheduler.plan())
            return lost

        lost = self._store.update(start)
        for warning in self._warnings:
            log.warning("settings: %s", warning)
        if lost is not None:
            text = "run %d was interrupted: its scheduler ended unexpectedly"
            log.warning(text, lost.number, extra=messages.of_run(lost))
        self._monitoring.planned(settings, self._store.state)
        log.info("%s", self._describe())

    def _describe(self) -> str:
        how = f"{self._settings.main} runs {self._store.state.every} (SCHED_ENV={self._settings.environment})"
        return f"{how}, next run at {words.clock_time(self._scheduler.next_due.timestamp())}"

    def _wake(self) -> None:
        """Wake the loop, from the signal handler; at a stop, first shorten a wait of the loop for a slow reader."""
        if self._is_stop(self._signals.arrived):
            self._outputs.hurry()
        self._scheduler.wakeup()

    def _is_stop(self, arrived: set[int]) -> bool:
        return bool(arrived & STOP) or (RELOAD in arrived and not self._source.is_readable_again)

    def _on_turn(self) -> bool:
        """Do what a turn of the loop is for; gives whether this turn is the last one."""
        self._outputs.tell()
        self._runs.remind()
        arrived = self._signals.take()
        if self._is_stop(arrived) and not self._stopping:
            self._begin_stop()
        if not self._stopping:
            if RELOAD in arrived:
                self._reload()
            if TRIGGER in arrived:
                self._trigger()
            self._follow_zone()
            self._follow()
        if self._scheduler.is_kept():
            self._notifier.watchdog_ping()
        return self._stopping and not self._scheduler.is_performing

    def _follow_zone(self) -> None:
        """If somebody has set the host's time zone, follow it: a calendar goes by the local time."""
        zone, before = clock.zone_of_host(), self._zone
        if zone == before:
            return
        self._zone = zone
        clock.follow_zone(self._environ.get("TZ"))
        if self._settings.calendar:
            self._scheduler.follow(self._settings)
            log.info("the time zone was set; next run at %s", words.clock_time(self._scheduler.next_due.timestamp()))

    def _follow(self) -> None:
        """Record a next due time that a skipped run or the clock has moved; tell systemd if the status has changed."""
        following, told = self._scheduler.next_due.timestamp(), self._store.state.next_due
        if told is None or abs(following - told) > 1:
            self._store.update(lambda state: state.plan(self._scheduler.plan()))
            self._monitoring.planned(self._settings, self._store.state)
        else:
            self._store.refresh()
        line = status.one_line(self._store.state, clock.wall())
        if line != self._told:
            self._told = line
            self._notifier.status(line)

    def _begin_stop(self) -> None:
        self._stopping = True
        self._outputs.hurry()
        log.info("stopping")
        self._notifier.stopping(within=self._settings.stop_grace + _STOP_TAKES)
        self._scheduler.pause()
        os.eventfd_write(self._stop, 1)

    def _reload(self) -> None:
        self._notifier.reloading()
        try:
            reading = self._source.read()
        except SettingsError as error:
            log.error("reload: the old settings stay: %s", error)  # noqa: TRY400 - a fault of the operator's
        else:
            self._take(reading)
        self._notifier.ready(status.one_line(self._store.state, clock.wall()))

    def _take(self, reading: Reading) -> None:
        """Go on with new settings; a run in progress keeps those that it began with."""
        old, settings = self._settings, reading.settings
        for warning in reading.warnings:
            log.warning("reload: %s", warning)
        if (settings.log_dir, settings.state_dir) != (old.log_dir, old.state_dir):
            log.warning("reload: new directories take effect only after a restart")
        is_moved = self._environ.get("TZ") != reading.environ.get("TZ")
        self._settings, self._environ = settings, reading.environ
        clock.follow_zone(self._environ.get("TZ"))
        if is_moved or _is_another_cadence(old, settings):
            self._scheduler.follow(settings)
        self._store.update(lambda state: state.follow(settings, self._scheduler.plan()))
        self._monitoring.planned(settings, self._store.state)
        log.info("reloaded: %s", self._describe())

    def _trigger(self) -> None:
        if self._scheduler.is_performing:
            log.warning("asked to run now, but %s", self._going(), extra=self._skip_fields())
        else:
            log.info("asked to run now")
            self._scheduler.run_now()

    def _perform(self) -> None:
        """Make a run, in the thread for runs, unless the scheduler is being stopped."""
        if not self._stopping:
            self._runs.make_run(self._settings, self._environ)

    def _on_skip(self, due: datetime) -> None:
        when = words.clock_time(due.timestamp())
        log.warning("skipped the run due at %s: %s", when, self._going(), extra=self._skip_fields())
        self._store.update(State.skip_run)

    def _skip_fields(self) -> dict[str, Any]:
        return messages.fields(messages.RUN_SKIPPED, RUN=self._store.state.number)

    def _going(self) -> str:
        """Which run is going, since when, and how late it is."""
        running = self._store.state.running
        if running is None:  # the thread for runs has not recorded the run yet
            return "another run is about to begin"
        going = running.going_for(clock.wall(), clock.boottime())
        late = words.duration(self._scheduler.overdue(going))
        since = words.clock_time(clock.wall() - going)
        return f"run {running.number} has been going since {since}, for {words.duration(going)}, {late} late"


def _is_another_cadence(old: Settings, new: Settings) -> bool:
    return (old.interval, old.calendar, old.retries) != (new.interval, new.calendar, new.retries)
