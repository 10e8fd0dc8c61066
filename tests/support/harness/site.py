"""A directory with a main.py, the real command in it, and what is there afterwards."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import sched_runner
from harness.processes import DEADLINE, Command, Processes, wait_until

SUPPORT = Path(__file__).parents[1]
PACKAGE = Path(sched_runner.__file__).parents[1]
# Time, channel, run, "|" for the begin of a line or "+" where it continues the line before, text.
_LINE = re.compile(rb"\S+ (stdout|stderr) run (\d+) ([|+]) ")


class Site:
    """A directory with a main.py, and the schedulers that are started there."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.processes = Processes()
        self.commands: list[Command] = []
        self.python = sys.executable
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

    def use_copies(self, libraries: Path) -> None:
        """The scheduler is run from here, by a Python outside of the tests' virtual environment."""
        self.python = os.path.realpath(sys.executable)
        self.env["PYTHONPATH"] = str(libraries)

    # The command

    def line(self, *arguments: str, patch: str = "") -> list[str]:
        if not patch:
            return [self.python, "-m", "sched_runner", *arguments]
        number = len(list(self.path.glob("patch*.py")))
        file = self.path / f"patch{number}.py"
        file.write_text(textwrap.dedent(patch))
        return [self.python, str(SUPPORT / "launcher.py"), str(file), *arguments]

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
        """state.json; empty if there is none yet, or none that this user may read."""
        try:
            return json.loads((self.own / "state.json").read_text())
        except (FileNotFoundError, PermissionError):
            return {}

    def runs(self) -> list[dict[str, Any]]:
        """The runs that have ended."""
        return self.state().get("runs", [])

    def outcomes(self) -> list[str]:
        return [run["outcome"] for run in self.runs()]

    def await_runs(self, count: int = 1, deadline: float = DEADLINE) -> list[dict[str, Any]]:
        """Wait until so many runs have ended, and are told where the log can be written; gives them."""
        runs = wait_until(lambda: len(self.runs()) >= count and self.runs(), deadline, f"{count} runs")
        summary = f"run {runs[-1]['number']} {runs[-1]['outcome']}".encode()
        with contextlib.suppress(AssertionError):
            wait_until(lambda: summary in self.log(), 0.5)
        return runs

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
        """scheduler.log with its backups, oldest first; without what is not there, or not for this user to read."""
        text = b""
        for name in (*(f"scheduler.log.{number}" for number in range(9, 0, -1)), "scheduler.log"):
            with contextlib.suppress(FileNotFoundError, PermissionError):
                text += (self.own / name).read_bytes()
        return text

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


def gaps(times: Sequence[float]) -> list[float]:
    """The times between one and the next."""
    return [later - earlier for earlier, later in pairwise(times)]


def share_a_grid(before: Sequence[float], after: Sequence[float], interval: float, count: int = 3) -> bool:
    """Whether a start of those before and so many of those after lie on one grid, within a fifth of the interval.

    A busy machine makes single starts late, by any time; a schedule that was moved makes all of them late or early.
    """

    def punctual(times: Sequence[float], grid: float) -> int:
        return sum((when - grid + 0.02) % interval < interval / 5 for when in times)

    return any(punctual(before, grid) and punctual(after, grid) >= count for grid in (*before, *after))
