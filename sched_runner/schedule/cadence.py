"""When runs are due: pure, without a clock of its own. Times are aware datetimes."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from sched_runner import clock, words
from sched_runner.record.state import State
from sched_runner.schedule.calendar_times import Calendar
from sched_runner.settings.table import Settings

# The clocks of hosts that share their state may differ by this much, in seconds.
_CLOCKS_DIFFER = 10.0


@dataclass(frozen=True)
class FixedRate:
    """A due time every ``gap``, counted from ``origin``: an interval is elapsed time, whatever the wall clock says."""

    gap: timedelta
    origin: datetime

    @property
    def every(self) -> str:
        """How often, in words: ``every 4 h``."""
        return f"every {words.exact_duration(self.gap.total_seconds())}"

    @property
    def when_stepped(self) -> str:
        """What a step of the clock means, in words."""
        return "the time between runs stays"

    def after(self, now: datetime) -> datetime:
        """The first due time after now, however many have passed."""
        return self.origin if now < self.origin else self.last(now) + self.gap

    def last(self, now: datetime) -> datetime:
        """The last due time at or before now."""
        return self.origin + (now - self.origin) // self.gap * self.gap

    def stepped(self, step: timedelta) -> "FixedRate":
        """The due times move with the wall clock, so that the time between runs stays."""
        return replace(self, origin=self.origin + step)

    def due_after_step(self, due: datetime, step: timedelta, now: datetime) -> datetime:
        """The due time moves with the wall clock: the run is as far away as before."""
        return due + step

    def expected_by(self, now: datetime) -> None:
        """None, because elapsed time decides."""


# What the loop, retries, check, status and the state ask: each kind of schedule has the methods of FixedRate.
Cadence = FixedRate | Calendar


def of(settings: Settings, origin: datetime) -> Cadence:
    """The cadence of these settings; if they have an interval, ``origin`` is one of the due times."""
    if settings.calendar:
        return Calendar(settings.calendar)
    return FixedRate(timedelta(seconds=settings.interval), origin)


def first_due(previous: State, settings: Settings, now: float, boottime: float, *, supervised: bool) -> float:
    """When the first run is due: at once, or when the cadence resumes.

    The result and ``now`` are in seconds since the epoch; ``boottime`` is ``now`` on the boot clock.
    """
    start = start_of(previous, settings, supervised=supervised)
    last = None if start == "now" else last_due(previous, now, boottime)
    if last is None and start != "due":
        return now
    origin = now if last is None else last
    since = max(origin, now) if start == "due" else origin
    return of(settings, _date(origin)).after(_date(since)).timestamp()


def start_of(previous: State, settings: Settings, *, supervised: bool) -> str:
    """SCHED_START, or ``resume`` if the previous scheduler crashed in this boot and a supervisor has restarted it.

    A supervisor such as systemd restarts again and again: runs must not come more often because of that.
    """
    has_crashed = supervised and not previous.clean and previous.boot_id == clock.boot_id()
    return "resume" if has_crashed else settings.start


def last_due(previous: State, now: float, boottime: float) -> float | None:
    """The last due time of the previous scheduler, by the present wall clock; None if none can be believed."""
    last = previous.due
    if previous.boot_id == clock.boot_id() and previous.due_boottime is not None:
        last = now - (boottime - previous.due_boottime)  # right even if the wall clock was set since
    # A last due time in the future means that a clock was wrong: ignore it, unless another host's clock may explain it.
    return None if last is None or last > now + _CLOCKS_DIFFER else last


def _date(when: float) -> datetime:
    return datetime.fromtimestamp(when, UTC)
