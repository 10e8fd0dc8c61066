import os

import pytest

from sched_runner import job
from sched_runner.outcome import Outcome, RunResult
from sched_runner.state import State


@pytest.mark.parametrize(
    ("outcome", "failures", "is_success"),
    [
        (Outcome.SUCCEEDED, 0, True),
        (Outcome.FAILED, 4, False),
        (Outcome.KILLED, 4, False),
        (Outcome.TIMED_OUT, 4, False),
        (Outcome.NOT_STARTED, 4, False),
        (Outcome.INTERRUPTED, 3, False),
    ],
)
def test_an_ending_counts_as_a_failure_or_a_success_or_neither(outcome, failures, is_success):
    stored = State(failures_in_a_row=3, running={"number": 7, "started": 1.0})
    job._end(stored, RunResult(7, outcome, 1.0, 2.0), None)
    assert stored.failures_in_a_row == failures
    assert (stored.last_success is not None) is is_success
    assert stored.running is None
    assert stored.runs[-1]["outcome"] == outcome.value


def test_a_skipped_run_is_no_failure():
    stored = State(failures_in_a_row=3)
    job.count_skipped(stored)
    assert (stored.skipped, stored.failures_in_a_row) == (1, 3)


def test_a_run_whose_scheduler_was_killed_is_recorded_as_interrupted():
    stored = State(failures_in_a_row=3, running={"number": 7, "started": 1.0})
    interrupted = job.note_interrupted(stored)
    assert interrupted is not None
    assert (interrupted.number, interrupted.outcome) == (7, Outcome.INTERRUPTED)
    assert stored.outcomes == {"interrupted": 1}
    assert (stored.running, stored.failures_in_a_row) == (None, 3)
    assert (stored.runs[-1]["number"], stored.runs[-1]["outcome"]) == (7, "interrupted")


def test_where_no_run_was_going_none_was_interrupted():
    stored = State()
    assert job.note_interrupted(stored) is None
    assert stored.runs == []


@pytest.mark.parametrize(("host", "is_known"), [(os.uname().nodename, True), ("another", False)])
def test_a_success_beside_the_scheduler_of_another_host_has_no_time_on_its_boot_clock(host, is_known):
    stored = State(host=host, fresh_boottime=9e9)
    job._end(stored, RunResult(7, Outcome.SUCCEEDED, 1.0, 2.0), None)
    assert (stored.fresh_boottime is not None) is is_known
