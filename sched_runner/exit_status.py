"""The exit statuses of the command: all of them, for programs and for the man page."""

import signal
from enum import IntEnum


class ExitStatus(IntEnum):
    """What the command returns, but for the exit status of a script that `once` passes on."""

    OK = 0
    FAULT = 1
    USAGE = 2  # argparse has it from Unix's own commands
    NOT_RUNNING = 3  # this one and the next are the Linux Standard Base's
    UNKNOWN = 4
    TEMPFAIL = 75  # this one and the next are of sysexits.h
    CONFIG = 78
    TIMED_OUT = 124  # of timeout(1)
    NOT_STARTED = 127  # this one and the next are a shell's (POSIX 2.8.2)
    SIGNAL = 128  # plus the number of the signal


ENDED_BY_CTRL_C = ExitStatus.SIGNAL + signal.SIGINT
