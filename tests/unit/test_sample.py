"""The sample main.py: it harms nobody's mail, and gives no password away."""

import importlib.util
import mailbox
import smtplib
import ssl
from email.message import EmailMessage
from pathlib import Path

import pytest

SAMPLE = Path(__file__).parents[2] / "deploy/main.py"
TO_A_HOST = {"SMTP_HOST": "mail.example.org", "SMTP_USER": "ana", "SMTP_PASSWORD": "geheim"}
SETTINGS = (
    *("SMTP_HOST", "SMTP_PORT", "SMTP_USER", "SMTP_PASSWORD", "MAIL_FROM", "MAIL_TO"),
    *("MAILDIR", "SAMPLE_MAILDIR", "STATE_DIRECTORY", "CREDENTIALS_DIRECTORY"),
)


@pytest.fixture
def sample(monkeypatch):
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    spec = importlib.util.spec_from_file_location("sample", SAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def run(sample, monkeypatch):
    """Runs the sample a number of times, with these settings."""

    def run(times=1, **settings):
        for name, value in settings.items():
            monkeypatch.setenv(name, str(value))
        for _ in range(times):
            sample.main()

    return run


def mailbox_of_a_user(path, count=150):
    """150 mails that were read, as mutt leaves them."""
    box = mailbox.Maildir(path)
    for number in range(count):
        mail = mailbox.MaildirMessage(EmailMessage())
        mail["Subject"] = f"letter {number}"
        mail.set_subdir("cur")
        mail.set_flags("S")
        mail.set_date(number)
        box.add(mail)
    return box


def letters(box):
    return sum(mail["Subject"].startswith("letter ") for mail in mailbox.Maildir(box._path))


def test_the_mailbox_that_a_user_has_exported_as_maildir_is_not_used(run, tmp_path):
    theirs = mailbox_of_a_user(tmp_path / "Mail")
    run(3, MAILDIR=tmp_path / "Mail", SAMPLE_MAILDIR=tmp_path / "ours")
    assert letters(theirs) == len(mailbox.Maildir(theirs._path)) == 150
    assert len(mailbox.Maildir(tmp_path / "ours")) == 3


def test_the_maildir_is_in_the_state_directory_or_in_scheduler_beside_the_script(sample, monkeypatch):
    monkeypatch.setenv("MAILDIR", "/home/ana/Mail")
    assert sample.maildir() == SAMPLE.parent / "scheduler/Maildir"
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/main-scheduler")
    assert sample.maildir() == Path("/var/lib/main-scheduler/Maildir")


def test_a_maildir_that_it_did_not_make_is_never_pruned(run, tmp_path):
    theirs = mailbox_of_a_user(tmp_path / "Mail")
    run(120, SAMPLE_MAILDIR=tmp_path / "Mail")
    assert letters(theirs) == 150
    assert len(mailbox.Maildir(theirs._path)) == 270


def test_of_the_maildir_that_it_made_the_newest_100_mails_are_kept(run, sample, tmp_path, monkeypatch):
    for number in range(103):
        monkeypatch.setenv("SCHED_RUN", str(number))
        run(SAMPLE_MAILDIR=tmp_path / "ours")
    subjects = {mail["Subject"].split()[1] for mail in mailbox.Maildir(tmp_path / "ours")}
    assert subjects == {str(number) for number in range(3, 103)}


def test_mails_that_were_read_are_counted_too(run, tmp_path):
    ours = tmp_path / "ours"
    run(101, SAMPLE_MAILDIR=ours)
    for mail in (ours / "new").iterdir():
        mail.rename(ours / "cur" / f"{mail.name}:2,S")
    run(1, SAMPLE_MAILDIR=ours)
    assert (len(list((ours / "cur").iterdir())), len(list((ours / "new").iterdir()))) == (99, 1)


def test_mails_that_others_put_into_its_maildir_stay(run, tmp_path):
    run(1, SAMPLE_MAILDIR=tmp_path / "ours")
    box = mailbox_of_a_user(tmp_path / "ours")
    run(150, SAMPLE_MAILDIR=tmp_path / "ours")
    assert letters(box) == 150
    assert len(mailbox.Maildir(box._path)) == 250


def test_a_directory_that_is_no_maildir_is_left_as_it_is(run, tmp_path):
    (tmp_path / "notes").write_text("mine")
    with pytest.raises(FileNotFoundError):
        run(SAMPLE_MAILDIR=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes"]


class Server:
    """What smtplib.SMTP gives, and what it was asked for."""

    offers = ("starttls",)

    def __init__(self, host, port, *, timeout, context=None):
        self.asked = []
        self.encrypted_by = context
        self.greeted = False
        Server.last = self

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        pass

    def ehlo_or_helo_if_needed(self):
        self.greeted = True

    def has_extn(self, name):
        return self.greeted and name in self.offers  # as the real one, it knows nothing before it has asked

    def starttls(self, *, context=None):
        self.encrypted_by = context

    def login(self, user, password):
        self.asked.append((user, password))

    def send_message(self, mail):
        self.asked.append("mail")


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(smtplib, "SMTP", Server)
    monkeypatch.setattr(smtplib, "SMTP_SSL", Server)
    monkeypatch.setattr(Server, "offers", ("starttls",))
    return Server


@pytest.mark.parametrize("port", ["25", "465", "587"])
def test_certificates_are_verified(run, server, port):
    run(SMTP_PORT=port, **TO_A_HOST)
    assert server.last.asked == [("ana", "geheim"), "mail"]
    assert server.last.encrypted_by.verify_mode == ssl.CERT_REQUIRED
    assert server.last.encrypted_by.check_hostname


def test_a_host_that_offers_no_encryption_gets_no_password(run, server, monkeypatch):
    monkeypatch.setattr(server, "offers", ())
    with pytest.raises(SystemExit, match=r"mail\.example\.org:587 offers no encryption"):
        run(SMTP_PORT=587, **TO_A_HOST)
    assert server.last.asked == []


def test_a_host_that_offers_no_encryption_gets_mail_that_needs_no_password(run, server, monkeypatch):
    monkeypatch.setattr(server, "offers", ())
    run(SMTP_HOST="mail.example.org")
    assert server.last.asked == ["mail"]


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1"])
def test_the_mail_server_of_this_machine_needs_no_certificate(run, server, host):
    run(**{**TO_A_HOST, "SMTP_HOST": host})
    assert server.last.asked == [("ana", "geheim"), "mail"]
    assert server.last.encrypted_by is None


def test_the_credential_goes_before_the_environment(run, server, tmp_path):
    (tmp_path / "smtp-password").write_text("besser\n")
    run(SMTP_PORT=465, CREDENTIALS_DIRECTORY=tmp_path, **TO_A_HOST)
    assert server.last.asked == [("ana", "besser"), "mail"]
