#!/usr/bin/env python3
"""The sample: each run sends one mail, over SMTP if SMTP_HOST is set, and else into a Maildir on this machine.

Settings, from the environment: SMTP_HOST, SMTP_PORT (25; 465 is TLS from the start), SMTP_USER, SMTP_PASSWORD (or
the credential smtp-password), MAIL_FROM, MAIL_TO, SAMPLE_MAILDIR. The variable MAILDIR is not read: it names the
mailbox of a person.
"""

import os
import smtplib
import socket
import ssl
import sys
import time
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from pathlib import Path

KEPT_MAILS = 100
SECONDS = 60
THIS_MACHINE = ("localhost", "127.0.0.1", "::1")
OUR_MAIL = ".main-scheduler-sample."  # in the name of each file that this script writes
OUR_MAILDIR = ".made-by-main-scheduler-sample"  # a file in each Maildir that this script made


def compose() -> EmailMessage:
    here = f"{os.environ.get('USER', 'main-scheduler')}@{socket.gethostname()}"
    run = os.environ.get("SCHED_RUN", "0")
    mail = EmailMessage()
    mail["From"] = os.environ.get("MAIL_FROM", here)
    mail["To"] = os.environ.get("MAIL_TO", here)
    mail["Subject"] = f"Run {run} on {socket.gethostname()}"
    mail["Date"] = formatdate(localtime=True)
    mail["Message-ID"] = make_msgid("main-scheduler", "localhost")
    mail.set_content(f"This is run {run}. Put your own main.py in the place of this one.\n")
    return mail


def password() -> str:
    """The credential of systemd (LoadCredential=) before the environment, where others can see it."""
    credential = Path(os.environ.get("CREDENTIALS_DIRECTORY", "/nonexistent"), "smtp-password")
    return credential.read_text().strip() if credential.exists() else os.environ.get("SMTP_PASSWORD", "")


def send(mail: EmailMessage, host: str) -> str:
    """Certificates are verified, and no password leaves this machine unencrypted."""
    port = int(os.environ.get("SMTP_PORT", "25"))
    tls = ssl.create_default_context()
    safe = port == 465 or host in THIS_MACHINE
    if port == 465:
        smtp = smtplib.SMTP_SSL(host, port, timeout=SECONDS, context=tls)
    else:
        smtp = smtplib.SMTP(host, port, timeout=SECONDS)
    with smtp:
        smtp.ehlo_or_helo_if_needed()
        if not safe and smtp.has_extn("starttls"):
            smtp.starttls(context=tls)
            safe = True
        if user := os.environ.get("SMTP_USER"):
            if not safe:
                sys.exit(f"{host}:{port} offers no encryption, so the password of {user} is not sent")
            smtp.login(user, password())
        smtp.send_message(mail)
    return f"{host}:{port}"


def maildir() -> Path:
    if given := os.environ.get("SAMPLE_MAILDIR"):
        return Path(given)
    own = os.environ.get("STATE_DIRECTORY") or Path(__file__).resolve().parent / "scheduler"
    return Path(own, "Maildir")


def make(directory: Path) -> None:
    """A Maildir that was there before does not get our mark, and so nothing is ever removed from it."""
    try:
        directory.mkdir(parents=True)
    except FileExistsError:
        return
    for folder in ("tmp", "new", "cur"):
        (directory / folder).mkdir()
    (directory / OUR_MAILDIR).touch()


def keep(mail: EmailMessage, directory: Path) -> str:
    make(directory)
    name = f"{time.time_ns()}{OUR_MAIL}{os.getpid()}.{socket.gethostname()}"
    unfinished = directory / "tmp" / name
    unfinished.write_bytes(bytes(mail))
    unfinished.rename(directory / "new" / name)
    if (directory / OUR_MAILDIR).exists():
        remove_old(directory)
    return str(directory)


def remove_old(directory: Path) -> None:
    """Of the mails that this script wrote only the newest stay; a mail reader moves them from new to cur."""
    mails = [*(directory / "new").iterdir(), *(directory / "cur").iterdir()]
    ours = sorted((mail for mail in mails if OUR_MAIL in mail.name), key=lambda mail: mail.name)
    for mail in ours[:-KEPT_MAILS]:
        mail.unlink(missing_ok=True)


def main() -> None:
    mail = compose()
    host = os.environ.get("SMTP_HOST")
    where = send(mail, host) if host else keep(mail, maildir())
    print(f"mail {mail['Subject']!r} to {mail['To']} went to {where}")


if __name__ == "__main__":
    main()
