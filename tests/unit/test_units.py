import json
import os
from dataclasses import asdict
from pathlib import Path

import pytest

from sched_runner.commands import inspection, installation, unit_text, units
from sched_runner.commands.report import Report
from sched_runner.exit_status import OperatorError
from sched_runner.settings import places

TEXT = """# /usr/local/lib/systemd/system/main-scheduler@.service
# A comment.
[Unit]
Description=no = line of the service
[Service]
Environment=HOME=%S/%N
EnvironmentFile=-/etc/default/%N
ExecStart=/usr/local/bin/main-scheduler run --env-file /etc/default/%N \\
    --main /opt/main-scheduler/%i/main.py
Environment=A=1
; B=2

# /etc/systemd/system/main-scheduler@reports.service.d/a.conf
[Service]
Environment=
Environment=SCHED_ENV=prod
LoadCredential=x:/etc/%%x
[Install]
WantedBy=multi-user.target
"""
NAME = "main-scheduler@my-reports.service"
LINES = [line._replace(value=unit_text.with_names(line.value, NAME)) for line in unit_text.lines_of(TEXT)]


def test_a_unit_is_read_as_systemd_reads_it():
    assert unit_text.values(LINES, "Environment") == ["SCHED_ENV=prod"]
    assert unit_text.values(LINES, "EnvironmentFile") == ["-/etc/default/main-scheduler@my-reports"]
    assert unit_text.values(LINES, "LoadCredential") == ["x:/etc/%%x"]
    assert [line.value for line in unit_text.lines_of(TEXT, "Unit")] == ["no = line of the service"]
    assert (
        unit_text.values(LINES, "WantedBy")
        == unit_text.values(LINES, "Description")
        == unit_text.values(LINES, "B")
        == []
    )
    assert {line.file.rpartition("/")[2] for line in LINES} == {"main-scheduler@.service", "a.conf"}


def test_a_setting_comes_from_the_drop_in_or_the_file_that_systemd_reads_last(tmp_path):
    (tmp_path / "env").write_text("SCHED_ENV=prod\nTOKEN=1\n")
    files = [unit_text.Line("/b.conf", "EnvironmentFile", f"-{tmp_path / name}") for name in ("env", "none", "")]
    lines = [unit_text.Line("/a.conf", "Environment", "SCHED_ENV=test 'SCHED_ARGS=-v' A=1"), *files]
    assert unit_text.origins(lines) == {"SCHED_ENV": str(tmp_path / "env"), "SCHED_ARGS": "/a.conf"}


def test_what_systemd_would_miss_is_a_fault_and_what_is_there_is_kept(tmp_path):
    (tmp_path / "env").touch()
    os.mkfifo(tmp_path / "pipe")
    given = [
        ("EnvironmentFile", f"{tmp_path}/e*"),
        *(("EnvironmentFile", f"{begin}{tmp_path}/{name}") for begin in ("", "-") for name in ("none", "pipe")),
        ("LoadCredential", f"key:{tmp_path}/none"),
        ("LoadCredential", "key:%d/key"),
        ("User", "nobody-of-this-name"),
    ]
    lines = [unit_text.Line("/a.conf", name, value) for name, value in given]
    assert unit_text.sources(lines) == (
        [f"EnvironmentFile={tmp_path}/env", "LoadCredential=key:%d/key"],
        [
            f"{tmp_path}/none cannot be read: No such file or directory",
            *[f"{tmp_path}/pipe cannot be read: it is not a regular file"] * 2,
            f"{tmp_path}/none is not there: without its credential key the service does not start",
            "User=nobody-of-this-name: there is no such user",
        ],
    )


def test_check_takes_the_place_of_run():
    place = places.installed("my-reports")
    asked = "check --inside --env-file /etc/default/main-scheduler@my-reports"
    assert " ".join(inspection._command(place, LINES).split()) == (
        f"/usr/local/bin/main-scheduler {asked} --main /opt/main-scheduler/my-reports/main.py"
    )
    assert asked in inspection._command(place, [])


@pytest.mark.parametrize(
    ("specifiers", "names"),
    [
        ("%n %N %p %i", "main-scheduler@my-reports.service main-scheduler@my-reports main-scheduler my-reports"),
        ("%P %I %j %f", "main/scheduler my/reports scheduler /my/reports"),
        ("%S %h %% 100%", "%S %h %% 100%"),
    ],
)
def test_the_names_of_the_unit_are_filled_in_and_other_specifiers_left(specifiers, names):
    assert unit_text.with_names(specifiers, NAME) == names


def test_properties_are_read_for_each_unit(monkeypatch):
    said = "Id=a.service\nMainPID=3\nEnvironmentFiles=/x (no)\nEnvironmentFiles=/y (no)\n\nId=b.service\nMainPID=0\n"
    monkeypatch.setattr(units, "said", lambda *command, patience: said)
    assert units.show(["a.service", "b.service"]) == {
        "a.service": {"Id": "a.service", "MainPID": "3", "EnvironmentFiles": "/x (no)\n/y (no)"},
        "b.service": {"Id": "b.service", "MainPID": "0"},
    }


@pytest.mark.parametrize("said", ["", "Failed to connect to bus\n", "\n\n"])
def test_where_systemd_does_not_answer_nothing_is_known(monkeypatch, said):
    monkeypatch.setattr(units, "said", lambda *command, patience: said)
    assert units.show(["a.service"]) == {}
    assert units.main_pid({}) is None
    assert units.why_down({}) == ""


@pytest.mark.parametrize(
    ("properties", "why"),
    [
        ({"ActiveState": "inactive", "Result": "success"}, ""),
        ({"ActiveState": "activating", "SubState": "start", "Result": "success"}, ""),
        ({"ActiveState": "inactive", "ConditionResult": "no", "ConditionTimestamp": ""}, ""),
        (
            {"ActiveState": "inactive", "ConditionResult": "no", "ConditionTimestamp": "Thu"},
            "systemd did not start it, for a condition of the unit does not hold: journal",
        ),
        (
            {"ActiveState": "failed", "Result": "exit-code", "ExecMainStatus": "0"},
            "another command of the unit failed: j",
        ),
        ({"ActiveState": "failed", "Result": "exit-code", "ExecMainStatus": "78"}, "its settings are faulty"),
        (
            {"ActiveState": "failed", "Result": "exit-code", "ExecMainStatus": "1"},
            "it ended with exit status 1: journal",
        ),
        (
            {"ActiveState": "activating", "SubState": "auto-restart", "Result": "watchdog"},
            "the watchdog ended it, and systemd starts it again and again",
        ),
        ({"ActiveState": "inactive", "LoadState": "masked"}, "it is masked"),
    ],
)
def test_why_it_is_down_is_said_in_words(properties, why):
    told = units.why_down({"Id": "a.service", **properties})
    assert told.startswith(why)
    assert bool(told) == bool(why)


def test_a_command_that_is_not_there_says_nothing():
    assert units.said("/none/systemctl", "show") == ""
    assert units.said("echo", "x") == "x\n"


@pytest.mark.parametrize(
    "written",
    ["", "[]", '{"due": [1e300]}', '{"values": {"SCHED_ENV": 1}}', '{"faults": "x"}', '{"due": ["now"]}', "[" * 9999],
)
def test_a_report_that_main_py_has_forged_is_none(tmp_path, written):
    (tmp_path / "report").write_text(written)
    assert inspection._read(tmp_path / "report") is None
    assert inspection._read(tmp_path / "none") is None


@pytest.mark.parametrize(
    ("printed", "why"),
    [
        (["", "Starting it...\n", "Starting it...\nFailed to set up mount: /srv\nFailed with result 'x'.\n"],
         "Failed to set up mount: /srv"),
        (["", "Main process exited\nFailed with result 'timeout'.\n"], "journalctl says more"),
        ([""], "journalctl says more"),
    ],
)  # fmt: skip
def test_what_the_journal_has_late_is_waited_for_but_not_for_ever(tmp_path, monkeypatch, printed, why):
    clock = iter(range(1000))
    monkeypatch.setattr(inspection.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(inspection.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(units, "said", lambda *_: printed.pop(0) if len(printed) > 1 else printed[0])
    assert inspection._why_not_started("a.service", tmp_path) == f"systemd could not start it: {why}"


def test_a_report_is_read_as_it_was_written(tmp_path):
    made = Report({"SCHED_ENV": "prod"}, ["SCHED_ENV"], {}, [1.0], [], ["a warning"], ["a fault"])
    (tmp_path / "report").write_text(json.dumps(asdict(made)))
    assert inspection._read(tmp_path / "report") == made


def test_instances_are_found_by_their_settings_and_links_and_state(tmp_path):
    for path in (
        "etc/default/main-scheduler@b",
        "etc/default/main-scheduler@c~",
        "etc/default/main-scheduler",
        "etc/systemd/system/multi-user.target.wants/main-scheduler@a.service",
        "var/lib/main-scheduler@b",
        "var/lib/main-scheduler-alert@d",
    ):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    assert places.of_system(tmp_path).instances() == ["a", "b"]


@pytest.mark.parametrize("file", ["etc/default/main-scheduler", "usr/local/lib/systemd/system/main-scheduler.service"])
def test_a_service_is_installed_also_if_its_settings_are_lost(tmp_path, file):
    assert not places.of_system(tmp_path).is_installed()
    (tmp_path / file).parent.mkdir(parents=True)
    (tmp_path / file).touch()
    assert places.of_system(tmp_path).is_installed()


def test_a_users_things_are_where_systemd_puts_them_since_version_254(tmp_path):
    place = places.of_user(tmp_path, {}).place("reports")
    assert (place.state_dir, place.log_dir) == (
        tmp_path / ".local/state/main-scheduler@reports",
        tmp_path / ".local/state/log/main-scheduler@reports",
    )
    assert place.env_file == tmp_path / ".config/main-scheduler@reports.env"
    assert place.main == tmp_path / ".local/share/main-scheduler/reports/main.py"
    moved = places.of_user(tmp_path, {"XDG_CONFIG_HOME": "/c", "XDG_STATE_HOME": "/s"}).place()
    assert (moved.env_file, moved.state_dir) == (Path("/c/main-scheduler.env"), Path("/s/main-scheduler"))


def test_a_folder_of_xdg_may_have_any_name_and_a_relative_one_does_not_count(tmp_path):
    (tmp_path / "a{b}").mkdir()
    (tmp_path / "a{b}/main-scheduler@c.env").touch()
    found = places.of_user(tmp_path, {"XDG_CONFIG_HOME": f"{tmp_path}/a{{b}}"})
    assert found.instances() == ["c"]
    assert found.place("c").env_file == tmp_path / "a{b}/main-scheduler@c.env"
    relative = places.of_user(tmp_path, {"XDG_CONFIG_HOME": "c", "XDG_STATE_HOME": "s"})
    assert relative == places.of_user(tmp_path, {})


def test_a_home_of_another_user_is_named(monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied", "/root/.config")

    monkeypatch.setattr(places, "of_user", refuse)
    monkeypatch.setattr(units, "said", lambda *_, **__: "")
    with pytest.raises(OperatorError, match=r"/root/\.config cannot be looked into"):
        installation.folders(is_users=True)
    assert installation.hint_of_user() == ""


def test_a_users_things_are_where_an_older_systemd_has_put_them(tmp_path):
    (tmp_path / ".config/main-scheduler@reports").mkdir(parents=True)
    (tmp_path / ".config/main-scheduler.env").touch()
    found = places.of_user(tmp_path, {})
    assert found.place().log_dir == tmp_path / ".config/log/main-scheduler"
    assert found.instances() == ["reports"]
    (tmp_path / ".local/state/main-scheduler").mkdir(parents=True)
    assert places.of_user(tmp_path, {}).place().log_dir == tmp_path / ".local/state/log/main-scheduler"


def test_a_users_instances_are_found_by_their_settings_and_links(tmp_path):
    for path in (".config/main-scheduler@b.env", ".config/systemd/user/default.target.wants/main-scheduler@a.service"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    assert places.of_user(tmp_path, {}).instances() == ["a", "b"]
