"""The signals of an operator: noted in the handler, acted upon in the loop."""

import signal
from collections.abc import Callable
from types import FrameType

STOP = frozenset({signal.SIGTERM, signal.SIGINT})
RELOAD = signal.SIGHUP
TRIGGER = signal.SIGUSR1


class Signals:
    """Notes signals from now on, and calls ``wake`` at each; safe before there is anything to wake."""

    def __init__(self) -> None:
        self.wake: Callable[[], object] = lambda: None
        self._arrived: set[int] = set()
        for number in (*STOP, RELOAD, TRIGGER):
            if number != RELOAD or signal.getsignal(number) is not signal.SIG_IGN:  # as nohup leaves it
                signal.signal(number, self._note)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # ignored, the kernel would not keep main.py's wait status

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._arrived.add(number)
        self.wake()

    @property
    def arrived(self) -> set[int]:
        """The signals that nobody has taken yet."""
        return self._arrived

    def ignore(self) -> None:
        """A further stop shall not kill a process that is about to exit: Python takes handlers away before."""
        for number in STOP:
            signal.signal(number, signal.SIG_IGN)

    def take(self) -> set[int]:
        """The signals that have arrived since the last time."""
        arrived, self._arrived = self._arrived, set()
        return arrived
