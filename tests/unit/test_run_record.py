import json
import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sched_runner import clock
from sched_runner.record import messages, run_record
from sched_runner.record.outcome import Outcome
from sched_runner.record.run_record import Run

EXACT = st.floats(0, 4e9).map(lambda value: round(value, 3))  # as the journal has it
COUNTS = st.integers(0, 2**53 - 1)
ENDED = st.builds(
    Run,
    number=COUNTS,
    outcome=st.sampled_from(Outcome),
    started=EXACT,
    duration=EXACT,
    exit_status=st.none() | st.integers(0, 255),
    signal=st.none() | st.integers(0, 255),
    cpu=EXACT,
    peak_kib=COUNTS,
    reason=st.text(max_size=20),
).map(lambda run: replace(run, ended=run.started + run.duration))


def in_journal(run):
    """As python-systemd gives it back, which takes EXIT_STATUS for a number."""
    fields = messages.of_run(run)["fields"].items()
    return {name: value if name == "EXIT_STATUS" else str(value) for name, value in fields if value is not None}


@settings(max_examples=60)
@given(ENDED)
def test_a_run_comes_back_from_the_journal_as_it_was(run):
    assert run_record.from_journal(in_journal(run)) == run


@settings(max_examples=60)
@given(ENDED)
def test_a_run_comes_back_from_a_file_as_it_was(run):
    assert run_record.from_json(json.loads(json.dumps(run_record.as_json(run)))) == run


def test_a_run_that_is_going_comes_back_from_a_file_as_it_was():
    going = run_record.begin(7)
    assert run_record.from_json(json.loads(json.dumps(run_record.as_json(going)))) == going


def test_names_that_a_newer_version_has_are_skipped():
    assert run_record.from_json({"number": 7, "mood": "good"}) == Run(7)
    assert run_record.from_journal(in_journal(Run(7, Outcome.FAILED, duration=1.0)) | {"MOOD": ["good"]}).number == 7


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("number", -1),
        ("number", 7.5),
        ("number", True),
        ("number", 10**400),
        ("outcome", "won"),
        ("outcome", ["failed"]),
        ("outcome", {"failed": 1}),
        ("outcome", True),
        ("started", math.nan),
        ("started", None),
        ("started", -1e300),
        ("started_boottime", 1e30),
        ("ended", math.inf),
        ("duration", -1),
        ("duration", "1"),
        ("exit_status", 1.5),
        ("signal", 256),
        ("signal", 10**400),
        ("signal", "SIGKILL"),
        ("cpu", None),
        ("peak_kib", 1e30),
        ("reason", None),
        ("reason", ["no"]),
        ("reason", "x" * 70_000),
    ],
)
def test_a_run_with_a_poisoned_field_is_refused_by_the_name_of_the_field(name, value):
    with pytest.raises(ValueError, match=f"^{name}: "):
        run_record.from_json({"number": 7, "outcome": "failed", name: value})


def test_a_run_that_has_ended_has_an_outcome():
    assert run_record.ended_from_json({"number": 7, "outcome": "failed"}).outcome is Outcome.FAILED
    with pytest.raises(ValueError, match="without an outcome"):
        run_record.ended_from_json({"number": 7})


@pytest.mark.parametrize("outcome", Outcome)
def test_the_message_id_says_how_a_run_ended(outcome):
    succeeded, failed, interrupted = messages.RUN_ENDINGS
    wanted = {Outcome.SUCCEEDED: succeeded, Outcome.INTERRUPTED: interrupted}.get(outcome, failed)
    assert in_journal(Run(7, outcome))["MESSAGE_ID"] == wanted


@pytest.mark.parametrize(
    ("now", "boottime", "going"),
    [
        (1010.0, 60.0, 10.0),
        # Somebody has set the wall clock since, forward and back.
        (9999.0, 60.0, 10.0),
        (0.0, 60.0, 10.0),
        # In another boot only the wall clock knows.
        (1010.0, None, 10.0),
        (0.0, None, 0.0),
    ],
)
def test_for_how_long_a_run_is_going_is_counted_on_the_boot_clock(now, boottime, going):
    assert Run(7, started=1000.0, started_boottime=50.0).going_for(now, boottime) == going


@pytest.fixture
def clocks(monkeypatch):
    """Both clocks, which stand still."""
    hands = {"wall": 1000.0, "boottime": 50.0}
    monkeypatch.setattr(clock, "wall", lambda: hands["wall"])
    monkeypatch.setattr(clock, "boottime", lambda: hands["boottime"])
    return hands


@pytest.mark.parametrize("step", [0.0, 3600.0, -900.0])
def test_a_run_takes_as_long_as_the_boot_clock_says_whatever_is_done_to_the_wall_clock(clocks, step):
    run = run_record.begin(7)
    clocks["wall"], clocks["boottime"] = 1005.0 + step, 55.0
    ended = run.end(Outcome.FAILED, exit_status=3)
    assert (ended.duration, ended.ended, ended.started) == (5.0, 1005.0 + step, 1000.0)
    assert (ended.number, ended.outcome, ended.exit_status) == (7, Outcome.FAILED, 3)


def test_a_run_that_ended_before_it_was_told_ended_then(clocks):
    run = run_record.begin(7)
    clocks["wall"], clocks["boottime"] = 1005.0, 55.0
    ended = run.end(Outcome.SUCCEEDED, 53.0)
    assert (ended.duration, ended.ended) == (3.0, 1003.0)


def test_metrics_are_in_the_units_of_prometheus():
    found = {name: value for name, _, value in run_record.metrics(Run(7, duration=2.5, cpu=0.25, peak_kib=3))}
    assert found == {
        "last_run_duration_seconds": 2.5,
        "last_run_cpu_seconds": 0.25,
        "last_run_peak_memory_bytes": 3072,
    }
