"""Time: the wall clock, which anybody may set, and the boot clock, which nobody can set and which counts suspend."""

import os
import time
from collections.abc import Callable
from pathlib import Path

# In seconds. If the wall clock is off by this or more, somebody has set it; if by less, it was only read a little late.
_STEP = 0.05


def wall() -> float:
    """The wall clock, in seconds since the epoch."""
    return time.time()


def boottime() -> float:
    """The boot clock, in seconds since boot, suspend included (clock_gettime(2), CLOCK_BOOTTIME)."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def boot_id() -> str:
    """The id of this boot, which no other boot has (random(4))."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def follow_zone(name: str | None) -> None:
    """Show times of day in the time zone ``name``, main.py's variable TZ; in the host's zone if ``name`` is None."""
    os.putenv("TZ", "UTC")  # otherwise the C library would not read the host's zone again
    time.tzset()
    if name is None:
        os.unsetenv("TZ")
    else:
        os.putenv("TZ", name)
    time.tzset()


def zone_of_host() -> tuple[int, ...]:
    """A value that changes when the host's time zone does: which file /etc/localtime is; empty if it is missing."""
    try:
        found = os.stat("/etc/localtime")
    except OSError:
        return ()
    return found.st_dev, found.st_ino, found.st_mtime_ns


class SteadyClock:
    """The wall clock as it would read if nobody had set it: the boot clock plus an offset, which is read once.

    If somebody set the wall clock between two readings of it, a due time would be off by the size of the step.
    """

    def __init__(self, wall: Callable[[], float] = wall, boottime: Callable[[], float] = boottime) -> None:
        self._wall = wall
        self.boottime = boottime
        self._offset = wall() - boottime()

    def now(self) -> float:
        """What this clock reads now, in seconds since the epoch."""
        return self.at(self.boottime())

    def at(self, boottime: float) -> float:
        """What this clock reads, in seconds since the epoch, at a time of the boot clock."""
        return boottime + self._offset

    def step(self) -> float:
        """By how many seconds somebody has set the wall clock since this clock followed it; 0 if nobody has."""
        step = self._wall() - self.now()
        return step if abs(step) >= _STEP else 0.0

    def follow(self, step: float) -> None:
        """Move this clock by ``step`` seconds, as somebody has moved the wall clock."""
        self._offset += step
