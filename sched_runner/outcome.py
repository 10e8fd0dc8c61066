"""What an ending means: pure functions from a wait status to an outcome, its words, its exit status."""

import os
import signal
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any

from sched_runner import words


class Outcome(Enum):
    """The six ways in which a run can end."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    KILLED = "killed"
    TIMED_OUT = "timed out"
    NOT_STARTED = "not started"
    INTERRUPTED = "interrupted"


FAILURES = frozenset({Outcome.FAILED, Outcome.KILLED, Outcome.TIMED_OUT, Outcome.NOT_STARTED})

# Exit statuses of a shell (POSIX 2.8.2), and of timeout(1) for 124.
_EXIT_TIMED_OUT = 124
_EXIT_NOT_STARTED = 127
_EXIT_SIGNAL = 128


@dataclass(frozen=True)
class RunResult:
    """How a run went.

    ``started`` is in seconds since the epoch; ``duration`` and ``cpu`` are in seconds; ``peak_kib`` is the
    peak resident memory of the largest process of the run, in KiB (getrusage(2)). ``reason`` is the line that names the
    error.
    """

    number: int
    outcome: Outcome
    started: float
    duration: float
    exit_status: int | None = None
    signal: int | None = None
    cpu: float = 0.0
    peak_kib: int = 0
    reason: str = ""


def classify(wait_status: int | None, *, timed_out: bool, interrupted: bool) -> Outcome:
    """The outcome of a run that was started; ``wait_status`` is None where main.py could not be ended."""
    if timed_out:
        return Outcome.TIMED_OUT
    if interrupted:
        return Outcome.INTERRUPTED
    if wait_status is None or os.WIFSIGNALED(wait_status):
        return Outcome.KILLED
    return Outcome.FAILED if os.WEXITSTATUS(wait_status) else Outcome.SUCCEEDED


def decode(wait_status: int | None) -> tuple[int | None, int | None]:
    """Exit status and signal number, of which one or both are None."""
    if wait_status is None:
        return None, None
    if os.WIFSIGNALED(wait_status):
        return None, os.WTERMSIG(wait_status)
    return os.WEXITSTATUS(wait_status), None


def exit_status(result: RunResult) -> int:
    """The exit status with which ``main-scheduler once`` reports the run."""
    if result.outcome is Outcome.TIMED_OUT:
        return _EXIT_TIMED_OUT
    if result.outcome is Outcome.NOT_STARTED:
        return _EXIT_NOT_STARTED
    if result.outcome is Outcome.INTERRUPTED:
        return _EXIT_SIGNAL + signal.SIGINT
    if result.signal is not None:
        return _EXIT_SIGNAL + result.signal
    return 0 if result.outcome is Outcome.SUCCEEDED else result.exit_status or 1


def signal_name(number: int) -> str:
    """``SIGTERM`` for 15; a number without a name stays a number."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def signal_number(name: str) -> int | None:
    """The inverse of ``signal_name``; None for what is no such name."""
    if name in signal.Signals.__members__:
        return signal.Signals[name].value
    number = name.removeprefix("signal ")
    return int(number) if number.isdecimal() else None


def summary(result: RunResult) -> str:
    """One line that says how the run ended, how long it took and what it used."""
    took = words.duration(result.duration)
    ending = {
        Outcome.SUCCEEDED: f"succeeded in {took}",
        Outcome.FAILED: f"failed with exit status {result.exit_status} after {took}",
        Outcome.KILLED: f"was killed{_by(result)} after {took}",
        Outcome.TIMED_OUT: f"timed out after {took}{_ended(result)}",
        Outcome.NOT_STARTED: f"could not start: {result.reason}",
        Outcome.INTERRUPTED: f"was interrupted after {took}{_ended(result)}",
    }[result.outcome]
    if result.outcome is Outcome.NOT_STARTED:
        return f"run {result.number} {ending}"
    used = f"CPU {words.duration(result.cpu)}, peak memory {words.size(result.peak_kib)}"
    return f"run {result.number} {ending} ({used})"


def _by(result: RunResult) -> str:
    return "" if result.signal is None else f" by {signal_name(result.signal)}"


def _ended(result: RunResult) -> str:
    if result.signal is not None:
        return f" and was ended by {signal_name(result.signal)}"
    if result.exit_status is not None:
        return f" and ended with exit status {result.exit_status}"
    return " and could not be ended"


def report(result: RunResult, failures_in_a_row: int, tail: Sequence[str]) -> dict[str, Any]:
    """What last_failure.json says of a run whose output ended with the lines ``tail``."""
    return {
        **asdict(result),
        "outcome": result.outcome.value,
        "started": words.timestamp(result.started),
        "summary": summary(result),
        "failures_in_a_row": failures_in_a_row,
        "tail": list(tail),
        "recovered": None,
    }


def error_line(lines: Sequence[str]) -> str:
    """The line of a run's last words on stderr that names the error: in a traceback that of the exception."""
    tracebacks = [number for number, line in enumerate(lines) if line.startswith("Traceback (most recent call last)")]
    if tracebacks:
        named = (line for line in lines[tracebacks[-1] + 1 :] if line and not line.startswith(" "))
        return next(named, "")
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


_HINTS = (
    (("postdrop", "bin/sendmail", "sendmail:", "exim"), "sendmail.conf"),
    (("Read-only file system",), "write-beside-script.conf"),
    (("/home/", "/root/"), "venv-in-home.conf"),
    (("sandbox", "namespace"), "browser.conf"),
)


def sandbox_hint(text: str) -> str:
    """Names the drop-in that helps where the service's sandbox is the likely cause of ``text``, or nothing."""
    if not any(sign in text for sign in ("Read-only file system", "Permission denied", "not permitted")):
        return ""
    found = [file for signs, file in _HINTS if any(sign in text for sign in signs)]
    which = found[0] if found else "write-beside-script.conf"
    return f"the service's sandbox is a likely cause: the drop-in {which} relaxes it, see the README"
