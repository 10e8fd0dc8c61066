"""Troubles: each is told once when something stops working, and once when it works again."""

import logging
import os
from collections import deque
from collections.abc import Callable

from sched_runner import words

log = logging.getLogger(__name__)


def fault_of(attempt: Callable[[], object]) -> str:
    """Make the attempt; gives what the system said if it failed with OSError, or an empty string."""
    try:
        attempt()
    except OSError as error:
        return said(error)
    return ""


def said(error: BaseException) -> str:
    """What the system said of a failure, and of which file, without the number of the error; never empty."""
    if isinstance(error, OSError) and error.strerror:
        return f"{os.fsdecode(error.filename)}: {error.strerror}" if error.filename else error.strerror
    return str(error) or type(error).__name__


class Trouble:
    """One thing that may stop working, and the lines that are lost while it does not work.

    Its owner reports what happens; ``tell`` logs what has not been told. A log handler that logged by itself would wait
    for the locks of other handlers, so somebody else calls ``tell`` for it.
    """

    def __init__(self, name: str, done: str = "written") -> None:
        """``done`` completes the sentence "``name`` cannot be …"."""
        self._name = words.printable(name)
        self._done = done
        self._standing = False
        self._lost = 0
        self._untold: deque[str] = deque()

    def __bool__(self) -> bool:
        """Whether the thing does not work now."""
        return self._standing

    def report(self, fault: str, lost: int = 0) -> None:
        """``fault`` says why the thing does not work, and is empty if it works; ``lost`` counts lines."""
        self._lost += lost
        if fault and not self._standing:
            lines = "lines are lost" if lost else "the schedule goes on"
            self._untold.append(f"{self._name} cannot be {self._done}, {lines}: {words.printable(fault)}")
        elif not fault and self._standing:
            lines = f"; {words.count(self._lost, 'line')} lost" if self._lost else ""
            self._untold.append(f"{self._name} can be {self._done} again{lines}")
            self._lost = 0
        self._standing = bool(fault)

    def note(self, text: str) -> None:
        """Add a text to be told once, about something that is over already."""
        self._untold.append(words.printable(text))

    def tell(self, extra: dict[str, object] | None = None) -> None:
        """Log what has not been told yet; ``extra`` is that of logging."""
        while (sentence := self._next()) is not None:
            log.warning("%s", sentence, extra=extra)

    def _next(self) -> str | None:
        """Take the next untold sentence; None if there is none, or if another thread (the loop, a run) was faster."""
        try:
            return self._untold.popleft()
        except IndexError:
            return None
