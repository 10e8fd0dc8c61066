"""A directory for one tool and one measurement; afterwards nothing of it is left, neither files nor processes."""

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PR_SET_CHILD_SUBREAPER = 36
PROGRAMS = Path(__file__).parent / "programs"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "main-scheduler-bench"
PYTHON = "/usr/bin/python3"


def wait_until(predicate: Callable[[], Any], timeout: float, what: str) -> Any:
    """The predicate's first true value."""
    deadline = time.monotonic() + timeout
    while not (value := predicate()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {timeout:.0f} s: {what}")
        time.sleep(0.001)
    return value


@contextlib.contextmanager
def sandbox() -> Iterator[Path]:
    """An empty directory; what was started meanwhile is killed, daemonised or not."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    before = descendants()
    with tempfile.TemporaryDirectory(prefix="main-scheduler-bench-") as directory:
        try:
            yield Path(directory)
        finally:
            while started := descendants() - before:
                for pid in started:
                    with contextlib.suppress(OSError):
                        os.kill(pid, signal.SIGKILL)
                for pid in _children("self") & started:
                    with contextlib.suppress(ChildProcessError):
                        os.waitpid(pid, 0)


def _children(pid: int | str) -> set[int]:
    with contextlib.suppress(OSError):
        texts = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children")]
        return {int(word) for text in texts for word in text.split()}
    return set()


def descendants(pid: int | str = "self") -> set[int]:
    """All processes below this one."""
    found = _children(pid)
    return found.union(*(descendants(child) for child in found))


def start(
    command: list[Any], directory: Path, *, printed_to: str = "printed", **environ: str
) -> subprocess.Popen[bytes]:
    """Start a tool in its directory; what it prints goes to a file there."""
    words = [str(word) for word in command]
    with open(directory / printed_to, "ab") as printed:
        return subprocess.Popen(
            words,
            cwd=directory,
            env={**os.environ, **environ},
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=printed,
            start_new_session=True,
        )


def stamps(directory: Path) -> list[tuple[float, float]]:
    """What the programs stamped: wall clock and monotonic clock."""
    with contextlib.suppress(FileNotFoundError):
        lines = (directory / "stamps").read_text().splitlines()
        return [(float(wall), float(monotonic)) for wall, monotonic in map(str.split, lines)]
    return []


def cpu_seconds(pid: int) -> float:
    """CPU time of a process, also of its threads that have ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_mib(pid: int, name: str) -> float:
    """``VmRSS``, ``VmHWM`` (the peak) or ``Pss``."""
    file = "smaps_rollup" if name == "Pss" else "status"
    for line in Path(f"/proc/{pid}/{file}").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) / 1024
    raise ValueError(name)


@dataclass
class Ends:
    """When processes end, by name, on the monotonic clock."""

    pidfds: dict[str, int]

    @classmethod
    def watch(cls, pids: dict[str, int]) -> "Ends":
        """Begin to watch, before any of them ends."""
        return cls({name: os.pidfd_open(pid) for name, pid in pids.items()})

    def wait(self, seconds: float) -> dict[str, float]:
        """When each of them ended; those that have not after ``seconds`` are missing."""
        names = {descriptor: name for name, descriptor in self.pidfds.items()}
        deadline = time.monotonic() + seconds
        ended: dict[str, float] = {}
        poller = select.poll()
        for descriptor in names:
            poller.register(descriptor, select.POLLIN)
        while len(ended) < len(names) and time.monotonic() < deadline:
            for descriptor, _ in poller.poll(50):
                ended[names[descriptor]] = time.monotonic()
                poller.unregister(descriptor)
        for descriptor in names:
            os.close(descriptor)
        return ended
