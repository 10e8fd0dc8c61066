"""Shows lines live on the terminal, for a scheduler that was started by hand."""

import contextlib
import logging
import os
import stat
import time
from collections.abc import Sequence

from sched_runner.output.capture import Piece, tagged
from sched_runner.output.outputs import Live
from sched_runner.output.patient_stream import PatientStream
from sched_runner.words import DIM, RED, YELLOW, painted


class Terminal(Live):
    """Writes to a descriptor, in colours if ``coloured``."""

    def __init__(self, descriptor: int, *, coloured: bool) -> None:
        super().__init__()
        self._coloured = coloured
        self._stream = PatientStream("the terminal", lambda: _reopened(descriptor), self.patience)
        self.troubles = [self._stream.trouble]

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record of the scheduler's own."""
        colour = RED if record.levelno >= logging.ERROR else YELLOW if record.levelno >= logging.WARNING else ""
        text = self._paint(self.format(record), colour)
        begin = self._paint(_time(record.created), DIM)
        self._stream.write(f"{begin} {text}\n".encode(errors="backslashreplace"))

    def take(self, run: int, channel: str, pieces: Sequence[Piece]) -> None:
        """Write lines of main.py, as capture.Sink says."""
        tag = f"{_time(time.time())} {channel} run {run}"
        lines = tagged(pieces, (self._paint(tag, DIM) + " ").encode())
        self.acquire()  # the main thread may write a record at the same time
        try:
            self._stream.write(lines)
        finally:
            self.release()

    def _paint(self, text: str, colour: str) -> str:
        return painted(text, colour, coloured=self._coloured)


def _time(when: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(when))


def _reopened(descriptor: int) -> int:
    """Open the terminal or pipe a second time: with O_NONBLOCK on the shared one, the shell would not block either."""
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISCHR(mode) or stat.S_ISFIFO(mode):
        with contextlib.suppress(PermissionError):  # the terminal of another user, after su
            return os.open(f"/proc/self/fd/{descriptor}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    return os.dup(descriptor)
