"""What ``add`` writes, and what ``remove --purge`` deletes; the rest is seen in a booted machine."""

import argparse
import contextlib
import os
import signal

import pytest

from sched_runner import cli
from sched_runner.commands import add, instance
from sched_runner.commands.report import Report
from sched_runner.exit_status import OperatorError
from sched_runner.settings import environment_file, places, table

PLACE = places.installed("reports")


@pytest.fixture
def script(tmp_path):
    (tmp_path / "reports.py").touch()
    return tmp_path / "reports.py"


def values(script, **options):
    given = {"every": "", "calendar": "", "env": ""} | options
    return add._values(argparse.Namespace(script=script, **given))


def test_only_what_was_asked_for_is_set(script):
    assert values(script, every="30min") == {"SCHED_MAIN": str(script), "SCHED_INTERVAL": "30min"}
    assert values(script, env="prod") == {"SCHED_MAIN": str(script), "SCHED_ENV": "prod"}


def test_a_calendar_does_not_mean_now(script):
    assert values(script, calendar="daily")["SCHED_START"] == "due"


def test_a_script_is_named_by_its_whole_path(script, monkeypatch):
    monkeypatch.chdir(script.parent)
    assert values(add.Path(script.name), every="1h")["SCHED_MAIN"] == str(script)


@pytest.mark.parametrize("options", [{}, {"every": ""}, {"calendar": ""}])
def test_how_often_must_be_said(script, options):
    with pytest.raises(OperatorError, match="say how often") as told:
        values(script, **options)
    assert told.value.exit_status == 2


@pytest.mark.parametrize(("name", "why"), [("none.py", "No such file"), (".", "not a regular file")])
def test_what_is_no_script_is_refused(tmp_path, name, why):
    with pytest.raises(OperatorError, match=why):
        values(tmp_path / name, every="1h")


@pytest.mark.parametrize("name", ["", ".", "a b", "../x", "a/b", "-x", "a:b", "é"])
def test_a_name_that_no_instance_can_have_is_refused(name):
    with pytest.raises(OperatorError) as told:
        instance.place_of(argparse.Namespace(instance=name), "add")
    assert told.value.exit_status == 2


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"every": "1h30"}, "^--every 1h30: a number lacks its unit"),
        ({"calendar": "* * * * *"}, r"^--calendar \* \* \* \* \*: .* is a line of a crontab; write --calendar "),
        ({"env": "prdo"}, "^--env prdo: .*did you mean prod.*, or set --every or --calendar; nothing is added$"),
    ],
)
def test_faulty_settings_are_told_before_anything_is_looked_at(script, monkeypatch, options, fault):
    monkeypatch.setattr(instance, "place_of", lambda arguments, command: PLACE)
    arguments = {"instance": "reports", "script": script, "every": "", "calendar": "", "env": "", "no_start": False}
    with pytest.raises(OperatorError, match=fault) as told:
        add.main(argparse.Namespace(**arguments | options))
    assert told.value.exit_status == 78


def test_a_script_in_a_home_had_better_be_in_the_directory_of_the_instance(monkeypatch):
    why = "Permission denied; the drop-in venv-in-home.conf relaxes it"
    report = Report(faults=[f"a run cannot start: /root/x.py: {why}"])
    monkeypatch.setattr(add.inspection, "inspect", lambda place, unit: report)
    with pytest.raises(OperatorError) as told:
        add._check(PLACE, table.load({"SCHED_MAIN": "/root/x.py"}, PLACE)[0], {})
    elsewhere = "put it elsewhere, for instance to /opt/main-scheduler/reports/main.py: nothing is added"
    assert str(told.value) == f"the sandbox hides /root/x.py from the service: {elsewhere}"


def test_an_interval_and_a_calendar_exclude_each_other(capsys):
    with pytest.raises(SystemExit) as told:
        cli.main(["add", "reports", "x.py", "--every", "1h", "--calendar", "daily"])
    assert (told.value.code, "not allowed with argument" in capsys.readouterr().err) == (2, True)


def test_a_current_directory_that_was_removed_is_told_in_one_line(tmp_path, monkeypatch, capsys):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert cli.main(["status", "--here"]) == 1
    assert capsys.readouterr().err == "main-scheduler: the current directory was removed: go to another\n"


def test_another_file_that_is_not_there_is_no_removed_directory(monkeypatch, capsys):
    def fail(_):
        raise FileNotFoundError(2, "No such file or directory", "/x")

    monkeypatch.setattr(cli, "_arguments", lambda _: argparse.Namespace(function=fail))
    assert cli.main([]) == 1
    assert capsys.readouterr().err == "main-scheduler: /x: No such file or directory\n"


@pytest.mark.parametrize("name", ["it's 100% mine.py", ' "a" #b.py', "$HOME é.py", "'a'", "a=b"])
def test_the_settings_are_read_back_as_they_were_given(tmp_path, name):
    given = {"SCHED_MAIN": f"{tmp_path}/{name}", "SCHED_INTERVAL": '{"hours": 2}'}
    (tmp_path / "file").write_text(add._text(PLACE, given))
    content = environment_file.read(tmp_path / "file")
    assert (content.values, content.faults) == (given, [])
    settings, faults = table.load(content.values, PLACE)
    assert (settings.main, faults) == (tmp_path / name, [])


@pytest.mark.parametrize("name", ["a\\b", "a\nSCHED_ENV=prod", "a\x1b", "a\udcff", "'\" #"])
def test_a_path_that_no_environment_file_can_hold_is_refused(name):
    with pytest.raises(OperatorError, match="an environment file cannot hold this value"):
        add._text(PLACE, {"SCHED_MAIN": f" {name}"})


@pytest.mark.parametrize("target", [None, "none"])
def test_what_stands_there_is_not_overwritten(tmp_path, target):
    file = tmp_path / "file"
    file.symlink_to(tmp_path / target) if target else file.write_text("old")
    with contextlib.ExitStack() as undo, pytest.raises(OperatorError, match="File exists"):
        add._write(file, "new", os.getgid(), undo)
    assert os.path.lexists(file)
    assert not (tmp_path / "none").exists()


def test_settings_that_cannot_be_written_whole_are_not_there(tmp_path, monkeypatch):
    def fails(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fchown", fails)
    with pytest.raises(OperatorError, match="No space left"), contextlib.ExitStack() as undo:
        add._write(tmp_path / "file", "new", os.getgid(), undo)
    assert list(tmp_path.iterdir()) == []


def test_a_signal_ends_nothing_halfway_and_is_told_at_the_next_step():
    with instance.held_back():
        instance.go_on()
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(OperatorError, match="interrupted") as told:
            instance.go_on()
    assert told.value.exit_status == 130
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, ()) & set(instance.HELD_BACK)


def test_deleting_follows_no_link_and_tells_what_stays(tmp_path):
    outside, data, link = tmp_path / "outside", tmp_path / "data", tmp_path / "link"
    outside.mkdir()
    (outside / "file").touch()
    (data / "a/b").mkdir(parents=True)
    (data / "a/b/link").symlink_to(outside)
    (data / "link").symlink_to(outside)
    link.symlink_to(outside)
    left = instance.delete([data, tmp_path / "none", link], (os.getuid(), os.getgid()))
    assert left == [f"{link}: Not a directory"]
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "link", "outside"]
