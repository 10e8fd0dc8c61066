"""When runs are due: pure, without a clock of its own. Times are aware datetimes."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Protocol

from sched_runner import clock, words
from sched_runner.record.state import State
from sched_runner.schedule.calendar_times import Calendar
from sched_runner.settings.table import Settings

# By so much at most, in seconds, the clocks of hosts differ that share their state.
_CLOCKS_DIFFER = 10.0


class Cadence(Protocol):
    """When runs are due."""

    @property
    def every(self) -> str:
        """How often, in words: ``every 4 h``."""

    @property
    def when_stepped(self) -> str:
        """What a step of the clock means, in words."""

    def after(self, now: datetime) -> datetime:
        """The first due time after now."""

    def last(self, now: datetime) -> datetime | None:
        """The last due time at or before now; None if there was none."""

    def stepped(self, step: timedelta) -> "Cadence":
        """The same after somebody has set the wall clock by ``step``."""

    def due_after_step(self, due: datetime, step: timedelta, now: datetime) -> datetime:
        """When the run that was due at ``due`` is due after that; ``now`` is the new wall clock."""

    def expected_by(self, now: datetime) -> datetime | None:
        """When a success after that of now is missing, if the wall clock says so; None if elapsed time does."""


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
        """The time between runs stays: the due times move with the wall clock."""
        return replace(self, origin=self.origin + step)

    def due_after_step(self, due: datetime, step: timedelta, now: datetime) -> datetime:
        """As long from now as it was."""
        return due + step

    def expected_by(self, now: datetime) -> None:
        """Elapsed time says when."""


def of(settings: Settings, origin: datetime) -> Cadence:
    """The cadence that the settings say; that of an interval has a due time at ``origin``."""
    if settings.calendar:
        return Calendar(settings.calendar)
    return FixedRate(timedelta(seconds=settings.interval), origin)


def first_due(previous: State, settings: Settings, now: float, boottime: float, *, supervised: bool) -> float:
    """When the first run is due, in seconds since the epoch, as ``now``: at once, or when the cadence resumes.

    ``boottime`` is ``now`` on the boot clock.
    """
    at_start = settings.start != "due" or crashed(previous, supervised=supervised)
    resumed = settings.start in ("resume", "due") or crashed(previous, supervised=supervised)
    last = last_due(previous, now, boottime) if resumed else None
    if last is None:
        return now if at_start else of(settings, _date(now)).after(_date(now)).timestamp()
    kept = of(settings, _date(last))
    first = kept.after(_date(last)).timestamp()
    return first if at_start or first > now else kept.after(_date(now)).timestamp()


def crashed(previous: State, *, supervised: bool) -> bool:
    """Whether the scheduler before ended uncleanly, in this boot, and a supervisor such as systemd has restarted it.

    It does so again and again: runs must not come more often for that.
    """
    return supervised and not previous.clean and previous.boot_id == clock.boot_id()


def last_due(previous: State, now: float, boottime: float) -> float | None:
    """The last due time of the scheduler before, by the clock of now; None if there is none that can be believed."""
    last = previous.due
    if previous.boot_id == clock.boot_id() and previous.due_boottime is not None:
        last = now - (boottime - previous.due_boottime)  # whatever was done to the wall clock since
    # A last due time in the future means that a clock was wrong, unless it is another host's and near: ignore it.
    return None if last is None or last > now + _CLOCKS_DIFFER else last


def _date(when: float) -> datetime:
    return datetime.fromtimestamp(when, UTC)
