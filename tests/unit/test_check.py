from dataclasses import replace
from pathlib import Path

import pytest

from sched_runner.commands import check
from sched_runner.record.state import State
from sched_runner.record.status import Status
from sched_runner.settings import places, table

NOW = 1_700_000_000.0
PLACE = places.here(Path("/srv/job"))
UP = State(gap=60.0, next_due=NOW + 20)


def next_due(state, *, pid: int | None = 42, **settings):
    return check.next_due(table.load(settings, PLACE), Status("main-scheduler", pid, state, NOW, 1000.0, "this boot"))


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
    first = next_due(replace(UP, next_due=due, gap=gap), SCHED_INTERVAL=interval)
    settings = table.load({"SCHED_INTERVAL": interval}, PLACE)
    assert NOW <= first <= NOW + settings.interval
    assert len(check.text(settings, {}, "the environment", first).split("next due times:\n")[1].splitlines()) == 5


def test_each_setting_has_a_line_with_its_value_and_where_it_is_from():
    settings = table.load({"SCHED_ENV": "prod", "SCHED_START": ""}, PLACE)
    lines = check.text(settings, {"SCHED_ENV": "prod", "SCHED_START": ""}, "/etc/default/x", NOW).splitlines()
    assert [" ".join(line.split()) for line in lines[:2]] == [
        "SCHED_ENV prod from /etc/default/x",
        "SCHED_INTERVAL 4 h from the default",
    ]
    assert "SCHED_START now from the default" in [" ".join(line.split()) for line in lines]
    assert [line.split()[0] for line in lines[: len(table.NAMES)]] == list(table.NAMES)


def test_a_script_that_is_not_there_yet_is_named():
    settings = table.load({"SCHED_MAIN": "/none/main.py"}, PLACE)
    assert "/none/main.py is not there (yet)" in check.text(settings, {}, "the environment", NOW)
