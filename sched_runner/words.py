"""How durations, sizes and times read in every message."""

import math
from datetime import datetime

_STEPS = ((86400, "d"), (3600, "h"), (60, "min"))


def duration(seconds: float) -> str:
    """Two largest units of a length of time in seconds: ``4 h``, ``1 min 5 s``, ``0.25 s``."""
    if seconds < 10:
        return f"{seconds:.2f}".rstrip("0").rstrip(".") + " s"
    rest = math.floor(seconds + 0.5)
    parts = []
    for size, unit in (*_STEPS, (1, "s")):
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2])


def size(kib: float) -> str:
    """A size given in KiB, in MiB: ``23.4 MiB``."""
    return f"{kib / 1024:.1f} MiB"


def count(number: int, noun: str) -> str:
    """``1 line``, ``2 lines``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def timestamp(when: float) -> str:
    """Seconds since the epoch as local ISO 8601 with offset, to the millisecond."""
    return datetime.fromtimestamp(when).astimezone().isoformat(timespec="milliseconds")


def clock_time(when: float) -> str:
    """Seconds since the epoch as the local date and time that messages name."""
    return datetime.fromtimestamp(when).strftime("%Y-%m-%d %H:%M:%S")
