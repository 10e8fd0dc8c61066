"""When a calendar is due: the next time and the last one."""

from bisect import bisect_right
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import isqrt
from typing import Self

from sched_runner.settings.calendars import CalendarError, Run, ask, spawn

# One call asks for so many due times. Each costs 0.5 ms if the expression names a time zone, else nothing.
_AT_ONCE = 32
# systemd-analyze computes forward only. A call lets it begin so long before now, at first and at most, in seconds.
_FIRST_LOOK = 8 * 86400
_FARTHEST_LOOK = 20 * 366 * 86400
# The first guesses are nearly always enough. Else a bisection finds one second of 20 years in some 30 calls.
_GUESSES = 4
_MOST_CALLS = 40


class Calendar:
    """Due times by calendar expressions of systemd.time(7); a time that several of them name is due once.

    All times are aware; those that a Calendar gives are in UTC. It keeps its times, and asks systemd-analyze for more
    when they run out; so a new time zone of the host counts only for the next Calendar. Methods raise CalendarError if
    systemd-analyze gives no answer.
    """

    def __init__(self, expressions: tuple[str, ...], run: Run = spawn) -> None:
        self._expressions = expressions
        self._run = run
        self._windows: dict[str, _Window] = {}

    @property
    def every(self) -> str:
        """How often, in words: ``at Mon..Fri 08:30 Europe/Madrid``."""
        return f"at {'; '.join(self._expressions)}"

    @property
    def when_stepped(self) -> str:
        """What a step of the clock means, in words."""
        return "the next run is at the next time of the calendar"

    def after(self, now: datetime) -> datetime:
        """The first due time after ``now``. Raises CalendarError also if there is none."""
        following = [time for window in self._around(now) for time in window.after(now)[:1]]
        if not following:
            raise CalendarError(f"SCHED_CALENDAR={'; '.join(self._expressions)} has no due time in the future")
        return min(following)

    def last(self, now: datetime) -> datetime | None:
        """The last due time at or before ``now``; None if there was none in 20 years."""
        return max((time for window in self._around(now) for time in window.before(now)[-1:]), default=None)

    def stepped(self, step: timedelta) -> Self:
        """The calendar after the clock was set by ``step``: the same one, because a calendar follows the wall clock."""
        return self

    def due_after_step(self, due: datetime, step: timedelta, now: datetime) -> datetime:
        """When the run that was due at ``due`` is due, now that the clock was set by ``step`` and shows ``now``.

        One run makes up for the due times that the clock jumped over; after a step back the next one is looked up anew.
        """
        return min(due, self.after(now))

    def expected_by(self, now: datetime) -> datetime:
        """Until when the next success must come after one at ``now``: until the due time after the next."""
        return self.after(self.after(now))

    def _around(self, now: datetime) -> "list[_Window]":
        """The window of each expression that serves at ``now``. Raises CalendarError."""
        return [self._window(expression, now) for expression in self._expressions]

    def _window(self, expression: str, now: datetime) -> "_Window":
        # The loop and the thread for runs ask for different times: what one of them has found may be gone from here
        # when the next expression has been looked up.
        window = self._windows.get(expression)
        if window is None or not window.serves(now):
            first_look = window.look_back if window else _FIRST_LOOK
            window = self._windows[expression] = _find_window(expression, now, first_look, self._run)
        return window


@dataclass(frozen=True)
class _Window:
    """All due times of one expression after ``since`` up to the last of ``times``.

    ``is_all`` says that no due time comes after them, ``is_deepest`` that nobody looks for one before ``since``.
    """

    since: datetime
    times: tuple[datetime, ...]
    is_all: bool
    is_deepest: bool

    def before(self, now: datetime) -> tuple[datetime, ...]:
        """The due times at or before ``now``."""
        return self.times[: bisect_right(self.times, now)]

    def after(self, now: datetime) -> tuple[datetime, ...]:
        """The due times after ``now``."""
        return self.times[bisect_right(self.times, now) :]

    def begins_in_time(self, now: datetime) -> bool:
        """Whether the window holds the last due time at or before ``now``, if there is one to look for."""
        return self.since <= now and (self.is_deepest or bool(self.before(now)))

    def serves(self, now: datetime) -> bool:
        """Whether the window also holds the due time that follows ``now``, if there is one."""
        return self.begins_in_time(now) and (self.is_all or bool(self.after(now)))

    @property
    def look_back(self) -> int:
        """How long before a time a window should begin that has this time in its middle, in seconds."""
        if len(self.times) < 2:
            return _FARTHEST_LOOK
        mean = (self.times[-1] - self.times[0]) / (len(self.times) - 1)
        return int(mean.total_seconds() * _AT_ONCE / 2)


def _find_window(expression: str, now: datetime, look: int, run: Run) -> _Window:
    """The window that serves at ``now``; it begins ``look`` seconds before ``now`` if that fits. Raises CalendarError.

    The later a window begins, the fewer due times before ``now`` it holds; the earlier, the fewer after ``now``.
    """
    second = int(now.timestamp())
    farthest = min(_FARTHEST_LOOK, second)
    look, too_short, too_long = min(look, farthest), 0, farthest + 1
    for call in range(_MOST_CALLS):
        answer = ask(expression, second - look, _AT_ONCE, run)
        since = datetime.fromtimestamp(second - look, UTC)
        window = _Window(since, answer.times, answer.is_all, is_deepest=look == farthest)
        if window.serves(now):
            return window
        if window.begins_in_time(now):
            too_long = look
        else:
            too_short = look
        look = min(window.look_back, farthest)
        if call >= _GUESSES or not too_short < look < too_long:
            look = max(too_short + 1, isqrt(too_short * too_long))
    raise CalendarError(f"the due times of {expression} are too irregular to find the last one")
