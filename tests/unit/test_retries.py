from dataclasses import replace
from pathlib import Path

import pytest

from sched_runner import clock
from sched_runner.record.outcome import FAILURES, Outcome
from sched_runner.record.run_record import Run
from sched_runner.record.state import Retry, State
from sched_runner.schedule import retries
from sched_runner.settings import places, table

NOW, BOOT = 1_000_000.0, 500.0
SETTINGS = replace(table.load({}, places.here(Path("/srv")))[0], retries=3, retry_after=60.0)


def after(outcome=Outcome.FAILED, attempt=1, settings=SETTINGS):
    return retries.after(Run(7, outcome, attempt=attempt), settings, NOW, BOOT)


@pytest.mark.parametrize("outcome", Outcome)
def test_only_a_failure_is_made_again(outcome):
    assert (after(outcome) is not None) is (outcome in FAILURES)


@pytest.mark.parametrize(("attempt", "wait"), [(1, 60.0), (2, 120.0), (3, 240.0)])
def test_each_wait_is_twice_the_one_before(attempt, wait):
    assert after(attempt=attempt) == Retry(NOW + wait, BOOT + wait, attempt + 1)


@pytest.mark.parametrize("attempt", [4, 5, 10**6])
def test_after_the_last_attempt_there_is_none(attempt):
    assert after(attempt=attempt) is None


def test_without_the_setting_there_is_none():
    assert after(settings=replace(SETTINGS, retries=0)) is None


@pytest.mark.parametrize(
    ("boot_id", "retry", "resumed"),
    [
        (clock.boot_id(), Retry(NOW - 9e6, BOOT + 30, 2), Retry(NOW + 30, BOOT + 30, 2)),
        (clock.boot_id(), Retry(NOW + 9e6, BOOT - 30, 2), Retry(NOW, BOOT, 2)),
        ("another host's", Retry(NOW + 30, BOOT + 9e6, 2), Retry(NOW + 30, BOOT + 30, 2)),
        ("another host's", Retry(NOW - 30, BOOT + 9e6, 4), Retry(NOW, BOOT, 4)),
        (clock.boot_id(), Retry(NOW + 30, BOOT + 30, 5), None),
        (clock.boot_id(), None, None),
    ],
    ids=["same boot", "its time has passed", "another boot", "passed there", "fewer are wanted by now", "none"],
)
def test_a_planned_retry_is_resumed_by_the_clock_that_can_be_believed(boot_id, retry, resumed):
    assert retries.resumed(State(boot_id=boot_id, retry=retry), SETTINGS, NOW, BOOT) == resumed
