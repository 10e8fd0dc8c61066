"""Alerts by the real command: what is due is told by each way once, and nothing that main.py writes can keep it back."""

import json
import os
import socket
import time
from pathlib import Path

import pytest
from harness import Site, wait_until

FAILS_UNTIL_WELL = "[ -e well ] && exit 0; echo the last words; echo 'ValueError: no' >&2; exit 3"


def alert(site: Site, patch: str = "", **settings: str) -> str:
    """What the operator's command is told by one ``main-scheduler alert``."""
    told = site.path / "told"
    told.unlink(missing_ok=True)
    ended = site.call("alert", "--here", patch=patch, SCHED_ALERT_COMMAND=f"tee {told}", **settings)
    assert ended.returncode == 0, ended.stderr
    return told.read_text() if told.exists() else ""


def let_pass(site: Site, seconds: float) -> None:
    """As if what was told had been told so long ago."""
    file = site.own / "last_alert.json"
    memory = json.loads(file.read_text())
    for told in memory.values():
        told["when"] -= seconds
    file.write_text(json.dumps(memory))


def test_a_failure_is_told_once_then_once_a_day_with_their_number_and_then_the_recovery(site: Site) -> None:
    site.shell(FAILS_UNTIL_WELL)
    assert site.call("once").returncode == 3
    text = alert(site).splitlines()
    assert text[0].endswith(f" on {socket.gethostname()}: run 1 failed: ValueError: no")
    assert text[1:] == ["", "the last words", "ValueError: no"]
    for _ in range(3):
        assert site.call("once").returncode == 3
        assert alert(site) == ""
    let_pass(site, 86400)
    assert ": run 4 failed: ValueError: no, 3 failures since " in alert(site)
    assert alert(site) == ""
    (site.path / "well").touch()
    assert site.call("once").returncode == 0
    assert "all is well again" in alert(site)
    assert alert(site) == ""


def test_failures_are_told_from_the_nth_in_a_row_on(site: Site) -> None:
    site.shell("exit 0")
    site.call("once")
    site.shell("exit 3")
    told = []
    for _ in range(4):
        site.call("once")
        told.append(alert(site, SCHED_ALERT_AFTER="3").partition("\n")[0].rpartition(", ")[2])
    assert told == ["", "", "3 failures in a row", ""]


def test_faulty_settings_are_told_with_the_fault_in_the_subject(site: Site) -> None:
    site.shell("exit 0")
    site.call("once")
    subject = alert(site, SCHED_TIMOUT="5min").splitlines()[0]
    assert subject.endswith("the settings are faulty: SCHED_TIMOUT: no such setting (did you mean SCHED_TIMEOUT?)")
    assert alert(site, SCHED_TIMOUT="5min") == ""
    assert "the settings are in order again" in alert(site)


def test_a_scheduler_that_was_never_started_is_told_once(site: Site) -> None:
    assert "it was never started" in alert(site)
    assert alert(site) == ""


def sendmail(site: Site, source: str) -> str:
    """A patch that has this as the host's sendmail."""
    program = site.path / "sendmail"
    program.write_text(f"#!/bin/sh\n{source}\n")
    program.chmod(0o755)
    return f"import faults; faults.sendmail({str(program)!r})"


def test_a_way_that_fails_is_tried_again_and_repeats_no_other(site: Site) -> None:
    site.shell("exit 3")
    site.call("once")
    patch = sendmail(site, "[ -e mails ] && { echo full; exit 75; }; cat >>not-yet; exit 75")
    environ = {"SCHED_ALERT_MAIL": "ops@example.org", "SCHED_ALERT_COMMAND": f"tee -a {site.path}/told"}
    for _ in range(3):
        ended = site.call("alert", "--here", patch=patch, **environ)
        assert ended.returncode == 1
        assert "the alert could not be told: mail: " in ended.stderr
        assert "sendmail ended with exit status 75" in ended.stderr
    patch = sendmail(site, "cat >>mails")
    assert site.call("alert", "--here", patch=patch, **environ).returncode == 0
    assert site.call("alert", "--here", patch=patch, **environ).returncode == 0
    assert (site.path / "mails").read_text().count("Subject: ") == 1
    assert (site.path / "told").read_text().count("run 1 failed") == 1


def test_what_happens_during_a_delivery_is_told_by_the_same_command(site: Site) -> None:
    site.shell(FAILS_UNTIL_WELL)
    site.call("once")
    recovers = f"touch {site.path}/well; {' '.join(site.line('once'))} >/dev/null 2>&1"
    command = f"sh -c 'cat >>told; [ -e well ] || {{ {recovers}; }}'"
    ended = site.call("alert", "--here", SCHED_ALERT_COMMAND=command)
    assert ended.returncode == 0, ended.stderr
    told = (site.path / "told").read_text()
    assert "run 1 failed" in told
    assert "all is well again" in told


def test_a_command_that_hangs_is_killed_with_all_it_started(site: Site) -> None:
    site.shell("exit 3")
    site.call("once")
    patch = "import faults; faults.short_deliveries(0.5)"
    begin = time.monotonic()
    ended = site.call(
        "alert", "--here", patch=patch, SCHED_ALERT_COMMAND="sh -c 'trap \"\" TERM; sleep 600 & sleep 600; true'"
    )
    assert time.monotonic() - begin < 10
    assert ended.returncode == 1
    assert "command: sh was not done after 0.5 s, and was killed" in ended.stderr
    wait_until(lambda: not [line for line in site.processes.alive().values() if "sleep 600" in line])


def test_what_delivers_in_the_background_is_neither_waited_for_nor_killed(site: Site) -> None:
    site.shell("exit 3")
    site.call("once")
    begin = time.monotonic()
    ended = site.call("alert", "--here", SCHED_ALERT_COMMAND="sh -c '(sleep 3; echo late >late) & true'")
    assert ended.returncode == 0, ended.stderr
    assert time.monotonic() - begin < 3
    assert site.await_file("late") == "late\n"


def test_the_command_has_the_environment_of_the_settings(site: Site) -> None:
    site.shell("exit 3")
    site.call("once")
    command = "sh -c 'echo $https_proxy $NTFY_TOKEN >got'"
    site.call("alert", "--here", SCHED_ALERT_COMMAND=command, https_proxy="http://proxy:3128", NTFY_TOKEN="t")
    assert (site.path / "got").read_text() == "http://proxy:3128 t\n"


def poison(file: Path, what: object) -> None:
    if file.is_dir() or what == "directory":
        file.unlink(missing_ok=True)
        file.mkdir()
        return
    file.unlink(missing_ok=True)
    if what == "fifo":
        os.mkfifo(file)
    elif what == "link":
        file.symlink_to("/etc/shadow")
    elif isinstance(what, bytes):
        file.write_bytes(what)
    else:
        file.write_text(json.dumps(what))


TEXT = "\ud800\n\r\x00\x1b]0;x\x07\x9b\u202e\u2028=?utf-8?q?=0ABcc=3Aa=40b?= " + "x" * 60_000
POISON = {
    "a FIFO": "fifo",
    "a link": "link",
    "a directory": "directory",
    "not UTF-8": b"\xff\xfe\x00",
    "1 MB and more": b" " * 2_000_000,
    "deep": b"[" * 200_000,
    "long numbers": b'{"number": 1' + b"0" * 10_000 + b"}",
    "infinity": b'{"when": 1e400, "last_success": Infinity, "failures_in_a_row": NaN, "number": -1}',
    "a list": [],
    "null": None,
    "wrong types": {
        "number": "1",
        "tail": 7,
        "failures_in_a_row": [],
        "runs": {},
        "mail: runs": 1,
        "command: runs": [],
        "boot_id": 7,
    },
    "wrong runs": {"runs": [{"outcome": "no\nsuch"}, 7, None], "failures_in_a_row": 3},
    "wrong text": {"number": 1, "tail": [TEXT] * 60, "headline": TEXT, "summary": TEXT},
    "wrong state": {
        "failures_in_a_row": 2**52,
        "host": TEXT,
        "boot_id": TEXT,
        "every": TEXT,
        "last_success": 253_370_764_800,
        "runs": [{"number": 1, "outcome": "failed", "reason": TEXT}],
    },
    "a memory of the future": {"command: runs": {"kind": "failing", "when": 253_370_764_800, "count": 1}},
}


@pytest.mark.parametrize("what", POISON)
@pytest.mark.parametrize("name", ["state.json", "last_failure.json", "last_alert.json", "lock"])
def test_nothing_that_main_py_writes_makes_the_alert_fail(site: Site, name: str, what: str) -> None:
    site.shell("exit 3")
    site.call("once")
    poison(site.own / name, POISON[what])
    patch = sendmail(site, "cat >mail")
    ended = site.call(
        "alert", "--here", patch=patch, SCHED_ALERT_MAIL="a@example.org", SCHED_ALERT_COMMAND="tee told", deadline=10
    )
    assert "Traceback" not in ended.stderr
    told = (site.path / "told").read_text()
    mail = (site.path / "mail").read_bytes()
    if name in ("last_failure.json", "last_alert.json"):
        assert "run 1 failed: exit status 3" in told.splitlines()[0]
    assert told.replace("\n", "").isprintable()
    assert max(map(len, told.splitlines())) < 700
    assert mail.count(b"\nSubject: ") == 1
    assert b"\nBcc" not in mail
    assert ended.returncode == 0, ended.stderr


def test_a_test_is_sent_by_every_way_and_remembers_nothing(site: Site) -> None:
    site.shell("exit 3")
    site.call("once")
    patch = sendmail(site, "cat >>mails")
    environ = {"SCHED_ALERT_MAIL": "ops@example.org", "SCHED_ALERT_COMMAND": "tee told"}
    ended = site.call("alert", "--here", "--test", patch=patch, **environ)
    assert ended.returncode == 0, ended.stderr
    record, *results = ended.stdout.splitlines()
    assert record.endswith(" this is a test of the alerts, nothing is wrong")
    assert results[-3:] == ["journal: told", "mail: told", "command: told"]
    assert "this is a test" in (site.path / "mails").read_text()
    assert "this is a test" in (site.path / "told").read_text()
    assert "run 1 failed" in alert(site)


def test_a_test_says_for_each_way_whether_it_works_and_what_is_missing(site: Site) -> None:
    patch = f"import faults; faults.sendmail({str(site.path / 'nothing')!r})"
    environ = {"SCHED_ALERT_MAIL": "ops@example.org", "SCHED_ALERT_COMMAND": "sh -c 'echo no such topic; exit 22'"}
    ended = site.call("alert", "--here", "--test", patch=patch, **environ, SCHED_TIMOUT="1")
    assert ended.returncode == 1
    journal, mail, command, faulty = ended.stdout.splitlines()[-4:]
    assert journal == "journal: told"
    assert mail == f"mail: this host has no {site.path}/nothing; postfix, exim4 and msmtp-mta bring one"
    assert command == "command: sh ended with exit status 22: no such topic"
    assert faulty.startswith("the settings are faulty: SCHED_TIMOUT: ")
    nothing = site.call("alert", "--here", "--test")
    assert nothing.returncode == 1
    assert "neither SCHED_ALERT_MAIL nor SCHED_ALERT_COMMAND is set" in nothing.stdout


@pytest.mark.parametrize("address", ["ops@exämple.org", "bad <", "a@example.org\nBcc: b@example.org"])
def test_an_address_that_is_none_is_a_fault_of_the_settings_which_is_told(site: Site, address: str) -> None:
    ended = site.call("run", SCHED_ALERT_MAIL=address)
    assert ended.returncode == 78
    assert "use addresses like you@example.org" in ended.stderr
    assert "the settings are faulty: SCHED_ALERT_MAIL=" in alert(site, SCHED_ALERT_MAIL=address)
