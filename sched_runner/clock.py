"""Time: the wall clock, which anybody may set, and the boot clock, which nobody can set and which counts suspend."""

import os
import time
from collections.abc import Callable
from pathlib import Path

# If the two clocks differ by more than this, the wall clock was set; less means that it was read late. In seconds.
_STEP = 0.05


def wall() -> float:
    """Seconds since the epoch."""
    return time.time()


def boottime() -> float:
    """Seconds since boot, suspend included (clock_gettime(2), CLOCK_BOOTTIME)."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def boot_id() -> str:
    """Tells this boot from another (random(4))."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def follow_zone(name: str | None) -> None:
    """Tell times of day in this time zone, or in the host's, as main.py does whose variable TZ it is."""
    os.putenv("TZ", "UTC")  # or the C library would not read the host's zone again
    time.tzset()
    if name is None:
        os.unsetenv("TZ")
    else:
        os.putenv("TZ", name)
    time.tzset()


def zone_of_host() -> tuple[int, ...]:
    """Tells the host's time zone from another: which file it stands in."""
    try:
        found = os.stat("/etc/localtime")
    except OSError:
        return ()
    return found.st_dev, found.st_ino, found.st_mtime_ns


class SteadyClock:
    """The wall clock as it would read if nobody had set it: the boot clock and an offset, which is read once.

    Two readings of the wall clock with a step between them would put a due time off by the size of the step.
    """

    def __init__(self, wall: Callable[[], float] = wall, boottime: Callable[[], float] = boottime) -> None:
        self._wall = wall
        self.boottime = boottime
        self._offset = wall() - boottime()

    def now(self) -> float:
        """Seconds since the epoch."""
        return self.at(self.boottime())

    def at(self, boottime: float) -> float:
        """What this clock reads, in seconds since the epoch, at a time of the boot clock."""
        return boottime + self._offset

    def step(self) -> float:
        """By how many seconds somebody has set the wall clock since this clock followed it; 0 if nobody has."""
        step = self._wall() - self.now()
        return step if abs(step) >= _STEP else 0.0

    def follow(self, step: float) -> None:
        """Read as the wall clock does that was set by ``step`` seconds."""
        self._offset += step
