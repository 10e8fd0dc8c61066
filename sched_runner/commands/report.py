"""What ``main-scheduler check`` finds: settings, next due times, and everything that would keep a run from starting."""

import errno
import os
import pwd
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sched_runner import words
from sched_runner.commands.installation import Installation
from sched_runner.exit_status import OperatorError
from sched_runner.record import columns
from sched_runner.record.columns import column
from sched_runner.record.state import State
from sched_runner.record.status import Status
from sched_runner.run.command import command
from sched_runner.run.hints import hint
from sched_runner.schedule import cadence
from sched_runner.settings import table
from sched_runner.settings.table import Settings
from sched_runner.tell.deliveries import SENDMAIL
from sched_runner.tell.pings import url_of_credential
from sched_runner.troubles import said

_DUE_TIMES = 5
_FOR_A_SHELL = re.compile(r"(\||\|\||&|&&|<)$|.*(;)$|([0-9&]?>>?)|(<)/|(\$\()|(`)")
# The sandbox of the service hides these directories, and the sandbox of the alert's unit does not.
_HIDDEN = ("/home/", "/root/", "/run/user/")

_TEXTS = columns.list_of(columns.text, 1000)


def _texts_by_name(value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    return {name: columns.text(text) for name, text in value.items()}


@dataclass
class Report:
    """What the check found; ``values`` are the settings in words, ``given`` the names that the environment has.

    ``origins`` says where a value comes from, if that is known more exactly than "the environment" or "the default".
    ``in_the_way`` are those of the faults that would keep the scheduler itself from starting.
    """

    values: dict[str, str] = column(_texts_by_name, dict)
    given: list[str] = column(_TEXTS, list)
    origins: dict[str, str] = column(_texts_by_name, dict)
    due: list[float] = column(columns.list_of(columns.moment, _DUE_TIMES), list)
    notes: list[str] = column(_TEXTS, list)
    warnings: list[str] = column(_TEXTS, list)
    faults: list[str] = column(_TEXTS, list)
    in_the_way: list[str] = column(_TEXTS, list)


def of(installation: Installation, *, has_its_eyes: bool) -> Report:
    """The report; ``has_its_eyes``: this process has the scheduler's user, and sees what the scheduler would see."""
    (settings, environ, warnings), found = installation.reading, installation.faults
    report = Report(warnings=warnings, faults=[_with_hint(fault) for fault in found])
    report.in_the_way = list(report.faults)
    faulty = [name for name in table.NAMES if any(fault.startswith((f"{name}=", f"{name}:")) for fault in found)]
    report.given = [name for name in table.NAMES if environ.get(name) or name in faulty]  # an empty SCHED_ENV is one
    report.values = table.shown(settings) | dict.fromkeys(faulty, "faulty")
    if "SCHED_ENV" in faulty:
        report.values["SCHED_INTERVAL"], report.origins["SCHED_INTERVAL"] = "unknown", "SCHED_ENV"
    url, _ = url_of_credential(environ)  # a faulty credential is a fault of its own
    if url and not settings.ping_url and "SCHED_PING_URL" not in faulty:
        report.values["SCHED_PING_URL"] = table.shown(replace(settings, ping_url=url))["SCHED_PING_URL"]
        report.origins["SCHED_PING_URL"] = "the credential ping-url"
    if has_its_eyes:
        report.faults += [words.printable(fault) for fault in faults(settings, environ)]
        report.in_the_way += map(words.printable, _unwritable("SCHED_STATE_DIR", settings.state_dir, ()))
    if not os.path.exists(settings.main) and (has_its_eyes or os.access(settings.main.parent, os.X_OK)):
        report.notes.append(f"{words.printable(settings.main)} is not there (yet): a run would end as not started")
    if not found:  # else the scheduler does not take these settings
        with suppress(OSError, OperatorError):
            report.due = list(due_times(settings, installation.look()))
    return report


def _with_hint(fault: str) -> str:
    """The fault, with a hint for a file that root read at the start: at a reload the service's user must read it."""
    hint = f"; {_user()} must be able to read it: give it the service's group, and mode 0640"
    return fault + hint if fault.endswith("cannot be read: Permission denied") else fault


def due_times(settings: Settings, status: Status) -> Iterator[float]:
    """The next due times in seconds since the epoch."""
    due = datetime.fromtimestamp(next_due(settings, status), UTC)
    kept = cadence.of(settings, due)
    for _ in range(_DUE_TIMES):
        yield due.timestamp()
        due = kept.after(due)


def next_due(settings: Settings, status: Status) -> float:
    """When the next run would begin after a reload of these settings; if no scheduler runs, after a start.

    In seconds since the epoch.
    """
    stored: State = status.state
    if status.pid is not None and settings.calendar:
        now = datetime.fromtimestamp(status.now, UTC)
        due = cadence.of(settings, now).after(now).timestamp()
    elif status.pid is not None and stored.next_due is not None:
        due = stored.next_due - (stored.gap or settings.interval) + settings.interval
        due = min(due, status.now + settings.interval)  # main.py may have written any time into the state
    else:
        due = cadence.first_due(stored, settings, status.now, status.boottime, supervised=False)
    return max(status.now, due)


def faults(settings: Settings, environ: Mapping[str, str]) -> Iterator[str]:
    """Everything that would keep the scheduler or a run from starting, or somebody from being told."""
    if settings.python:  # check the interpreter even if the script cannot be read
        yield from _of_the_command(replace(settings, main=Path(os.devnull)), environ)
        settings = replace(settings, python="")
    yield from _of_the_command(settings, environ)
    if settings.workdir is not None and not os.access(settings.workdir / ".", os.X_OK):
        yield f"a run cannot start: the working directory {settings.workdir} is not there, or not for {_user()}"
    yield from _unwritable("SCHED_LOG_DIR", settings.log_dir, ("scheduler.log", "scheduler.err"))
    yield from _unwritable("SCHED_STATE_DIR", settings.state_dir, ("lock",))
    yield from _of_the_telling(settings, environ)
    yield from _of_the_credential(environ)


def _of_the_telling(settings: Settings, environ: Mapping[str, str]) -> Iterator[str]:
    """Everything that would keep metrics, pings and alerts from going out."""
    if settings.metrics_file is not None:
        if settings.metrics_file.is_dir():
            yield f"SCHED_METRICS_FILE: {settings.metrics_file} is a directory: name a file in it"
        else:
            yield from _unwritable("SCHED_METRICS_FILE", settings.metrics_file.parent, ())
    if settings.ping_url:
        yield from _of_the_proxy(settings.ping_url, environ)
    if settings.alert_mail and not os.access(SENDMAIL, os.X_OK):
        yield f"SCHED_ALERT_MAIL: this host has no {SENDMAIL}: install a mail server, or use SCHED_ALERT_COMMAND"
    if settings.alert_command:
        yield from _of_the_alert(settings.alert_command, environ)


def _of_the_command(settings: Settings, environ: Mapping[str, str]) -> Iterator[str]:
    try:
        command(settings, environ)
    except OSError as error:
        is_absent = error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG)
        if not (is_absent and error.filename == str(settings.main)):
            why = said(error)
            helps = ["SCHED_PYTHON takes no options"] if " " in settings.python and "options" not in why else []
            yield "; ".join(filter(None, [f"a run cannot start: {why}", *helps, hint([why], settings, environ)]))


def _unwritable(name: str, directory: Path, files: tuple[str, ...]) -> Iterator[str]:
    """Why this user cannot make the directory or write to it, and which files in it the user cannot write to."""
    there = next(path for path in (directory, *directory.parents) if os.path.exists(path))
    if not os.path.isdir(there):
        yield f"{name}: {there} is not a directory"
    elif not os.access(there, os.W_OK | os.X_OK):
        lacks = f"has no directory {directory}, and " if there != directory else ""
        if os.statvfs(there).f_flag & os.ST_RDONLY:
            hint = f"name {directory} with ReadWritePaths= in a drop-in"
            yield f"{name}: the service {lacks}cannot write to {there}: {hint}"
        else:
            yield f"{name}: {_user()} {lacks}may not write to {there}"
    else:
        for path in (there / file for file in files if there == directory):
            # A file that is not regular is no fault: the scheduler sets it aside, or does without it.
            if os.path.isfile(path) and not os.path.islink(path) and not os.access(path, os.W_OK):
                yield f"{name}: {_user()} may not write to {path}"


def _user() -> str:
    with suppress(KeyError):
        return f"the user {pwd.getpwuid(os.geteuid()).pw_name}"
    return f"the user {os.geteuid()}"


def _of_the_alert(alert: tuple[str, ...], environ: Mapping[str, str]) -> Iterator[str]:
    program = alert[0]
    if not program.startswith(_HIDDEN) and shutil.which(program, path=environ.get("PATH", os.defpath)) is None:
        yield f"SCHED_ALERT_COMMAND: {program} is not there, or cannot be executed"
    for word in alert[1:] if "-c" not in alert else ():
        if match := _FOR_A_SHELL.match(word):
            sign = next(filter(None, match.groups()))  # show no more of the word: it may hold a token
            yield f"SCHED_ALERT_COMMAND: no shell reads it, so that {sign} is a mere word: use sh -c '…'"
            return


def _of_the_proxy(ping_url: str, environ: Mapping[str, str]) -> Iterator[str]:
    from sched_runner.tell.request import RequestError, proxy_for

    try:
        proxy_for(urlsplit(ping_url), environ)
    except (RequestError, ValueError) as error:
        yield f"SCHED_PING_URL: {error}"


def _of_the_credential(environ: Mapping[str, str]) -> Iterator[str]:
    _, fault = url_of_credential(environ)
    if fault:
        yield f"the credential ping-url: {fault}"
