"""Follow a run of the service's own scheduler in this terminal: show what is added to scheduler.log."""

import os
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from sched_runner import words
from sched_runner.commands import trigger
from sched_runner.commands.installation import Installation
from sched_runner.exit_status import ENDED_BY_CTRL_C, ExitStatus, OperatorError
from sched_runner.output.rotating_file import BACKUPS
from sched_runner.record import messages
from sched_runner.record.run_record import Run
from sched_runner.record.status import Status
from sched_runner.troubles import said

_POLL = 0.1  # seconds
_BEGINS_WITHIN = 20.0
_SUMMARY_LASTS = 3.0  # the state has the end of a run before the log has its summary
_ENDS_AFTER_TIMEOUT = 60.0  # after time-out and stop grace
_BLOCK = 65536
_BLOCKS_AT_ONCE = 64  # a file that main.py has made may be of any size


def follow(installation: Installation, status: Status) -> int:
    """Ask for a run, show its lines, and give main.py's exit status. Raises OperatorError."""
    number = status.state.number + 1
    try:
        return _follow(installation, status, number)
    except BrokenPipeError:  # nobody reads what is shown
        raise
    except OSError as error:
        why = f"run {number} cannot be followed: {said(error)}"
        raise OperatorError(f"{why}; main-scheduler status says how it is going", ExitStatus.UNKNOWN) from None


def _follow(installation: Installation, status: Status, number: int) -> int:
    """As ``follow``. Raises OSError too, if the log cannot be read or nothing can be shown."""
    settings = installation.reading.settings
    log = LogFile(settings.log_dir / "scheduler.log")
    trigger.ask(status)
    longest = settings.timeout + settings.stop_grace + _ENDS_AFTER_TIMEOUT
    try:
        run = _wait(installation, log, number, longest)
    except KeyboardInterrupt:
        print(f"\nrun {number} goes on; main-scheduler status says how it is going", file=sys.stderr)
        return ENDED_BY_CTRL_C
    summary, deadline = messages.summary(run), time.monotonic() + _SUMMARY_LASTS
    while not (is_shown := log.has_shown(f" {summary}".encode())) and time.monotonic() < deadline:
        time.sleep(_POLL)
    if not is_shown:
        print(f"main-scheduler: lines may be missing here, for the log does not show that {summary}", file=sys.stderr)
    return run.command_exit_status()


def _wait(installation: Installation, log: "LogFile", number: int, longest: float) -> Run:
    """Show new lines until the run has ended, and give this run. Raises OperatorError, OSError."""
    asked = time.monotonic()
    while True:
        log.show()
        status = installation.look()
        if ended := next((run for run in status.state.runs if run.number == number), None):
            return ended
        waited, has_begun = time.monotonic() - asked, status.state.number >= number
        if status.pid is None:
            raise OperatorError(f"{status.name} has ended; run {number} may be lost: {installation.place.journal}")
        if waited > (longest if has_begun else _BEGINS_WITHIN):
            what = "ended" if has_begun else "begun"
            raise OperatorError(f"run {number} has not {what} in time; main-scheduler status says how it is going")
        time.sleep(_POLL)


class LogFile:
    """The lines that scheduler.log gets from now on, also after a rotation; main.py may change or replace the file.

    Methods raise OSError if the disk has a fault, or if nothing can be shown.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = _open(path)
        self._rest = self._last_shown = b""
        if self._descriptor is not None:
            os.lseek(self._descriptor, 0, os.SEEK_END)

    def has_shown(self, text: bytes) -> bool:
        """Print the new lines; gives whether ``text`` is in the last lines that were printed, now or earlier."""
        self.show()
        return text in self._last_shown

    def show(self) -> None:
        """Print the new lines that are complete; a very long line comes in pieces."""
        for block in self._blocks():
            lines, newline, self._rest = (self._rest + block).rpartition(b"\n")
            if len(self._rest) > _BLOCK:
                lines, self._rest = lines + newline + self._rest, b""
            if lines:
                print(words.escape(lines).decode())
                self._last_shown = (self._last_shown + lines)[-_BLOCK:]
        print(end="", flush=True)  # does nothing if standard output was closed

    def _blocks(self) -> Iterator[bytes]:
        for _ in range(_BLOCKS_AT_ONCE):
            if self._descriptor is not None and (block := os.read(self._descriptor, _BLOCK)):
                yield block
            elif (newer := self._newer()) is None:
                return
            else:
                if self._descriptor is not None:
                    os.close(self._descriptor)
                self._descriptor = newer

    def _newer(self) -> int | None:
        """Open the log file that was begun after the open one; gives its descriptor, or None."""
        if self._descriptor is None:
            return _open(self._path)
        own, newer = os.fstat(self._descriptor), None
        for number in range(BACKUPS + 1):
            path = self._path.with_name(f"{self._path.name}.{number}") if number else self._path
            with suppress(OSError):
                if os.path.samestat(os.lstat(path), own):
                    return _open(newer) if newer else None
            newer = path
        if (descriptor := _open(self._path)) is not None:
            print("main-scheduler: lines are missing here, for the log was rotated faster than shown", file=sys.stderr)
        return descriptor


def _open(path: Path) -> int | None:
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            return descriptor
        os.close(descriptor)
    return None
