"""The text of a unit and its drop-ins (systemd.syntax(7)), and the files that the text has systemd read."""

import glob
import os
import pwd
import re
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from sched_runner.settings import environment_file, table
from sched_runner.settings.places import Place


class Line(NamedTuple):
    """An assignment in a unit, and the file that it stands in."""

    file: str
    name: str
    value: str


def lines_of(text: str, wanted: str = "Service") -> Iterator[Line]:
    """The assignments of a section in what ``systemctl cat`` prints, in systemd's order."""
    file = section = ""
    for line in re.sub(r"\\\n(\s*[#;].*\n)*", " ", text).splitlines():
        if match := re.match(r"# (/\S+)$", line):
            file, section = match[1], ""
        elif match := re.match(r"\[(.*)\]\s*$", line):
            section = match[1]
        elif section == wanted and "=" in line and not line.lstrip().startswith(("#", ";")):
            name, _, value = line.partition("=")
            yield Line(file, name.strip(), value.strip())


def values(lines: Sequence[Line], name: str) -> list[str]:
    """The values of one name; an empty value removes the values before it."""
    found: list[str] = []
    for line in lines:
        if line.name == name:
            found = [*found, line.value] if line.value else []
    return found


def with_names(value: str, unit: str) -> str:
    """The value with the specifiers filled in that name the unit (systemd.unit(5)); others are left to systemd."""
    full = unit.removesuffix(".service")
    prefix, _, instance = full.partition("@")
    path = instance or prefix
    known = {"n": unit, "N": full, "p": prefix, "i": instance, "j": prefix.rpartition("-")[2]}
    unescaped = {"P": prefix.replace("-", "/"), "I": instance.replace("-", "/"), "f": "/" + path.replace("-", "/")}
    known |= unescaped | {"J": known["j"], "%": "%%"}
    return re.sub(r"%(.)", lambda match: known.get(match[1], match[0]), value)


def environment_files(files: Sequence[str]) -> Iterator[tuple[Path, bool]]:
    """The paths that EnvironmentFile= means, and whether each must be there."""
    for file in files:
        path = file.removeprefix("-")
        for found in sorted(glob.glob(path)) or [path]:
            yield Path(found), not file.startswith("-")


def sources(lines: Sequence[Line]) -> tuple[list[str], list[str]]:
    """Assignments for the environment files and credentials that are there, and faults for what systemd would miss."""
    good, faults = [], []
    for path, is_needed in environment_files(values(lines, "EnvironmentFile")):
        fault = _fault_of_file(path)
        if fault and (is_needed or path.exists()):
            faults.append(f"{path} cannot be read: {fault}")
        if not fault:
            good.append(f"EnvironmentFile={path}")
    for value in values(lines, "LoadCredential"):
        name, _, source = value.partition(":")
        if source.startswith("/") and not os.path.exists(source):
            faults.append(f"{source} is not there: without its credential {name} the service does not start")
        else:
            good.append(f"LoadCredential={value}")
    user = (values(lines, "User") or ["root"])[-1]
    if "%" not in user and not user.isdigit():
        try:
            pwd.getpwnam(user)
        except KeyError:
            faults.append(f"User={user}: there is no such user")
    return good, faults


def further_files(place: Place, lines: Sequence[Line]) -> list[Path]:
    """The environment files that drop-ins add, as far as they can be read."""
    found = environment_files(values(lines, "EnvironmentFile"))
    return [path for path, _ in found if path != place.env_file and not _fault_of_file(path)]


def origins(lines: Sequence[Line]) -> dict[str, str]:
    """From which environment file or drop-in the value of each setting comes, as far as it can be told."""
    found: dict[str, str] = {}
    for line in lines:
        if line.name == "Environment":
            found |= dict.fromkeys(re.findall(r"\b(SCHED_\w+)=", line.value), line.file)
    for path, _ in environment_files(values(lines, "EnvironmentFile")):
        given = environment_file.read(path).values
        found |= {name: str(path) for name in table.NAMES if name in given}
    return found


def _fault_of_file(path: Path) -> str:
    """Why systemd could not read the file, or would wait for ever; empty if all is well."""
    if "%" in str(path):
        return ""
    try:
        return "" if stat.S_ISREG(path.stat().st_mode) else "it is not a regular file"
    except OSError as error:
        return error.strerror or str(error)
