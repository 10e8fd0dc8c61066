import os

import pytest

from sched_runner import clock
from sched_runner.record.outcome import Outcome
from sched_runner.record.run_record import Run
from sched_runner.record.state import State
from sched_runner.settings import places, table

SETTINGS = table.load({}, places.installed())


def ended(number, outcome=Outcome.SUCCEEDED):
    return Run(number, outcome, 1.0, duration=2.0)


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
    stored = State(failures_in_a_row=3, running=Run(7, started=1.0))
    stored.end_run(ended(7, outcome), None)
    assert stored.failures_in_a_row == failures
    assert (stored.last_success is not None) is is_success
    assert stored.running is None
    assert stored.runs == [ended(7, outcome)]


def test_a_skipped_run_is_no_failure():
    stored = State(failures_in_a_row=3)
    stored.skip_run()
    assert (stored.skipped, stored.failures_in_a_row) == (1, 3)


def test_a_run_whose_scheduler_was_killed_is_recorded_as_interrupted():
    stored = State(failures_in_a_row=3, running=Run(7, started=1.0))
    interrupted = stored.end_lost_run()
    assert interrupted is not None
    assert (interrupted.number, interrupted.outcome) == (7, Outcome.INTERRUPTED)
    assert stored.outcomes == {"interrupted": 1}
    assert (stored.running, stored.failures_in_a_row) == (None, 3)
    assert stored.runs == [interrupted]


def test_where_no_run_was_going_none_was_interrupted():
    stored = State()
    assert stored.end_lost_run() is None
    assert stored.runs == []


@pytest.mark.parametrize(("host", "is_known"), [(os.uname().nodename, True), ("another", False)])
def test_a_success_beside_the_scheduler_of_another_host_has_no_time_on_its_boot_clock(host, is_known):
    stored = State(host=host, fresh_boottime=9e9)
    stored.end_run(ended(7), None)
    assert (stored.fresh_boottime is not None) is is_known


def test_this_boot_has_one_name():
    assert clock.boot_id() == clock.boot_id() != ""


def test_the_state_of_another_host_is_taken_over_without_its_boot_clock():
    taken = State(boot_id="another", host="node2", due=1.0, due_boottime=9e9, fresh_boottime=9e9)
    taken.start(SETTINGS, "every 1 min", 2.0)
    assert (taken.boot_id, taken.host) == (clock.boot_id(), os.uname().nodename)
    assert (taken.due, taken.due_boottime) == (1.0, None)
    assert taken.fresh_boottime == pytest.approx(clock.boottime(), abs=5)


def test_the_state_of_this_boot_keeps_its_clock():
    own = State(boot_id=clock.boot_id(), due=1.0, due_boottime=2.0)
    own.start(SETTINGS, "every 1 min", 2.0)
    assert own.due_boottime == 2.0


def test_a_state_that_nobody_wrote_is_of_this_host():
    assert State().is_of_this_host()
    assert State(host=os.uname().nodename).is_of_this_host()
    assert State(host="before it was renamed", boot_id=clock.boot_id()).is_of_this_host()
    assert not State(host="another", boot_id="another").is_of_this_host()
