"""The processes below this one: finding them, signalling them, and sweeping what a run left behind."""

import contextlib
import ctypes
import functools
import os
import select
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from sched_runner import words

_PR_SET_CHILD_SUBREAPER = 36  # prctl(2)
_GIVE_UP_AFTER = 5.0
_LOOK_AGAIN_MS = 20
_HIDDEN = -1  # the session of a process that /proc hides


class Process(NamedTuple):
    """A process; ``start`` (clock ticks since boot) tells it from a later one with the same pid."""

    pid: int
    start: int
    session: int


def become_subreaper() -> None:
    """Make orphans among our descendants our children from now on, daemonised ones too. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "PR_SET_CHILD_SUBREAPER")


def _read(path: str) -> bytes:
    # pathlib interns every name, so every pid: 0.9 MiB in 5,000 runs.
    with open(path, "rb") as file:
        return file.read()


def _children(pid: int) -> list[int]:
    # Not a scan of /proc: under ProtectProc=invisible another user's processes do not show there.
    found: list[int] = []
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError):
                found += map(int, _read(f"/proc/{pid}/task/{thread}/children").split())
    return found if found or _lists_children() else _scan_for_children(pid)


@functools.cache
def _lists_children() -> bool:
    """Whether this kernel lists children in /proc (CONFIG_PROC_CHILDREN); gVisor, for instance, does not."""
    try:
        _read(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
    except OSError:
        return False
    return True


def _scan_for_children(pid: int) -> list[int]:
    found = []
    for entry in os.listdir("/proc"):
        with contextlib.suppress(OSError):
            if entry.isdecimal() and int(_fields(int(entry))[1]) == pid:
                found.append(int(entry))
    return found


def _fields(pid: int) -> list[bytes]:
    """The fields of /proc/PID/stat, from the state on (proc(5)). Raises OSError."""
    stat = _read(f"/proc/{pid}/stat")
    return stat[stat.rindex(b")") + 2 :].split()


def _look_up(pid: int) -> Process | None:
    """The process, or None if it has ended."""
    try:
        fields = _fields(pid)
    except FileNotFoundError:
        return Process(pid, 0, _HIDDEN) if _is_hidden(pid) else None
    except OSError:
        return None
    return None if fields[0] in b"ZX" else Process(pid, int(fields[19]), int(fields[3]))


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
        if command := _read(f"/proc/{process.pid}/cmdline").replace(b"\0", b" ").decode(errors="replace").strip():
            return f"{process.pid} ({words.printable(command, 60)})"
    return f"{process.pid}"


class Sweeper:
    """Finds, signals and ends what a run has started.

    A process that the scheduler had before, such as a daemon that a container's entry point has started, is not part of
    the run: main.py begins a session, and what it starts is in that session or in later ones. The sweeper remembers the
    processes that it cannot kill, and gives each of them up only once.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._given_up: set[Process] = set()
        self._sessions = {os.getsid(0)}

    def begin(self) -> None:
        """Note which processes are there before a run begins: they do not belong to it.

        If an earlier run has left processes that could not be killed, note nothing: they may have started others.
        """
        self._forget_ended()
        if not self._given_up:
            self._sessions = {os.getsid(0), *(process.session for process in self._descendants(set()))} - {_HIDDEN}

    def _descendants(self, sessions: set[int]) -> Iterator[Process]:
        """All living processes below this one, without those in these sessions and without what is below those."""
        pending = _children(os.getpid())
        while pending:
            if (process := _look_up(pending.pop())) and process.session not in sessions:
                yield process
                pending += _children(process.pid)

    def left(self) -> list[Process]:
        """The living processes of the run that have not been given up."""
        found = self._descendants(self._sessions)
        return [process for process in found if process not in self._given_up]

    def signal(self, number: int) -> list[Process]:
        """Send a signal to every process of the run; gives these processes."""
        processes = self.left()
        _send(number, processes)
        return processes

    def sweep(self) -> tuple[dict[Process, str], dict[Process, str]]:
        """Kill until nothing of the run is left, for 5 s at most. Gives those killed and those given up, described."""
        deadline = self._clock() + _GIVE_UP_AFTER
        seen: dict[Process, str] = {}
        # If a process has died while we looked, we may have missed its child: look again.
        while (left := self.left()) or reap():
            seen |= {process: describe(process) for process in left if process not in seen}
            _send(signal.SIGKILL, left)
            if self._clock() >= deadline:
                break
            if left:
                _await_end(left[0].pid)
        self._given_up |= set(left)
        self._forget_ended()
        return {p: text for p, text in seen.items() if p not in left}, {p: seen[p] for p in left}

    def _forget_ended(self) -> None:
        self._given_up = {process for process in self._given_up if _look_up(process.pid) == process}


def _send(number: int, processes: Iterable[Process]) -> None:
    for process in processes:
        with contextlib.suppress(OSError):
            os.kill(process.pid, number)


def reap() -> bool:
    """Collect our dead children; gives whether there were any. If main.py is among them, its wait status is lost."""
    found = False
    for pid in _children(os.getpid()):
        with contextlib.suppress(ChildProcessError):
            found = bool(os.waitpid(pid, os.WNOHANG)[0]) or found
    return found


def _await_end(pid: int) -> None:
    with contextlib.suppress(OSError):
        pidfd = os.pidfd_open(pid)
        try:
            poller = select.poll()  # select() takes no descriptor above 1023
            poller.register(pidfd, select.POLLIN)
            poller.poll(_LOOK_AGAIN_MS)
        finally:
            os.close(pidfd)
