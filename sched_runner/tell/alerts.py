"""Alerts: what the operator is told when runs fail or do not come, once, and once when all is well again."""

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Any

from sched_runner import words
from sched_runner.record import columns
from sched_runner.record.columns import column
from sched_runner.record.status import Status

_SENDMAIL = ("/usr/sbin/sendmail", "-i", "-t")
_DELIVERY_LASTS = 60


class UndeliveredError(Exception):
    """The operator could not be told."""


@dataclass(frozen=True)
class Told:
    """What an operator was alerted of, empty if all was well, and when, in seconds since the epoch."""

    what: str = column(columns.text, "")
    when: float = column(columns.moment, 0.0)


@dataclass(frozen=True)
class Failure:
    """What last_failure.json says of the last failed run, as far as an alert needs it."""

    number: int = column(columns.integer, 0)
    summary: str = column(columns.text, "the last run failed")
    tail: list[str] = column(columns.list_of(columns.text, 50), list)


@dataclass(frozen=True)
class Alert:
    """What is to be told; ``what`` tells it from others, and is empty if all is well again."""

    what: str
    subject: str
    text: str = ""


def failure(values: Mapping[str, Any]) -> Failure:
    """What last_failure.json says; the script may have put anything there."""
    try:
        return columns.read(Failure, values)
    except ValueError:
        return Failure()


def told(values: Mapping[str, Any]) -> Told:
    """What last_alert.json says; the script may have put anything there."""
    try:
        return columns.read(Told, values)
    except ValueError:
        return Told()


def due(status: Status, last: Failure, told: Told, *, after: int, fault: str) -> Alert | None:
    """What the operator has not been told yet, or None.

    ``told`` is what he was told last; ``after`` is the number of failures in a row from which on they are told;
    ``fault`` is what is wrong with the settings.
    """
    alert = _wrong(status, last, after, fault)
    if alert is None:
        return _well_again(status, told)
    return alert if alert.what != told.what else None


def _wrong(status: Status, last: Failure, after: int, fault: str) -> Alert | None:
    count = status.state.failures_in_a_row
    if count >= after:
        subject = f"{words.printable(last.summary)}, {words.count(count, 'failure')} in a row"
        return Alert(f"run {last.number}", subject, words.printable_lines("\n".join(last.tail)))
    if fault:
        return Alert("settings", "the settings are faulty", fault)
    if stale := status.stale():
        up = "it is not running" if status.pid is None else f"it is up ({status.where()})"
        return Alert("stale", stale, f"{up}; systemctl status {status.name} says more")
    return None


def _well_again(status: Status, told: Told) -> Alert | None:
    if told.what == "settings":
        return Alert("", "the settings are in order again")
    success = status.state.last_success
    if told.what and success is not None and success >= told.when:
        return Alert("", f"all is well again: a run succeeded at {words.clock_time(success)}")
    return None


def deliver(alert: Alert, sender: str, mail: str, command: Sequence[str]) -> None:
    """Send the alert by mail and to the command, if they are given. Raises UndeliveredError."""
    subject = f"{sender}: {alert.subject}"
    faults = []
    if mail:
        faults.append(_pipe(_SENDMAIL, _mail(mail, subject, alert.text)))
    if command:
        faults.append(_pipe(command, f"{subject}\n\n{alert.text}\n".encode()))
    if any(faults):
        raise UndeliveredError("; ".join(filter(None, faults)))


def _mail(to: str, subject: str, text: str) -> bytes:
    mail = EmailMessage()
    mail["To"] = to
    mail["Subject"] = subject
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office replies
    mail.set_content(f"{subject}\n\n{text}\n")
    return mail.as_bytes()


def _pipe(command: Sequence[str], text: bytes) -> str:
    """Why the command did not take the text, or an empty string."""
    try:
        ended = subprocess.run(
            command, input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=_DELIVERY_LASTS, check=False
        )
    except (OSError, subprocess.SubprocessError) as error:
        return f"{command[0]}: {error}"
    said = words.printable(ended.stdout.decode(errors="replace").strip())
    return f"{command[0]} ended with exit status {ended.returncode}: {said}" if ended.returncode else ""
