from dataclasses import replace

import pytest

from sched_runner.record.state import State
from sched_runner.record.status import Status
from sched_runner.tell import alerts
from sched_runner.tell.alerts import Alert, Failure, Told

NOW = 1_700_000_000.0
WELL = State(
    boot_id="this boot", gap=60.0, timeout=60.0, last_success=NOW - 10, fresh_boottime=990.0, started=NOW - 500
)
FAILING = replace(WELL, failures_in_a_row=2)
STALE = replace(WELL, last_success=NOW - 500, fresh_boottime=500.0)
FAILURE = {"number": 7, "summary": "run 7 failed with exit status 3", "tail": ["one", "two"]}
SETTINGS = Alert("settings", "the settings are faulty", "SCHED_ENV=pord")


def due(state, told="", *, when=NOW - 100, pid: int | None = 42, after=1, fault="", last_failure=FAILURE):
    status = Status("main-scheduler", pid, state, NOW, 1000.0, "this boot")
    return alerts.due(status, alerts.failure(last_failure), Told(told, when), after=after, fault=fault)


def what(found):
    return None if found is None else found.what


@pytest.mark.parametrize(
    ("state", "after", "told", "wanted"),
    [
        (WELL, 1, "", None),
        (FAILING, 1, "", "run 7"),
        (FAILING, 1, "run 6", "run 7"),
        (FAILING, 1, "run 7", None),
        (FAILING, 2, "", "run 7"),
        (FAILING, 3, "", None),
        (STALE, 1, "", "stale"),
        (STALE, 1, "stale", None),
        (replace(STALE, failures_in_a_row=2), 3, "", "stale"),
        (replace(STALE, failures_in_a_row=2), 1, "", "run 7"),
    ],
)
def test_each_failure_is_told_once_from_the_nth_in_a_row_on_and_a_missing_success_once(state, after, told, wanted):
    assert what(due(state, told, after=after)) == wanted


def test_an_alert_of_a_failure_says_how_it_ended_how_often_and_what_it_said():
    assert due(FAILING) == Alert("run 7", "run 7 failed with exit status 3, 2 failures in a row", "one\ntwo")


def test_a_failure_is_told_also_where_its_report_could_not_be_written():
    assert due(FAILING, last_failure={}).subject == "the last run failed, 2 failures in a row"


@pytest.mark.parametrize(
    ("pid", "said"),
    [(42, "it is up (process 42)"), (0, "it is up (where it cannot be seen)"), (None, "it is not running")],
)
def test_an_alert_of_a_missing_success_says_whether_the_scheduler_is_up(pid, said):
    found = due(STALE, pid=pid)
    assert found.subject == "no success for 8 min 20 s"
    assert found.text.startswith(said)


def test_a_scheduler_that_was_never_started_is_told():
    assert due(State(), pid=None).subject == "it was never started"


def test_faulty_settings_are_told_once_and_when_they_are_in_order_again():
    assert due(WELL, fault="SCHED_ENV=pord") == SETTINGS
    assert due(WELL, "settings", fault="SCHED_ENV=pord") is None
    assert due(WELL, "settings") == Alert("", "the settings are in order again")


@pytest.mark.parametrize("told", ["run 7", "stale"])
def test_a_success_after_an_alert_is_told_once(told):
    found = due(WELL, told, when=NOW - 100)
    assert found.what == ""
    assert found.subject.startswith("all is well again: a run succeeded at")
    assert due(WELL, found.what, when=NOW) is None


@pytest.mark.parametrize(
    ("state", "after"),
    [
        (replace(WELL, last_success=NOW - 200), 1),  # started anew, no success yet
        (replace(WELL, last_success=None), 1),
        (replace(FAILING, last_success=NOW - 200), 3),  # the setting was raised
    ],
)
def test_nothing_is_well_again_without_a_success_since_the_alert(state, after):
    assert due(state, "stale", when=NOW - 100, after=after) is None


@pytest.mark.parametrize(
    "values",
    [
        {"number": "7"},
        {"number": -1},
        {"number": 10**400},
        {"summary": None},
        {"summary": ["a"]},
        {"tail": "one"},
        {"tail": [1]},
        {"tail": None},
        {"tail": [["one"]]},
    ],
)
def test_a_report_that_main_py_has_poisoned_says_nothing_but_that_a_run_failed(values):
    assert alerts.failure(FAILURE | values) == Failure()
    assert due(FAILING, last_failure=FAILURE | values).subject == "the last run failed, 2 failures in a row"


@pytest.mark.parametrize("values", [{"what": 7}, {"what": None}, {"when": "now"}, {"when": -1}, {"when": 10**400}])
def test_what_was_told_last_is_forgotten_where_main_py_has_poisoned_it(values):
    assert alerts.told({"what": "stale", "when": NOW} | values) == Told()


def test_an_alert_can_be_shown_whatever_main_py_wrote():
    text = "no\x1b[2J\x9b\u202e\u2028" + "x" * 10_000
    found = due(FAILING, last_failure={"number": 7, "summary": text, "tail": [text] * 60})
    assert found.subject.isprintable()
    assert len(found.subject) < 600
    assert all(line.isprintable() and len(line) <= 500 for line in found.text.split("\n"))
    assert len(found.text.split("\n")) == 50
