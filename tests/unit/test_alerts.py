from dataclasses import replace

import pytest

from sched_runner.record.columns import read_or_new
from sched_runner.record.outcome import Outcome
from sched_runner.record.run_record import Run
from sched_runner.record.state import Retry, State
from sched_runner.record.status import Status
from sched_runner.tell import alerts
from sched_runner.tell.alerts import Alert, Failure, Told

NOW = 1_700_000_000.0
DAY = alerts.DAY
RUN = Run(7, Outcome.FAILED, NOW - 5, duration=1.0, exit_status=1, reason="ValueError: no")
SUCCESS = NOW - 200
WELL = State(boot_id="this boot", gap=60.0, timeout=60.0, last_success=SUCCESS, fresh_boottime=990.0, started=NOW - 500)
FAILING = replace(WELL, failures_in_a_row=2, runs=[RUN])
STALE = replace(WELL, fresh_boottime=500.0)
FAILURE = Failure(7, ["one", "two"])


def troubles(state, *, pid: int | None = 42, after=1, faults=(), unread="", failure=FAILURE):
    status = Status("main-scheduler", pid, state, NOW, 1000.0, "this boot")
    return alerts.troubles(status, failure, after, faults, unread)


def due(state, told=Told(), *, subject="runs", now=NOW, **details):  # noqa: B008 - nobody changes it
    return alerts.due(troubles(state, **details)[subject], state, told, now)


def told(kind, *, when=NOW - 100, count=1, success=SUCCESS):
    return Told(kind, when, count, success)


def kind(found):
    return None if found is None else found.kind


FAULTS = ["SCHED_ENV=pord: no"]


@pytest.mark.parametrize(
    ("state", "details", "wanted"),
    [
        (WELL, {}, []),
        (FAILING, {}, ["failing"]),
        (FAILING, {"after": 2}, ["failing"]),
        (FAILING, {"after": 3}, []),
        (STALE, {}, ["stale"]),
        (replace(STALE, failures_in_a_row=2), {"after": 3}, ["stale"]),
        (replace(STALE, failures_in_a_row=2), {}, ["failing"]),
        (WELL, {"faults": FAULTS}, ["settings"]),
        (STALE, {"faults": FAULTS}, ["settings"]),  # which explain why no run succeeds
        (FAILING, {"faults": FAULTS}, ["failing", "settings"]),
        (State(), {"unread": "it is a FIFO"}, ["state"]),
        (State(), {"faults": FAULTS, "unread": "it is a FIFO"}, ["settings", "state"]),
    ],
)
def test_failures_count_from_the_nth_in_a_row_on_and_no_trouble_hides_another(state, details, wanted):
    assert [found.kind for found in troubles(state, **details).values() if found] == wanted


@pytest.mark.parametrize(
    ("details", "pid", "wanted"),
    [
        ({"next_due": NOW - 10}, 42, "failing"),
        ({"next_due": NOW - 60 - 59}, 42, "failing"),  # a run is going
        ({"next_due": NOW - 60 - 61}, 42, "stale"),  # the scheduler is hung
        ({"next_due": NOW - 60 - 61}, None, "stale"),  # it was killed
        ({}, None, "stale"),  # it was stopped
        ({"fresh_boottime": 990.0}, None, "failing"),  # a moment ago
        ({"fresh_boottime": None, "last_success": None, "started": None}, None, "failing"),  # runs of once
    ],
)
def test_where_runs_have_failed_and_come_no_more_that_is_told(details, pid, wanted):
    assert (
        kind(
            due(
                replace(FAILING, **{"fresh_boottime": 500.0} | details),
                told("failing" if wanted == "stale" else ""),
                pid=pid,
            )
        )
        == wanted
    )


@pytest.mark.parametrize("kind_", ["failing", "settings", "stale", "state"])
def test_a_trouble_is_told_at_once_and_then_once_a_day(kind_):
    found, state = Alert(kind_, "it is bad"), FAILING
    for before, wanted in [(Told(), True), (told("other"), True), (told(kind_), False)]:
        assert (alerts.due(found, state, before, NOW) is not None) is wanted
    assert alerts.due(found, state, told(kind_, when=NOW), NOW + DAY - 1) is None
    assert alerts.due(found, state, told(kind_, when=NOW), NOW + DAY) is not None


@pytest.mark.parametrize("kind_", ["failing", "stale", "settings"])
def test_what_is_said_to_have_been_told_in_the_future_silences_nothing(kind_):
    trouble = Alert(kind_, "it is bad")
    assert alerts.due(trouble, FAILING, told(kind_, when=NOW + 1), NOW) == alerts.due(trouble, FAILING, Told(), NOW)


def test_the_subject_says_what_failed_and_why_and_how_often():
    assert due(FAILING) == Alert("failing", "run 7 failed: ValueError: no, 2 failures in a row", "one\ntwo")
    assert due(replace(FAILING, failures_in_a_row=1)).subject == "run 7 failed: ValueError: no"


def test_a_day_later_it_says_how_many_runs_have_failed_since():
    state = replace(FAILING, failures_in_a_row=1441)
    before = told("failing", when=NOW - DAY, count=1)
    since = alerts.words.clock_time(NOW - DAY)
    assert due(state, before).subject == f"run 7 failed: ValueError: no, 1,440 failures since {since}"
    # A count that was forged, or a state that was begun anew.
    assert due(state, replace(before, count=9999)).subject == "run 7 failed: ValueError: no, 1,441 failures in a row"


def test_a_failure_after_a_success_that_nobody_looked_at_is_told_at_once():
    state = replace(FAILING, failures_in_a_row=1, last_success=NOW - 50)
    assert due(state, told("failing")).subject == "run 7 failed: ValueError: no"
    assert due(state, told("failing", success=NOW - 50)) is None


def test_an_interrupted_run_after_the_failure_is_not_taken_for_it():
    state = replace(FAILING, runs=[RUN, Run(8, Outcome.INTERRUPTED, NOW, duration=1.0)])
    assert due(state).subject.startswith("run 7 failed")


def test_a_failure_is_told_also_where_its_report_is_of_another_run_or_missing():
    for failure in (Failure(), replace(FAILURE, number=6)):
        assert due(FAILING, failure=failure) == replace(due(FAILING), text="")
    assert due(replace(FAILING, runs=[])).subject == "the last run failed, 2 failures in a row"


@pytest.mark.parametrize(
    ("details", "wanted"),
    [
        ({"retry": Retry(NOW + 60, 1060.0, 2)}, None),
        ({"retry": Retry(NOW - 30, 970.0, 2)}, None),
        ({"retry": Retry(NOW - 600, 400.0, 2)}, "failing"),  # its scheduler is dead
        ({"running": Run(8, started=NOW, attempt=2)}, None),
        ({"running": Run(8, started=NOW)}, "failing"),
    ],
)
def test_only_the_last_attempt_is_told(details, wanted):
    assert kind(due(replace(FAILING, **details))) == wanted
    if wanted is None:
        assert due(replace(FAILING, fresh_boottime=1.0, **details), told("failing")) is None


@pytest.mark.parametrize(
    ("pid", "said"),
    [
        (42, "it is up (process 42)"),
        (0, "it is up (its process cannot be seen from here)"),
        (None, "it is not running"),
    ],
)
def test_an_alert_of_a_missing_success_says_whether_the_scheduler_is_up(pid, said):
    assert due(STALE, pid=pid).subject == f"no success for 8 min 20 s, {said}"


def test_a_scheduler_that_was_never_started_is_told():
    assert due(State(), pid=None).subject == "it was never started, it is not running"


def test_faulty_settings_are_told_with_the_first_fault_and_when_they_are_in_order_again():
    faults = ["SCHED_ENV=pord: no such environment", "SCHED_TIMOUT: no such setting"]
    assert due(WELL, subject="settings", faults=faults) == Alert(
        "settings", f"the settings are faulty: {faults[0]}", "\n".join(faults)
    )
    running = replace(WELL, last_success=NOW - 1)  # with the settings of before
    assert due(running, told("settings"), subject="settings", faults=faults) is None
    assert due(WELL, told("settings"), subject="settings") == Alert("", "the settings are in order again")


def test_a_state_that_cannot_be_read_is_told_and_when_it_can_again():
    assert (
        due(State(), subject="state", unread="state.json is faulty").subject
        == "the state cannot be read: state.json is faulty"
    )
    assert due(State(), told("state"), subject="state", unread="state.json is faulty") is None
    assert due(WELL, told("state"), subject="state") == Alert("", "the state can be read again")


@pytest.mark.parametrize("before", ["failing", "stale"])
@pytest.mark.parametrize("step", [0.0, 86400.0 * 365, -86400.0 * 365])
def test_a_success_after_an_alert_is_told_once_whatever_the_clock_does(before, step):
    state = replace(WELL, last_success=SUCCESS + 1 + step)
    found = due(state, told(before))
    assert found.kind == ""
    assert found.subject.startswith("all is well again: a run succeeded at")
    assert due(state, Told("", NOW, 0, state.last_success)) is None


@pytest.mark.parametrize("before", ["failing", "stale"])
@pytest.mark.parametrize(
    ("state", "after"),
    [
        (WELL, 1),  # started anew, no success yet
        (replace(WELL, last_success=None), 1),
        (FAILING, 3),  # the setting was raised
    ],
)
def test_nothing_is_well_again_without_a_success_since_the_alert(state, after, before):
    assert due(state, told(before), after=after) is None


@pytest.mark.parametrize(
    "values",
    [
        None,
        [],
        "x",
        {"number": "7"},
        {"number": -1},
        {"number": 10**400},
        {"number": 7, "tail": None},
        {"number": 7, "tail": "one"},
        {"number": 7, "tail": [1]},
        {"number": 7, "tail": [["one"]]},
        {"number": 7, "tail": ["x" * 1_000_000]},
    ],
)
def test_a_report_that_main_py_has_poisoned_says_nothing(values):
    assert read_or_new(Failure, values) == Failure()


@pytest.mark.parametrize("values", [None, [], "stale", 7, {"kind": 7}, {"count": 1.5}, {"success": "yes"}])
@pytest.mark.parametrize("when", [NOW, "now", -1, 10**400, float("nan"), None])
def test_a_memory_that_is_poisoned_is_none(values, when):
    assert read_or_new(Told, values | {"when": when} if isinstance(values, dict) else values) == Told()
