"""The locks of a state directory: who is its scheduler, who has a run going, who changes the state."""

import contextlib
import fcntl
import os
import stat
import struct
import time
from collections.abc import Iterator
from pathlib import Path

_NAME = "lock"
_MODE = 0o640
_UPDATE_LASTS = 2.0  # seconds; an update takes milliseconds
_MARK = b"main-scheduler\n"

# struct flock of fcntl(2), with the alignment of this machine: type, whence, start, length, pid.
_FLOCK = "hhqqi4x"


class LockFile:
    """Three locks on the bytes of one file: the scheduler's, the run's, and that of an update of state.json.

    Locks of fcntl(2): the kernel names their holder, drops them with it, and has them across hosts on NFSv4.
    They are lost when any descriptor of the file is closed: a process opens it once.
    """

    SCHEDULER, RUN, UPDATE = 0, 1, 2

    def __init__(self, directory: Path, *, writable: bool = True) -> None:
        """Open the file, which is made if it is missing. Raises OSError."""
        self._path = os.path.realpath(directory) + f"/{_NAME}"
        self._writable = writable
        self._held: set[int] = set()
        self._descriptor = self._open()

    def _open(self) -> int:
        flags = os.O_RDWR | os.O_CREAT if self._writable else os.O_RDONLY
        # A link, a FIFO or a device in its place is none of ours: it is neither followed nor waited for.
        descriptor = os.open(self._path, flags | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, _MODE)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise OSError(0, "is not a regular file", self._path)
        if self._writable:
            with contextlib.suppress(OSError):
                os.fchmod(descriptor, _MODE)
        return descriptor

    def claim(self) -> int | None:
        """Become the scheduler of this directory: None, or the pid of the process that is (0 if it cannot be told)."""
        if not self.acquire(self.SCHEDULER):
            return self.holder(self.SCHEDULER) or 0
        if os.pread(self._descriptor, len(_MARK), 0) != _MARK:
            # It is new: another scheduler may be up whose lock file somebody has removed.
            if (pid := _process_with(self._path)) is not None:
                return pid
            with contextlib.suppress(OSError):
                os.pwrite(self._descriptor, _MARK, 0)
        return None

    def is_in_place(self) -> bool:
        """Whether nobody has removed or replaced the file since it was opened."""
        try:
            return os.path.samestat(os.lstat(self._path), os.fstat(self._descriptor))
        except OSError:
            return False

    def restore(self) -> None:
        """If somebody has removed the file, make it anew, and take anew what this process has of it. Raises OSError."""
        if self.is_in_place():
            return
        os.makedirs(os.path.dirname(self._path), mode=0o750, exist_ok=True)
        old, self._descriptor = self._descriptor, self._open()
        for which in self._held:
            self.acquire(which)
        with contextlib.suppress(OSError):
            os.pwrite(self._descriptor, _MARK, 0)
        os.close(old)

    def acquire(self, which: int) -> bool:
        """Take a lock, or say at once that another process has it."""
        try:
            fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, which)
        except (BlockingIOError, PermissionError):
            return False
        self._held.add(which)
        return True

    def release(self, which: int) -> None:
        """Give a lock back."""
        self._held.discard(which)
        fcntl.lockf(self._descriptor, fcntl.LOCK_UN, 1, which)

    def holder(self, which: int) -> int | None:
        """The pid of the other process that has the lock (0 if it cannot be told), or None."""
        query = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, which, 1, 0)
        kind, _, _, _, pid = struct.unpack(_FLOCK, fcntl.fcntl(self._descriptor, fcntl.F_GETLK, query))
        return None if kind == fcntl.F_UNLCK else max(0, pid)

    @contextlib.contextmanager
    def update(self) -> Iterator[None]:
        """Hold the lock of an update, waiting for it for 2 s."""
        deadline = time.monotonic() + _UPDATE_LASTS
        # A process that has it for longer is none of ours: who may read the file can lock it.
        while not self.acquire(self.UPDATE) and time.monotonic() < deadline:
            time.sleep(0.01)
        try:
            yield
        finally:
            self.release(self.UPDATE)


class LockOfRun:
    """The lock of the run of another process, a scheduler: who has it keeps the next run from beginning.

    It is the very file that the scheduler has open, wherever its path leads by now.
    """

    def __init__(self, descriptors: str) -> None:
        """Find it in ``/proc/PID/fd``, as root; nothing is opened yet, and no path is followed. Raises OSError."""
        self._descriptor = _lock_among(descriptors)
        found = os.fstat(self._descriptor)
        if not stat.S_ISREG(found.st_mode):
            self.close()
            raise OSError(0, "its lock is not a regular file")
        self.owner = found.st_uid, found.st_gid

    def open(self) -> None:
        """Open it, as its owner: root may be nobody on a file system of the network. Raises OSError."""
        found = self._descriptor
        self._descriptor = os.open(f"/proc/self/fd/{found}", os.O_RDWR | os.O_CLOEXEC)
        os.close(found)

    def is_free(self) -> bool:
        """Take it if no run is in progress. Raises OSError."""
        try:
            fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, LockFile.RUN)
        except (BlockingIOError, PermissionError):
            return False
        return True

    def wait(self) -> None:
        """Take it when the run in progress ends; a signal can end the wait. Raises OSError."""
        fcntl.lockf(self._descriptor, fcntl.LOCK_EX, 1, LockFile.RUN)

    def close(self) -> None:
        """Give it back."""
        os.close(self._descriptor)


def _lock_among(descriptors: str) -> int:
    """The lock file, as a descriptor that only names it (O_PATH)."""
    for number in os.listdir(descriptors):
        with contextlib.suppress(FileNotFoundError):
            if os.readlink(f"{descriptors}/{number}").endswith(f"/{_NAME}"):
                return os.open(f"{descriptors}/{number}", os.O_PATH | os.O_CLOEXEC)
    raise FileNotFoundError(0, "it has no lock")


def _process_with(path: str) -> int | None:
    """Another process of this user that has the file open which was removed from this path."""
    for entry in os.scandir("/proc"):
        if entry.name.isdecimal() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                if any(os.readlink(link) == f"{path} (deleted)" for link in os.scandir(f"/proc/{entry.name}/fd")):
                    return int(entry.name)
    return None
