"""Look at the service from inside: systemd starts ``check --inside`` as it would start the scheduler.

A unit in /run, made of the service's unit and drop-ins, exists as long as the check lasts. From that unit, systemd
itself gives ``check --inside`` the service's user, environment, sandbox and credentials.
"""

import contextlib
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from sched_runner import words
from sched_runner.commands import unit_text, units
from sched_runner.commands.configured import as_configured, owner_of
from sched_runner.commands.owner import acting_as
from sched_runner.commands.report import Report
from sched_runner.commands.unit_text import Line
from sched_runner.commands.units import Unit, unit_named
from sched_runner.exit_status import OperatorError
from sched_runner.record import columns
from sched_runner.settings import environment_file, places
from sched_runner.settings.places import Place

_UNITS = Path("/run/systemd/system")
_LARGEST = 1024 * 1024  # bytes
# The check's unit leaves out what would start, stop or report something else, and what _OWN or ``_sources`` sets.
_LEFT_OUT = re.compile(
    r"Exec(Start|Stop|Reload|Condition).*|Type|Restart.*|Watchdog.*|Standard(Input|Output|Error)|Timeout.*|BusName"
    r"|PIDFile|Sockets|OpenFile|Success.*|RuntimeMaxSec|EnvironmentFile|LoadCredential|RuntimeDirectoryPreserve"
    r"|RemainAfterExit|RemoveIPC|LogLevelMax"
)
# What systemd says of a unit in the journal: why the unit did not start; and a line that ends the wait for the reason.
_WHY_NOT = re.compile(
    r"Failed (?!with|at|to start)(.*)|(Unable|Changing) .*|(was )?skipped(,| because of).*|Assertion failed.*"
)
_LAST_WORDS = re.compile(rf"{_WHY_NOT.pattern}|Failed (with|to start)|Finished|Deactivated")
_LAST_WORDS_LAST = 5.0  # seconds
_OWN = """Type=oneshot
TimeoutStartSec=30
RuntimeDirectoryPreserve=yes
StandardOutput=file:{0}/report
StandardError=file:{0}/errors
"""


def inspect(place: Place, unit: Unit) -> Report:
    """The report of a check with the service's user and sandbox."""
    name = place.service
    if unit.get("LoadState") in ("not-found", "masked"):
        state = "masked" if unit["LoadState"] == "masked" else "not there: sudo ./deploy/install.sh puts it there"
        return _not_started(f"{name} is {state}")
    text = units.said("systemctl", "cat", "--no-pager", name)
    lines, conditions = (
        [line._replace(value=unit_text.with_names(line.value, name)) for line in unit_text.lines_of(text, section)]
        for section in ("Service", "Unit")
    )
    if "".join(unit_text.values(lines, "DynamicUser")[-1:]) in ("yes", "y", "true", "t", "on", "1"):
        why = "DynamicUser=yes hides the state from status, once and alert: give the service a user (own-user.conf)"
        return Report(faults=[why])
    good, faults = unit_text.sources(lines)
    place = as_configured(place, unit)
    report = _seen_from_inside(place, lines, conditions, good)
    unreadable = tuple(fault.partition(": ")[0] for fault in faults)
    for found_there in (report.faults, report.in_the_way):
        found_there[:] = faults + [fault for fault in found_there if not fault.startswith(unreadable)]
    report.warnings += [*_misread(place, lines), *_unseen(place, unit)]
    report.faults += _not_for_the_alert(place, unit, lines)
    if unit.get("NeedDaemonReload") == "yes":
        report.warnings.append("files of the unit have changed: they count after systemctl daemon-reload")
    asked = [name for name in ("SCHED_ALERT_MAIL", "SCHED_ALERT_COMMAND") if name in report.given]
    if asked and (off := units.not_enabled_or_up(place.alert_units)):
        report.warnings.append(f"{asked[0]} is set, but {off}")
    report.origins |= {name: origin for name, origin in unit_text.origins(lines).items() if name in report.given}
    return report


def _not_started(why: str) -> Report:
    return Report(faults=[why], in_the_way=[why])


def _misread(place: Place, lines: Sequence[Line]) -> list[str]:
    """Warnings about lines that systemd reads in an environment file, and our commands cannot."""
    found = [fault for path in unit_text.further_files(place, lines) for fault in environment_file.read(path).faults]
    return [
        f"{fault}: systemd gives this line to the service, but the commands once, status and alert cannot read it"
        for fault in found
    ]


def _unseen(place: Place, unit: Unit) -> Iterator[str]:
    """A warning if the alert's unit has another user than the service, and so cannot see the service's state."""
    user = unit_named(f"{place.alert}.service").get("User", "")
    if user and user != unit.get("User"):
        yield f"{place.alert}.service has User={user}, who cannot look at the state of User={unit.get('User')}"


def _not_for_the_alert(place: Place, unit: Unit, lines: Sequence[Line]) -> Iterator[str]:
    """Faults for alert settings in files that systemd reads as root, but that the service's user cannot read."""
    with suppress(OperatorError):
        owner = owner_of(place, unit)
        for path in unit_text.further_files(place, lines):
            values = environment_file.read(path).values
            with acting_as(owner):
                lost = sorted(values.keys() - environment_file.read(path).values.keys())
            for name in (name for name in lost if name.startswith("SCHED_ALERT_")):
                yield f"{name}: the service's user cannot read {path}, so that the alert's unit does without it"


def _seen_from_inside(place: Place, lines: Sequence[Line], conditions: Sequence[Line], good: Sequence[str]) -> Report:
    name = f"main-scheduler-check-{os.urandom(4).hex()}.service"
    # ~.conf sorts after the drop-ins for all services (service.d/): ``lines`` repeats those in their right place.
    file, last = _UNITS / name, _UNITS / f"{name}.d/~.conf"
    with (
        tempfile.TemporaryDirectory(prefix="main-scheduler-check-", dir="/run") as directory,
        _undone(lines),
    ):
        kept = [f"{line.name}={line.value}" for line in lines if not _LEFT_OUT.fullmatch(line.name)]
        held = [f"{line.name}={line.value}" for line in conditions if line.name.startswith(("Condition", "Assert"))]
        command = f"ExecStart=\nExecStart={_command(place, lines)}"
        text = "\n".join(["[Unit]", *held, "[Service]", *kept, *good, command, _OWN.format(directory)])
        try:
            last.parent.mkdir(mode=0o700)
            for path, content in ((file, f"[Unit]\nDescription=Check of {place.name}\n"), (last, text)):
                path.touch(mode=0o600)
                path.write_text(content)
            units.said("systemctl", "start", name)
            return _read(Path(directory, "report")) or _not_started(_why_not_started(name, Path(directory)))
        finally:
            file.unlink(missing_ok=True)
            shutil.rmtree(last.parent, ignore_errors=True)
            units.said("systemctl", "reset-failed", name)


def _command(place: Place, lines: Sequence[Line]) -> str:
    """The command of the service's unit, with ``check --inside`` in the place of ``run``."""
    command = "".join(unit_text.values(lines, "ExecStart")[-1:])
    asked, count = re.subn(r"(?<=\s)run(?=\s|$)", "check --inside", command, count=1)
    default = f"{places.COMMAND} check --inside --env-file {place.env_file} --main {place.main}"
    return asked if count else default


def _read(path: Path) -> Report | None:
    """The report in the file, or None if it is faulty: main.py has the same user, and may have written the file."""
    with suppress(OSError, ValueError, RecursionError), path.open("rb") as file:
        return columns.read(Report, json.loads(file.read(_LARGEST)))
    return None


def _why_not_started(name: str, directory: Path) -> str:
    """The reason in the last words of ``check --inside``, or else in systemd's, which name what the sandbox lacks."""
    with suppress(OSError, IndexError):
        return words.printable((directory / "errors").read_text(errors="replace").splitlines()[-1])
    told, deadline = "", time.monotonic() + _LAST_WORDS_LAST
    # Not --unit=: the journal cannot tell the unit of a process of systemd's that has ended before it looks.
    matches = (f"UNIT={name}", "+", f"_SYSTEMD_UNIT={name}")
    # Lines may come late, and journalctl --sync does not wait for them. They come in the order of sending.
    while not _LAST_WORDS.search(told) and time.monotonic() < deadline:
        time.sleep(0.05)
        told = units.said("journalctl", "--output=cat", "--no-pager", "--quiet", "--lines=20", *matches)
    why = _WHY_NOT.search(told)
    return words.printable(f"systemd could not start it: {why[0] if why else 'journalctl says more'}")


@contextlib.contextmanager
def _undone(lines: Sequence[Line]) -> Iterator[None]:
    """Remove afterwards the new, empty directories that systemd makes when it starts the check's unit."""
    tops = {
        "StateDirectory": "/var/lib",
        "LogsDirectory": "/var/log",
        "CacheDirectory": "/var/cache",
        "ConfigurationDirectory": "/etc",
        "RuntimeDirectory": "/run",
    }
    words_of = {name: " ".join(unit_text.values(lines, name)).split() for name in tops}
    paths = (Path(tops[name], word) for name, found in words_of.items() for word in found)
    new = [path for path in paths if not os.path.lexists(path)]
    try:
        yield
    finally:
        for path in new:
            with suppress(OSError):
                path.rmdir()
