"""Which drop-in helps a run that failed if the service's sandbox is the cause; no hint is better than a wrong one.

A hint goes by what the system refused and where: by the text of the errno and a path in the same line of stderr, and by
what this process, which has the same sandbox as main.py, sees at that path.
"""

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from sched_runner import words
from sched_runner.settings.places import page
from sched_runner.settings.table import Settings

_REFUSAL = re.compile(
    "(?P<EROFS>read-only file system)|(?P<EACCES>permission denied)|(?P<EPERM>operation not permitted)"
    "|(?P<ENOENT>no such file or directory)",
    re.IGNORECASE,
)
_QUOTED = re.compile(r"""'([^']+)'|"([^"]+)"|‘([^’]+)’""")
_ABSOLUTE = re.compile(r"""(?:^|[\s=(])(/[^\s:;,'"()]+)""")
_LAST_WORD = re.compile(r"""([^\s:;,'"\])]+)[: ]*$""")
# A shell names its script, the line, and then the file: "x.sh: line 3: out.csv: ", "x.sh: 3: cannot create out.csv: ".
_SHELL = re.compile(r"/\S+: (?:line )?\d+: (?:cannot (?:create|open) )?(\S+): $")
_PERL = re.compile(r"^ at \S+ line \d+")  # and Perl names its script last
# If a line holds one of these, a quoted word in it is the name of a file.
_PRECISE = re.compile(r"\[Errno \d+\]|\bE(ACCES|PERM)\b|cannot ")
# The messages of sqlite, which name no path.
_SQLITE = ("attempt to write a readonly database", "unable to open database file")
_DATABASE = re.compile(r"""['"](/[^'"]+\.(?:db|sqlite3?))['"]""")
# The host's sendmail needs the rights of another user, which NoNewPrivileges= keeps from it.
_POSTDROP = re.compile(r"postdrop: warning: mail_queue_enter: create file maildrop/\S+ Permission denied")
_MAIL = re.compile(r"/var/(spool|log)/(exim4?|postfix)(/|$)")
# Chromium's own words.
_BROWSER = ("Failed to move to new namespace:", "No usable sandbox!")
_CAUSE = "the service's sandbox is the cause"
_PAGE = "docs/operating.md"
IN_HOME = "venv-in-home.conf"
_COVERED = "/opt/main-scheduler"  # write-beside-script.conf makes this writable
_HOME = re.compile(r"/(home|root|run/user)(/|$)")  # ProtectHome= hides these
_NEVER_WRITABLE = re.compile(r"/(etc|usr|boot)?|/(proc|sys|dev)(/.*)?|.*\s.*")


class Place(NamedTuple):
    """A path as this process sees it.

    ``exists`` says whether the path is there, ``directory`` is the nearest directory at or above it. ``read_only``: the
    path is mounted read-only in this sandbox alone. ``closed``: our user may not enter the directory. ``hidden``: the
    sandbox has put an empty directory over it. ``private_devices``: the sandbox has a /dev of its own. ``of_another``:
    the path belongs to another user, and ours may not write there.
    """

    exists: bool
    directory: str
    read_only: bool = False
    closed: bool = False
    hidden: bool = False
    private_devices: bool = False
    of_another: bool = False


def hint(
    lines: Sequence[str], settings: Settings, environ: Mapping[str, str], look: Callable[[str], Place] | None = None
) -> str:
    """What helps if the sandbox is the cause of an error in these lines, the latest first; empty if no hint fits."""
    if not {"INVOCATION_ID", "LOGS_DIRECTORY"} <= environ.keys():  # systemd has not started the service: no sandbox
        return ""
    look, script_dir = look or probe, settings.main.parent
    for line in reversed(lines):
        if _POSTDROP.search(line):
            return _drop_in("sendmail.conf")
        if any(phrase in line for phrase in _BROWSER):
            return _drop_in("browser.conf")
        if any(phrase in line for phrase in _SQLITE):
            named = [match[1] for text in lines if (match := _DATABASE.search(text))]
            database = named[-1] if named else str(script_dir / "database")
            return _hint_for("EROFS", database, look(database))
        found = (_hint_for(number, path, look(path)) for number, path in _refused(line, settings.workdir or script_dir))
        if text := next(filter(None, found), ""):
            return text
    return ""


def _refused(line: str, workdir: Path) -> Iterator[tuple[str, str]]:
    """The errno that a line of stderr names, with each path in the line; the likeliest path first."""
    if not (refusal := _REFUSAL.search(line)):
        return
    number, before, after = refusal.lastgroup or "", line[: refusal.start()], _PERL.sub("", line[refusal.end() :])
    if number == "EACCES" and (shell := _SHELL.match(before)):
        yield number, os.path.normpath(workdir / shell[1])
        return
    quoted = [*_QUOTED.finditer(after), *_QUOTED.finditer(before)]
    named = [next(filter(None, match.groups())) for match in quoted]
    word = "".join(_LAST_WORD.findall(before))
    named += [word] if word.startswith("/") else []  # before the paths in ``after``: Perl names its script there
    named += [match[1] for match in _ABSOLUTE.finditer(after)]
    named += [word] if word and number == "EROFS" else []
    named += [match[1] for match in reversed(list(_ABSOLUTE.finditer(before)))]
    is_precise = number == "EROFS" or _PRECISE.search(line)
    for name in named:
        if (is_precise or name.startswith("/")) and "://" not in name:
            yield number, os.path.normpath(workdir / name)


def _hint_for(number: str, path: str, place: Place) -> str:
    if number == "ENOENT":
        return _drop_in("device.conf") if path.startswith("/dev/") and place.private_devices else ""
    if _MAIL.match(path):
        return _drop_in("sendmail.conf")
    if number == "EPERM":
        return _drop_in("device.conf") if path.startswith("/dev/") and place.exists else ""
    if number == "EACCES" and place.hidden and _HOME.match(path):
        return _in_home()
    if place.read_only:
        return _writable(place.directory) if number == "EROFS" else ""
    if number == "EACCES" and place.of_another:
        return _of_another(path, place)
    return ""


def _of_another(path: str, place: Place) -> str:
    directory = words.printable(place.directory)
    if place.exists:
        return f"{words.printable(path)} belongs to another user than the service's"
    if place.closed:
        return f"{directory} belongs to another user than the service's"
    owner = "" if _NEVER_WRITABLE.fullmatch(place.directory) else ", or let that user own the directory"
    return f"the service's user may not write in {directory}: write to $STATE_DIRECTORY{owner}"


def _writable(directory: str) -> str:
    if f"{directory}/".startswith(f"{_COVERED}/"):
        return _drop_in("write-beside-script.conf")
    if _NEVER_WRITABLE.fullmatch(directory):
        return ""
    return f"{_CAUSE}: a drop-in with ReadWritePaths={words.printable(directory)} relaxes it"


def _in_home() -> str:
    enter = "if the service's user may also enter the directory"
    return f"{_CAUSE}: put the file below {_COVERED}; the drop-in {IN_HOME} relaxes it {enter}, see {page(_PAGE)}"


def _drop_in(name: str) -> str:
    return f"{_CAUSE}: the drop-in {name} relaxes it, see {page(_PAGE)}"


def probe(path: str) -> Place:
    """The path as this process sees it; raises nothing."""
    there, directory = _stat(path), os.path.abspath(path)
    while not os.path.isdir(directory):
        directory = os.path.dirname(directory)
    refused = there or _stat(directory)
    is_ours = refused is None or refused.st_uid == os.geteuid()
    may_write = os.access(path if there else directory, os.W_OK)
    mount, devices = _mount_of(directory), _mount_of("/dev")
    return Place(
        exists=there is not None,
        directory=directory,
        read_only=mount.is_read_only,
        closed=not os.access(directory, os.X_OK),
        hidden="/inaccessible/" in mount.root,
        private_devices=devices.kind == "tmpfs",
        of_another=not is_ours and not may_write,
    )


def _stat(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except (OSError, ValueError):
        return None


class _Mount(NamedTuple):
    """A mount; ``is_read_only`` says that this process cannot write to it, although its file system is writable."""

    root: str = ""
    kind: str = ""
    is_read_only: bool = False


def _mount_of(directory: str) -> _Mount:
    """How the directory is mounted for this process (proc(5), mountinfo)."""
    try:
        descriptor = os.open(directory, os.O_PATH | os.O_CLOEXEC)
        try:
            number = Path(f"/proc/self/fdinfo/{descriptor}").read_text().partition("mnt_id:")[2].split()[0]
        finally:
            os.close(descriptor)
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
    except (OSError, ValueError, IndexError):
        return _Mount()
    return next((_parse_mount(line) for line in lines if line.split()[0] == number), _Mount())


def _parse_mount(line: str) -> _Mount:
    own, _, shared = line.partition(" - ")
    fields, (kind, _, options) = own.split(), shared.split(" ", 2)
    return _Mount(fields[3], kind, "ro" in fields[5].split(",") and "ro" not in options.split(","))
