"""Lines to a reader that may be slow or gone: waits for the reader, then loses lines, and counts and tells them."""

import contextlib
import math
import os
import select
import socket
import stat
import time
from collections.abc import Callable
from functools import partial

from sched_runner.troubles import Trouble

PATIENCE = 5.0
# After a stop or a time-out all slow readers together have this time, so that these are kept within 5 s.
_LAST_WORDS = 3.0
# A socket is reported as writable only when three quarters of its buffer are free, which for a journal that reads 8 MB
# can take longer than the patience: there is room to write long before.
_LOOK_AGAIN_MS = 100
# A write of so many bytes to a terminal or pipe that has room does not block.
_SHORT = 256
_REASON = "nobody takes them; scheduler.log has them"

Write = Callable[[memoryview], int]


class Patience:
    """Until when slow readers are waited for at all; the streams of a process share it."""

    def __init__(self) -> None:
        self._run_until = self._stop_until = math.inf

    @property
    def until(self) -> float:
        """A time of the monotonic clock."""
        return min(self._run_until, self._stop_until)

    def end_at(self, deadline: float) -> None:
        """Somebody waits for the end of the run from ``deadline`` on, a time of the monotonic clock."""
        self._run_until = deadline + _LAST_WORDS

    def end_now(self) -> None:
        """The scheduler is being stopped; safe in a signal handler."""
        self._stop_until = min(self._stop_until, time.monotonic() + _LAST_WORDS)


class PatientStream:
    """Writes whole lines to a descriptor.

    ``connect`` gives the descriptor, and a new one if the reader has closed the old one; it may raise OSError. While
    ``given_up`` is true, another stream has waited for the same reader in vain.
    """

    def __init__(
        self,
        name: str,
        connect: Callable[[], int],
        shared: Patience,
        *,
        patience: float = PATIENCE,
        given_up: Callable[[], bool] = lambda: False,
    ) -> None:
        self.trouble = Trouble(name)
        self._connect = connect
        self._shared = shared
        self._patience = patience
        self._given_up = given_up
        self._descriptor: int | None = None
        self._put: Write = partial(os.write, -1)
        self._torn = False

    def write(self, batch: bytes) -> None:
        """Write whole lines; never raises, and never waits for longer than the patience without progress."""
        view = memoryview(b"\n" + batch if self._torn else batch)
        while view and (written := self._write_some(view)):
            self._torn = view[written - 1] != ord("\n")
            view = view[written:]
        if view:
            self.trouble.report(_REASON, lost=batch.count(b"\n", max(0, len(batch) - len(view))))
        else:
            self.trouble.report("")

    def _write_some(self, view: memoryview) -> int:
        """How much was written; 0 if the reader took nothing in time, or is gone."""
        until = time.monotonic() + (0 if self.trouble or self._given_up() else self._patience)
        disconnected = 0
        while disconnected < 2:
            try:
                if self._descriptor is None:
                    self._reconnect()
                elif self.trouble and not self._has_room(0):
                    return 0  # a short line might find room all the same, and the next would wait again
                return self._put(view)
            except BlockingIOError:
                if time.monotonic() >= min(until, self._shared.until):
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
        if stat.S_ISSOCK(mode):
            # Not to block is said with each write: the descriptor may be shared with other processes.
            self._put = partial(_send, socket.socket(fileno=self._descriptor))
        elif os.get_blocking(self._descriptor) and not stat.S_ISREG(mode):
            self._put = self._put_short
        else:
            self._put = partial(os.write, self._descriptor)

    def _put_short(self, view: memoryview) -> int:
        if not self._has_room(0):
            raise BlockingIOError
        assert self._descriptor is not None
        return os.write(self._descriptor, view[:_SHORT])

    def _disconnect(self) -> None:
        self._put = partial(os.write, -1)  # closes a socket
        if self._descriptor is not None:
            with contextlib.suppress(OSError):
                os.close(self._descriptor)
            self._descriptor = None


def _send(connection: socket.socket, view: memoryview) -> int:
    return connection.send(view, socket.MSG_DONTWAIT)
