import os
from pathlib import Path

import pytest

from sched_runner.settings import places
from sched_runner.settings.source import Source
from sched_runner.settings.table import SettingsError


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "main-scheduler"
    path.write_text("SCHED_ENV=prod\nTOKEN=one\n")
    return path


def source(environ, file, **more):
    return Source(environ, file, places.installed(), **more)


def test_the_file_fills_in_what_the_environment_lacks(file):
    settings, environ, warnings = source({"PATH": "/bin"}, file).read()
    assert settings.environment == "prod"
    assert environ == {"PATH": "/bin", "SCHED_ENV": "prod", "TOKEN": "one"}
    assert warnings == []


def test_what_the_environment_says_at_the_start_is_the_truth_and_the_difference_is_told(file):
    settings, environ, warnings = source({"SCHED_ENV": "test", "TOKEN": "one"}, file).read()
    assert (settings.environment, environ["SCHED_ENV"]) == ("test", "test")
    assert warnings == [f"SCHED_ENV: the value that the environment had at the start stays, and not that of {file}"]


def test_a_name_whose_value_equalled_that_of_the_file_belongs_to_the_file(file):
    made = source({"SCHED_ENV": "prod", "TOKEN": "one", "HOME": "/"}, file)
    made.read()
    file.write_text("SCHED_INTERVAL=5min\nTOKEN=two\n")
    settings, environ, warnings = made.read()
    assert (settings.environment, settings.interval) == ("test", 300.0)
    assert environ == {"SCHED_INTERVAL": "5min", "TOKEN": "two", "HOME": "/"}
    assert warnings == []


def test_any_other_name_belongs_to_the_environment_and_stays(file):
    made = source({"SCHED_ENV": "test", "TOKEN": "of a drop-in", "HOME": "/"}, file)
    file.write_text("SCHED_ENV=test\nTOKEN=two\nHOME=/home\n")
    _, environ, warnings = made.read()
    _, environ, warnings = made.read()
    assert environ == {"SCHED_ENV": "test", "TOKEN": "of a drop-in", "HOME": "/"}
    assert [warning.split(":")[0] for warning in warnings] == ["HOME", "TOKEN"]


def test_a_name_that_the_file_has_no_more_gets_the_value_that_systemd_gives(file):
    file.write_text("PATH=/opt/bin\n")
    made = source({"PATH": "/opt/bin", "LANG": "C.UTF-8"}, file, defaults={"PATH": "/bin"})
    assert made.read().environ["PATH"] == "/opt/bin"
    file.write_text("")
    assert made.read().environ == {"PATH": "/bin", "LANG": "C.UTF-8"}


def test_a_path_that_the_environment_hides_is_a_warning(file):
    file.write_text("PATH=/opt/venv/bin\n")
    (warning,) = source({"PATH": "/bin"}, file).read().warnings
    assert warning.startswith("PATH: the value that the environment had at the start stays")


def test_the_warnings_of_the_file_are_told_too(file):
    file.write_text("PATH=/opt/bin:$PATH\n")
    (warning,) = source({}, file).read().warnings
    assert warning.startswith(f"{file}:1: PATH is used as it is written")


def test_faults_of_the_file_and_of_the_settings_are_told_at_once_and_the_next_reading_may_be_good(file):
    file.write_text("export A=1\nSCHED_TIMEOUT=0\n")
    made = source({}, file)
    with pytest.raises(SettingsError) as caught:
        made.read()
    faults = caught.value.faults
    assert [fault.split(":")[0].split("=")[0] for fault in faults] == [str(file), "SCHED_TIMEOUT"]
    assert str(caught.value) == "; ".join(faults)
    file.write_text("SCHED_TIMEOUT=5min\n")
    assert made.read().settings.timeout == 300.0


def test_a_file_that_is_not_there_is_a_fault_that_names_it(tmp_path):
    with pytest.raises(SettingsError, match="none cannot be read: No such file or directory"):
        source({}, tmp_path / "none").read()


def test_the_file_is_read_once_at_the_start(file):
    made = source({}, file)
    file.write_text("SCHED_ENV=test\n")
    assert made.read().settings.environment == "prod"
    assert made.read().settings.environment == "test"


def test_a_pipe_is_read_at_the_start_and_refused_in_words_at_a_reload():
    reader, writer = os.pipe()
    os.write(writer, b"SCHED_ENV=prod\n")
    os.close(writer)
    made = source({}, Path(f"/proc/self/fd/{reader}"))
    assert made.read().settings.environment == "prod"
    with pytest.raises(SettingsError, match="it is not a regular file"):
        made.read()
    os.close(reader)


def test_without_a_file_the_environment_is_all_and_there_is_nothing_to_read_again(file):
    made = source({"SCHED_ENV": "prod"}, None)
    assert made.read().environ == {"SCHED_ENV": "prod"}
    assert not made.is_readable_again
    assert source({}, file).is_readable_again
