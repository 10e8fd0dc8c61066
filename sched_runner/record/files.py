"""The files of the state directory: their one reader and their one writer.

main.py has the same user and can put anything there. So the reader takes only a regular file of a bounded size, which
it opens without following a link and without waiting; the writer writes a new file and renames it.
"""

import contextlib
import errno
import json
import os
import stat
from pathlib import Path
from typing import Any

_NOT_REGULAR = (errno.ELOOP, errno.ENXIO, errno.EISDIR)  # a link, a socket, a directory
_MODE = 0o640
_LARGEST = 1024 * 1024  # bytes


class NotRegularError(OSError):
    """A link, a FIFO, a directory or the like is in the place of a regular file."""

    def __init__(self, path: str) -> None:
        super().__init__(0, "is not a regular file", path)


def open_regular(path: str, flags: int, mode: int) -> int:
    """Open a regular file as os.open() does, but follow no link and do not wait. Raises OSError, NotRegularError."""
    try:
        descriptor = _open_own(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC, mode)
    except OSError as error:
        if error.errno in _NOT_REGULAR:
            raise NotRegularError(path) from None
        raise
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise NotRegularError(path)


def _open_own(path: str, flags: int, mode: int) -> int:
    """Open a file; restore rights that its owner has lost. Raises OSError.

    Otherwise, a script that takes these rights away could keep the service from starting for good.
    """
    try:
        return os.open(path, flags, mode)
    except PermissionError:
        with contextlib.suppress(OSError):  # the first refusal says more
            found = os.lstat(path)
            if found.st_uid == os.geteuid() and stat.S_ISREG(found.st_mode):
                os.chmod(path, mode)
                return os.open(path, flags, mode)
        raise


def is_at(path: str, descriptor: int) -> bool:
    """Whether the open file is the one at the path, so that nobody has removed, renamed or replaced it."""
    try:
        return os.path.samestat(os.lstat(path), os.fstat(descriptor))
    except OSError:
        return False


def read_text(path: Path) -> str:
    """The text of a regular file of at most 1 MiB. Raises OSError, and ValueError if it is longer or no text."""
    with open(path, "rb", buffering=0, opener=lambda path, flags: open_regular(path, flags, _MODE)) as file:
        data = file.read(_LARGEST + 1) or b""
    if len(data) > _LARGEST:
        raise ValueError(f"{path} is larger than 1 MiB")
    return data.decode()


def read_json(path: Path) -> Any:
    """The JSON in a regular file of at most 1 MiB. Raises OSError and ValueError."""
    try:
        return json.loads(read_text(path))
    except RecursionError:
        raise ValueError(f"{path} is nested too deeply") from None


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file; empty if the file is missing or faulty."""
    with contextlib.suppress(OSError, ValueError):
        values = read_json(path)
        return values if isinstance(values, dict) else {}
    return {}


def write_atomic(path: Path, text: str, *, durable: bool = True, mode: int = _MODE) -> None:
    """Replace a file: a reader sees the old or new text; if ``durable``, also after a power cut. Raises OSError."""
    new, descriptor = _open_new(path, mode)
    try:
        with open(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
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
        sync(path.parent)


def write_own(path: Path, text: str, *, durable: bool = True) -> None:
    """Replace a file as write_atomic does, but set a directory aside that main.py has put there. Raises OSError."""
    try:
        write_atomic(path, text, durable=durable)
    except IsADirectoryError:
        set_aside(path)
        write_atomic(path, text, durable=durable)


def _open_new(path: Path, mode: int) -> tuple[Path, int]:
    """Make a new file beside ``path``; something that is already there, such as a FIFO, is not opened."""
    new = path.with_name(f".{path.name}.new")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    with contextlib.suppress(FileExistsError):
        return new, os.open(new, flags, mode)
    try:
        new.unlink()
    except IsADirectoryError:
        new = path.with_name(f".{path.name}.{os.urandom(4).hex()}.new")
    return new, os.open(new, flags, mode)


def sync(path: Path) -> None:
    """Make a file or a directory durable. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def set_aside(path: Path) -> Path:
    """Rename what is at ``path``, so that a new file can begin there, and give the new name. Raises OSError."""
    aside = path.with_name(f"{path.name}.faulty")
    try:
        os.replace(path, aside)
    except OSError:  # a directory has this name
        aside = path.with_name(f"{path.name}.faulty-{os.urandom(4).hex()}")
        os.replace(path, aside)
    return aside
