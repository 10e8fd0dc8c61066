"""Messages to systemd (sd_notify(3)); nothing is sent if there is no systemd.

A message is text, and each of its lines is an assignment. The text of a status comes from elsewhere, so it goes through
the filter that leaves no newline.
"""

import math
import os
import socket
import time
from collections.abc import Mapping

from sched_runner import words

_LONGEST_STATUS = 400  # characters
_PATIENCE = 2.0  # seconds


class Notifier:
    """Tells systemd at the address that NOTIFY_SOCKET gives; if nobody reads there, only the first message waits."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        address = environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._socket: socket.socket | None = None
        self._patience = _PATIENCE

    def ready(self, status: str) -> None:
        """Say that the schedule is in place."""
        self._send("READY=1", _status(status))

    def status(self, text: str) -> None:
        """Say one line for ``systemctl status``."""
        self._send(_status(text))

    def watchdog_ping(self) -> None:
        """Say that the schedule is being kept."""
        self._send("WATCHDOG=1")

    def reloading(self) -> None:
        """Say that the settings are being read again, until ``ready`` is called."""
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._send("RELOADING=1", f"MONOTONIC_USEC={now}")

    def stopping(self, within: float) -> None:
        """Say that the scheduler is about to end, for which it may need ``within`` seconds."""
        self._send("STOPPING=1", f"EXTEND_TIMEOUT_USEC={int(within * 1e6)}", "STATUS=stopping")

    def _send(self, *assignments: str) -> None:
        if not self._address:
            return
        try:
            self._socket = self._socket or socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._socket.settimeout(self._patience)
            self._socket.sendto("\n".join(assignments).encode(), self._address)
        except OSError:
            self._patience = 0.0  # the address may be inherited from another service, and nobody reads there
        else:
            self._patience = _PATIENCE


def _status(text: str) -> str:
    return f"STATUS={words.printable(text, _LONGEST_STATUS)}"


def watchdog(environ: Mapping[str, str]) -> float:
    """The time of systemd's watchdog in seconds (sd_watchdog_enabled(3)); infinite if none watches this process."""
    is_meant = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
    usec = environ.get("WATCHDOG_USEC", "")
    return int(usec) / 1e6 if is_meant and usec.isdigit() and int(usec) else math.inf
