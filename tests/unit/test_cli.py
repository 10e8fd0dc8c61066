"""What the command line says before, or in the place of, a subcommand."""

import argparse

import pytest

from sched_runner import cli
from sched_runner.exit_status import OperatorError


def refused(capsys, *arguments):
    with pytest.raises(SystemExit) as told:
        cli.main(arguments)
    assert told.value.code == 2
    return capsys.readouterr().err


def test_a_wrong_command_is_told_without_those_that_the_help_does_not_list(capsys):
    told = refused(capsys, "statsu")
    assert "status" in told
    assert "reload" not in told
    assert "restart" not in told


@pytest.mark.parametrize("command", ["reload", "restart"])
def test_a_command_that_the_help_does_not_list_is_a_command_with_a_plain_description(capsys, command):
    with pytest.raises(SystemExit) as told:
        cli.main([command, "--help"])
    shown = capsys.readouterr().out
    assert (told.value.code, "``" in shown) == (0, False)


def test_the_commands_that_have_no_user_are_named(capsys):
    told = refused(capsys, "--user", "alert")
    assert "alert, add, remove, reload and restart work only for the system's service, without --user" in told


def test_faulty_settings_at_a_reload_leave_the_old_ones_in_use(monkeypatch, capsys):
    monkeypatch.setenv("MAINPID", "1")
    monkeypatch.setenv("SCHED_FOO", "1")
    assert cli.main(["reload"]) == 78
    told = capsys.readouterr().err
    assert told == "1 fault in the settings; the old settings stay in use:\n  SCHED_FOO: no such setting\n"


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("try with sudo", "main-scheduler: try with sudo\n"),
        ("main-scheduler@reports is not running", "main-scheduler@reports is not running\n"),
        ("/tmp/\x1b[2J is not yours", "main-scheduler: /tmp/\\x1b[2J is not yours\n"),
    ],
)
def test_a_message_has_the_name_of_the_command_once_and_nothing_unprintable(monkeypatch, capsys, message, shown):
    def fail(_):
        raise OperatorError(message)

    monkeypatch.setattr(cli, "_arguments", lambda _: argparse.Namespace(function=fail))
    assert cli.main([]) == 1
    assert capsys.readouterr().err == shown
