"""Mails that are handed to a program in the place of sendmail. Commands that hang are in tests/process."""

import email
import email.policy
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sched_runner import words
from sched_runner.tell import deliveries

TO = ("ops@example.org", "root")


@pytest.fixture
def sendmail(tmp_path, monkeypatch):
    """Keeps the mail; gives it."""
    file = tmp_path / "sendmail"
    file.write_text(f"#!/bin/sh\necho $* >{tmp_path}/arguments; cat >{tmp_path}/mail\n")
    file.chmod(0o755)
    monkeypatch.setattr(deliveries, "SENDMAIL", str(file))
    return (tmp_path / "mail").read_bytes


def parsed(mail):
    return email.message_from_bytes(mail, policy=email.policy.default)


def test_a_mail_has_recipients_subject_and_the_end_of_the_output(sendmail, tmp_path):
    assert deliveries.by_mail(TO, {}, "main-scheduler on host", "run 7 failed: ValueError: no", "one\ntwo") == ""
    mail = parsed(sendmail())
    assert mail["To"] == "ops@example.org, root"
    assert mail["Subject"] == "main-scheduler on host: run 7 failed: ValueError: no"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail.get_content().splitlines() == [mail["Subject"], "", "one", "two"]
    assert (tmp_path / "arguments").read_text() == "-i -t\n"


@pytest.mark.parametrize(
    "text",
    [
        "no\nBcc: evil@example.org",
        "no\r\n\r\nbody",
        "=?utf-8?q?=0ABcc=3A_evil=40example.org?=",
        "=?utf-8?b?CkJjYzogZXZpbEBleGFtcGxlLm9yZw==?= =?us-ascii?q?=0D=0A?=",
        "\ud800\udfff\udc80",
        "ünï " * 200,
        "x" * 1_000_000,
        "\x00\x1b[2J\u202e\u2028\x85",
        "=?",
        "",
    ],
)
def test_no_text_breaks_a_mail_or_adds_a_header(sendmail, text):
    deliveries.by_mail(TO, {}, "s", words.printable(text), words.printable_lines(text))
    mail = parsed(sendmail())
    assert [name for name, _ in mail.items()][:3] == ["To", "Subject", "Auto-Submitted"]
    assert mail["To"] == "ops@example.org, root"
    assert "Bcc" not in mail
    assert all(len(line) < 998 for line in sendmail().splitlines())


@given(st.text(), st.text())
def test_a_mail_can_be_made_of_any_text(subject, text):
    raw = deliveries.mail(TO, "s", words.printable(subject), words.printable_lines(text))
    assert {name for name, _ in parsed(raw).items()} <= {
        "To",
        "Subject",
        "Auto-Submitted",
        "Content-Type",
        "Content-Transfer-Encoding",
        "MIME-Version",
    }


def test_a_host_without_sendmail_is_told(monkeypatch, tmp_path):
    monkeypatch.setattr(deliveries, "SENDMAIL", str(tmp_path / "sendmail"))
    told = deliveries.by_mail(TO, {}, "s", "subject", "text")
    assert told == f"this host has no {tmp_path}/sendmail; postfix, exim4 and msmtp-mta bring one"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("echo no way; exit 4", "sh ended with exit status 4: no way"),
        (r"printf 'a\033[2J\377\nb' >&2; exit 1", r"sh ended with exit status 1: a\x1b[2J�\nb"),
        ("kill -9 $$", "sh was ended by SIGKILL: "),
    ],
)
def test_a_command_that_fails_is_told_with_its_words(source, said):
    assert deliveries.by_command(("sh", "-c", source), {"PATH": "/usr/bin:/bin"}, "s", "subject", "text") == said


def test_a_command_that_is_not_there_is_told():
    told = deliveries.by_command(("nothing-here",), {"PATH": "/usr/bin"}, "s", "subject", "text")
    assert told == "nothing-here is not there, or cannot be executed"


def test_a_command_may_leave_its_input_alone_and_say_a_lot(tmp_path):
    text, environ = "x\n" * 1_000_000, {"PATH": "/usr/bin:/bin"}
    for command in ("head -c 10000000 /dev/zero", f"cat >{tmp_path}/got"):
        assert deliveries.by_command(("sh", "-c", command), environ, "s", "subject", text) == ""
    assert (tmp_path / "got").read_text() == f"s: subject\n\n{text}\n"
    assert stat.S_ISREG((tmp_path / "got").stat().st_mode)
