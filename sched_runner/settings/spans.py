"""Lengths of time, as operators write them."""

import ast
import json
import math
import re
from contextlib import suppress
from datetime import timedelta
from typing import Any

# The shortest interval and the longest span of any kind, in seconds.
_SHORTEST = 0.1
_LONGEST = 36525 * 86400.0

# The units of systemd.time(7), in seconds. M for a month is left out: too many people take it for a minute.
_UNITS = {
    **dict.fromkeys(("usec", "us", "µs", "μs"), 1e-6),
    **dict.fromkeys(("msec", "ms"), 1e-3),
    **dict.fromkeys(("seconds", "second", "sec", "s"), 1.0),
    **dict.fromkeys(("minutes", "minute", "min", "m"), 60.0),
    **dict.fromkeys(("hours", "hour", "hr", "h"), 3600.0),
    **dict.fromkeys(("days", "day", "d"), 86400.0),
    **dict.fromkeys(("weeks", "week", "w"), 604800.0),
    **dict.fromkeys(("months", "month"), 2629800.0),
    **dict.fromkeys(("years", "year", "y"), 31557600.0),
}
_PART = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([a-zA-Zµμ]*)")
_KEYWORDS = ("weeks", "days", "hours", "minutes", "seconds")


def parse_span(text: str) -> float:
    """Seconds in a time span of systemd.time(7), such as ``7h 30min``; a single bare number is seconds.

    Raises ValueError.
    """
    total, position = 0.0, 0
    while match := _PART.match(text, position):
        number, unit = match.groups()
        total += float(number) * _unit(unit, is_first=position == 0, is_last=not text[match.end() :].strip())
        position = match.end()
    if text[position:].strip() or position == 0:
        raise ValueError("not a time span; write it like 30min, 2h, 1d or 7h 30min")
    if total > _LONGEST:
        raise ValueError("longer than 100 years")
    return total


def _unit(unit: str, *, is_first: bool, is_last: bool) -> float:
    if unit in _UNITS:
        return _UNITS[unit]
    if unit == "M":
        raise ValueError("M may be a month or a minute; write month or min")
    if unit:
        raise ValueError(f"no such unit of time: {unit}; use s, min, h or d")
    if not (is_first and is_last):
        raise ValueError("a number lacks its unit; write 1h 30min and not 1h30")
    return 1.0


def parse_timeout(text: str) -> float:
    """Seconds in a time span of more than 0 s. Raises ValueError."""
    seconds = parse_span(text)
    if seconds <= 0:
        raise ValueError("the time-out must be more than 0 s")
    return seconds


def parse_wait(text: str) -> float:
    """Seconds in a time span of at least 1 s, so that retries are not too frequent. Raises ValueError."""
    seconds = parse_span(text)
    if seconds < 1:
        raise ValueError("use 1 s or more")
    return seconds


def parse_interval(text: str) -> float:
    """Seconds in a time span, or in the mapping of IntervalTrigger's keywords: ``{"hours": 7, "minutes": 30}``.

    The mapping may be in JSON or in Python's syntax. Raises ValueError.
    """
    seconds = _mapping_seconds(_mapping(text)) if text.lstrip().startswith("{") else parse_span(text)
    if not _SHORTEST <= seconds <= _LONGEST:
        raise ValueError("the interval must be between 0.1 s and 100 years")
    return seconds


def _mapping(text: str) -> dict[Any, Any]:
    for read in (json.loads, ast.literal_eval):
        with suppress(ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            mapping = read(text.strip())
            if isinstance(mapping, dict):
                return mapping
    raise ValueError('not a mapping; write it like {"hours": 7, "minutes": 30}')


def _mapping_seconds(mapping: dict[Any, Any]) -> float:
    for key, value in mapping.items():
        if key not in _KEYWORDS:
            raise ValueError(f"no such keyword: {key}; use days, hours, minutes and seconds")
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
            raise ValueError(f"{key} must be a number that is not negative")
    try:
        return timedelta(**mapping).total_seconds()
    except OverflowError:
        return math.inf
