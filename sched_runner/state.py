"""What outlives the scheduler: state.json, its markers and the locks. Atomic and durable."""

import contextlib
import fcntl
import json
import os
import struct
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

STATE, MARKER, FAILURE, TOLD = "state.json", "last_success.txt", "last_failure.json", "last_alert.json"
KEPT_RUNS = 50
_UPDATE_LASTS = 2.0  # seconds; an update takes milliseconds
_MODE = 0o640
_SECONDS = (
    *("started", "interval", "timeout", "due", "due_boottime", "next_due"),
    *("last_success", "last_failure", "fresh_boottime"),
)

# struct flock of fcntl(2), with the alignment of this machine: type, whence, start, length, pid.
_FLOCK = "hhqqi4x"


class StateError(Exception):
    """state.json is not what this program wrote."""


@dataclass
class State:
    """The content of state.json.

    Times are in seconds since the epoch; ``due_boottime`` and ``fresh_boottime`` (of the last success, or of the start)
    are in seconds of CLOCK_BOOTTIME within the boot ``boot_id`` of ``host``. ``outcomes`` counts the runs by outcome;
    ``runs`` has the last 50.
    """

    boot_id: str = ""
    host: str = ""
    clean: bool = True
    started: float | None = None
    interval: float | None = None
    timeout: float | None = None
    due: float | None = None
    due_boottime: float | None = None
    next_due: float | None = None
    number: int = 0
    running: dict[str, Any] | None = None
    last_success: float | None = None
    last_failure: float | None = None
    fresh_boottime: float | None = None
    failures_in_a_row: int = 0
    skipped: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)
    runs: list[dict[str, Any]] = field(default_factory=list)

    def is_of_this_host(self) -> bool:
        """By name, which may change, or boot, of which a container's sandbox may show another id than a shell sees."""
        return self.host in ("", os.uname().nodename) or self.boot_id == boot_id()

    def take_over(self) -> None:
        """Make it this boot's: what another's clock counted says nothing here."""
        is_new = self.boot_id != boot_id()
        if is_new:
            self.due_boottime = None
        if is_new or self.clean:  # else a crash loop would never look stale
            self.fresh_boottime = boottime()
        self.boot_id, self.host = boot_id(), os.uname().nodename


@dataclass(frozen=True)
class Told:
    """What an operator was alerted of, empty where all was well, and when, in seconds since the epoch."""

    what: str = ""
    when: float = 0.0


def write_atomic(path: Path, text: str, *, durable: bool = True, mode: int = _MODE) -> None:
    """Replace the file: a reader sees the old text or the new, ``durable``: also after a power cut. Raises OSError."""
    new = path.with_name(f".{path.name}.new")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        with open(os.open(new, flags, mode), "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), mode)  # whatever the umask
            file.write(text)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        os.replace(new, path)
    except OSError:
        with contextlib.suppress(OSError):
            new.unlink()
        raise
    if durable:
        _sync(path.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def boottime() -> float:
    """Seconds since boot, suspend included; nobody can set this clock (clock_gettime(2))."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def boot_id() -> str:
    """Tells this boot from another (random(4))."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


class StateFile:
    """state.json, last_success.txt, last_failure.json and what alerts remember, in one directory."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / STATE
        self._marker = directory / MARKER
        self._failure = directory / FAILURE
        self._told = directory / TOLD
        self._threads = threading.Lock()

    def load(self) -> State:
        """The state; a new one where there is no file. Raises OSError, and StateError for a faulty file."""
        try:
            text = self._path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return State()
        except UnicodeDecodeError:
            raise StateError(f"{self._path} is not in UTF-8") from None
        try:
            values = json.loads(text)
            known = {f.name for f in fields(State)}
            state = State(**{name: value for name, value in values.items() if name in known})
            state.runs, state.number = [dict(run) for run in state.runs], int(state.number)
            state.outcomes = {str(outcome): int(number) for outcome, number in state.outcomes.items()}
            for name in _SECONDS:
                value = getattr(state, name)
                setattr(state, name, None if value is None else float(value))
            if state.running is not None:
                state.running = {"number": int(state.running["number"]), "started": float(state.running["started"])}
        except (ValueError, TypeError, AttributeError, KeyError, OverflowError) as error:
            raise StateError(f"{self._path} is faulty: {error}") from None
        return state

    def set_aside(self) -> Path:
        """Keep a faulty file under another name, so that a new one can be begun. Raises OSError."""
        aside = self._path.with_name("state.json.faulty")
        os.replace(self._path, aside)
        return aside

    def save(self, state: State, *, durable: bool = True) -> None:
        """Write the state. Raises OSError."""
        state.runs = state.runs[-KEPT_RUNS:]
        write_atomic(self._path, json.dumps(vars(state), indent=1) + "\n", durable=durable)

    def sync(self) -> None:
        """Make durable what was saved without being so. Raises OSError."""
        _sync(self._path)
        _sync(self._path.parent)

    def version(self) -> tuple[int, int]:
        """Another one whenever the file was written. Raises OSError."""
        stat = self._path.stat()
        return stat.st_ino, stat.st_mtime_ns

    @contextlib.contextmanager
    def exclusive(self, lock: "LockFile") -> Iterator[None]:
        """One load, change and save at a time, across processes (and threads, which locks of fcntl do not part)."""
        with self._threads, lock.update():
            yield

    def mark_success(self, when: str) -> None:
        """Write last_success.txt. Raises OSError."""
        write_atomic(self._marker, when + "\n")

    def mark_failure(self, told: Mapping[str, Any]) -> None:
        """Write into last_failure.json, beside what is there. Raises OSError."""
        write_atomic(self._failure, json.dumps({**self.failure(), **told}, indent=1) + "\n")

    def failure(self) -> dict[str, Any]:
        """What last_failure.json says; empty where it is missing or faulty. Raises OSError."""
        with contextlib.suppress(FileNotFoundError, ValueError):
            failure = json.loads(self._failure.read_text(encoding="utf-8"))
            return failure if isinstance(failure, dict) else {}
        return {}

    def told(self) -> Told:
        """What the operator was last alerted of. Raises OSError."""
        with contextlib.suppress(FileNotFoundError, ValueError, TypeError):
            return Told(**json.loads(self._told.read_text(encoding="utf-8")))
        return Told()

    def mark_told(self, told: Told) -> None:
        """Keep what the operator was alerted of. Raises OSError."""
        write_atomic(self._told, json.dumps(vars(told)) + "\n")


class LockFile:
    """Three locks on the bytes of one file: the scheduler's, the run's, and that of an update of state.json.

    Locks of fcntl(2): the kernel names their holder, drops them with it, and has them across hosts on NFSv4.
    They are lost when any descriptor of the file is closed: open it once a process.
    """

    SCHEDULER, RUN, UPDATE = 0, 1, 2

    def __init__(self, directory: Path, *, writable: bool = True) -> None:
        """Open the file, made where it is missing. Raises OSError."""
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW if writable else os.O_RDONLY
        self._descriptor = os.open(directory / "lock", flags | os.O_CLOEXEC, _MODE)
        if writable:
            with contextlib.suppress(OSError):
                os.fchmod(self._descriptor, _MODE)

    def acquire(self, which: int) -> bool:
        """Take a lock, or say at once that another process has it."""
        try:
            fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, which)
        except (BlockingIOError, PermissionError):
            return False
        return True

    def release(self, which: int) -> None:
        """Give a lock back."""
        fcntl.lockf(self._descriptor, fcntl.LOCK_UN, 1, which)

    def holder(self, which: int) -> int | None:
        """The pid of the other process that has the lock (0 where it cannot be told), or None."""
        query = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, which, 1, 0)
        kind, _, _, _, pid = struct.unpack(_FLOCK, fcntl.fcntl(self._descriptor, fcntl.F_GETLK, query))
        return None if kind == fcntl.F_UNLCK else max(0, pid)

    @contextlib.contextmanager
    def update(self) -> Iterator[None]:
        """Hold the lock of an update, waiting for it for 2 s."""
        deadline = time.monotonic() + _UPDATE_LASTS
        # One who has it for longer is none of ours: who may read the file can lock it.
        while not self.acquire(self.UPDATE) and time.monotonic() < deadline:
            time.sleep(0.01)
        try:
            yield
        finally:
            self.release(self.UPDATE)
