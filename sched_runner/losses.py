"""Lines that a sink could not write: counted, told when it begins, and told when it is over."""

from collections import deque

from sched_runner import words


class Losses:
    """Puts a sentence on ``notices`` at the first loss, and one with the count at the recovery."""

    def __init__(self, name: str, notices: deque[str]) -> None:
        self._name = name
        self._notices = notices
        self._lines = 0

    def __bool__(self) -> bool:
        """Whether lines are being lost."""
        return self._lines > 0

    def add(self, lines: int, reason: str) -> None:
        """Count lines that are lost."""
        if not self:
            self._notices.append(f"{self._name} cannot be written, lines are lost: {reason}")
        self._lines += lines

    def end(self) -> None:
        """Lines are written again."""
        if self:
            self._notices.append(f"{self._name} can be written again; {words.count(self._lines, 'line')} were lost")
        self._lines = 0
