"""What is executed before main.py: ties it to the scheduler, and leaves its environment byte for byte.

The scheduler executes this file by its path; it imports nothing of ours. PR_SET_PDEATHSIG belongs to the process that
asks for it, and Popen's preexec_fn is unsafe with threads; a shell would drop and set names of the environment.
"""

import ctypes
import os
import sys
from _signal import SIG_DFL, SIGKILL, SIGPIPE, SIGXFSZ, signal  # the module signal itself takes 2 ms more

_PR_SET_PDEATHSIG = 1  # prctl(2)


def main(scheduler: str, fault: str, *command: str) -> None:
    """Execute the command; if that fails, write the error's number into the descriptor ``fault``."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, SIGKILL)
    if os.getppid() != int(scheduler):
        return  # it died before the prctl
    os.set_inheritable(int(fault), False)  # noqa: FBT003 - it takes no keyword
    try:
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write("0")  # short of memory, the kernel shall take main.py
    except OSError:
        pass
    for ignored in (SIGPIPE, SIGXFSZ):  # by this Python
        signal(ignored, SIG_DFL)
    try:
        os.execve(command[0], command, _environment())  # noqa: S606 - no shell is what is wanted
    except OSError as error:
        os.write(int(fault), str(error.errno).encode())


def _environment() -> dict[bytes, bytes]:
    """As the kernel got it: Python's own start may have added LC_CTYPE (PEP 538)."""
    with open("/proc/self/environ", "rb") as file:
        pairs = (entry.partition(b"=") for entry in file.read().split(b"\0") if entry)
        return {name: value for name, _, value in pairs}


if __name__ == "__main__":
    main(*sys.argv[1:])
    sys.exit(127)
