"""Lines to a reader that may be slow or gone: waits for it for 5 s, then loses lines, counts and tells them."""

import contextlib
import os
import select
from collections import deque
from collections.abc import Callable

from sched_runner.losses import Losses

PATIENCE = 5.0


class PatientStream:
    """Writes whole lines to a descriptor.

    ``connect`` gives the descriptor (which should not block), and a new one where the reader closed the old; it
    may raise OSError.
    """

    def __init__(
        self, name: str, connect: Callable[[], int], notices: deque[str], *, patience: float = PATIENCE
    ) -> None:
        self._losses = Losses(name, notices)
        self._connect = connect
        self._patience_ms = int(patience * 1000)
        self._descriptor: int | None = None
        self._torn = False

    def write(self, batch: bytes) -> None:
        """Write whole lines; never raises, never blocks for longer than the patience without progress."""
        view = memoryview(b"\n" + batch if self._torn else batch)
        while view and (written := self._write_some(view)):
            self._torn = view[written - 1] != ord("\n")
            view = view[written:]
        if view:
            self._losses.add(batch.count(b"\n", max(0, len(batch) - len(view))), "nobody takes them; scheduler.log has them")
        else:
            self._losses.end()

    def _write_some(self, view: memoryview) -> int:
        """How much was written; 0 where the reader took nothing in time, or is gone."""
        for _ in range(2):
            try:
                if self._descriptor is None:
                    self._descriptor = self._connect()
                return os.write(self._descriptor, view)
            except BlockingIOError:
                if self._losses or not self._await_room():
                    return 0
            except OSError:
                self._disconnect()
        return 0

    def _await_room(self) -> bool:
        assert self._descriptor is not None
        poller = select.poll()
        poller.register(self._descriptor, select.POLLOUT)
        return bool(poller.poll(self._patience_ms))

    def _disconnect(self) -> None:
        if self._descriptor is not None:
            with contextlib.suppress(OSError):
                os.close(self._descriptor)
            self._descriptor = None
