"""Lines to a reader that may be slow or gone: waits for it for 5 s, then loses lines, counts and tells them."""

import contextlib
import os
import select
import time
from collections import deque
from collections.abc import Callable

from sched_runner.losses import Losses

PATIENCE = 5.0
# A socket is reported as writable only when three quarters of its buffer are free, which for a journal that reads 8 MB
# can take longer than the patience: there is room to write long before.
_LOOK_AGAIN_MS = 100


class PatientStream:
    """Writes whole lines to a descriptor.

    ``connect`` gives the descriptor (which should not block), and a new one where the reader closed the old; it
    may raise OSError. While ``given_up`` is true, another stream has waited for the same reader in vain.
    """

    def __init__(
        self,
        name: str,
        connect: Callable[[], int],
        notices: deque[str],
        *,
        patience: float = PATIENCE,
        given_up: Callable[[], bool] = lambda: False,
    ) -> None:
        self._losses = Losses(name, notices)
        self._connect = connect
        self._patience = patience
        self._given_up = given_up
        self._descriptor: int | None = None
        self._torn = False

    def write(self, batch: bytes) -> None:
        """Write whole lines; never raises, never blocks for longer than the patience without progress."""
        view = memoryview(b"\n" + batch if self._torn else batch)
        while view and (written := self._write_some(view)):
            self._torn = view[written - 1] != ord("\n")
            view = view[written:]
        if view:
            self._losses.add(
                batch.count(b"\n", max(0, len(batch) - len(view))), "nobody takes them; scheduler.log has them"
            )
        else:
            self._losses.end()

    @property
    def is_losing(self) -> bool:
        """Whether the last lines were lost."""
        return bool(self._losses)

    def _write_some(self, view: memoryview) -> int:
        """How much was written; 0 where the reader took nothing in time, or is gone."""
        until = time.monotonic() + (0 if self._losses or self._given_up() else self._patience)
        disconnected = 0
        while disconnected < 2:
            try:
                if self._descriptor is None:
                    self._descriptor = self._connect()
                elif self._losses and not self._has_room(0):
                    return 0  # a short line might find room all the same, and the next would wait again
                return os.write(self._descriptor, view)
            except BlockingIOError:
                if time.monotonic() >= until:
                    return 0
                self._await_room()
            except OSError:
                self._disconnect()
                disconnected += 1
        return 0

    def _await_room(self) -> None:
        self._has_room(_LOOK_AGAIN_MS)

    def _has_room(self, wait_ms: int) -> bool:
        assert self._descriptor is not None
        poller = select.poll()
        poller.register(self._descriptor, select.POLLOUT)
        return bool(poller.poll(wait_ms))

    def _disconnect(self) -> None:
        if self._descriptor is not None:
            with contextlib.suppress(OSError):
                os.close(self._descriptor)
            self._descriptor = None
