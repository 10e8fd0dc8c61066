"""The command line and the environment of main.py, and every reason why main.py cannot be executed."""

import os
import shutil
import stat
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from sched_runner.record.run_record import Run
from sched_runner.settings.table import Settings

_FIRST_LINE = 256  # bytes; the kernel reads as many (binfmt_script)
_ELF = b"\x7fELF"
_MARK = b"\xef\xbb\xbf"  # byte order mark, which some editors write; the kernel sees no #! behind it

# Variables that are for the scheduler alone (sd_notify(3), sd_listen_fds(3), systemd.exec(5)).
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


def environment(inherited: Mapping[str, str], settings: Settings, run: Run) -> dict[str, str]:
    """The environment of main.py: what the scheduler has, without its own variables, and with those of the run."""
    env = {name: value for name, value in inherited.items() if name not in _NOT_FOR_MAIN}
    env.setdefault("PYTHONUNBUFFERED", "1")  # else a KILL loses what main.py has printed last
    own = {"SCHED_RUN": run.number, "SCHED_ATTEMPT": run.attempt, "SCHED_ENV": settings.environment}
    return env | {name: str(value) for name, value in own.items()}


def command(settings: Settings, environ: Mapping[str, str]) -> list[str]:
    """The command line of main.py. Raises OSError, naming script or interpreter, if it cannot be executed."""
    main = settings.main
    with open(main, "rb", buffering=0, opener=lambda path, flags: os.open(path, flags | os.O_NONBLOCK)) as file:
        if stat.S_ISFIFO(os.fstat(file.fileno()).st_mode):
            raise OSError(f"{main} is a pipe, which no script can be read from")
        begin = file.read(_FIRST_LINE) or b""
    path = environ.get("PATH", os.defpath)
    if settings.python:
        return [_interpreter(settings.python, path), str(main), *settings.args]
    if os.access(main, os.X_OK) and begin.startswith((b"#!", _ELF)):
        if begin.startswith(b"#!"):
            _check_first_line(main, begin, path)
        return [str(main), *settings.args]
    _check_for_python(main, begin)
    return [sys.executable, str(main), *settings.args]


def _check_for_python(main: Path, begin: bytes) -> None:
    """Refuse a script for Python if its first line names another language. Raises OSError."""
    others = _named(begin.removeprefix(_MARK)) if begin.removeprefix(_MARK).startswith(b"#!") else []
    if others and not _is_python(others):
        if begin.startswith(_MARK):
            raise OSError(f"{main} begins with a byte order mark: sed -i '1s/^\\xEF\\xBB\\xBF//' {main}")
        why = f"is not executable: chmod +x {main}"
        if os.statvfs(main).f_flag & os.ST_NOEXEC:
            why = f"lies on a file system mounted noexec: set SCHED_PYTHON={others[-1]}"
        raise OSError(f"{main} names {others[-1]} in its first line, but {why}")


def _interpreter(name: str, path: str) -> str:
    found = shutil.which(name, path=path)
    if found is None:
        why = f"is not in PATH={path}"
        if "/" in name:
            os.stat(name)  # raises OSError, which says why, if we cannot see the interpreter
            why = "is a directory" if os.path.isdir(name) else "may not be executed"
        hint = "; SCHED_PYTHON takes no options" if " " in name else ""
        raise OSError(f"the interpreter {name} {why}{hint}")
    _check_program(found, path)
    return found


def _check_program(program: str, path: str) -> None:
    """Check that the interpreter can be executed. Raises OSError, with a better reason than the kernel gives.

    The kernel refuses text, and says "No such file" of a program whose own interpreter is not there.
    """
    begin = b""
    with suppress(OSError), open(program, "rb", buffering=0) as file:  # the program may be unreadable
        begin = file.read(_FIRST_LINE)
    if begin.startswith(b"#!"):
        named = _named(begin)
        if not named or not shutil.which(named[0]):
            raise OSError(f"the interpreter {program} cannot be executed itself: see its first line")
    elif begin and not begin.startswith(_ELF) and b"\0" not in begin:
        raise OSError(f"the interpreter {program} is a text and no program")


def _named(begin: bytes) -> list[str]:
    """The words of a first line such as ``#!/usr/bin/env python3``, without ``#!``."""
    return os.fsdecode(begin[2:].split(b"\n")[0]).split()


def _is_python(named: list[str]) -> bool:
    return any(os.path.basename(word).startswith("python") for word in named)


def _check_first_line(main: Path, begin: bytes, path: str) -> None:
    """Check that the interpreter in the first line can be executed. Raises OSError.

    If it is not there, the kernel says "No such file" of the script.
    """
    named = _named(begin)
    if begin.split(b"\n")[0].endswith(b"\r"):
        raise OSError(f"{main} has the line ends of Windows, also in its first line: sed -i 's/\\r$//' {main}")
    if not named or not os.path.exists(named[0]):
        raise OSError(f"the first line of {main} names {named[0] if named else 'nothing'}, which is not there")
    if shutil.which(named[0]) is None:
        raise OSError(f"the first line of {main} names {named[0]}, which cannot be executed")
    found = [word for word in named[1:] if word != "-S"][:1] if os.path.basename(named[0]) == "env" else []
    for word in found:
        if not word.startswith("-") and "=" not in word and shutil.which(word, path=path) is None:
            raise OSError(f"the first line of {main} names {word}, which is not in PATH={path}")
