"""The processes below this one: finding them, signalling them, and sweeping what a run left behind."""

import contextlib
import ctypes
import os
import select
import signal
import time
from collections.abc import Callable
from typing import NamedTuple

_PR_SET_CHILD_SUBREAPER = 36  # prctl(2)
_GIVE_UP_AFTER = 5.0
_LOOK_AGAIN_MS = 20


class Process(NamedTuple):
    """A process; ``start`` (clock ticks since boot) tells it from a later one with the same pid."""

    pid: int
    start: int


def become_subreaper() -> None:
    """From now on orphans of our descendants become our children, daemonised ones too. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "PR_SET_CHILD_SUBREAPER")


def _read(path: str) -> bytes:
    # pathlib interns every name, so every pid: 0.9 MiB in 5,000 runs.
    with open(path, "rb") as file:
        return file.read()


def _children(pid: int | str) -> list[int]:
    # Not a scan of /proc: under ProtectProc=invisible another user's processes do not show there.
    found: list[int] = []
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError):
                found += map(int, _read(f"/proc/{pid}/task/{thread}/children").split())
    return found


def descendants() -> list[Process]:
    """All living processes below this one."""
    found: list[Process] = []
    pending = _children("self")
    while pending:
        pid = pending.pop()
        pending += _children(pid)
        if process := _look_up(pid):
            found.append(process)
    return found


def _look_up(pid: int) -> Process | None:
    """The process, or None where it has ended."""
    try:
        stat = _read(f"/proc/{pid}/stat")
    except FileNotFoundError:
        return Process(pid, 0) if _is_hidden(pid) else None
    except OSError:
        return None
    fields = stat[stat.rindex(b")") + 2 :].split()
    return None if fields[0] in b"ZX" else Process(pid, int(fields[19]))


def _is_hidden(pid: int) -> bool:
    """Whether the process is there although /proc hides it: another user's, under ProtectProc=invisible."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except ProcessLookupError:
        return False
    return False


def describe(process: Process) -> str:
    """``4711 (sleep 600)``: the pid and what is running there."""
    with contextlib.suppress(OSError):
        words = _read(f"/proc/{process.pid}/cmdline").split(b"\0")
        if command := b" ".join(words).decode(errors="replace").strip():
            shown = "".join(c if c.isprintable() else "?" for c in command)
            return f"{process.pid} ({shown[:60]})"
    return f"{process.pid}"


def command_name(pid: int) -> str:
    """What the process last executed, a zombie's too, cut to 15 bytes (proc_pid_comm(5)); empty where it is gone."""
    with contextlib.suppress(OSError):
        return _read(f"/proc/{pid}/comm").decode(errors="replace").strip()
    return ""


def signal_all(number: int) -> None:
    """Send a signal to every process below this one."""
    for process in descendants():
        with contextlib.suppress(OSError):
            os.kill(process.pid, number)


class Sweeper:
    """Kills what a run left behind, and remembers what cannot be killed, so as to give it up only once."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._given_up: set[Process] = set()

    def left(self) -> list[Process]:
        """The processes below this one that have not been given up."""
        return [process for process in descendants() if process not in self._given_up]

    def sweep(self) -> tuple[dict[Process, str], dict[Process, str]]:
        """Kill until nothing is left, for 5 s at most. Gives the killed and the given up, with descriptions."""
        deadline = self._clock() + _GIVE_UP_AFTER
        seen: dict[Process, str] = {}
        # Where one has died while we looked, its child may have been missed: look again.
        while (left := self.left()) + _reap():
            seen |= {process: describe(process) for process in left if process not in seen}
            for process in left:
                with contextlib.suppress(OSError):
                    os.kill(process.pid, signal.SIGKILL)
            if self._clock() >= deadline:
                break
            if left:
                _await_end(left[0].pid)
        self._given_up = {process for process in self._given_up | set(left) if _look_up(process.pid) == process}
        return {p: text for p, text in seen.items() if p not in left}, {p: seen[p] for p in left}


def _reap() -> list[Process]:
    """Collect our dead children. To be called only when main.py has been waited for: its status would be lost."""
    dead = []
    for pid in _children("self"):
        with contextlib.suppress(ChildProcessError):
            if os.waitpid(pid, os.WNOHANG)[0]:
                dead.append(Process(pid, 0))
    return dead


def _await_end(pid: int) -> None:
    with contextlib.suppress(OSError):
        pidfd = os.pidfd_open(pid)
        try:
            poller = select.poll()  # select() takes no descriptor above 1023
            poller.register(pidfd, select.POLLIN)
            poller.poll(_LOOK_AGAIN_MS)
        finally:
            os.close(pidfd)
