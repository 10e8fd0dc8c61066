"""How an alert leaves the host: by the host's sendmail, or by a command of the operator's. Each may take a minute.

Each gives why the alert was not delivered, in words that are safe to show, or an empty string.
"""

import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from subprocess import PIPE, STDOUT

from sched_runner import words
from sched_runner.record.outcome import signal_name

SENDMAIL = "/usr/sbin/sendmail"
LASTS = 60.0  # seconds
_DYING_LASTS = 5.0  # seconds
_LAST_WORDS = 0.2  # seconds
_SAID = 4096  # bytes that are kept of what the command said


def by_mail(addresses: Sequence[str], environ: Mapping[str, str], sender: str, subject: str, text: str) -> str:
    """Hand a mail to the host's sendmail."""
    if not os.access(SENDMAIL, os.X_OK):
        return f"this host has no {SENDMAIL}; postfix, exim4 and msmtp-mta bring one"
    return run((SENDMAIL, "-i", "-t"), mail(addresses, sender, subject, text), environ)


def mail(addresses: Sequence[str], sender: str, subject: str, text: str) -> bytes:
    """The mail of an alert."""
    from email.message import EmailMessage

    made = EmailMessage()
    made["To"] = ", ".join(addresses)
    made["Subject"] = f"{sender}: {subject}".replace("=?", "= ?")  # or a mail program would decode it (RFC 2047)
    made["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office replies
    made.set_content(f"{sender}: {subject}\n\n{text}\n")
    return made.as_bytes()


def by_command(command: Sequence[str], environ: Mapping[str, str], sender: str, subject: str, text: str) -> str:
    """Give the text to the operator's command."""
    return run(command, f"{sender}: {subject}\n\n{text}\n".encode(), environ)


def run(command: Sequence[str], text: bytes, environ: Mapping[str, str]) -> str:
    """Run the command with the text on its standard input; it must succeed in time."""
    name = words.printable(command[0])
    with open(os.memfd_create("alert"), "w+b") as given:  # in memory: a pipe may be too small, and the disk full
        given.write(text)
        given.seek(0)
        try:
            process = subprocess.Popen(
                command, stdin=given, stdout=PIPE, stderr=STDOUT, env=environ, start_new_session=True
            )
        except (FileNotFoundError, PermissionError):
            return f"{name} is not there, or cannot be executed"
        except (OSError, ValueError) as error:
            return f"{name}: {words.printable(getattr(error, 'strerror', None) or error)}"
    said = _wait(process)
    if said is None:
        return f"{name} was not done after {LASTS:g} s, and was killed"
    if process.returncode < 0:
        return f"{name} was ended by {signal_name(-process.returncode)}: {said}"
    if process.returncode:
        return f"{name} ended with exit status {process.returncode}: {said}"
    return ""


def _wait(process: subprocess.Popen[bytes]) -> str | None:
    """Wait for the end of the command; gives the beginning of what it said, or None if it had to be killed."""
    said = bytearray()

    def keep_begin() -> None:
        assert process.stdout is not None
        while more := os.read(process.stdout.fileno(), 65536):
            said.extend(more[: _SAID - len(said)])

    reader = threading.Thread(target=keep_begin, daemon=True)
    reader.start()
    try:
        process.wait(LASTS)
    except subprocess.TimeoutExpired:
        with suppress(OSError):  # we may not kill a setuid program
            os.killpg(process.pid, signal.SIGKILL)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_DYING_LASTS)
        return None
    reader.join(_LAST_WORDS)  # no longer: a program that delivers in the background, as exim does, holds the pipe
    return words.printable(said.decode(errors="replace").strip())
