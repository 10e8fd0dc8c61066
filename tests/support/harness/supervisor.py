"""What systemd would be told."""

import select
import socket
import threading
import time
from pathlib import Path

from harness.processes import DEADLINE, wait_until


class Supervisor:
    """A NOTIFY_SOCKET of the test's own, always read, as a full one blocks who writes."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self.address = str(path)
        self.messages: list[tuple[float, str]] = []
        self._read = 0
        self._closed = threading.Event()
        self._reader = threading.Thread(target=self._collect)
        self._reader.start()

    def _collect(self) -> None:
        while not self._closed.is_set():
            if select.select([self._socket], [], [], 0.05)[0]:
                self.messages.append((time.monotonic(), self._socket.recv(65536).decode()))

    def receive(self, seconds: float) -> list[str]:
        """What comes within this time, or what is there already and was not asked for yet."""
        self._closed.wait(seconds)
        return [text for _, text in self._unread()]

    def await_message(self, begin: str, deadline: float = DEADLINE) -> str:
        """Wait for the next one that has a line beginning so; those before it are passed over."""

        def found() -> str | None:
            new = (text for _, text in self._unread(until=begin))
            return next((text for text in new if _has_line(text, begin)), None)

        return wait_until(found, deadline, begin) or ""

    def _unread(self, until: str | None = None) -> list[tuple[float, str]]:
        """Those that were not given yet, up to the first that has the line ``until``."""
        begin = self._read
        while self._read < len(self.messages):
            self._read += 1
            if until is not None and _has_line(self.messages[self._read - 1][1], until):
                break
        return self.messages[begin : self._read]

    def close(self) -> None:
        self._closed.set()
        self._reader.join()
        self._socket.close()


def _has_line(text: str, begin: str) -> bool:
    return any(line.startswith(begin) for line in text.split("\n"))
