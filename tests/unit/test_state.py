import json
import math
import os
from contextlib import suppress
from dataclasses import fields

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sched_runner import clock
from sched_runner.record import state
from sched_runner.record.outcome import Outcome
from sched_runner.record.run_record import Run
from sched_runner.record.state import Due, Plan, Retry, State
from sched_runner.record.status import Status, one_line
from sched_runner.settings import places, table
from sched_runner.tell import metrics

SETTINGS, _ = table.load({}, places.installed())


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
    assert (interrupted.duration, interrupted.ended) == (None, None)  # nobody saw the end
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
    taken.start(SETTINGS, Plan("every 1 min", 2.0, None, None))
    assert (taken.boot_id, taken.host) == (clock.boot_id(), os.uname().nodename)
    assert (taken.due, taken.due_boottime) == (1.0, None)
    assert taken.fresh_boottime == pytest.approx(clock.boottime(), abs=5)


def test_the_state_of_this_boot_keeps_its_clock():
    own = State(boot_id=clock.boot_id(), due=1.0, due_boottime=2.0)
    own.start(SETTINGS, Plan("every 1 min", 2.0, None, None))
    assert own.due_boottime == 2.0


def test_a_state_that_nobody_wrote_is_of_this_host():
    assert State().is_of_this_host()
    assert State(host=os.uname().nodename).is_of_this_host()
    assert State(host="before it was renamed", boot_id=clock.boot_id()).is_of_this_host()
    assert not State(host="another", boot_id="another").is_of_this_host()


def test_a_run_that_begins_has_the_next_number_and_the_time_it_was_due():
    stored = State(number=6, boot_id="another")
    run = stored.begin_run(Due(100.0, 50.0, 1), Plan("every 1 min", 160.0, None, None))
    assert (run.number, stored.number, stored.running) == (7, 7, run)
    assert (stored.due, stored.due_boottime, stored.next_due) == (100.0, 50.0, 160.0)
    assert stored.boot_id == clock.boot_id()


@pytest.mark.parametrize(
    "due",
    [
        Due(1_700_000_000.0, -45_298.0, 1),  # of a calendar, before the boot
        Due(-45_298.0, -45_300.0, 1),  # the clock of a host without a battery begins in 1970
    ],
)
def test_a_due_time_before_the_boot_or_the_epoch_can_be_read_again(due):
    made = State()
    made.begin_run(due, Plan("daily", 5.0, 9.0, Retry(7.0, -1.0, 2)))
    read_back = state.from_json(json.loads(json.dumps(state.as_json(made))))
    assert (read_back.due, read_back.due_boottime) == (due.last, due.boottime)


def test_a_run_outside_of_the_schedule_moves_no_due_time():
    stored = State(number=6, due=1.0, due_boottime=2.0, next_due=3.0)
    stored.begin_run(None)
    assert (stored.number, stored.due, stored.due_boottime, stored.next_due) == (7, 1.0, 2.0, 3.0)


def test_a_run_that_begins_where_one_is_said_to_be_going_ends_that_as_interrupted():
    stored = State(number=6, running=Run(6, started=1.0))
    stored.begin_run(None)
    assert [(run.number, run.outcome) for run in stored.runs] == [(6, Outcome.INTERRUPTED)]


@pytest.mark.parametrize(("clean", "is_fresh"), [(True, True), (False, False)])
def test_only_after_a_clean_end_does_a_start_count_as_fresh(clean, is_fresh):
    stored = State(boot_id=clock.boot_id(), clean=clean, fresh_boottime=0.5)
    stored.start(SETTINGS, Plan("every 1 min", 2.0, None, None))
    assert (stored.fresh_boottime != 0.5) is is_fresh
    assert not stored.clean


@pytest.mark.parametrize(
    ("clean", "before", "planned", "expected"),
    [
        (True, 9.0, 50.0, 50.0),
        (False, 9.0, 50.0, 9.0),
        # The calendar is new, or is no more.
        (False, None, 50.0, 50.0),
        (False, 9.0, None, None),
    ],
)
def test_only_after_a_clean_end_is_a_success_expected_later_than_before(clean, before, planned, expected):
    """Else a scheduler that crashes again and again would never be missed."""
    stored = State(boot_id=clock.boot_id(), clean=clean, expected_by=before)
    stored.start(SETTINGS, Plan("at 08:30", 2.0, planned, None))
    assert stored.expected_by == expected


@pytest.mark.parametrize(("outcome", "expected"), [(Outcome.SUCCEEDED, 50.0), (Outcome.FAILED, 9.0)])
def test_only_a_success_puts_off_the_time_by_which_a_calendar_expects_the_next(outcome, expected):
    stored = State(expected_by=9.0)
    stored.end_run(ended(7, outcome), Plan("at 08:30", 2.0, 50.0, None))
    assert (stored.expected_by, stored.next_due) == (expected, 2.0)


def test_a_scheduler_that_has_stopped_has_nothing_due():
    stored = State(clean=False, next_due=3.0)
    stored.stop()
    assert (stored.clean, stored.next_due) == (True, None)


def test_a_copy_can_be_changed_without_changing_the_original():
    original = State(number=1, runs=[ended(1)], outcomes={"succeeded": 1})
    copy = original.copy()
    copy.begin_run(None)
    copy.end_run(ended(2), None)
    assert original == State(number=1, runs=[ended(1)], outcomes={"succeeded": 1})


RUN = {"number": 7, "outcome": "failed", "started": 1.0, "duration": 1.0}
POISONED = [
    *[[], None, 7, "{}", True],
    *({name: value} for name in ("number", "skipped", "failures_in_a_row") for value in (None, -1, 1.5, True, 10**400)),
    *(
        {name: value}
        for name in ("started", "due", "due_boottime", "next_due", "last_success", "last_failure", "fresh_boottime")
        for value in (math.nan, math.inf, -1e11, 1e30, -1e300, 10**400, "1", True, [], {})
    ),
    *({name: -1} for name in ("started", "next_due", "last_success", "last_failure", "fresh_boottime")),
    *({name: value} for name in ("gap", "timeout") for value in (math.nan, 1e30, -1, 10**400, "1", False, [1])),
    *(
        {name: value}
        for name in ("boot_id", "host", "every", "environment")
        for value in (None, 7, [], {}, "x" * 70_000)
    ),
    *({"clean": value} for value in (None, 0, 1, "true", [])),
    *({"outcomes": value} for value in (None, [], 7, {"won": 1}, {"failed": -1}, {"failed": 1e30}, {"failed": None})),
    *({"running": value} for value in ([], 7, "7", True, {"number": -1}, {"started": math.nan}, {"outcome": "won"})),
    *({"runs": value} for value in (None, {}, "[]", [None], [[]], [{}], [7], [RUN | {"outcome": None}])),
    *({"runs": [RUN | {name: math.nan}]} for name in ("number", "started", "duration", "cpu", "peak_kib")),
    {"runs": [RUN | {"reason": {"a": []}}]},
    {"runs": [RUN | {"signal": 10**400}]},
    *({"retry": value} for value in (7, {}, "123", [1.0, 2.0], [1.0, 2.0, 3, 4], [math.nan, 2.0, 3], [1.0, 2.0, "3"])),
]


@pytest.mark.parametrize("values", POISONED, ids=lambda values: repr(values)[:40])
def test_a_poisoned_state_is_refused_and_nothing_worse(values):
    with pytest.raises(ValueError, match=r"not|neither|without"):
        state.from_json(values)


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-1)
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from([1e9, 10**400, 253_370_764_800, "failed"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["number", "outcome", "started", "duration", "signal", "reason", "failed", "cpu"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)


@settings(max_examples=100)
@given(st.dictionaries(st.sampled_from([f.name for f in fields(State)]), ANYTHING, max_size=3))
def test_whatever_stands_in_the_fields_of_a_state_it_is_taken_and_can_be_told_or_is_refused(values):
    with suppress(ValueError):
        found = state.from_json(values)
        assert state.from_json(json.loads(json.dumps(state.as_json(found)))) == found
        told = Status("main-scheduler", 0, found, 1e9, 1e5, "this boot")
        assert told.text(coloured=False)
        assert json.dumps(told.as_json())
        assert one_line(found, 1e9).isprintable()
        assert metrics.render("main-scheduler", found)


def test_whatever_was_read_what_is_counted_on_can_be_read_again():
    most = 2**53 - 1
    values = {"number": most, "failures_in_a_row": most, "skipped": most, "outcomes": {"failed": most}}
    found = state.from_json(values)
    found.skip_run()
    found.end_run(found.begin_run().end(Outcome.FAILED), None)
    again = state.from_json(state.as_json(found))
    assert (again.runs[-1].outcome, again.outcomes) == (Outcome.FAILED, {"failed": 2**52})
