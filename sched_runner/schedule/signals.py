"""The signals of an operator: the handler only notes them, and the loop acts upon them."""

import signal
from collections.abc import Callable
from types import FrameType

STOP = frozenset({signal.SIGTERM, signal.SIGINT})
RELOAD = signal.SIGHUP
TRIGGER = signal.SIGUSR1


class Signals:
    """Notes signals from now on, and calls ``wake`` at each; safe before there is anything to wake.

    ``arrived`` has the signals that nobody has taken yet.
    """

    def __init__(self) -> None:
        self.wake: Callable[[], object] = lambda: None
        self.arrived: set[int] = set()
        for number in (*STOP, RELOAD, TRIGGER):
            if number != RELOAD or signal.getsignal(number) is not signal.SIG_IGN:  # under nohup, SIGHUP stays ignored
                signal.signal(number, self._note)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # else the kernel may keep no wait status of main.py

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.arrived.add(number)
        self.wake()

    def ignore(self) -> None:
        """Ignore further stops: Python removes its handlers before the exit, and a stop would then kill the process."""
        for number in STOP:
            signal.signal(number, signal.SIG_IGN)

    def take(self) -> set[int]:
        """The signals that have arrived since the last time."""
        arrived, self.arrived = self.arrived, set()
        return arrived
