"""When runs are due: pure, without a clock of its own. Times are aware datetimes."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

from sched_runner import clock, words
from sched_runner.record.state import State
from sched_runner.settings.table import Settings

# By so much at most, in seconds, the clocks of hosts differ that share their state.
_CLOCKS_DIFFER = 10.0


class Cadence(Protocol):
    """When runs are due."""

    @property
    def every(self) -> str:
        """How often, in words: ``every 4 h``."""

    def after(self, now: datetime) -> datetime:
        """The first due time after now."""

    def last(self, now: datetime) -> datetime:
        """The last due time at or before now."""

    def stepped(self, step: timedelta) -> "Cadence":
        """The same after somebody has set the wall clock by ``step``."""

    def due_after_step(self, due: datetime, step: timedelta, now: datetime) -> datetime:
        """When the run that was due at ``due`` is due after that; ``now`` is the new wall clock."""


@dataclass(frozen=True)
class FixedRate:
    """A due time every ``gap``, counted from ``origin``: an interval is elapsed time, whatever the wall clock says."""

    gap: timedelta
    origin: datetime

    @property
    def every(self) -> str:
        """How often, in words: ``every 4 h``."""
        return f"every {words.exact_duration(self.gap.total_seconds())}"

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


def of(settings: Settings, origin: datetime) -> Cadence:
    """The cadence that the settings say, with a due time at ``origin``."""
    return FixedRate(timedelta(seconds=settings.interval), origin)


def first_due(previous: State, settings: Settings, now: float, boottime: float, *, supervised: bool) -> float:
    """When the first run is due, in seconds since the epoch, as ``now``: at once, or when the cadence resumes.

    ``boottime`` is ``now`` on the boot clock. A scheduler that ended uncleanly is restarted by a supervisor, such as
    systemd, again and again: its runs must not come more often for that.
    """
    same_boot = previous.boot_id == clock.boot_id()
    crashed = supervised and same_boot and not previous.clean
    if previous.due is None or not (crashed or settings.start == "resume"):
        return now
    last = previous.due
    if same_boot and previous.due_boottime is not None:
        last = now - (boottime - previous.due_boottime)  # whatever was done to the wall clock since
    # A last due time in the future means that a clock was wrong, unless it is another host's and near: ignore it.
    return now if last > now + _CLOCKS_DIFFER else last + settings.interval
