"""Writes lines to a reader that may be slow or gone: waits a while, then drops lines, counts them and tells that."""

import contextlib
import math
import os
import select
import socket
import stat
import time
from collections.abc import Callable

from sched_runner.troubles import Trouble

PATIENCE = 5.0  # seconds
# After a stop or a time-out all slow readers together have this many seconds, so that neither is late by more than 5 s.
_LAST_WORDS = 3.0
# A socket is reported as writable only when three quarters of its buffer are free (up to 8 MB for the journal). With a
# slow reader this can take longer than the patience, although there is room to write long before: try again meanwhile.
_LOOK_AGAIN_MS = 100
# A write of at most so many bytes to a terminal or pipe that has room does not block.
_SHORT = 256
UNREAD = "nobody reads them; scheduler.log has all of them"


class Patience:
    """For how long streams wait for a slow reader; all streams to one reader share it, and add their troubles."""

    def __init__(self, seconds: float = PATIENCE) -> None:
        self.troubles: list[Trouble] = []
        self._seconds = seconds
        self._run_until = self._stop_until = math.inf

    @property
    def seconds(self) -> float:
        """For how long one write waits without progress: not at all if another has waited in vain."""
        return 0.0 if any(self.troubles) else self._seconds

    @property
    def until(self) -> float:
        """Until when streams wait at all, as a time of the monotonic clock."""
        return min(self._run_until, self._stop_until)

    def end_at(self, deadline: float) -> None:
        """Wait no more shortly after ``deadline``, a time of the monotonic clock at which the run has to end."""
        self._run_until = deadline + _LAST_WORDS

    def end_now(self) -> None:
        """Wait no more shortly after now, because the scheduler is being stopped; safe in a signal handler."""
        self._stop_until = min(self._stop_until, time.monotonic() + _LAST_WORDS)


class PatientStream:
    """Writes whole lines to a descriptor.

    ``connect`` gives the descriptor, and a new one if the reader has closed the old one; it may raise OSError.
    """

    def __init__(self, name: str, connect: Callable[[], int], patience: Patience) -> None:
        self.trouble = Trouble(name)
        self._connect = connect
        self._patience = patience
        self._patience.troubles.append(self.trouble)
        self._descriptor: int | None = None
        self._socket: socket.socket | None = None
        self._may_block = False
        self._torn = False

    def write(self, batch: bytes) -> None:
        """Write whole lines; never raises, and never waits for longer than the patience without progress."""
        view = memoryview(b"\n" + batch if self._torn else batch)
        while view and (written := self._write_some(view)):
            self._torn = view[written - 1] != ord("\n")
            view = view[written:]
        if view:
            self.trouble.report(UNREAD, lost=batch.count(b"\n", max(0, len(batch) - len(view))))
        else:
            self.trouble.report("")

    def _write_some(self, view: memoryview) -> int:
        """How much was written; 0 if the reader took nothing in time, or is gone."""
        until = time.monotonic() + self._patience.seconds
        disconnected = 0
        while disconnected < 2:
            try:
                if self._descriptor is None:
                    self._reconnect()
                elif self.trouble and not self._has_room(0):
                    return 0  # a short line might still fit and end the trouble, and the next line would wait again
                return self._put(view)
            except BlockingIOError:
                if time.monotonic() >= min(until, self._patience.until):
                    return 0
                self._has_room(_LOOK_AGAIN_MS)
            except OSError:
                self._disconnect()
                disconnected += 1
        return 0

    def _has_room(self, wait_ms: int) -> bool:
        assert self._descriptor is not None
        poller = select.poll()
        poller.register(self._descriptor, select.POLLOUT)
        return bool(poller.poll(wait_ms))

    def _reconnect(self) -> None:
        self._descriptor = self._connect()
        mode = os.fstat(self._descriptor).st_mode
        self._socket = socket.socket(fileno=self._descriptor) if stat.S_ISSOCK(mode) else None
        self._may_block = os.get_blocking(self._descriptor) and not stat.S_ISREG(mode)

    def _put(self, view: memoryview) -> int:
        """Write what fits. Raises BlockingIOError if nothing does, and OSError."""
        assert self._descriptor is not None
        if self._socket is not None:
            # Each write asks not to block: O_NONBLOCK would hold for other processes that share the descriptor, too.
            return self._socket.send(view, socket.MSG_DONTWAIT)
        if not self._may_block:
            return os.write(self._descriptor, view)
        if not self._has_room(0):
            raise BlockingIOError
        return os.write(self._descriptor, view[:_SHORT])

    def _disconnect(self) -> None:
        with contextlib.suppress(OSError):
            if self._socket is not None:
                self._socket.close()
            elif self._descriptor is not None:
                os.close(self._descriptor)
        self._descriptor = self._socket = None
