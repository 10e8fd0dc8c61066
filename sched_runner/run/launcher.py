"""The launcher ties itself to the scheduler and becomes main.py, whose environment it leaves byte for byte.

The scheduler executes this file by its path, and the file imports nothing of ours. Only a process itself can ask the
kernel to end it with its parent (PR_SET_PDEATHSIG), and Popen's preexec_fn is unsafe with threads; a shell would drop
and set variables of the environment.
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
        return  # the scheduler died before the prctl
    os.set_inheritable(int(fault), False)  # noqa: FBT003 - it takes no keyword
    try:
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write("0")  # if memory runs out, the kernel shall kill main.py and not the scheduler
    except OSError:
        pass
    for ignored in (SIGPIPE, SIGXFSZ):  # this Python ignores them, and main.py would too
        signal(ignored, SIG_DFL)
    try:
        os.execve(command[0], command, _environment())  # noqa: S606 - no shell is what is wanted
    except OSError as error:
        os.write(int(fault), str(error.errno).encode())


def _environment() -> dict[bytes, bytes]:
    """The environment as the kernel got it: os.environ may have LC_CTYPE from Python's own start (PEP 538)."""
    with open("/proc/self/environ", "rb") as file:
        pairs = (entry.partition(b"=") for entry in file.read().split(b"\0") if entry)
        return {name: value for name, _, value in pairs}


if __name__ == "__main__":
    main(*sys.argv[1:])
    sys.exit(127)
