"""The outcome of a run: pure functions from a wait status to an outcome."""

import os
import signal
from collections.abc import Container
from enum import Enum


class Outcome(Enum):
    """The six ways in which a run can end."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    KILLED = "killed"
    TIMED_OUT = "timed out"
    NOT_STARTED = "not started"
    INTERRUPTED = "interrupted"


FAILURES = frozenset({Outcome.FAILED, Outcome.KILLED, Outcome.TIMED_OUT, Outcome.NOT_STARTED})


def classify(wait_status: int | None, success: Container[int] = (0,), *, timed_out: bool, interrupted: bool) -> Outcome:
    """The outcome of a run that was started; ``wait_status`` is None if main.py could not be ended.

    ``success`` has the exit statuses that mean success.
    """
    if timed_out:
        return Outcome.TIMED_OUT
    if interrupted:
        return Outcome.INTERRUPTED
    if wait_status is None or os.WIFSIGNALED(wait_status):
        return Outcome.KILLED
    return Outcome.SUCCEEDED if os.WEXITSTATUS(wait_status) in success else Outcome.FAILED


def decode(wait_status: int | None) -> tuple[int | None, int | None]:
    """The exit status and the signal number in a wait status; one or both are None."""
    if wait_status is None:
        return None, None
    if os.WIFSIGNALED(wait_status):
        return None, os.WTERMSIG(wait_status)
    return os.WEXITSTATUS(wait_status), None


def signal_name(number: int) -> str:
    """``SIGTERM`` for 15; a number without a name stays a number."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def signal_number(name: str) -> int:
    """The inverse of ``signal_name``. Raises ValueError."""
    if name in signal.Signals.__members__:
        return signal.Signals[name].value
    return int(name.removeprefix("signal "))
