"""What systemd is told (sd_notify(3)); silent where there is no systemd."""

import contextlib
import time
from collections.abc import Callable

# The sender: systemd's library costs 9 ms to import, and is not needed when started by hand.
_senders: list[Callable[[str], object]] = []


def enable() -> None:
    """From here on, tell systemd (at the address that NOTIFY_SOCKET gives)."""
    from systemd import daemon

    _senders[:] = [daemon.notify]


def _send(*assignments: str) -> None:
    for send in _senders:
        # NOTIFY_SOCKET may be another's, inherited: nobody then waits for this.
        with contextlib.suppress(OSError):
            send("\n".join(assignments))


def ready(status: str) -> None:
    """The schedule stands."""
    _send("READY=1", f"STATUS={status}")


def status(text: str) -> None:
    """One line for ``systemctl status``."""
    _send(f"STATUS={text}")


def watchdog_ping() -> None:
    """The schedule is being kept."""
    _send("WATCHDOG=1")


def reloading() -> None:
    """The settings are being read again; ``ready`` ends it."""
    now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    _send("RELOADING=1", f"MONOTONIC_USEC={now}")


def stopping(within: float) -> None:
    """The scheduler is about to end, and may need ``within`` seconds for it."""
    _send("STOPPING=1", f"EXTEND_TIMEOUT_USEC={int(within * 1e6)}", "STATUS=stopping")
