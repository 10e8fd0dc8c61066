"""The state of a state directory, in memory and in state.json, and the files that are written beside state.json."""

import contextlib
import json
import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from sched_runner.record import files
from sched_runner.record import state as states
from sched_runner.record.files import NotRegularError, set_aside, write_own
from sched_runner.record.lock import LockFile
from sched_runner.record.state import State
from sched_runner.troubles import Trouble, fault_of

log = logging.getLogger(__name__)

STATE, MARKER, FAILURE = "state.json", "last_success.txt", "last_failure.json"

T = TypeVar("T")


class StateError(Exception):
    """state.json is not what this program wrote."""


def load(directory: Path) -> State:
    """The state in a directory; a new state if there is no file. Raises OSError, and StateError for a faulty file."""
    path = directory / STATE
    try:
        return states.from_json(files.read_json(path))
    except FileNotFoundError:
        return State()
    except NotRegularError:
        raise StateError(f"{path} is not a regular file") from None
    except ValueError as error:
        raise StateError(f"{path} is faulty: {error}") from None


def open_lock(directory: Path) -> LockFile:
    """The lock file of a state directory, which may be new; what else lies there is set aside. Raises OSError."""
    directory.mkdir(mode=0o750, parents=True, exist_ok=True)
    return _with_regular(directory / "lock", lambda: LockFile(directory))


def _with_regular(path: Path, attempt: Callable[[], T]) -> T:
    """Call ``attempt``; if no regular file is at ``path``, set aside what is there and call again. Raises OSError."""
    try:
        return attempt()
    except NotRegularError:
        log.warning("%s is no regular file; it is kept as %s", path, set_aside(path))
    return attempt()


class Store:
    """The state of one directory, in memory and in state.json, and the files beside it."""

    def __init__(self, directory: Path, lock: LockFile) -> None:
        self.state = State()
        self.lock = lock
        self._directory = directory
        self._threads = threading.Lock()
        self._version: tuple[int, ...] = ()
        self._troubles: dict[str, Trouble] = {}

    def update(self, change: Callable[[State], T], *, durable: bool = True) -> T:
        """Change the state, in memory and in state.json, and give the result of ``change``.

        If the file cannot be written, the change holds in memory, and the log says why.
        """
        with self._exclusive():
            self._refresh()
            state = self.state.copy()
            result = change(state)
            self.state = state
            self._report(STATE, lambda: self._save(durable=durable))
        return result

    def refresh(self) -> bool:
        """Read state.json if another process, such as ``main-scheduler once``, has written it; whether that was so.

        If the file has vanished or is faulty, write it anew.
        """
        if self._read_version() == self._version and self.lock.is_in_place():
            return False
        with self._exclusive():
            is_new = self._refresh()
            if not is_new and self._version and self._read_version() != self._version:
                self._report(STATE, lambda: self._save(durable=False))
        return is_new

    def sync(self) -> None:
        """Make state.json durable, which ``update`` may have saved with ``durable=False``."""
        if not self._troubles.get(STATE):
            self._report(STATE, self._sync)

    def _sync(self) -> None:
        files.sync(self._directory / STATE)
        files.sync(self._directory)

    def write(self, name: str, text: str) -> None:
        """Write a file beside the state, atomically and durably; if that fails, the next update logs the fault."""
        self._report(name, lambda: write_own(self._directory / name, text))

    def write_json(self, name: str, values: Mapping[str, Any]) -> None:
        """Write a JSON object as ``write`` does."""
        self.write(name, json.dumps(values, indent=1) + "\n")

    def touch(self, name: str) -> None:
        """Have a file beside the state look changed, if it is there; its content stays."""
        with contextlib.suppress(OSError):
            os.utime(self._directory / name, follow_symlinks=False)

    def read_object(self, name: str) -> dict[str, Any]:
        """The JSON object in a file beside the state; empty if the file is missing or faulty."""
        return files.read_object(self._directory / name)

    @contextlib.contextmanager
    def _exclusive(self) -> Iterator[None]:
        """One load, change and save at a time, across processes, and across threads, which share locks of fcntl(2)."""
        with self._threads:
            path = self._directory / "lock"
            self._troubles.setdefault("lock", Trouble(str(path), "made anew")).report(
                fault_of(lambda: _with_regular(path, self.lock.restore))
            )
            with self.lock.update():
                yield
        for trouble in tuple(self._troubles.values()):  # a copy: the other thread may add a trouble meanwhile
            trouble.tell()

    def _refresh(self) -> bool:
        """Read state.json if another process has written it; whether that was so.

        As long as the file is faulty or cannot be written, the state in memory counts.
        """
        version = self._read_version()
        if not version or version == self._version or self._troubles.get(STATE):
            return False
        try:
            found = load(self._directory)
        except OSError as error:
            log.warning("%s cannot be read, the schedule goes on: %s", self._directory / STATE, error.strerror)
            return False
        except StateError as error:
            self._set_aside(error)
            return False
        found.number = max(found.number, self.state.number)  # no two runs get the same number
        self.state, self._version = found, version
        return True

    def _set_aside(self, error: StateError) -> None:
        try:
            log.warning("%s; the faulty file is kept as %s", error, set_aside(self._directory / STATE))
        except OSError as fault:
            log.warning("%s; it cannot be set aside: %s", error, fault)

    def _save(self, *, durable: bool) -> None:
        write_own(self._directory / STATE, json.dumps(states.as_json(self.state), indent=1) + "\n", durable=durable)
        self._version = self._read_version()

    def _read_version(self) -> tuple[int, ...]:
        """The version of the file: each write makes another one; empty if there is no file."""
        with contextlib.suppress(OSError):
            found = os.lstat(self._directory / STATE)
            return found.st_ino, found.st_mtime_ns, found.st_size
        return ()

    def _report(self, name: str, attempt: Callable[[], object]) -> None:
        self._troubles.setdefault(name, Trouble(name)).report(fault_of(attempt))
