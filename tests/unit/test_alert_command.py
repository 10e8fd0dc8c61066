"""Where the alert command remembers, and which environment its deliveries get."""

from dataclasses import replace
from pathlib import Path

import pytest

from sched_runner.commands import alert
from sched_runner.commands.installation import Installation
from sched_runner.settings import places, table
from sched_runner.settings.source import Reading

OWN = Path("/var/lib/main-scheduler-alert@reports")


def installation(tmp_path, *, is_service=True, **settings):
    place = replace(places.installed("reports"), state_dir=tmp_path / "state")
    reading = Reading(table.load(settings, place)[0], {"HOME": "/var/lib/x", "HTTPS_PROXY": "p"}, [])
    return Installation(place, reading, [], is_service=is_service)


@pytest.fixture
def unit_has_run(monkeypatch):
    is_dir = Path.is_dir
    monkeypatch.setattr(Path, "is_dir", lambda path: path == OWN or is_dir(path))


@pytest.mark.usefixtures("unit_has_run")
def test_it_remembers_in_the_units_directory_but_for_a_state_that_hosts_may_share(tmp_path):
    assert alert._directory(installation(tmp_path)) == OWN
    assert alert._directory(installation(tmp_path, is_service=False)) == tmp_path / "state"
    moved = tmp_path / "shared"
    assert alert._directory(installation(tmp_path, SCHED_STATE_DIR=str(moved))) == OWN
    moved.mkdir()
    assert alert._directory(installation(tmp_path, SCHED_STATE_DIR=str(moved))) == moved


def test_before_the_unit_has_run_it_remembers_beside_the_state(tmp_path):
    assert alert._directory(installation(tmp_path)) == tmp_path / "state"


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({"INVOCATION_ID": "1", "HOME": "/srv/alert", "CREDENTIALS_DIRECTORY": "/run/c"}, "/srv/alert"),
        ({"INVOCATION_ID": "1", "CREDENTIALS_DIRECTORY": "/run/c"}, "/"),
        ({"HOME": "/root", "SUDO_USER": "me"}, "/"),
    ],
)
def test_the_command_gets_the_names_of_the_settings_and_the_home_of_the_unit(tmp_path, monkeypatch, given, wanted):
    monkeypatch.setattr(alert, "environ", lambda: given)
    found = alert._environment(installation(tmp_path))
    assert (found["HOME"], found["HTTPS_PROXY"]) == (wanted, "p")
    assert ("CREDENTIALS_DIRECTORY" in found) is ("INVOCATION_ID" in given)
    assert "SUDO_USER" not in found
