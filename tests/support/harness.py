"""The real command with real children in a directory of its own, and what a test can see of it from outside."""

import contextlib
import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import sched_runner

SUPPORT = Path(__file__).parent
PACKAGE = Path(sched_runner.__file__).parents[1]
DEADLINE = 20.0
_TICK = 0.01
_TAG = "TEST_TAG"
# Time, channel, run, "|" for the begin of a line or "+" where it continues the line before, text.
_LINE = re.compile(rb"\S+ (stdout|stderr) run (\d+) ([|+]) ")

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
        """Wait until a SIGTERM is one for the scheduler's own handler."""
        bit = 1 << (signal.SIGTERM - 1)
        wait_until(lambda: int(self.proc("SigCgt"), 16) & bit, what="a handler of SIGTERM")

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


class Site:
    """A directory with a main.py, and the schedulers that are started there."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.processes = Processes()
        self.commands: list[Command] = []
        keep = ("PATH", "HOME", "USER", "LANG", "TMPDIR")
        self.env = {name: os.environ[name] for name in keep if name in os.environ}
        self.env |= self.processes.environment() | {"PYTHONDONTWRITEBYTECODE": "1", "SCHED_INTERVAL": "1s"}
        if "PYTHONPATH" in os.environ:
            self.env["PYTHONPATH"] = str(PACKAGE)

    # What is there before

    def main(self, source: str, name: str = "main.py") -> Path:
        """Write the script, in place of the one before."""
        new = self.path / f".{name}.new"
        new.write_text(textwrap.dedent(source))
        return new.replace(self.path / name)

    def shell(self, source: str) -> Path:
        """A script for sh, which starts faster."""
        self.env["SCHED_PYTHON"] = "/bin/sh"
        return self.main(source)

    def use(self, program: str) -> Path:
        """One of the programs in tests/support as main.py."""
        return self.main((SUPPORT / program).read_text())

    def fifo(self, name: str) -> Path:
        path = self.path / name
        os.mkfifo(path)
        return path

    # The command

    def line(self, *arguments: str, patch: str = "") -> list[str]:
        if not patch:
            return [sys.executable, "-m", "sched_runner", *arguments]
        number = len(list(self.path.glob("patch*.py")))
        file = self.path / f"patch{number}.py"
        file.write_text(textwrap.dedent(patch))
        return [sys.executable, str(SUPPORT / "launcher.py"), str(file), *arguments]

    def start(
        self, *arguments: str, patch: str = "", prefix: Sequence[str] = (), options: Any = None, **env: str
    ) -> Command:
        """Start the scheduler; ``patch`` is Python that is executed in its process first."""
        line = [*prefix, *self.line(*(arguments or ("run",)), patch=patch)]
        command = Command(line, self.env | env, self.path, **(options or {}))
        self.commands.append(command)
        return command

    def call(
        self, *arguments: str, deadline: float = 60, patch: str = "", **env: str
    ) -> subprocess.CompletedProcess[str]:
        """Run the command to its end; ``patch`` as for start()."""
        return subprocess.run(
            self.line(*arguments, patch=patch),
            env=self.env | env,
            cwd=self.path,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=deadline,
            check=False,
        )

    def end(self) -> None:
        """End whatever is left of the test."""
        self.processes.kill()
        for command in self.commands:
            command.process.wait()
            if command.process.stderr:
                command.process.stderr.close()

    # What is there afterwards

    @property
    def own(self) -> Path:
        return self.path / "scheduler"

    @property
    def marker(self) -> Path:
        return self.own / "last_success.txt"

    def state(self) -> dict[str, Any]:
        """state.json; empty where there is none yet."""
        try:
            return json.loads((self.own / "state.json").read_text())
        except FileNotFoundError:
            return {}

    def runs(self) -> list[dict[str, Any]]:
        """The runs that have ended."""
        return self.state().get("runs", [])

    def outcomes(self) -> list[str]:
        return [run["outcome"] for run in self.runs()]

    def await_runs(self, count: int = 1, deadline: float = DEADLINE) -> list[dict[str, Any]]:
        """Wait until so many runs have ended; gives them."""
        return wait_until(lambda: len(self.runs()) >= count and self.runs(), deadline, f"{count} runs")

    def ask_for_a_run(self, scheduler: Command, ask: Callable[[], object] | None = None) -> None:
        """Have one run begin by a signal, or by ``ask``; a scheduler whose last run is just ending refuses: ask again."""
        number = self.state().get("number", 0)

        def refused() -> int:
            return self.log().count(b"asked to run now, but")

        while self.state().get("number", 0) == number:
            before = refused()
            if ask:
                ask()
            else:
                scheduler.signal(signal.SIGUSR1)
            wait_until(lambda before=before: self.state()["number"] > number or refused() > before, what="an answer")

    def log(self) -> bytes:
        """scheduler.log with its backups, oldest first."""
        names = [*(f"scheduler.log.{number}" for number in range(9, 0, -1)), "scheduler.log"]
        return b"".join((self.own / name).read_bytes() for name in names if (self.own / name).exists())

    def output(self, channel: str = "stdout", run: int | None = None) -> bytes:
        """What main.py wrote, put together again from scheduler.log."""
        return joined(self.log(), channel, run)

    def errors(self) -> str:
        path = self.own / "scheduler.err"
        return path.read_text() if path.exists() else ""

    def own_lines(self, level: str = "WARNING") -> list[str]:
        """The scheduler's own lines of a level, in scheduler.log."""
        lines = self.log().decode(errors="replace").splitlines()
        return [line for line in lines if line.split(" ")[1:2] == [level]]

    def times(self, name: str = "times") -> list[float]:
        """What main.py recorded there, one number a line."""
        path = self.path / name
        return [float(line) for line in path.read_text().splitlines()] if path.exists() else []

    def await_file(self, name: str, deadline: float = DEADLINE) -> str:
        """Wait until main.py has written a line there; gives the text."""
        path = self.path / name
        return wait_until(
            lambda: path.exists() and path.read_text().endswith("\n") and path.read_text(), deadline, f"{path}"
        )


def joined(log: bytes, channel: str = "stdout", run: int | None = None) -> bytes:
    """What main.py wrote on a channel, from the lines of a log."""
    parts: list[bytes] = []
    for line in log.split(b"\n"):
        if match := _LINE.match(line):
            its_channel, its_run, sign = match.groups()
            if its_channel == channel.encode() and run in (None, int(its_run)):
                if sign == b"+":
                    parts[-1:] = [parts[-1][:-1]] if parts else []
                parts.append(line[match.end() :] + b"\n")
    return b"".join(parts)


class Supervisor:
    """What systemd would be told: a NOTIFY_SOCKET of the test's own, always read, as a full one blocks who writes."""

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


def gaps(times: Sequence[float]) -> list[float]:
    """The times between one and the next."""
    return [later - earlier for earlier, later in pairwise(times)]


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
