"""One execution of main.py: start, wait, time out, end; gives the record of the run."""

import math
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from enum import Enum
from typing import Any, NamedTuple

from sched_runner import clock
from sched_runner.output.capture import Capture
from sched_runner.record.outcome import Outcome, classify, decode
from sched_runner.record.run_record import Run
from sched_runner.run import launcher
from sched_runner.run.command import command
from sched_runner.run.sweeper import Sweeper, describe, reap
from sched_runner.settings.table import Settings
from sched_runner.troubles import said

# Leftovers have this time to end by themselves, and then the same time again after a TERM. In seconds.
_LINGER = 1.0
# The scheduler gives main.py up if a KILL has not ended it after this time. In seconds.
_KILL_LASTS = 5.0
_LOOK_AGAIN = 0.01
# If somebody signals both main.py and the scheduler, the two signals come within this time. In seconds.
_SIGNALS_APART = 0.3
_STOPS = (signal.SIGTERM, signal.SIGINT)
_LONGEST_WAIT = 86400.0


class NotStartedError(Exception):
    """main.py cannot be executed; the message says why."""


class Leftovers(NamedTuple):
    """The leftovers that got a signal after main.py had ended, and those that could not be ended: pid and command."""

    ended: tuple[str, ...] = ()
    given_up: tuple[str, ...] = ()


class _Phase(Enum):
    RUNNING = "main.py runs"
    LINGERING = "main.py has ended by itself, what it left may do so too"
    ENDING = "TERM was sent"
    KILLING = "KILL was sent"
    GIVEN_UP = "main.py cannot be killed"


class Execution:
    """One execution of main.py, ended early when the descriptor ``stop`` becomes readable."""

    def __init__(
        self,
        settings: Settings,
        environ: Mapping[str, str],
        capture: Capture,
        sweeper: Sweeper,
        *,
        stop: int,
        popen: Callable[..., subprocess.Popen[bytes]] = subprocess.Popen,
    ) -> None:
        self.pid = 0
        self.deadline = math.inf
        self.leftovers = Leftovers()
        self._settings = settings
        self._environ = environ
        self._capture = capture
        self._sweeper = sweeper
        self._stop = stop
        self._popen = popen
        self._opened = ExitStack()  # our descriptors of main.py
        self._pidfd = self._fault = -1
        self._phase = _Phase.RUNNING
        self._interrupted = self._timed_out = self._ended = False
        self._line: list[str] = []
        self._exec_error = ""
        self._signalled: dict[int, str] = {}
        self._ended_at = 0.0
        self._wait_status: int | None = None
        self._usage: Any = None

    def start(self) -> None:
        """Start main.py, and set ``deadline`` to when it times out. Raises NotStartedError."""
        self._sweeper.begin()
        try:
            self._start()
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            self.abort()
            raise NotStartedError(said(error)) from None
        self.deadline = time.monotonic() + self._settings.timeout

    def wait(self, run: Run) -> Run:
        """Wait until main.py and its leftovers have ended; gives the record of the run with its end.

        Afterwards no process of the run is left, except those that could not be killed.
        """
        self._watch()
        self._sweep()
        self._opened.close()
        self._capture.drain()
        if self._exec_error:
            return run.end(Outcome.NOT_STARTED, self._ended_at, reason=self._exec_error)
        exit_status, signal_number = decode(self._wait_status)
        if signal_number in _STOPS:  # who sent it may signal the scheduler too, as KillMode=control-group does
            self._interrupted = self._interrupted or is_readable(self._stop, within=_SIGNALS_APART)
        return run.end(
            classify(
                self._wait_status,
                self._settings.success_status,
                timed_out=self._timed_out,
                interrupted=self._interrupted,
            ),
            self._ended_at,
            exit_status=exit_status,
            signal=signal_number,
            cpu=self._usage.ru_utime + self._usage.ru_stime if self._usage else 0.0,
            peak_kib=self._usage.ru_maxrss if self._usage else 0,
        )

    def abort(self) -> None:
        """End the run at once: something here has failed, and nobody watches main.py any more."""
        if self.pid and not self._ended:
            os.kill(self.pid, signal.SIGKILL)
        self._sweep()
        self._opened.close()
        self._capture.close()

    def _start(self) -> None:
        """Start the launcher. Raises OSError, ValueError or SubprocessError if it cannot be started."""
        self._line = command(self._settings, self._environ)
        writers: list[int] = []
        try:
            writers += [self._capture.open("stdout")]
            writers += [self._capture.open("stderr")]
            self._fault, fault = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
            self._opened.callback(os.close, self._fault)
            writers.append(fault)
            child = self._popen(
                [sys.executable, "-I", "-S", launcher.__file__, str(os.getpid()), str(fault), *self._line],
                stdin=subprocess.DEVNULL,
                stdout=writers[0],
                stderr=writers[1],
                pass_fds=[fault],
                cwd=self._settings.workdir or self._settings.main.parent,
                env=self._environ,
                start_new_session=True,
            )
        finally:
            for writer in writers:
                os.close(writer)
        self.pid = child.pid
        child.returncode = 0  # so that Popen does not wait for main.py: we do, with wait4
        self._pidfd = os.pidfd_open(child.pid)
        self._opened.callback(os.close, self._pidfd)

    def _watch(self) -> None:
        """Read and wait until nothing of the run is left, but no longer than a KILL may take."""
        told_once = {self._pidfd: self._collect, self._fault: self._read_fault, self._stop: self._interrupt}
        poller = select.poll()
        for descriptor in (*told_once, *self._capture.descriptors()):
            poller.register(descriptor, select.POLLIN)
        while not self._is_over():
            # Read the clock before the events: what main.py did before its deadline counts, however late we read it.
            is_late = time.monotonic() >= self.deadline
            for descriptor, _ in poller.poll(self._wait_ms()):
                if descriptor in told_once:
                    told_once[descriptor]()
                else:
                    self._capture.read(descriptor)
                if descriptor not in self._capture.descriptors():
                    poller.unregister(descriptor)
            if is_late and time.monotonic() >= self.deadline:
                self._escalate()
        self._ended_at = self._ended_at or clock.boottime()

    def _interrupt(self) -> None:
        """End the run, because the scheduler is being stopped; what main.py has left may still end by itself."""
        if self._phase is _Phase.RUNNING:
            self._interrupted = True
            self._terminate(self._settings.stop_grace)

    def _is_over(self) -> bool:
        if self._ended:
            reap()
            return self._phase is _Phase.KILLING or not self._sweeper.left()
        return self._phase is _Phase.GIVEN_UP

    def _wait_ms(self) -> float:
        waits = [self.deadline - time.monotonic(), _LONGEST_WAIT]
        if (partial := self._capture.flush_partial()) is not None:
            waits.append(partial)
        if self._ended:
            waits.append(_LOOK_AGAIN)
        return max(0.0, min(waits)) * 1000

    def _escalate(self) -> None:
        """Go on to the next phase: the time of this one is over."""
        if self._phase is _Phase.RUNNING:
            self._timed_out = True
            self._terminate(self._settings.stop_grace)
        elif self._phase is _Phase.LINGERING:
            self._signalled = {process.pid: describe(process) for process in self._sweeper.left()}
            self._terminate(_LINGER)
        elif self._phase is _Phase.ENDING:
            self._go_on(_Phase.KILLING, _KILL_LASTS)
            self._signal(signal.SIGKILL)
        else:
            self._go_on(_Phase.GIVEN_UP, 0.0)

    def _terminate(self, lasts: float) -> None:
        self._go_on(_Phase.ENDING, lasts)
        self._signal(signal.SIGTERM)
        self._signal(signal.SIGCONT)  # a stopped process gets its TERM only then

    def _go_on(self, phase: _Phase, lasts: float) -> None:
        self._phase, self.deadline = phase, time.monotonic() + lasts

    def _signal(self, number: int) -> None:
        """Send a signal to every process of the run, and to main.py even if the sweeper does not find it."""
        signalled = self._sweeper.signal(number)
        if not self._ended and self.pid not in {process.pid for process in signalled}:
            signal.pidfd_send_signal(self._pidfd, number)

    def _collect(self) -> None:
        """Take the wait status and the resource use of main.py, which has ended."""
        _, self._wait_status, self._usage = os.wait4(self.pid, 0)
        self._ended, self._ended_at = True, clock.boottime()
        if self._phase is _Phase.RUNNING:
            self._go_on(_Phase.LINGERING, _LINGER)

    def _read_fault(self) -> None:
        """Read why the launcher could not execute main.py: it writes the error's number, and nothing if it could.

        main.py can open both ends of the pipe in /proc: it can read the number before us, or write what is no number.
        """
        with suppress(BlockingIOError, ValueError, OverflowError):
            if error := os.read(self._fault, 16):
                self._exec_error = f"{self._line[0]}: {os.strerror(int(error))}"

    def _sweep(self) -> None:
        killed, given_up = self._sweeper.sweep()
        ended = self._signalled | {process.pid: text for process, text in killed.items()}
        self.leftovers = Leftovers(tuple(ended.values()), tuple(given_up.values()))


def is_readable(descriptor: int, within: float = 0.0) -> bool:
    """Whether there is something to read from the descriptor, now or ``within`` some seconds."""
    poller = select.poll()  # select() takes no descriptor above 1023
    poller.register(descriptor, select.POLLIN)
    return bool(poller.poll(within * 1000))
