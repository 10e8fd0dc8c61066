#!/usr/bin/env python3
"""The sample: sends one mail a run, over SMTP where SMTP_HOST is set, else into a Maildir on this machine.

Settings, from the environment: SMTP_HOST, SMTP_PORT (25; 465 is TLS from the start), SMTP_USER, SMTP_PASSWORD (or
the credential smtp-password), MAIL_FROM, MAIL_TO, MAILDIR.
"""

import mailbox
import os
import smtplib
import socket
import sys
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from pathlib import Path

KEPT_MAILS = 100
SECONDS = 60


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
    port = int(os.environ.get("SMTP_PORT", "25"))
    connect = smtplib.SMTP_SSL if port == 465 else smtplib.SMTP
    with connect(host, port, timeout=SECONDS) as smtp:
        if port != 465 and smtp.has_extn("starttls"):
            smtp.starttls()
        if user := os.environ.get("SMTP_USER"):
            smtp.login(user, password())
        smtp.send_message(mail)
    return f"{host}:{port}"


def maildir() -> Path:
    """A Maildir of our own: old mails are removed from it."""
    if given := os.environ.get("MAILDIR"):
        return Path(given)
    return Path(os.environ.get("STATE_DIRECTORY") or Path(__file__).resolve().parent, "Maildir")


def keep(mail: EmailMessage, directory: Path) -> str:
    box = mailbox.Maildir(directory)
    box.add(mail)
    newest_first = sorted(box.iterkeys(), key=lambda key: box.get_message(key).get_date(), reverse=True)
    for key in newest_first[KEPT_MAILS:]:
        box.remove(key)
    return str(directory)


def main() -> None:
    mail = compose()
    host = os.environ.get("SMTP_HOST")
    where = send(mail, host) if host else keep(mail, maildir())
    print(f"mail {mail['Subject']!r} to {mail['To']} went to {where}")


if __name__ == "__main__":
    sys.exit(main())
