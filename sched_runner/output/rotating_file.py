"""Our RotatingFileHandler: writes each batch at once, and gets along with logrotate and with a full disk."""

import contextlib
import errno
import fcntl
import logging
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from io import FileIO
from logging.handlers import RotatingFileHandler
from pathlib import Path

from sched_runner import words
from sched_runner.output.capture import Piece, tagged
from sched_runner.record.files import NotRegularError, is_at, open_regular, set_aside
from sched_runner.troubles import Trouble, fault_of

# logrotate's "size 1M" takes files of 1,048,576 bytes and above: our files stay one byte below.
MAX_BYTES = 1024 * 1024 - 1
BACKUPS = 5
_MODE = 0o640
_RETRY_AFTER = 1.0  # seconds
_HOLD_LASTS = 60.0  # seconds

# The handshake with logrotate: under the lock its snippet makes the hold file; while that is there, we do not rotate.
ROTATE_LOCK = Path("/run/main-scheduler/rotate.lock")
ROTATE_HOLD = Path("/run/main-scheduler/rotate.hold")


class LineFormatter(logging.Formatter):
    """Time, level and message on every line of a record, also on those of a traceback.

    ``with_tail`` adds the lines that the record carries as its ``tail``.
    """

    def __init__(self, *, with_tail: bool = False) -> None:
        super().__init__()
        self._with_tail = with_tail

    def format(self, record: logging.LogRecord) -> str:
        """The lines of a record."""
        begin = f"{words.timestamp(record.created)} {record.levelname} "
        lines = super().format(record).split("\n")
        if self._with_tail:
            lines += [f"  {line}" for line in getattr(record, "tail", ())]
        return "\n".join(begin + line for line in lines)


class RotatingFile(RotatingFileHandler):
    """Appends whole lines to a file of 1 MB at most, and keeps 5 backups.

    Writing never raises: lines that cannot be written are counted, and their number is told.
    """

    def __init__(
        self,
        path: Path,
        *,
        lock: Path = ROTATE_LOCK,
        hold: Path = ROTATE_HOLD,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(path, maxBytes=MAX_BYTES, backupCount=BACKUPS, delay=True)
        self.trouble = Trouble(str(path))
        self._rotate_lock, self._rotate_hold = lock, hold
        self._clock = clock
        self._file: FileIO | None = None
        self._torn = False
        self._failed_at = -math.inf
        self._refused_at: float | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record of the scheduler's own."""
        self.append(self.format(record).encode(errors="backslashreplace") + b"\n")

    def take(self, run: int, channel: str, pieces: Sequence[Piece]) -> None:
        """Write lines of main.py, as capture.Sink says."""
        self.append(tagged(pieces, f"{words.timestamp(time.time())} {channel} run {run} ".encode()))

    def append(self, batch: bytes) -> None:
        """Append whole lines; what cannot be written is lost, counted and told."""
        with self._locked():
            while len(batch) > self.maxBytes and (end := batch.rfind(b"\n", 0, self.maxBytes) + 1):
                self._append_portion(batch[:end])
                batch = batch[end:]
            self._append_portion(batch)

    def _append_portion(self, batch: bytes) -> None:
        written, reason = 0, "the last attempt was less than a second ago"
        if self._clock() >= self._failed_at + _RETRY_AFTER:
            try:
                file = self._follow()
                if self._is_full(file, self._torn + len(batch)):
                    self.doRollover()
                    file = self._follow()
                written, reason = self._write(file, batch), os.strerror(errno.ENOSPC)
            except OSError as error:
                reason = error.strerror or str(error)
            if written < len(batch):
                self._failed_at = self._clock()
        if written < len(batch):
            self.trouble.report(reason, lost=batch.count(b"\n", written))
        else:
            self.trouble.report("")

    def close(self) -> None:
        """Close the file."""
        with self._locked():
            if self._file:
                self._file.close()
                self._file = None
        super().close()

    def doRollover(self) -> None:  # noqa: N802 - logging's name
        """Rename .4 to .5 and so on; if the files cannot be renamed, the file grows until they can."""
        with contextlib.suppress(OSError), self._rotation_lock() as is_locked:
            may_rotate = self._may_rotate(is_free=is_locked and not self._is_held())
            if may_rotate and self._file and is_at(self.baseFilename, self._file.fileno()):
                self._rename_all()

    def _may_rotate(self, *, is_free: bool) -> bool:
        """Whether to rotate now: if logrotate is not at work, or if rotation has been held off for a minute.

        logrotate does not take so long; main.py, which has the same user, can hold rotation off for ever.
        """
        if is_free:
            return True
        if self._refused_at is None:
            self._refused_at = self._clock()
        return self._clock() - self._refused_at >= _HOLD_LASTS

    def _rename_all(self) -> None:
        oldest = f"{self.baseFilename}.{self.backupCount}"
        try:
            os.unlink(oldest)  # a rename onto this file would wait for the disk
        except FileNotFoundError:
            pass
        except IsADirectoryError:
            self._set_aside(oldest)
        for number in range(self.backupCount - 1, 0, -1):
            with contextlib.suppress(FileNotFoundError):
                os.rename(f"{self.baseFilename}.{number}", f"{self.baseFilename}.{number + 1}")
        os.rename(self.baseFilename, f"{self.baseFilename}.1")

    def _set_aside(self, name: str) -> None:
        self.trouble.note(f"{name} is no regular file; it is kept as {set_aside(Path(name))}")

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        self.acquire()
        try:
            yield
        finally:
            self.release()

    def _follow(self) -> FileIO:
        """The open file, which is opened anew if its path names another file now, or none."""
        old = self._file
        if old is None:
            self._file = self._open_file()
        elif not is_at(self.baseFilename, old.fileno()):
            try:
                self._file = self._open_file()
            except OSError:
                if os.fstat(old.fileno()).st_nlink == 0:
                    raise
                return old  # it was renamed, and no new file can be made: a reader still finds the lines in the old one
            old.close()
        assert self._file is not None
        return self._file

    def _open_file(self) -> FileIO:
        Path(self.baseFilename).parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT
        try:
            descriptor = open_regular(self.baseFilename, flags, _MODE)
        except NotRegularError:  # main.py has put it there
            self._set_aside(self.baseFilename)
            try:
                descriptor = open_regular(self.baseFilename, flags, _MODE)
            except NotRegularError:
                raise OSError(errno.EINVAL, "what is no regular file is put there again and again") from None
        self._refused_at = None
        with contextlib.suppress(OSError):
            os.fchmod(descriptor, _MODE)  # whatever the umask is
        size = os.fstat(descriptor).st_size
        self._torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"  # torn by a writer that was killed
        return FileIO(descriptor, "ab")

    def _is_full(self, file: FileIO, coming: int) -> bool:
        size = os.fstat(file.fileno()).st_size
        return size > 0 and size + coming > self.maxBytes

    def _write(self, file: FileIO, batch: bytes) -> int:
        """Write the batch; gives how many of its bytes were written."""
        data = b"\n" + batch if self._torn else batch
        written = file.write(data) or 0
        if written:
            self._torn = data[written - 1 : written] != b"\n"
        return max(0, written - (len(data) - len(batch)))

    def _is_held(self) -> bool:
        """Whether logrotate is at work: its hold file is there, and is not older than a minute."""
        try:
            age = time.time() - os.stat(self._rotate_hold).st_mtime
        except OSError:
            return False
        return -_HOLD_LASTS < age < _HOLD_LASTS

    @contextlib.contextmanager
    def _rotation_lock(self) -> Iterator[bool]:
        """Take the lock against logrotate and other writers while files are renamed; gives whether we have the lock."""
        try:
            descriptor = os.open(self._rotate_lock, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            descriptor = os.open(os.path.dirname(self.baseFilename), os.O_RDONLY | os.O_CLOEXEC)
        try:
            yield fault_of(lambda: fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)) == ""
        finally:
            os.close(descriptor)
