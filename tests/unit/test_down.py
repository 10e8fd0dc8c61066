"""What the commands say of a scheduler that is down, and of one that is another user's."""

import argparse
import json
from dataclasses import replace

import pytest

from sched_runner.commands import alert, history, once, restart, status, trigger, units
from sched_runner.commands.installation import Installation
from sched_runner.exit_status import OperatorError
from sched_runner.record.state import State, as_json
from sched_runner.record.store import STATE
from sched_runner.settings import places
from sched_runner.settings.source import Source
from sched_runner.settings.table import SettingsError

FRESH = {"ActiveState": "inactive", "UnitFileState": "disabled"}
FAULTY = {"ActiveState": "failed", "UnitFileState": "enabled", "ExecMainStatus": "78"}


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """The service, as each command finds it."""

    def make(unit=FRESH, *, instance="", is_service=True, is_users=False, **environ):
        place = replace(places.installed(instance), state_dir=tmp_path, env_file=tmp_path / "env", is_users=is_users)
        found = Installation(place, *Source(environ, None, place).read_all(), is_service, unit)
        monkeypatch.setattr(Installation, "is_another_users", lambda _: False)
        for command in (alert, history, once, status, trigger):
            monkeypatch.setattr(command, "find", lambda arguments, **_: found)
        return found

    return make


def told_by(command, **arguments):
    with pytest.raises(OperatorError) as told:
        command.main(argparse.Namespace(**arguments))
    return told.value.exit_status, str(told.value)


@pytest.mark.parametrize(
    ("options", "name", "start", "once"),
    [
        ({}, "main-scheduler", "systemctl start main-scheduler", "main-scheduler once"),
        (
            {"instance": "reports", "is_users": True},
            "main-scheduler@reports",
            "systemctl --user start main-scheduler@reports",
            "main-scheduler --user once reports",
        ),
    ],
)
def test_a_trigger_says_what_would_start_it(installed, options, name, start, once):
    installed(**options)
    assert told_by(trigger) == (3, f"{name} is not running: {start} starts it, {once} makes one run")


def test_a_trigger_of_a_scheduler_here_says_what_would_start_it(installed):
    installed(is_service=False)
    assert told_by(trigger) == (
        3,
        "no scheduler runs in this directory: main-scheduler run, or deploy/run.sh of the project, starts one",
    )


@pytest.mark.parametrize(
    ("unit", "options", "how"),
    [
        (FRESH, {}, "systemctl enable --now main-scheduler"),
        (FRESH, {"is_users": True}, "systemctl --user enable --now main-scheduler"),
        (FRESH | {"UnitFileState": "enabled"}, {}, ""),
        (FRESH | {"LoadState": "masked"}, {}, ""),
        ({}, {"is_service": False}, ""),
    ],
)
def test_the_status_of_a_fresh_service_says_how_to_enable_it(installed, capsys, unit, options, how):
    installed(unit, **options)
    assert status.main(argparse.Namespace(json=False)) == 3
    assert [line for line in capsys.readouterr().out.splitlines() if "enable --now" in line] == (
        [f"  not enabled: {how}"] if how else []
    )


def test_the_status_of_a_service_that_was_up_before_does_not(installed, tmp_path, capsys):
    (tmp_path / STATE).write_text(json.dumps(as_json(State(started=1.0))))
    installed()
    assert status.main(argparse.Namespace(json=False)) == 3
    assert "enable" not in capsys.readouterr().out


@pytest.mark.parametrize(("command", "is_service"), [(history, False), (once, True), (trigger, True)])
def test_a_state_that_cannot_be_read_is_unknown(installed, tmp_path, command, is_service):
    (tmp_path / STATE).write_text("{")
    installed(is_service=is_service)
    exit_status, message = told_by(command, since="", failed=False, json=False)
    assert (exit_status, message.startswith(f"{tmp_path / STATE} is faulty: ")) == (4, True)


def test_faulty_settings_are_said_once(installed):
    assert (
        installed(FAULTY, SCHED_FOO="1").look_around().trouble == "the settings are faulty: SCHED_FOO: no such setting"
    )
    assert installed(FAULTY).look_around().trouble == units.FAULTY_SETTINGS


def test_once_promises_no_run_with_faulty_settings(installed, capsys):
    installed(SCHED_FOO="1")
    with pytest.raises(SettingsError):
        once.main(argparse.Namespace())
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("is_test", "environ"), [(True, {}), (False, {}), (True, {"INVOCATION_ID": "1"})])
def test_another_user_than_the_services_tells_no_alert(installed, monkeypatch, is_test, environ):
    installed()
    monkeypatch.setattr(Installation, "is_another_users", lambda _: True)
    monkeypatch.setattr(alert, "environ", lambda: environ)
    message = "only root and the user of main-scheduler may tell its alerts: try with sudo"
    assert told_by(alert, test=is_test) == (4, message)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["a.timer"], "a.timer is not enabled; try systemctl enable --now a.timer"),
        (["a.path", "a.timer"], "a.path and a.timer are not enabled; try systemctl enable --now a.path a.timer"),
    ],
)
def test_units_that_are_not_enabled_are_named(monkeypatch, names, said):
    monkeypatch.setattr(units, "show", lambda *_: {name: {"UnitFileState": "disabled"} for name in names})
    assert units.not_enabled_or_up(names) == said


@pytest.mark.parametrize(
    ("state", "said"), [("active", ""), ("failed", "a.path is not up; try systemctl restart a.path")]
)
def test_an_enabled_unit_that_is_not_up_is_named(monkeypatch, state, said):
    monkeypatch.setattr(units, "show", lambda *_: {"a.path": {"UnitFileState": "enabled", "ActiveState": state}})
    assert units.not_enabled_or_up(["a.path"]) == said


class Held:
    """The lock of a run in progress, which ends at once."""

    owner = (0, 0)

    def __init__(self, folder):
        pass

    def open(self):
        pass

    def is_free(self):
        return False

    def wait(self):
        pass


@pytest.mark.parametrize("is_terminal", [True, False])
def test_ctrl_c_is_named_only_in_a_terminal(monkeypatch, capsys, is_terminal):
    monkeypatch.setattr(restart, "LockOfRun", Held)
    monkeypatch.setattr(restart.os, "isatty", lambda descriptor: is_terminal)
    restart.hold_runs("x", 1, waits=True)
    assert ("Ctrl-C" in capsys.readouterr().out) is is_terminal
