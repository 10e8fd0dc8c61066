"""When runs are due: pure, without a clock of its own. Times are aware datetimes."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Protocol

from sched_runner import clock, words
from sched_runner.record.state import State
from sched_runner.schedule.calendar_times import Calendar
from sched_runner.settings.table import Settings

# The clocks of hosts that share their state may differ by this much, in seconds.
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
        """The cadence after somebody has set the wall clock by ``step``."""

    def due_after_step(self, due: datetime, step: timedelta, now: datetime) -> datetime:
        """When the run that was due at ``due`` is due after the clock was set by ``step`` and shows ``now``."""

    def expected_by(self, now: datetime) -> datetime | None:
        """Until when the next success must come after one at ``now``; None if elapsed time decides that."""


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


def of(settings: Settings, origin: datetime) -> Cadence:
    """The cadence of these settings; if they have an interval, ``origin`` is one of the due times."""
    if settings.calendar:
        return Calendar(settings.calendar)
    return FixedRate(timedelta(seconds=settings.interval), origin)


def first_due(previous: State, settings: Settings, now: float, boottime: float, *, supervised: bool) -> float:
    """When the first run is due: at once, or when the cadence resumes.

    The result and ``now`` are in seconds since the epoch; ``boottime`` is ``now`` on the boot clock.
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
    """Whether the previous scheduler ended uncleanly, in this boot, and a supervisor such as systemd has restarted it.

    A supervisor restarts again and again: runs must not come more often because of that.
    """
    return supervised and not previous.clean and previous.boot_id == clock.boot_id()


def last_due(previous: State, now: float, boottime: float) -> float | None:
    """The last due time of the previous scheduler, by the present wall clock; None if none can be believed."""
    last = previous.due
    if previous.boot_id == clock.boot_id() and previous.due_boottime is not None:
        last = now - (boottime - previous.due_boottime)  # right even if the wall clock was set since
    # A last due time in the future means that a clock was wrong: ignore it, unless another host's clock may explain it.
    return None if last is None or last > now + _CLOCKS_DIFFER else last


def _date(when: float) -> datetime:
    return datetime.fromtimestamp(when, UTC)
