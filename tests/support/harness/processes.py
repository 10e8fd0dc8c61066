"""Processes as they are seen from outside: what a test has started, what came of it, and as whom it runs."""

import contextlib
import os
import shutil
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

import sched_runner

DEADLINE = 60.0
_TICK = 0.01
_TAG = "TEST_TAG"
_LIBRARIES = ("APScheduler", "python-dotenv")

T = TypeVar("T")


def wait_until(predicate: Callable[[], T], deadline: float = DEADLINE, what: str = "") -> T:
    """Gives what the predicate gives as soon as that is true; fails after ``deadline`` seconds."""
    until = time.monotonic() + deadline
    while True:
        found = predicate()
        if found:
            return found
        if time.monotonic() > until:
            raise AssertionError(f"not within {deadline} s: {what or predicate}")
        time.sleep(_TICK)


class Processes:
    """The living processes that a test has started, and all that came of them: they share a tag in the environment."""

    def __init__(self) -> None:
        self.tag = uuid.uuid4().hex
        self._mark = f"{_TAG}={self.tag}".encode()

    def environment(self) -> dict[str, str]:
        return {_TAG: self.tag}

    def alive(self) -> dict[int, str]:
        """Pids with their command lines; zombies are not alive."""
        found = {}
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                with contextlib.suppress(OSError):
                    if self._mark in Path(f"/proc/{entry}/environ").read_bytes().split(b"\0"):
                        words = Path(f"/proc/{entry}/cmdline").read_bytes().replace(b"\0", b" ")
                        found[int(entry)] = words.decode(errors="replace")
        return found

    def kill(self) -> None:
        """End all that is left, again and again: they may be forking."""

        def none_left() -> bool:
            left = self.alive()
            for pid in left:
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
            return not left

        wait_until(none_left, what="an end of all processes of the test")


class Command:
    """A started main-scheduler."""

    def __init__(self, line: Sequence[str], env: dict[str, str], cwd: Path, **options: Any) -> None:
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
        self.process = subprocess.Popen(line, env=env, cwd=cwd, **{**streams, **options})
        self.pid = self.process.pid

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def wait(self, deadline: float = DEADLINE) -> int:
        return self.process.wait(deadline)

    def stop(self, deadline: float = DEADLINE) -> int:
        """SIGTERM; gives the exit status."""
        self.signal(signal.SIGTERM)
        return self.wait(deadline)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def await_handlers(self) -> None:
        """Wait until a SIGTERM is one for the scheduler's own handler, or until it has ended."""
        bit = 1 << (signal.SIGTERM - 1)
        wait_until(
            lambda: self.process.poll() is not None or int(self.proc("SigCgt"), 16) & bit, what="a handler of SIGTERM"
        )

    def proc(self, name: str) -> str:
        """A field of /proc/PID/status."""
        text = Path(f"/proc/{self.pid}/status").read_text()
        return next(line.split(":")[1].strip() for line in text.splitlines() if line.startswith(f"{name}:"))

    def kib(self, name: str) -> int:
        return int(self.proc(name).split()[0])

    def reset_peak(self) -> None:
        """The peak memory is counted from here (proc(5), clear_refs)."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def cpu(self) -> float:
        """Seconds of its own so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def descriptors(self) -> list[str]:
        return os.listdir(f"/proc/{self.pid}/fd")

    def zombies(self) -> list[int]:
        """Children that have ended and not been waited for."""
        return [pid for pid in self.children() if _state(pid) == "Z"]

    def children(self) -> list[int]:
        found = []
        for thread in os.listdir(f"/proc/{self.pid}/task"):
            with contextlib.suppress(OSError):
                found += [int(pid) for pid in Path(f"/proc/{self.pid}/task/{thread}/children").read_text().split()]
        return found


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def copy_for_everybody(target: Path) -> None:
    """A copy of the package and its libraries: those of the tests may lie where only root can read, as under /root."""
    shutil.copytree(Path(sched_runner.__file__).parent, target / "sched_runner")
    for name in _LIBRARIES:
        found = metadata.distribution(name)
        for file in found.files or ():  # none where the distribution has installed it, and then everybody can read it
            source = Path(str(found.locate_file(file)))
            if ".." not in file.parts and source.is_file():
                (target / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target / file)
    for path in (target, *target.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)


def unprivileged_prefix() -> list[str]:
    """For a command that shall run as an ordinary user: none of its own needed where the tests run as one."""
    if os.getuid() != 0:
        return []
    return ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]


def tmpfs_prefix(mounts: dict[Path, str]) -> list[str]:
    """For a command that shall see small file-systems of its own at these places; nobody else sees them."""
    script = "".join(f"mount -t tmpfs -o {options} tmpfs '{path}' && " for path, options in mounts.items())
    flags = ["-m"] if os.getuid() == 0 else ["-rm"]
    return ["unshare", *flags, "sh", "-c", script + 'exec "$@"', "sh"]


def can_mount() -> bool:
    """Whether this user may mount in a namespace of his own."""
    if not shutil.which("unshare"):
        return False
    line = [*tmpfs_prefix({Path("/mnt"): "size=64k"}), "true"]
    return subprocess.run(line, capture_output=True, check=False).returncode == 0
