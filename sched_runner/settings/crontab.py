"""Calendar expressions for schedules that people have written for other tools, such as a line of a crontab."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import groupby

# systemd's "weekly" is Monday, a crontab's "@weekly" is Sunday.
_NICKNAMES = {
    "@yearly": "yearly",
    "@annually": "yearly",
    "@monthly": "monthly",
    "@weekly": "Sun 00:00",
    "@daily": "daily",
    "@midnight": "daily",
    "@hourly": "hourly",
}
_SHORTHANDS = ("minutely", "hourly", "daily", "weekly", "monthly", "quarterly", "semiannually", "yearly", "annually")


def _list_of(item: str) -> str:
    return rf"{item}(?:(?:\.\.|[,/]){item})*"


_DAY_NAME = "(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*"
_DATE = r"(?:[\d*.,/~]+-){1,2}[\d*.,/~]+"
_HOUR, _SIXTIETH = r"(?:\*|[01]?\d|2[0-3])", r"(?:\*|[0-5]?\d)"
_ZONE = r"(?: UTC| [a-z]+(?:/[\w+-]+)+)?"
_EXPRESSION = re.compile(
    rf"(?:{_list_of(_DAY_NAME)} )?(?:{_DATE} )?{_list_of(_HOUR)}(?::{_list_of(_SIXTIETH)}){{1,2}}{_ZONE}",
    re.ASCII | re.IGNORECASE,
)


def calendar_hint(text: str) -> str:
    """A sentence for an operator who wrote a calendar, or a crontab's line, as SCHED_INTERVAL; empty for other text."""
    text = " ".join(text.split())
    if text.lower() == "@reboot":
        return "the first run starts when the scheduler starts; SCHED_INTERVAL says how often it runs from then on"
    expression = from_elsewhere(text) or (text if _looks_like_calendar(text) else "")
    if not expression:
        return ""
    return f"an interval is a time span such as 4h; for a calendar, write SCHED_CALENDAR={expression} in its place"


def _looks_like_calendar(text: str) -> bool:
    parts = [part.strip() for part in text.split(";")]
    return all(part.lower() in _SHORTHANDS or _EXPRESSION.fullmatch(part) for part in parts)


def from_elsewhere(text: str) -> str:
    """The expressions that mean the same as ``text``, a line of a crontab; empty if ``text`` is no such line."""
    try:
        return _NICKNAMES.get(text.lower()) or _from_crontab(text)
    except ValueError:
        return ""


@dataclass(frozen=True)
class _Field:
    """One of the five fields of a crontab's line: its range, and names that stand for numbers, as in crontab(5)."""

    low: int
    high: int
    names: tuple[str, ...] = ()

    def numbers(self, text: str) -> set[int]:
        """The numbers that ``text`` stands for. Raises ValueError."""
        return {number for part in text.split(",") for number in self._part(part)}

    def _part(self, text: str) -> Iterable[int]:
        span, slash, step = text.partition("/")
        first, dash, last = span.partition("-")
        if slash and not (dash or span == "*"):
            raise ValueError("a step without a range")
        start, end = (self.low, self.high) if span == "*" else (self._number(first), self._number(last or first))
        if start > end or (dash and not last):
            raise ValueError("a range that is none")
        return range(start, end + 1, _whole(step) if slash else 1)  # a step of 0 is a ValueError too

    def _number(self, word: str) -> int:
        if word.lower() in self.names:
            return self.low + self.names.index(word.lower())
        number = _whole(word)
        if not self.low <= number <= self.high:
            raise ValueError("out of range")
        return number

    def expression(self, text: str) -> str:
        """The calendar expression for ``text`` in this field. Raises ValueError."""
        numbers = sorted(self.numbers(text))
        if len(numbers) == self.high - self.low + 1:
            return "*"
        step = numbers[1] - numbers[0] if len(numbers) > 2 else 1
        if step > 1 and numbers == list(range(numbers[0], self.high + 1, step)):
            return f"{numbers[0]}/{step}"
        return _spans(numbers, "{:02}".format)


_MINUTE, _HOUR_OF_DAY, _DAY = _Field(0, 59), _Field(0, 23), _Field(1, 31)
_MONTH = _Field(1, 12, ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"))
_WEEKDAY = _Field(0, 7, ("sun", "mon", "tue", "wed", "thu", "fri", "sat"))
_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def _from_crontab(line: str) -> str:
    """The expressions that mean the same as the five fields of ``line``. Raises ValueError.

    If neither field for days begins with ``*``, a day that fits one of them is enough; else it must fit both
    (crontab(5)).
    """
    minute, hour, day, month, weekday = line.split()
    clock = f"{_HOUR_OF_DAY.expression(hour)}:{_MINUTE.expression(minute)}"
    days, months, week = _DAY.expression(day), _MONTH.expression(month), _week(weekday)
    if day.startswith("*") or weekday.startswith("*"):
        return _joined(week, months, days, clock)
    return f"{_joined('', months, days, clock)}; {_joined(week, months, '*', clock)}"


def _joined(week: str, months: str, days: str, clock: str) -> str:
    date = "" if months == days == "*" else f"*-{months}-{days}"
    return " ".join(part for part in (week, date, clock) if part)


def _week(text: str) -> str:
    """A crontab's days of the week in a calendar expression, empty for all seven. Raises ValueError."""
    days = sorted({(number - 1) % 7 for number in _WEEKDAY.numbers(text)})
    return "" if len(days) == 7 else _spans(days, _WEEKDAYS.__getitem__)


def _spans(numbers: list[int], shown: Callable[[int], str]) -> str:
    """A list of numbers, in which three or more in a row are a range: ``01,02,05..09``."""
    parts: list[str] = []
    for _, pairs in groupby(enumerate(numbers), key=lambda pair: pair[1] - pair[0]):
        row = [shown(number) for _, number in pairs]
        parts += [f"{row[0]}..{row[-1]}"] if len(row) > 2 else row
    return ",".join(parts)


def _whole(digits: str) -> int:
    """The number that ASCII digits stand for. Raises ValueError."""
    if not (digits.isascii() and digits.isdigit()):
        raise ValueError("not a whole number")
    return int(digits)
