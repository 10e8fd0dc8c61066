import os
from dataclasses import replace
from pathlib import Path

import pytest

from sched_runner.run.hints import Place, hint, probe
from sched_runner.settings import places, table

DROP_INS = Path(__file__).parents[2] / "deploy/systemd/drop-ins"
BESIDE = Path("/opt/main-scheduler")
DENIED = "OSError: [Errno 30] Read-only file system: 'out.csv'"


def sandboxed(path):
    """As the shipped unit shows it to a script: /opt is read-only, and so is /srv; the script's files are root's."""
    if path.startswith("/dev"):
        return Place(path == "/dev/kvm", "/dev", private_devices=True, of_another=True)
    if path.startswith("/home"):
        return Place(False, "/home", hidden=True, of_another=True)
    directory = next(
        (d for d in ("/opt/main-scheduler/sub", "/opt/main-scheduler", "/srv/out") if f"{path}/".startswith(f"{d}/")),
        "/",
    )
    return Place(path == directory, directory, read_only=True, of_another=True)


def with_drop_ins(path):
    """The same with a drop-in for each place, but without a chown."""
    seen = sandboxed(path)
    return seen._replace(read_only=False, hidden=False, private_devices=False)


SETTINGS, _ = table.load({"SCHED_MAIN": f"{BESIDE}/main.py"}, places.installed())
OF_SYSTEMD = {"INVOCATION_ID": "7", "LOGS_DIRECTORY": "/var/log/main-scheduler"}


def told(text, look=sandboxed):
    return hint(text.split("\n"), SETTINGS, OF_SYSTEMD, look)


@pytest.mark.parametrize(
    ("text", "drop_in"),
    [
        ("OSError: [Errno 30] Read-only file system: 'out.csv'", "write-beside-script"),
        ("OSError: [Errno 30] Read-only file system: '/opt/main-scheduler/sub/out.csv'", "write-beside-script"),
        ("/opt/main-scheduler/main.py: line 3: out.csv: Read-only file system", "write-beside-script"),
        ("touch: cannot touch 'out.csv': Read-only file system", "write-beside-script"),
        ("Error: EROFS: read-only file system, open 'out.csv'", "write-beside-script"),
        ("Can't open out: Read-only file system at main.pl line 1.", "write-beside-script"),
        ("File \"/opt/sendmail.py\", line 3\nOSError: [Errno 30] Read-only file system: 'out'", "write-beside-script"),
        ("sqlite3.OperationalError: attempt to write a readonly database", "write-beside-script"),
        ("sqlite3.OperationalError: unable to open database file", "write-beside-script"),
        ("/home/me/venv/bin/python: Permission denied", "venv-in-home"),
        ("PermissionError: [Errno 13] Permission denied: '/home/me/data'", "venv-in-home"),
        ("FileNotFoundError: [Errno 2] No such file or directory: '/dev/ttyUSB0'", "device"),
        ("stty: /dev/ttyUSB0: No such file or directory", "device"),
        ("could not open /dev/kvm: Operation not permitted", "device"),
        ("postdrop: warning: mail_queue_enter: create file maildrop/1.2: Permission denied", "sendmail"),
        ('Cannot open main log file "/var/log/exim4/mainlog": Read-only file system: euid=999 egid=999', "sendmail"),
        (
            "Failed to move to new namespace: PID namespaces supported, but failed: errno = Operation not permitted",
            "browser",
        ),
    ],
)
def test_where_the_sandbox_is_the_cause_the_drop_in_is_named(text, drop_in):
    assert f"the drop-in {drop_in}.conf relaxes it" in told(text)
    assert (DROP_INS / f"{drop_in}.conf").is_file()


@pytest.mark.parametrize(
    "text",
    [
        "OSError: [Errno 30] Read-only file system: '/srv/out/x.csv'",
        "cp: cannot create regular file '/srv/out/x.csv': Read-only file system",
        "mkdir: cannot create directory ‘/srv/out/2026’: Read-only file system",
        "cannot open /srv/out/x: Read-only file system at /opt/main-scheduler/main.py line 2.",
        '  db = sqlite3.connect("/srv/out/x.db")\nsqlite3.OperationalError: attempt to write a readonly database',
    ],
)
def test_another_place_that_is_read_only_gets_a_drop_in_of_its_own(text):
    assert "a drop-in with ReadWritePaths=/srv/out relaxes it" in told(text)


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("PermissionError: [Errno 13] Permission denied: 'out.csv'", "/opt/main-scheduler"),
        ("PermissionError: [Errno 13] Permission denied: '/srv/out/x.csv'", "/srv/out"),
        ("touch: cannot touch '/srv/out/x.csv': Permission denied", "/srv/out"),
        ("Error: EACCES: permission denied, open '/srv/out/x.csv'", "/srv/out"),
        ("cannot open /srv/out/x: Permission denied at /opt/main-scheduler/main.py line 2.", "/srv/out"),
    ],
)
def test_a_directory_where_the_user_may_not_write_is_named(text, where):
    begin = f"the service's user may not write in {where}: write to $STATE_DIRECTORY"
    assert told(text, with_drop_ins) == f"{begin}, or let that user own the directory"


@pytest.mark.parametrize("number", ["line 3", "3"])
@pytest.mark.parametrize("refused", ["out.csv", "/opt/main-scheduler/out.csv", "cannot create out.csv"])
def test_the_script_that_a_shell_names_is_not_the_file_that_was_refused(number, refused):
    line = f"/opt/main-scheduler/main.py: {number}: {refused}: Permission denied"
    assert told(line, lambda path: Place(path.endswith("main.py"), "/opt/main-scheduler", of_another=True)).startswith(
        "the service's user may not write in /opt/main-scheduler: "
    )


@pytest.mark.parametrize(
    ("seen", "name"),
    [(Place(True, "/srv", of_another=True), "/srv/x"), (Place(False, "/srv", closed=True, of_another=True), "/srv")],
)
def test_what_the_user_may_not_read_is_said_to_belong_to_another(seen, name):
    text = "PermissionError: [Errno 13] Permission denied: '/srv/x'"
    assert told(text, lambda path: seen) == f"{name} belongs to another user than the service's"


def test_nobody_is_told_to_give_a_directory_of_the_system_away():
    seen = Place(False, "/", of_another=True)
    said = told("PermissionError: [Errno 13] Permission denied: '/x'", lambda path: seen)
    assert said == "the service's user may not write in /: write to $STATE_DIRECTORY"


def test_a_script_in_a_home_had_better_be_elsewhere():
    said = told("/home/me/venv/bin/python: Permission denied")
    assert "put the file below /opt/main-scheduler; the drop-in" in said
    assert "if the service's user may also enter the directory" in said


def test_the_page_is_named_where_it_is_installed(tmp_path, monkeypatch):
    assert told(DENIED).endswith(", see docs/operating.md")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/operating.md").touch()
    monkeypatch.setattr(places, "_DOCS", str(tmp_path))
    assert told(DENIED).endswith(f", see {tmp_path}/docs/operating.md")


@pytest.mark.parametrize("look", [sandboxed, with_drop_ins])
@pytest.mark.parametrize(
    "text",
    [
        "",
        "ValueError: no such customer",
        "git@github.com: Permission denied (publickey).",
        "user@host: Permission denied (publickey,password).",
        "550 5.7.1 <ann@example.org>: Relaying not permitted",
        "554 relay not permitted",
        "urllib.error.HTTPError: HTTP Error 403: Forbidden",
        "psycopg2.errors.InsufficientPrivilege: permission denied for table customers",
        "PermissionError: [Errno 1] Operation not permitted",
        "PermissionError: [Errno 13] Permission denied",
        "Error: listen EACCES: permission denied 0.0.0.0:80",
        "Can't open out.csv: Permission denied at /opt/main-scheduler line 2.",
        "sendmail: no recipients",
        "we use the namespace sandbox: operation not permitted for you",
        "ls: cannot access '/home/x': No such file or directory",
        "FileNotFoundError: [Errno 2] No such file or directory: 'missing.csv'",
        "login: Permission denied: 'admin'",
        "OSError: [Errno 30] Read-only file system: '/proc/sys/vm/swappiness'",
        "OSError: [Errno 30] Read-only file system: '/etc'",
        "OSError: [Errno 30] Read-only file system: 's3://bucket/x'",
    ],
)
def test_where_the_sandbox_is_not_the_cause_nothing_is_named(text, look):
    assert told(text, look) == ""


@pytest.mark.parametrize(
    "text",
    [
        "OSError: [Errno 30] Read-only file system: 'out.csv'",
        "sqlite3.OperationalError: unable to open database file",
        "FileNotFoundError: [Errno 2] No such file or directory: '/dev/ttyUSB0'",
    ],
)
def test_a_drop_in_that_is_in_place_is_not_named_again(text):
    assert told(text, with_drop_ins) == ""


def test_a_path_is_seen_as_it_is_mounted_here_and_no_descriptor_is_left_open(tmp_path):
    before = os.listdir("/proc/self/fd")
    seen = probe(str(tmp_path / "not" / "there"))
    assert (seen.exists, seen.directory, seen.read_only, seen.hidden, seen.of_another) == (
        False,
        str(tmp_path),
        False,
        False,
        False,
    )
    assert probe("/proc/self").exists
    assert not probe("\0").exists
    assert os.listdir("/proc/self/fd") == before


def test_a_home_that_the_sandbox_does_not_hide_is_not_said_to_be_hidden():
    said = told("PermissionError: [Errno 13] Permission denied: '/home/me/data'", with_drop_ins)
    assert said.startswith("the service's user may not write in /home: ")


def test_what_a_drop_in_has_hidden_outside_of_homes_gets_no_hint_for_a_home():
    hidden = Place(False, "/opt", hidden=True)
    assert told("PermissionError: [Errno 13] Permission denied: '/opt/main-scheduler/x'", lambda path: hidden) == ""


def test_without_systemd_there_is_no_sandbox_to_blame():
    assert hint([DENIED], SETTINGS, {}, sandboxed) == ""
    assert hint([DENIED], SETTINGS, {"INVOCATION_ID": "7"}, sandboxed) == ""


def test_a_name_without_a_directory_is_looked_for_in_the_working_directory():
    elsewhere = replace(SETTINGS, workdir=Path("/srv/out"))
    assert hint([DENIED], elsewhere, OF_SYSTEMD, sandboxed).startswith(
        "the service's sandbox is the cause: a drop-in with ReadWritePaths=/srv/out"
    )
