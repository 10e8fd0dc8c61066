"""One run of main.py: start, wait, time out, sweep; gives a RunResult."""

import contextlib
import errno
import math
import os
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from sched_runner.capture import Capture
from sched_runner.config import Settings
from sched_runner.outcome import Outcome, RunResult, classify, decode
from sched_runner.processes import Sweeper, command_name, signal_all

# Given up when a KILL has not ended it after this time, in seconds.
_KILL_LASTS = 5.0
_LOOK_AGAIN = 0.02

# PR_SET_PDEATHSIG without preexec_fn, which is unsafe with threads: main.py dies with the scheduler, also where
# the scheduler dies before the prctl: then sh has another parent. A line on standard input says that the run is due;
# the name that read needs must be none of main.py's.
# Short of memory, the kernel shall take main.py.
_LAUNCHER = (
    "/usr/bin/setpriv",
    "--pdeathsig",
    "KILL",
    "/bin/sh",
    "-c",
    """
echo 0 2>/dev/null >/proc/self/oom_score_adj
read -r _SCHED_DUE && [ "$PPID" = "$0" ] || exit
exec "$@" </dev/null
""",
)
_LAUNCHER_NAMES = ("setpriv", "sh")
_CANNOT_EXEC = (126, 127)

# What belongs to the scheduler alone (sd_notify(3), sd_listen_fds(3), systemd.exec(5)).
_NOT_FOR_MAIN = (
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "LISTEN_PID",
    "JOURNAL_STREAM",
    "SYSTEMD_EXEC_PID",
    "MAINPID",
)


class _Phase(Enum):
    RUNNING = "running"
    ENDING = "TERM was sent"
    KILLING = "KILL was sent"
    GIVEN_UP = "main.py cannot be killed"


@dataclass(frozen=True)
class Leftovers:
    """What had to be killed when main.py had ended, and what could not be: pids with descriptions."""

    killed: tuple[str, ...] = ()
    given_up: tuple[str, ...] = ()


def environment(inherited: Mapping[str, str], settings: Settings, number: int) -> dict[str, str]:
    """What main.py gets for an environment."""
    env = {name: value for name, value in inherited.items() if name not in _NOT_FOR_MAIN}
    env.setdefault("PYTHONUNBUFFERED", "1")  # or what it printed before a KILL is lost
    return env | {"SCHED_RUN": str(number), "SCHED_ENV": settings.environment}


def command(settings: Settings) -> list[str]:
    """The command line of main.py. Raises OSError, naming script or interpreter, where it cannot be run."""
    python = shutil.which(settings.python)
    if python is None:
        if "/" in settings.python:
            os.stat(settings.python)  # says why, where it cannot be seen
        raise OSError(f"the interpreter {settings.python} is not there, or may not be executed")
    if settings.main.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(settings.main))
    os.close(os.open(settings.main, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))
    return [python, str(settings.main), *settings.args]


class Run:
    """One execution of main.py, ended early when the descriptor ``stop`` becomes readable."""

    def __init__(
        self,
        number: int,
        settings: Settings,
        environ: Mapping[str, str],
        capture: Capture,
        sweeper: Sweeper,
        *,
        stop: int,
        popen: Callable[..., subprocess.Popen[bytes]] = subprocess.Popen,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.number = number
        self.leftovers = Leftovers()
        self._pid = 0
        self._settings = settings
        self._environ = environ
        self._capture = capture
        self._sweeper = sweeper
        self._stop = stop
        self._popen = popen
        self._clock = clock
        self._poller = select.poll()
        self._gate: Any = None
        self._phase = _Phase.RUNNING
        self._interrupted = self._timed_out = self._ended = False
        self._stuck_in = ""
        self._deadline = 0.0
        self._wait_status: int | None = None
        self._usage: Any = None

    def execute(
        self, on_start: Callable[[int], None] = lambda pid: None, due_in: Callable[[], float] = lambda: 0.0
    ) -> RunResult | None:
        """Run main.py to its end; nothing of it is left afterwards but what could not be killed.

        When all is ready, main.py begins in ``due_in`` seconds; ``on_start`` is called with its pid. None where it was
        stopped before, and main.py never began.
        """
        result = RunResult(self.number, Outcome.NOT_STARTED, time.time(), 0.0)
        try:
            pidfd = self._start()
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            self._sweep()
            self._capture.close()
            return replace(result, reason=_reason(error))
        if not self._is_due(due_in()):
            self._abandon(pidfd)
            return None
        with contextlib.suppress(OSError), self._gate:  # the launcher may have ended: its wait status says so
            self._gate.write(b"\n")
        result, began = replace(result, started=time.time()), self._clock()
        self._deadline = began + self._settings.timeout
        try:
            on_start(self._pid)
            self._watch(pidfd)
        finally:
            os.close(pidfd)
        duration = self._clock() - began
        self._sweep()
        self._capture.drain()
        if self._stuck_in:
            reason = f"{self._stuck_in} could not execute {self._settings.python}; its own words are the line before"
            return replace(result, reason=reason)
        exit_status, signal_number = decode(self._wait_status)
        return replace(
            result,
            outcome=classify(self._wait_status, timed_out=self._timed_out, interrupted=self._interrupted),
            duration=duration,
            exit_status=exit_status,
            signal=signal_number,
            cpu=self._usage.ru_utime + self._usage.ru_stime if self._usage else 0.0,
            peak_kib=self._usage.ru_maxrss if self._usage else 0,
        )

    def _is_due(self, wait: float) -> bool:
        """Wait; whether no stop came in the meantime. A run that is due at once is begun and ended in order."""
        if not wait:
            return True
        due = self._clock() + wait
        poller = select.poll()
        poller.register(self._stop, select.POLLIN)
        if poller.poll(int(wait * 1000)):
            return False
        time.sleep(max(0.0, due - self._clock()))  # poll() knows whole milliseconds only
        return not poller.poll(0)

    def _abandon(self, pidfd: int) -> None:
        """End the launcher, which still waits for its line."""
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        os.close(pidfd)
        self._gate.close()
        self._sweep()
        self._capture.close()

    def _start(self) -> int:
        """Start the launcher: gives its pidfd. Raises OSError and whatever else keeps a process from starting."""
        line = [*_LAUNCHER, str(os.getpid()), *command(self._settings)]
        writers: list[int] = []
        try:
            writers += [self._capture.open("stdout")]
            writers += [self._capture.open("stderr")]
            child = self._popen(
                line,
                stdin=subprocess.PIPE,
                stdout=writers[0],
                stderr=writers[1],
                cwd=self._settings.main.parent,
                env=self._environ,
                start_new_session=True,
            )
        finally:
            for writer in writers:
                os.close(writer)
        self._pid = child.pid
        child.returncode = 0  # so that Popen does not wait for it: wait4 is ours
        self._gate = child.stdin
        return os.pidfd_open(child.pid)

    def _watch(self, pidfd: int) -> None:
        """Read and wait until main.py has ended, or had to be given up."""
        for descriptor in (pidfd, self._stop, *self._capture.descriptors()):
            self._poller.register(descriptor, select.POLLIN)
        while not self._is_over():
            for descriptor, _ in self._poller.poll(math.ceil(self._wait_ms())):
                if descriptor == pidfd:
                    self._poller.unregister(pidfd)
                    self._collect()
                elif descriptor == self._stop:
                    self._poller.unregister(self._stop)
                    self._interrupted = True
                    self._advance(_Phase.RUNNING)
                else:
                    self._read(descriptor)
            if self._clock() >= self._deadline and not (self._ended and self._phase is _Phase.RUNNING):
                self._timed_out = self._timed_out or self._phase is _Phase.RUNNING
                self._advance(self._phase)

    def _is_over(self) -> bool:
        if self._phase is _Phase.ENDING and self._ended:
            return not self._sweeper.left()  # the others have the rest of the stop grace
        return self._ended or self._phase is _Phase.GIVEN_UP

    def _wait_ms(self) -> float:
        waits = [self._deadline - self._clock(), 86400.0]
        if (partial := self._capture.flush_partial()) is not None:
            waits.append(partial)
        if self._ended:
            waits.append(_LOOK_AGAIN)
        return max(0.0, min(waits)) * 1000

    def _read(self, descriptor: int) -> None:
        self._capture.read(descriptor)
        if descriptor not in self._capture.descriptors():
            self._poller.unregister(descriptor)

    def _advance(self, phase: _Phase) -> None:
        """Go on from ``phase``, where that is the present one."""
        if phase is not self._phase:
            return
        if phase is _Phase.RUNNING:
            self._phase, lasts = _Phase.ENDING, self._settings.stop_grace
            signal_all(signal.SIGTERM)
            signal_all(signal.SIGCONT)  # a stopped process gets its TERM only then
        elif phase is _Phase.ENDING:
            self._phase, lasts = _Phase.KILLING, _KILL_LASTS
            signal_all(signal.SIGKILL)
        else:
            self._phase, lasts = _Phase.GIVEN_UP, 0.0
        self._deadline = self._clock() + lasts

    def _collect(self) -> None:
        """Take the wait status and the resource use of main.py, which has ended."""
        name = command_name(self._pid)
        _, self._wait_status, self._usage = os.wait4(self._pid, 0)
        self._ended = True
        # A zombie still has the name of what it last executed: with the launcher's, exec failed.
        is_launcher = name in _LAUNCHER_NAMES and name != os.path.basename(self._settings.python)
        if is_launcher and decode(self._wait_status)[0] in _CANNOT_EXEC:
            self._stuck_in = name

    def _sweep(self) -> None:
        killed, given_up = self._sweeper.sweep()
        self.leftovers = Leftovers(tuple(killed.values()), tuple(given_up.values()))


def _reason(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)
