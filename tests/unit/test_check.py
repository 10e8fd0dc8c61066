from dataclasses import replace
from pathlib import Path

import pytest

from sched_runner.commands import check, report
from sched_runner.commands.installation import Installation
from sched_runner.record.state import State
from sched_runner.record.status import Status
from sched_runner.settings import places, table
from sched_runner.settings.source import Source

NOW = 1_700_000_000.0
PLACE = places.here(Path("/srv/job"))
UP = State(gap=60.0, next_due=NOW + 20)


def status(state=UP, pid: int | None = 42):
    return Status("main-scheduler", pid, state, NOW, 1000.0, "this boot")


def next_due(state, *, pid: int | None = 42, **settings):
    return report.next_due(table.load(settings, PLACE)[0], status(state, pid))


class Here(Installation):
    def look(self):
        return status()


def found(**environ):
    return report.of(Here(PLACE, *Source(environ, None, PLACE).read_all(), is_service=False), has_its_eyes=False)


def lines(**environ):
    return [" ".join(line.split()) for line in check.text(found(**environ), "the environment").splitlines()]


@pytest.mark.parametrize(
    ("interval", "first"),
    [
        ("1min", NOW + 20),
        # As a reload would have it: counted from the last due time.
        ("5min", NOW + 260),
        ("10s", NOW),
    ],
)
def test_the_next_run_of_one_that_is_up_is_due_as_if_the_settings_were_reloaded(interval, first):
    assert next_due(UP, SCHED_INTERVAL=interval) == first


def test_the_next_run_of_one_that_is_down_is_due_as_if_it_were_started():
    assert next_due(State(), pid=None) == NOW
    assert next_due(State(due=NOW - 20), pid=None, SCHED_START="resume") == NOW + 40


@pytest.mark.parametrize("due", [0.0, NOW + 1e9, 253_370_764_800.0])
@pytest.mark.parametrize("gap", [None, 0.0, 1.0, 6e9])
@pytest.mark.parametrize("interval", ["0.1s", "4h", "100y"])
def test_due_times_can_be_shown_whatever_main_py_has_written_into_the_state(due, gap, interval):
    settings, _ = table.load({"SCHED_INTERVAL": interval}, PLACE)
    times = list(report.due_times(settings, status(replace(UP, next_due=due, gap=gap))))
    assert NOW <= times[0] <= NOW + settings.interval
    assert len(times) == 5


def test_each_setting_has_a_line_with_its_value_and_where_it_is_from():
    shown = lines(SCHED_ENV="prod", SCHED_TIMEOUT="26h 30min", SCHED_START="")
    assert shown[:2] == ["SCHED_ENV prod from the environment", "SCHED_INTERVAL 4 h from the default"]
    assert {"SCHED_TIMEOUT 1 d 2 h 30 min from the environment", "SCHED_START now from the default"} < set(shown)
    assert [line.split()[0] for line in shown[: len(table.NAMES)]] == list(table.NAMES)


def test_the_columns_are_straight():
    shown = check.text(found(), "the environment").splitlines()[: len(table.NAMES)]
    assert len({line.index(" from ") for line in shown}) == 1


def test_a_drop_in_or_a_file_is_named_if_it_is_known_to_have_given_the_value():
    made = replace(found(SCHED_ENV="prod", SCHED_START="now"), origins={"SCHED_ENV": "/etc/prod.env"})
    shown = check.text(made, "elsewhere")
    assert [line.split(" from ")[1] for line in shown.splitlines() if "SCHED_ENV" in line] == ["/etc/prod.env"]
    assert [line.split(" from ")[1] for line in shown.splitlines() if "SCHED_START" in line] == ["elsewhere"]


def test_nothing_that_main_py_has_forged_in_a_report_is_obeyed_by_a_terminal():
    forged = report.Report({"A\x1b[2J": "\x1b[2J"}, [], {"A\x1b[2J": "\x1b[2J"}, [], *[["\x1b[2J"]] * 2)
    assert "\x1b" not in check.text(forged, "the environment")


def test_a_script_that_is_not_there_yet_is_named(monkeypatch):
    monkeypatch.setattr("os.access", lambda path, mode: True)
    assert "/none/main.py is not there (yet): a run would end as not started" in lines(SCHED_MAIN="/none/main.py")


@pytest.mark.parametrize(
    ("setting", "fault"),
    [
        (
            {"SCHED_ALERT_COMMAND": "cat >/tmp/token"},
            "SCHED_ALERT_COMMAND: no shell reads it, so that > is a mere word",
        ),
        ({"SCHED_ALERT_COMMAND": "cat 2>/dev/null"}, "so that 2> is a mere word"),
        ({"SCHED_ALERT_COMMAND": "cat <<EOF"}, None),
        ({"SCHED_ALERT_COMMAND": "cat </tmp/x"}, "so that < is a mere word"),
        ({"SCHED_ALERT_COMMAND": "cat $(hostname)"}, "so that $( is a mere word"),
        ({"SCHED_ALERT_COMMAND": "cat `hostname`"}, "so that ` is a mere word"),
        ({"SCHED_ALERT_COMMAND": "cat '<b>alert</b>' a->b c&d pa$word https://h/?a=1&b=2"}, None),
        ({"SCHED_ALERT_COMMAND": "sh -c 'cat >/tmp/x'"}, None),
        ({"SCHED_METRICS_FILE": "/tmp"}, "SCHED_METRICS_FILE: /tmp is a directory: name a file in it"),
        ({"SCHED_PING_URL": "https://h/secret", "https_proxy": "socks5://p:1"}, "SCHED_PING_URL: a proxy must have"),
        ({"SCHED_PING_URL": "https://h/secret", "https_proxy": "http://p:1"}, None),
    ],
)
def test_what_keeps_somebody_from_being_told_is_a_fault(tmp_path, setting, fault):
    settings, _ = table.load(setting | {"SCHED_STATE_DIR": str(tmp_path), "SCHED_LOG_DIR": str(tmp_path)}, PLACE)
    told = list(report.faults(settings, {"PATH": "/usr/bin:/bin", **setting}))
    assert [fault in text and "token" not in text and "secret" not in text for text in told] == [True] * bool(fault)


def test_a_faulty_value_is_shown_as_such_and_has_no_due_times():
    shown = lines(SCHED_INTERVAL="30 parsecs", SCHED_RETRIES="2")
    assert "SCHED_INTERVAL faulty from the environment" in shown
    assert "SCHED_RETRIES 2 from the environment" in shown
    assert "next due times:" not in shown
    assert "next due times:" in lines(SCHED_RETRIES="2")


@pytest.mark.parametrize("environment", ["prdo", ""])
def test_a_faulty_environment_leaves_the_interval_unknown(environment):
    shown = lines(SCHED_ENV=environment)
    assert "SCHED_ENV faulty from the environment" in shown
    assert "SCHED_INTERVAL unknown from SCHED_ENV" in shown


def test_the_address_in_the_credential_is_shown_without_what_is_secret_unless_a_setting_wins(tmp_path):
    address = tmp_path / "ping-url"
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert "SCHED_PING_URL none from the default" in lines(**environ)
    address.write_text("https://hc-ping.com/secret\n")
    assert "SCHED_PING_URL https://hc-ping.com/… from the credential ping-url" in lines(**environ)
    own = "https://example.org/x"
    assert "SCHED_PING_URL https://example.org/… from the environment" in lines(**environ, SCHED_PING_URL=own)
    assert "SCHED_PING_URL faulty from the environment" in lines(**environ, SCHED_PING_URL="example.org")
    address.write_text("no address")
    assert "SCHED_PING_URL none from the default" in lines(**environ)
