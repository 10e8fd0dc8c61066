"""What does not work for now: told once when it begins, and once when it is over."""

import logging
from collections import deque
from collections.abc import Callable

from sched_runner import words

log = logging.getLogger(__name__)


def fault_of(attempt: Callable[[], object]) -> str:
    """What the system said if the attempt failed, or an empty string."""
    try:
        attempt()
    except OSError as error:
        return str(error)
    return ""


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
        """Whether it stands."""
        return self._standing

    def report(self, fault: str, lost: int = 0) -> None:
        """``fault`` says why it does not work, and is empty if it works; ``lost`` counts lines."""
        self._lost += lost
        if fault and not self._standing:
            lines = "lines are lost" if lost else "the schedule goes on"
            self._untold.append(f"{self._name} cannot be {self._done}, {lines}: {words.printable(fault)}")
        elif not fault and self._standing:
            lines = f"; {words.count(self._lost, 'line')} were lost" if self._lost else ""
            self._untold.append(f"{self._name} can be {self._done} again{lines}")
            self._lost = 0
        self._standing = bool(fault)

    def note(self, text: str) -> None:
        """Something that is told once, and is over already."""
        self._untold.append(words.printable(text))

    def tell(self, extra: dict[str, object] | None = None) -> None:
        """Log what has not been told yet; ``extra`` is logging's own."""
        while (sentence := self._next()) is not None:
            log.warning("%s", sentence, extra=extra)

    def _next(self) -> str | None:
        """The loop and a run tell in threads of their own: to ask whether there is one is to ask too early."""
        try:
            return self._untold.popleft()
        except IndexError:
            return None
