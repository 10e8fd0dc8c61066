"""Why a run failed: the line that says so among the last lines of its stderr."""

import re
from collections.abc import Sequence

from sched_runner import words

_LONGEST = 300  # characters
_BARS = 3

_HEADER = "Traceback (most recent call last):"
_GROUP_HEADER = re.compile(r" *\+ Exception Group Traceback \(most recent call last\):")
_FIRST_OF_GROUP = re.compile(r"( *)\+-\+-+ 1 -+")
# The line before a traceback begins like this if the exception did not end main.py.
_HARMLESS = ("Exception ignored in", "--- Logging error ---", "Error in atexit", "future: <")
_IN_THREAD = "Exception in thread"
_CHAINED = ("During handling of the above exception", "The above exception was the direct cause")
# The first line of what faulthandler, Go, PHP, Perl and .NET print, which name the error before they say where it was.
_NAMED_FIRST = re.compile(
    r"Fatal Python error: |Timeout \(\d|panic: |fatal error: |PHP Fatal error: |Can't locate \S+ in @INC "
    r"|Unhandled exception\. "
)
# The frames that Java, Node, Ruby and Rust print after the error, and what else may stand between and after those.
_FRAME = re.compile(r"\s+(at|from) |Node\.js v\d|note: .*RUST_BACKTRACE=")
_AFTERWORDS = re.compile(rf"\s|\}}|stack backtrace:|{_FRAME.pattern}")
_POINTER = " \t^~"  # psql and others point at a column
_SHOWN_COLOUR = re.compile(r"\\x1b\[[0-9;]*[A-Za-z]")  # as words.escape shows it


def error_line(lines: Sequence[str]) -> str:
    """The line that names the error, cut to 300 characters; in a traceback, that is the line of the exception."""
    return words.printable(_error(lines), _LONGEST)


def _error(lines: Sequence[str]) -> str:
    groups = [number for number, line in enumerate(lines) if _GROUP_HEADER.fullmatch(line)]
    traceback = _last_traceback(lines)
    if groups and groups[-1] > traceback:
        return _of_group(lines[groups[-1] + 1 :])
    if traceback >= 0:
        return _of_traceback(lines[traceback + 1 :])
    return _after_progress(_last_words([line for line in lines if line.strip(_POINTER)])).strip()


def _last_words(lines: Sequence[str]) -> str:
    """The last line that _NAMED_FIRST matches; else the last line, or the one before the frames at the end."""
    if named := [line for line in lines if _NAMED_FIRST.match(line)]:
        return named[-1]
    end = next((end for end in range(len(lines), 0, -1) if not _AFTERWORDS.match(lines[end - 1])), 0)
    has_frames = end > 0 and any(map(_FRAME.match, lines[end:]))
    return "".join(lines[:end][-1:] if has_frames else lines[-1:]).removesuffix(" {")


def _last_traceback(lines: Sequence[str]) -> int:
    """The index of the last traceback that may have ended main.py, or else a thread; -1 if there is none."""
    found = in_thread = -1
    before, kind = "", ""
    for number, line in enumerate(lines):
        if line.startswith(_HEADER):
            kind = kind if before.startswith(_CHAINED) else before
            if kind.startswith(_IN_THREAD):
                in_thread = number
            elif not kind.startswith(_HARMLESS):
                found = number
        before = line if line.strip() else before
    return found if found >= 0 else in_thread


def _of_traceback(lines: Sequence[str]) -> str:
    """The exception of a traceback, with the next line of its message if the first is empty."""
    named = [line for line in lines if line.strip() and not line.startswith(" ")]
    if not named:
        return ""
    return " ".join(line.strip() for line in named[:2]) if named[0].endswith(": ") else _after_progress(named[0])


def _of_group(lines: Sequence[str]) -> str:
    """The line of a group: ``ExceptionGroup: 2 customers failed (2 sub-exceptions): ValueError: no customer 1``."""
    named = (line.lstrip()[2:] for line in lines if line.lstrip().startswith("| "))
    group = next((text for text in named if not text.startswith(" ")), "")
    return f"{group}: {leaf}" if (leaf := _first_of_group(lines)) else group


def _first_of_group(lines: Sequence[str]) -> str:
    """The error of the first exception in a group; if that is a group too, of the first exception in it, and so on."""
    begins = ((number, match) for number, line in enumerate(lines) if (match := _FIRST_OF_GROUP.fullmatch(line)))
    for number, match in begins:
        margin = match[1] + "  "
        inner = lines[number + 1 :]
        end = next((n for n, line in enumerate(inner) if line.startswith(f"{margin}+---")), len(inner))
        deeper = _first_of_group(inner[:end])
        return deeper or _error([line.removeprefix(f"{margin}| ") for line in inner[:end]])
    return ""


def _after_progress(line: str) -> str:
    r"""What a terminal would show of a line in which ``\r`` has overwritten a progress bar again and again."""
    line = _SHOWN_COLOUR.sub("", line)
    if line.count("\\r") < _BARS and len(line) <= _LONGEST:
        return line.removesuffix("\\r")
    return next((part for part in reversed(line.split("\\r")) if part.strip()), "")
