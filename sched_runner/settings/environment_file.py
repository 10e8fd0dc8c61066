"""The environment file, in the syntax that systemd and python-dotenv read alike."""

import io
import os
import re
import select
import stat
import time
from pathlib import Path
from typing import NamedTuple

from sched_runner import words

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_LARGEST = 1024 * 1024  # bytes
_PIPE_LASTS = 5.0  # seconds


class Content(NamedTuple):
    """The content of a file. A fault names the file and line; a faulty line gives no value. A warning stops nothing."""

    values: dict[str, str]
    faults: list[str]
    warnings: list[str]


def read(path: Path, *, pipes: bool = False) -> Content:
    """The names and values in an environment file (systemd.exec(5), EnvironmentFile=).

    A pipe can be read only once: if ``pipes``, this call reads it and waits for its end for 5 s at most.
    """
    shown = words.printable(path)
    try:
        text = _read(path, pipes=pipes).decode()
    except OSError as error:
        return Content({}, [f"{shown} cannot be read: {error.strerror}"], [])
    except UnicodeDecodeError:
        return Content({}, [f"{shown} is not in UTF-8"], [])
    if text.startswith("\ufeff"):
        return Content({}, [f"{shown}:1: begins with a byte order mark, which systemd reads as text; remove it"], [])
    if "\r\n" in text:
        return Content({}, [f"{shown} has the line ends of Windows; remove them: sed -i 's/\\r$//' {shown}"], [])
    return _parsed(text, shown)


def line(name: str, value: str) -> str:
    """The line of an environment file that gives ``name`` this ``value``. Raises ValueError if no line can."""
    for quote in ("", "'", '"'):
        text = f"{name}={quote}{value}{quote}"
        if _parsed(text, name).values == {name: value}:
            return text
    raise ValueError(
        "an environment file cannot hold this value: use no backslash, no control character and one kind of quote"
    )


def _read(path: Path, *, pipes: bool) -> bytes:
    with open(path, "rb", buffering=0, opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        mode = os.fstat(file.fileno()).st_mode
        if stat.S_ISFIFO(mode) and pipes:
            data = _read_pipe(file)
        elif stat.S_ISREG(mode):
            data = file.read(_LARGEST + 1)
        else:
            raise OSError(0, "it is not a regular file")
    if len(data) > _LARGEST:
        raise OSError(0, "it is larger than 1 MiB")
    return data


def _read_pipe(file: io.FileIO) -> bytes:
    poller, parts, deadline = select.poll(), [b""], time.monotonic() + _PIPE_LASTS
    poller.register(file, select.POLLIN)
    while (left := deadline - time.monotonic()) > 0 and sum(map(len, parts)) <= _LARGEST:
        if poller.poll(left * 1000):
            parts.append(file.read(65536) or b"")
            if not parts[-1]:
                return b"".join(parts)
    raise OSError(0, "nobody has written to the end of this pipe within 5 s")


def _parsed(text: str, shown: str) -> Content:
    from dotenv import dotenv_values  # the import takes 27 ms

    faults, warnings, good = [], [], []
    for number, line in enumerate(text.split("\n"), 1):
        if fault := _fault(line):
            faults.append(f"{shown}:{number}: {fault}")
            continue
        good.append(line)
        if warning := _warning(line):
            warnings.append(f"{shown}:{number}: {warning}")
    values = dotenv_values(stream=io.StringIO("\n".join(good)), interpolate=False)
    # os.environ has the same text for the same bytes, whatever the locale is.
    return Content({name: os.fsdecode((value or "").encode()) for name, value in values.items()}, faults, warnings)


def _fault(line: str) -> str:
    """Why the line is refused, or an empty string."""
    line = line.strip(" \t")
    if any(not char.isprintable() and char != "\t" for char in line):
        return "has a control character in it"
    if line.startswith("#"):
        return "a comment that ends in a backslash swallows the next line" if line.endswith("\\") else ""
    if not line:
        return ""
    name, equals, value = line.partition("=")
    if not equals:
        return "is not NAME=value"
    if re.match(r"export\s", name):
        return "leave out export: systemd does not know it"
    name = name.rstrip()
    if not _NAME.match(name):
        return f"{name!r} is no name: use letters, digits and underscores"
    return _fault_of_value(value.strip(" \t"))


def _fault_of_value(value: str) -> str:
    if "\\" in value:
        return "has a backslash, which systemd and python-dotenv read differently; do without it"
    quote = value[:1]
    if quote not in ("'", '"'):
        return "put the comment on a line of its own, or the value in quotes" if re.search(r"(^|\s)#", value) else ""
    if len(value) < 2 or not value.endswith(quote):
        return "put one pair of quotes round the whole value, and comments on a line of their own"
    if quote in value[1:-1]:
        return f"has a {quote} between its quotes; use the other kind of quote round the value"
    return ""


def _warning(line: str) -> str:
    """A warning if a shell would expand the value, as in ``PATH=$PATH:/opt/bin``; systemd does not. Else empty."""
    name, _, value = line.strip(" \t").partition("=")
    if not name.startswith("#") and re.search(rf"\$\{{?({re.escape(name.strip())}|PATH|HOME|USER|PWD)\b|`|\$\(", value):
        return (
            f"{name.strip()} is used as it is written: systemd expands neither $ nor a backquote; write the final value"
        )
    return ""
