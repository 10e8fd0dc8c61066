from dataclasses import replace

import pytest

from sched_runner.record import run_record
from sched_runner.record.outcome import Outcome
from sched_runner.record.run_record import Run
from sched_runner.record.state import Retry, State
from sched_runner.record.status import Health, Status, one_line

NOW = 1_700_000_000.0
BOOTTIME = 100_000.0


def run(number, outcome="succeeded", duration=1.5):
    return Run(number, Outcome(outcome), NOW - 60, duration=duration)


# A scheduler with an hour between its runs that has made one run, a minute ago.
WELL = State(
    boot_id="this boot",
    started=NOW - 60,
    gap=3600.0,
    timeout=600.0,
    next_due=NOW + 3540,
    number=1,
    last_success=NOW - 60,
    fresh_boottime=BOOTTIME - 60,
    runs=[run(1)],
)
FAILED = replace(WELL, failures_in_a_row=2, runs=[run(1), run(2, "failed"), run(3, "timed out")])


def status(state=WELL, pid: int | None = 42, now=NOW, boottime=BOOTTIME):
    return Status("main-scheduler", pid, state, now, boottime, "this boot")


@pytest.mark.parametrize(
    ("changes", "pid", "later", "health", "fault"),
    [
        ({}, 42, 0, Health.HEALTHY, ""),
        ({}, None, 0, Health.NOT_RUNNING, ""),
        ({}, None, 1_000_000, Health.NOT_RUNNING, ""),
        ({"last_success": None, "runs": []}, 42, 0, Health.HEALTHY, ""),
        (
            {"failures_in_a_row": 1, "runs": [run(1, "failed")]},
            42,
            0,
            Health.WRONG,
            "run 1 failed, 1 failure in a row",
        ),
        (
            {"failures_in_a_row": 3, "runs": [run(3, "not started")]},
            42,
            0,
            Health.WRONG,
            "run 3 was not started, 3 failures in a row",
        ),
        (
            {"failures_in_a_row": 1, "runs": [run(1, "killed"), run(2, "interrupted")]},
            42,
            0,
            Health.WRONG,
            "run 1 was killed, 1 failure in a row",
        ),
        (
            {"failures_in_a_row": 1, "runs": [run(2, "interrupted")]},
            42,
            0,
            Health.WRONG,
            "the last run failed, 1 failure in a row",
        ),
        (
            {"failures_in_a_row": 1, "runs": [run(1, "failed")]},
            None,
            0,
            Health.NOT_RUNNING,
            "run 1 failed, 1 failure in a row",
        ),
        # Interval, time-out and a minute after the last success.
        ({}, 42, 3600 + 600, Health.HEALTHY, ""),
        ({}, 42, 3600 + 600 + 1, Health.WRONG, "no success for 1 h 11 min"),
        # The wall clock may have been set in the meantime.
        ({"last_success": NOW - 1_000_000}, 42, 3600 + 600, Health.HEALTHY, ""),
        ({"last_success": None}, 42, 3600 + 600 + 1, Health.WRONG, "no success for 1 h 11 min"),
    ],
)
def test_health_is_what_the_state_says(changes, pid, later, health, fault):
    found = status(replace(WELL, **changes), pid, boottime=BOOTTIME + later)
    assert (found.health(), found.fault()) == (health, fault)


@pytest.mark.parametrize(
    ("changes", "pid", "later", "stale"),
    [
        ({}, 42, 3600 + 600, ""),
        ({}, 42, 3600 + 600 + 1, "no success for 1 h 11 min"),
        ({}, None, 3600 + 600 + 1, "no success for 1 h 11 min"),
        # In a boot in which no scheduler was started only the wall clock knows.
        ({"boot_id": "the boot before", "last_success": NOW - 3600}, None, 0, ""),
        ({"boot_id": "the boot before", "last_success": NOW - 7200}, None, 0, "no success for 2 h"),
        ({"boot_id": "the boot before", "last_success": None, "started": NOW - 7200}, None, 0, "no success for 2 h"),
        ({"boot_id": "another name of it", "last_success": NOW - 90000}, 42, 0, ""),
        ({"boot_id": "", "last_success": None, "started": None}, None, 0, "it was never started"),
    ],
)
def test_a_success_that_is_too_old_is_seen_whether_a_scheduler_runs_or_not(changes, pid, later, stale):
    assert status(replace(WELL, **changes), pid, boottime=BOOTTIME + later).stale() == stale


CALENDAR = replace(WELL, gap=None, fresh_boottime=1.0, expected_by=NOW)


@pytest.mark.parametrize(
    ("changes", "later", "stale"),
    [
        # Time-out and a minute after the time by which a success should have come.
        ({}, 600 + 60, ""),
        ({}, 600 + 60 + 1, "no success since @-60"),
        ({"timeout": None}, 60, ""),
        ({"last_success": None}, 600 + 60 + 1, "no success yet"),
    ],
)
def test_with_a_calendar_a_success_is_missed_a_time_out_after_its_time(changes, later, stale):
    assert status(replace(CALENDAR, **changes), now=NOW + later).stale() == stale


def test_the_exit_statuses_are_those_that_monitoring_knows():
    assert [(health.name, int(health)) for health in Health] == [
        ("HEALTHY", 0),
        ("WRONG", 1),
        ("NOT_RUNNING", 3),
        ("UNKNOWN", 4),
    ]


@pytest.fixture(autouse=True)
def _utc(monkeypatch):
    for told in ("clock_time", "zoned_time"):
        monkeypatch.setattr(f"sched_runner.words.{told}", lambda when: f"@{when - NOW:+.0f}")


def test_the_text_of_one_that_is_well():
    assert status().text(coloured=False).splitlines() == [
        "main-scheduler: up (process 42), waiting for the next run",
        "  last success  @-60, 1 min ago",
        "  next run      @+3540",
        "  last runs      ✓  ",
        "                1.5s",
        "  last run      1 succeeded, begun @-60",
    ]


def test_the_text_of_one_whose_runs_fail():
    assert status(FAILED).text(coloured=False).splitlines()[1:] == [
        "  wrong: run 3 timed out, 2 failures in a row",
        "  last success  @-60, 1 min ago",
        "  next run      @+3540",
        "  last runs      ✓    ✗    ✗  ",
        "                1.5s 1.5s 1.5s",
        "  last run      3 timed out, begun @-60",
    ]


def test_the_text_says_why_the_last_run_failed():
    why = replace(FAILED.runs[-1], reason="ValueError:\x1b no")
    shown = status(replace(FAILED, runs=[why])).text(coloured=False)
    assert shown.endswith("begun @-60: ValueError:\\x1b no")


def test_a_run_whose_end_nobody_saw_has_no_duration():
    lost = replace(WELL.runs[-1], outcome=Outcome.INTERRUPTED, ended=None, duration=None)
    assert status(replace(WELL, runs=[lost])).text(coloured=False).splitlines()[-2].split() == ["?"]


def test_the_text_of_one_with_a_run_going():
    going = replace(WELL, running=Run(2, started=NOW - 5))
    assert (
        status(going).text(coloured=False).startswith("main-scheduler: up (process 42), run 2 has been going for 5 s\n")
    )


def test_the_text_of_one_that_is_not_running_promises_no_next_run():
    text = status(pid=None).text(coloured=False)
    assert text.startswith("main-scheduler: not running\n")
    assert "next run" not in text


RETRIED = replace(FAILED, every="every 1 h", environment="prod", retry=Retry(NOW + 30, BOOTTIME + 30, 2))


def test_the_text_says_how_often_it_runs_and_when_a_failed_run_is_made_again():
    assert status(RETRIED).text(coloured=False).splitlines()[2:6] == [
        "  schedule      every 1 h, SCHED_ENV=prod",
        "  last success  @-60, 1 min ago",
        "  retry         @+30",
        "  next run      @+3540",
    ]


def test_one_that_is_not_running_promises_no_retry():
    assert status(RETRIED).as_json()["retry"] == NOW + 30
    assert status(RETRIED, pid=None).as_json()["retry"] is None
    assert "retry" not in status(RETRIED, pid=None).text(coloured=False)


def test_the_text_of_one_that_has_never_run():
    assert status(State(), pid=None).text(coloured=False).splitlines() == [
        "main-scheduler: not running",
        "  last success  never",
        "  no run has ended yet",
    ]


def test_the_last_12_runs_are_drawn_under_each_other():
    runs = [run(number, "succeeded", 61.0 * number) for number in range(1, 15)]
    marks, took = status(replace(WELL, runs=runs)).text(coloured=False).splitlines()[3:5]
    assert marks.count("✓") == 12
    assert took.split() == [f"{number}min{number}s" for number in range(3, 15)]
    assert len(marks) == len(took)


@pytest.mark.parametrize(
    ("outcome", "mark"),
    [
        ("succeeded", "\033[32m"),
        ("failed", "\033[31m"),
        ("killed", "\033[31m"),
        ("timed out", "\033[31m"),
        ("not started", "\033[31m"),
        ("interrupted", "\033[2m"),
    ],
)
def test_a_mark_has_its_colour_only_where_asked_for(outcome, mark):
    found = status(replace(WELL, runs=[run(1, outcome)]))
    assert mark in found.text(coloured=True)
    assert "\033" not in found.text(coloured=False)


def test_a_clock_that_was_set_back_gives_no_negative_times():
    assert "0 s ago" in status(now=NOW - 1000).text(coloured=False)


def test_json_says_the_same_for_programs():
    assert status(FAILED).as_json() == {
        "name": "main-scheduler",
        "health": "wrong",
        "fault": "run 3 timed out, 2 failures in a row",
        "up": True,
        "pid": 42,
        "host": "",
        "environment": "",
        "every": "",
        "started": NOW - 60,
        "running": None,
        "last_success": NOW - 60,
        "next_due": NOW + 3540,
        "retry": None,
        "failures_in_a_row": 2,
        "skipped": 0,
        "runs": [run_record.as_json(run) for run in FAILED.runs],
    }


def test_json_of_one_that_is_not_running_has_no_next_run_and_none_going():
    found = status(replace(WELL, running=Run(2, started=NOW)), pid=None).as_json()
    assert (found["health"], found["running"], found["next_due"]) == ("not running", None, None)


@pytest.mark.parametrize(
    ("state", "line"),
    [
        (State(), "started @+0"),
        (WELL, "last run 1 succeeded; last success @-60; next run @+3540"),
        (FAILED, "last run 3 timed out; last success @-60; next run @+3540; 2 failures in a row"),
        (RETRIED, "last run 3 timed out; last success @-60; next run @+3540; retry @+30; 2 failures in a row"),
        (
            replace(WELL, running=Run(2, started=NOW - 5)),
            "run 2 has been going since @-5; last run 1 succeeded; last success @-60; next run @+3540",
        ),
    ],
)
def test_systemd_is_told_the_truth_in_one_line(state, line):
    assert one_line(state, NOW) == line


def test_one_on_another_host_is_up_there_and_measured_by_the_wall_clock():
    there = replace(WELL, host="another", boot_id="another", fresh_boottime=9e9)
    assert status(there, pid=0).text(coloured=False).startswith("main-scheduler: up (on another), waiting for")
    assert status(there, pid=0).health() is Health.HEALTHY
    assert status(there, pid=0, now=NOW + 3600 + 600 + 1).fault() == "no success for 1 h 11 min"


def test_a_success_whose_boot_clock_is_not_known_is_measured_by_the_wall_clock():
    found = status(replace(WELL, fresh_boottime=None), boottime=9e9)
    assert found.health() is Health.HEALTHY
