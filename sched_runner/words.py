"""How things are said: times, sizes, colours, and the one filter that text from outside goes through."""

import math
import re
from datetime import datetime

_STEPS = ((86400, "d"), (3600, "h"), (60, "min"))

# Characters that a terminal would obey, or that make a line look like another one, in UTF-8: control characters except
# tab and newline (C0, DEL and C1), bidirectional controls (Unicode TR 36, 2.7), line and paragraph separators.
_HIDDEN = re.compile(
    rb"[\x00-\x08\x0b-\x1f\x7f]|\xc2[\x80-\x9f]|\xd8\x9c|\xe2\x80[\x8e\x8f\xa8-\xae]|\xe2\x81[\xa6-\xa9]"
)
_CONTROLS = bytes([*range(0x09), *range(0x0B, 0x20), 0x7F])
_MARKED = bytes.maketrans(_CONTROLS, b"?" * len(_CONTROLS))
_ONE_LINE = str.maketrans({"\n": "\\n", "\t": " "})
_LONGEST = 500  # characters

DIM, RED, GREEN, YELLOW = "\033[2m", "\033[31m", "\033[32m", "\033[33m"  # ECMA-48, SGR
_RESET = "\033[0m"


def escape(text: bytes) -> bytes:
    r"""Show control characters and bytes that are not UTF-8 as text like ``\x1b``; newlines and tabs stay."""
    if text.isascii():
        return text if text.translate(_MARKED) == text else _HIDDEN.sub(_shown, text)
    try:
        text.decode()
    except UnicodeDecodeError:
        text = text.decode(errors="backslashreplace").encode()
    return _HIDDEN.sub(_shown, text)


def _shown(match: re.Match[bytes]) -> bytes:
    return b"\\r" if match[0] == b"\r" else b"".join(b"\\x%02x" % byte for byte in match[0])


def printable(text: object, longest: int = _LONGEST) -> str:
    """Text from outside as one line that is safe to show, cut to ``longest`` characters."""
    shown = escape(str(text).translate(_ONE_LINE).encode(errors="backslashreplace")).decode()
    return shown if len(shown) <= longest else shown[: longest - 1] + "…"


def printable_lines(text: str) -> str:
    """Text from outside as lines that are safe to show, each cut to a sensible length."""
    return "\n".join(map(printable, text.split("\n")))


def painted(text: str, colour: str, *, coloured: bool) -> str:
    """The text in a colour if ``coloured``."""
    return f"{colour}{text}{_RESET}" if coloured and colour else text


def duration(seconds: float) -> str:
    """A length of time in seconds with its two largest units: ``4 h``, ``1 min 5 s``, ``0.25 s``."""
    if seconds < 10:
        return f"{seconds:.2f}".rstrip("0").rstrip(".") + " s"
    return " ".join(_parts(math.floor(seconds + 0.5))[:2])


def exact_duration(seconds: float) -> str:
    """A length of time in seconds with all its units, to the microsecond: ``1 d 2 h 30 min``, ``59.6 s``."""
    whole, fraction = divmod(round(seconds * 1e6), 1_000_000)
    parts = _parts(whole)
    if fraction or not parts:
        rest = parts.pop() if parts and parts[-1].endswith(" s") else "0 s"
        parts.append(f"{rest[:-2]}.{fraction:06}".rstrip("0").rstrip(".") + " s")
    return " ".join(parts)


def _parts(seconds: int) -> list[str]:
    parts = []
    for size, unit in (*_STEPS, (1, "s")):
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count} {unit}")
    return parts


def size(kib: float) -> str:
    """A size in KiB, shown in MiB: ``23.4 MiB``."""
    return f"{kib / 1024:.1f} MiB"


def count(number: int, noun: str) -> str:
    """A number with its noun: ``1 line``, ``2 lines``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def timestamp(when: float) -> str:
    """Seconds since the epoch as local ISO 8601 with offset, to the millisecond."""
    return datetime.fromtimestamp(when).astimezone().isoformat(timespec="milliseconds")


def clock_time(when: float) -> str:
    """Seconds since the epoch as local date and time, as messages show it: ``2026-01-31 08:30:00``."""
    return datetime.fromtimestamp(when).strftime("%Y-%m-%d %H:%M:%S")


def zoned_time(when: float) -> str:
    """Seconds since the epoch as local date and time with the time zone: ``2026-01-31 08:30:00 CET``."""
    return datetime.fromtimestamp(when).astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")
