"""The environment file, in the syntax that systemd and python-dotenv read alike."""

import io
import re
from pathlib import Path

from dotenv import dotenv_values

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


def read(path: Path) -> tuple[dict[str, str], list[str]]:
    """Names and values in an environment file (systemd.exec(5), EnvironmentFile=), and its faults.

    A fault names file and line of what the two readers would take differently; such a line gives no value.
    """
    try:
        text = path.read_bytes().decode()
    except OSError as error:
        return {}, [f"{path} cannot be read: {error.strerror}"]
    except UnicodeDecodeError:
        return {}, [f"{path} is not in UTF-8"]
    faults, good = [], []
    for number, line in enumerate(text.split("\n"), 1):
        if fault := _fault(line):
            faults.append(f"{path}:{number}: {fault}")
        else:
            good.append(line)
    values = dotenv_values(stream=io.StringIO("\n".join(good)), interpolate=False)
    return {name: value or "" for name, value in values.items()}, faults


def _fault(line: str) -> str:
    """Why the line is refused, or an empty string."""
    line = line.strip(" \t")
    if any(not char.isprintable() and char != "\t" for char in line):
        return "has a control character in it (a file from Windows? Line ends are a bare newline)"
    if line.startswith("#"):
        return "a comment that ends in a backslash swallows the next line" if line.endswith("\\") else ""
    if not line:
        return ""
    name, equals, value = line.partition("=")
    if not equals:
        return "is not NAME=value"
    if re.match(r"export\s", name):
        return "leave out export: systemd does not know it"
    name, value = name.rstrip(), value.strip(" \t")
    if not _NAME.match(name):
        return f"{name!r} is no name: use letters, digits and underscores"
    if "\\" in value:
        return "has a backslash, which systemd and python-dotenv read differently; do without it"
    return _quoted_fault(value) if value[:1] in ("'", '"') else _raw_fault(value)


def _quoted_fault(value: str) -> str:
    quote = value[0]
    if len(value) < 2 or not value.endswith(quote):
        return "put one pair of quotes round the whole value, and comments on a line of their own"
    if quote in value[1:-1]:
        return f"has a {quote} between its quotes; use the other kind of quote round the value"
    return ""


def _raw_fault(value: str) -> str:
    if re.search(r"(^|\s)#", value):
        return "put the comment on a line of its own, or the value in quotes"
    return ""
