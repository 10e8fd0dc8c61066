"""The locks of a state directory: which process is its scheduler, which has a run going, which changes the state."""

import contextlib
import errno
import fcntl
import os
import stat
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from sched_runner.record.files import is_at, open_regular
from sched_runner.troubles import fault_of

_NAME = "lock"
_MODE = 0o600  # a process that can open the file can hold its locks
_MOST_OTHERS = 16  # if there are more, somebody wants our descriptors to run out
_UPDATE_LASTS = 2.0  # seconds; an update takes milliseconds
_REMOVALS_LAST = 2.0  # seconds
_BEGINNERS_LAST = 0.5  # seconds; one that begins takes a millisecond

# struct flock of fcntl(2), with the alignment of this machine: type, whence, start, length, pid.
_FLOCK = "hhqqi4x"


class LockFile:
    """Three locks on the bytes of one file: the scheduler's, the run's, and that of an update of state.json.

    The locks are those of fcntl(2): the kernel names the process that holds a lock, drops the lock when that process
    ends, and on NFSv4 keeps locks across hosts. A process loses its locks when it closes any descriptor of the file, so
    it opens the file only once.

    Somebody may remove, replace or rename the file, or its directory, while a process has the file open, and that
    process notices only at its next look. So the file holds its own path, and a process that opens a new file looks for
    processes that still have an older file of the same path open: a lock that they hold there counts here too.
    """

    SCHEDULER, RUN, UPDATE = 0, 1, 2

    def __init__(self, directory: Path, *, writable: bool = True) -> None:
        """Open the file; if ``writable``, make a missing one. Raises OSError."""
        self._path = os.path.realpath(directory) + f"/{_NAME}"
        self._writable = writable
        self._held: set[int] = set()
        self._threads = threading.RLock()
        self._descriptor = self._open()
        self._others = self._open_others()

    def _open(self) -> int:
        flags = os.O_RDWR | os.O_CREAT if self._writable else os.O_RDONLY
        descriptor = open_regular(self._path, flags, _MODE)
        if self._writable:
            with contextlib.suppress(OSError):
                os.fchmod(descriptor, _MODE)
                if not _belongs_to(descriptor, self._path):
                    os.ftruncate(descriptor, 0)
                    os.pwrite(descriptor, os.fsencode(self._path), 0)
        return descriptor

    def _open_others(self) -> list[int]:
        return _open_elsewhere(self._path, os.fstat(self._descriptor)) if self._writable else []

    def close(self) -> None:
        """Close the file, of which this process loses all locks; for a process that only looks at it."""
        os.close(self._descriptor)

    def claim(self) -> int | None:
        """Become the scheduler of this directory and give None, or give the pid of the present one (0 if unknown)."""
        return None if self.acquire(self.SCHEDULER) else self.holder(self.SCHEDULER) or 0

    def is_in_place(self) -> bool:
        """Whether nobody has removed or replaced the file since it was opened."""
        return is_at(self._path, self._descriptor)

    def restore(self) -> None:
        """If the file was removed or replaced, open a new one, and take this process's locks there. Raises OSError."""
        with self._threads:
            if self.is_in_place():
                return
            os.makedirs(os.path.dirname(self._path), mode=0o750, exist_ok=True)
            new = self._open()
            while self._others:  # one may be the file at the path now: to close it later would drop the new locks
                os.close(self._others.pop())
            # Who begins just now may have a lock of the new file, until he sees ours of the old one.
            deadline = time.monotonic() + _BEGINNERS_LAST
            while not (has_all := all(_lock(new, which) for which in self._held)) and time.monotonic() < deadline:
                time.sleep(0.01)
            if has_all:
                self._descriptor, new = new, self._descriptor
            os.close(new)
            for which in self._held:  # if it was the same file, put back meanwhile, the close has dropped the locks
                _lock(self._descriptor, which)
            self._others = self._open_others()
        if not has_all:
            raise BlockingIOError(errno.EAGAIN, "another process has the lock of the new file", self._path)

    def acquire(self, which: int) -> bool:
        """Take a lock; False if another process has it.

        If somebody removes the file again and again for 2 s, nobody can tell whether the lock is free: then False too.
        """
        deadline = time.monotonic() + _REMOVALS_LAST
        with self._threads:
            while _lock(self._descriptor, which):
                is_held = any(_holder(other, which) is not None for other in self._others)
                if is_held or time.monotonic() > deadline:
                    self.release(which)
                    return False
                # Somebody may just have removed the file, and another process may have the lock of a new file.
                # If no new file can be made, the lock of the old one has to do.
                if self.is_in_place() or fault_of(self.restore):
                    self._held.add(which)
                    return True
            return False

    def release(self, which: int) -> None:
        """Give a lock back."""
        with self._threads:
            self._held.discard(which)
            fcntl.lockf(self._descriptor, fcntl.LOCK_UN, 1, which)

    def holder(self, which: int) -> int | None:
        """The pid of the other process that has the lock (0 if the pid is unknown); None if no other process has it."""
        holders = (_holder(descriptor, which) for descriptor in (self._descriptor, *self._others))
        return next((pid for pid in holders if pid is not None), None)

    @contextlib.contextmanager
    def update(self) -> Iterator[None]:
        """Hold the lock of an update; after a wait of 2 s, go on without the lock."""
        deadline = time.monotonic() + _UPDATE_LASTS
        # Only a process that is not part of this program keeps the lock for longer: main.py, for example, can.
        while not self.acquire(self.UPDATE) and time.monotonic() < deadline:
            time.sleep(0.01)
        try:
            yield
        finally:
            self.release(self.UPDATE)


class LockOfRun:
    """The run's lock of a scheduler in another process: a process that holds it keeps the next run from beginning.

    The lock is in the very file that the scheduler has open, even if its directory has another path by now.
    """

    def __init__(self, descriptors: str) -> None:
        """Find the lock in ``/proc/PID/fd``, as root; do not open the file yet, and follow no path. Raises OSError."""
        self._descriptor = _lock_among(descriptors)
        found = os.fstat(self._descriptor)
        if not stat.S_ISREG(found.st_mode):
            self.close()
            raise OSError(0, "the scheduler's lock is not a regular file")
        self.owner = found.st_uid, found.st_gid

    def open(self) -> None:
        """Open the file; the caller acts as its owner, for a network file system may refuse root. Raises OSError."""
        found = self._descriptor
        self._descriptor = os.open(f"/proc/self/fd/{found}", os.O_RDWR | os.O_CLOEXEC)
        os.close(found)

    def is_free(self) -> bool:
        """Take the lock if no run is in progress; False if one is. Raises OSError."""
        return _lock(self._descriptor, LockFile.RUN)

    def wait(self) -> None:
        """Wait for the end of the run in progress, and take the lock; a signal can end the wait. Raises OSError."""
        fcntl.lockf(self._descriptor, fcntl.LOCK_EX, 1, LockFile.RUN)

    def close(self) -> None:
        """Give the lock back."""
        os.close(self._descriptor)


def _lock_among(descriptors: str) -> int:
    """A descriptor of the lock file that only names the file (O_PATH). Raises OSError."""
    for number in os.listdir(descriptors):
        with contextlib.suppress(FileNotFoundError):
            if os.readlink(f"{descriptors}/{number}").endswith(f"/{_NAME}"):
                return os.open(f"{descriptors}/{number}", os.O_PATH | os.O_CLOEXEC)
    raise FileNotFoundError(0, "the scheduler has no lock file open")


def _lock(descriptor: int, which: int) -> bool:
    """Take a lock of the file; False if another process has it. Raises OSError."""
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, which)
    except (BlockingIOError, PermissionError):
        return False
    return True


def _holder(descriptor: int, which: int) -> int | None:
    query = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, which, 1, 0)
    kind, _, _, _, pid = struct.unpack(_FLOCK, fcntl.fcntl(descriptor, fcntl.F_GETLK, query))
    return None if kind == fcntl.F_UNLCK else max(0, pid)


def _belongs_to(descriptor: int, path: str) -> bool:
    """Whether the file says that it is the lock file of this path."""
    place = os.fsencode(path)
    return os.pread(descriptor, len(place) + 1, 0) == place


def _open_elsewhere(path: str, own: os.stat_result) -> list[int]:
    """Descriptors of the files, other than our own, that processes of this user have open as the lock file of the path.

    This function opens them through /proc/PID/fd, for it cannot know the path of a file that was removed or renamed.
    """
    found = []
    for process in os.listdir("/proc"):
        if process.isdecimal() and int(process) != os.getpid():
            with contextlib.suppress(OSError):
                for link in os.listdir(f"/proc/{process}/fd"):
                    with contextlib.suppress(OSError):
                        found += _open_if_of_place(f"/proc/{process}/fd/{link}", path, own)
                    if len(found) == _MOST_OTHERS:
                        return found
    return found


def _open_if_of_place(link: str, path: str, own: os.stat_result) -> list[int]:
    """A descriptor of the file behind ``link``, if it is another lock file of ``path``; else none. Raises OSError."""
    there, is_named = os.stat(link), os.readlink(link) == f"{path} (deleted)"
    is_candidate = stat.S_ISREG(there.st_mode) and (is_named or there.st_size == len(os.fsencode(path)))
    if not is_candidate or os.path.samestat(there, own):
        return []
    descriptor = os.open(link, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if is_named or _belongs_to(descriptor, path):
        return [descriptor]
    os.close(descriptor)
    return []
