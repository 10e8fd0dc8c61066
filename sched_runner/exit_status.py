"""The exit statuses of the command, and the error that ends it with one of them."""

import signal
from enum import IntEnum


class ExitStatus(IntEnum):
    """What the command returns; `once` alone may return another one, the exit status of its script."""

    OK = 0
    FAULT = 1
    USAGE = 2  # argparse returns this one, as Unix's own commands do
    NOT_RUNNING = 3  # this one and the next are from the Linux Standard Base
    UNKNOWN = 4
    TEMPFAIL = 75  # this one and the next are from sysexits.h
    CONFIG = 78
    TIMED_OUT = 124  # from timeout(1)
    NOT_STARTED = 127  # this one and the next are from the shell (POSIX 2.8.2)
    SIGNAL = 128  # plus the number of the signal


class OperatorError(Exception):
    """Something that the operator can mend; becomes one message and an exit status."""

    def __init__(self, message: str, exit_status: int = ExitStatus.FAULT) -> None:
        super().__init__(message)
        self.exit_status = exit_status


ENDED_BY_CTRL_C = ExitStatus.SIGNAL + signal.SIGINT
