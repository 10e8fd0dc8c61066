import logging
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sched_runner.clock import SteadyClock
from sched_runner.record.outcome import Outcome
from sched_runner.record.run_record import Run
from sched_runner.schedule.scheduler import Scheduler
from sched_runner.settings import places, table

NOON = datetime(2026, 3, 28, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
SETTINGS, _ = table.load({}, places.here(Path("/srv")))
BOOT = NOON.timestamp() - 5000  # the boot clock reads 5000 s at noon
EVERY_HOUR, EVERY_3_HOURS = (replace(SETTINGS, interval=hours * 3600.0) for hours in (1, 3))


class Hands:
    """Of a clock that somebody may set and that may stand still: ``set_by`` and ``gone`` are in seconds."""

    def __init__(self, now: datetime, *, runs: bool = False) -> None:
        self.begun = time.monotonic()
        self.runs = runs
        self.at = now.timestamp() - BOOT
        self.set_by = self.gone = 0.0

    def boottime(self) -> float:
        return self.at + self.gone + (time.monotonic() - self.begun if self.runs else 0.0)

    def wall(self) -> float:
        return BOOT + self.boottime() + self.set_by


def scheduler_at(now, perform=lambda: None, *, skipped=None, hands=None, on_turn=lambda: False):
    """With a run due at noon, and every hour."""
    hands = hands or Hands(now)
    on_skip = [].append if skipped is None else skipped.append
    steady = SteadyClock(hands.wall, hands.boottime)
    scheduler = Scheduler(perform, on_turn=on_turn, on_skip=on_skip, clock=steady)
    scheduler.begin(EVERY_HOUR, NOON, None)
    return scheduler


@pytest.mark.parametrize(
    ("before", "following"),
    [
        (timedelta(minutes=1), NOON - HOUR + 3 * HOUR),
        (timedelta(milliseconds=1), NOON - HOUR + 3 * HOUR),
        # Found due, and not made yet.
        (timedelta(0), NOON),
        (timedelta(milliseconds=-1), NOON),
    ],
)
def test_a_new_interval_counts_from_the_last_due_time_and_loses_no_run_that_is_due(before, following):
    scheduler = scheduler_at(NOON - before)
    scheduler.follow(EVERY_3_HOURS)
    assert scheduler.next_due == following


def test_a_new_interval_loses_no_run_that_was_asked_for():
    scheduler = scheduler_at(NOON - timedelta(minutes=1))
    scheduler.run_now()
    scheduler.follow(EVERY_3_HOURS)
    assert scheduler.next_due == NOON - timedelta(minutes=1)


@pytest.mark.parametrize(
    ("before", "is_asked_for", "due"),
    [
        (timedelta(milliseconds=8), False, NOON),
        (timedelta(0), False, NOON),
        (timedelta(hours=-9.5), False, NOON + 9 * HOUR),
        # Asked for, it begins at once, and is not the one that is due a moment later.
        (timedelta(seconds=5), True, NOON - HOUR),
        (timedelta(minutes=1), True, NOON - HOUR),
    ],
)
def test_a_run_waits_for_its_own_due_time_and_for_no_other(before, is_asked_for, due):
    found = []

    def perform():
        found.append((scheduler.due(), scheduler.now()))

    hands = Hands(NOON - before, runs=True)
    scheduler = scheduler_at(NOON - before, perform, hands=hands, on_turn=lambda: bool(found))
    if is_asked_for:
        scheduler.run_now()
    scheduler.start()
    ((told, began),) = found
    assert told[:2] == pytest.approx((due.timestamp(), due.timestamp() - BOOT))
    assert max(due, NOON - before) <= began < max(due, NOON - before) + timedelta(seconds=4)


def test_a_run_that_goes_on_knows_when_the_next_one_is_due():
    found = []

    def perform():
        found.append((*scheduler.due(), scheduler.plan().next_due))

    scheduler = Scheduler(perform, on_turn=lambda: bool(found), on_skip=lambda due: None)
    now = scheduler.now()
    scheduler.begin(EVERY_HOUR, now, None)
    scheduler.start()
    boottime = now.timestamp() - scheduler.clock.at(0.0)
    assert found == [pytest.approx((now.timestamp(), boottime, 1, (now + HOUR).timestamp()))]


@pytest.mark.parametrize(
    ("minutes", "going", "late"),
    [
        (10, 10, 0),  # noon's run
        (60, 60, 0),
        (85, 85, 25),
        (85, 45, 25),  # somebody asked for it at 12:40
        (85, 15, 0),
    ],
)
def test_a_run_makes_those_late_that_have_become_due_since_it_began(minutes, going, late):
    now = NOON + timedelta(minutes=minutes)
    assert scheduler_at(now, hands=Hands(now)).overdue(going * 60.0) == pytest.approx(late * 60.0)


@pytest.mark.parametrize("step", [-1e8, -3600.0, -0.06, 0.06, 3600.0, 1e8])
def test_a_step_of_the_clock_moves_the_due_times_with_it(step, caplog):
    hands = Hands(NOON - timedelta(minutes=1))
    scheduler = scheduler_at(NOON, hands=hands)
    hands.set_by += step
    with caplog.at_level(logging.INFO):
        scheduler._follow_clock()
        scheduler._follow_clock()
    assert (scheduler.next_due - scheduler.now()).total_seconds() == pytest.approx(60.0)
    assert scheduler.now().timestamp() == pytest.approx(hands.wall())
    told = [record.getMessage() for record in caplog.records if "the clock was set" in record.getMessage()]
    assert len(told) == (abs(step) >= 1)


def test_a_clock_that_is_read_late_has_not_been_set():
    hands = Hands(NOON - timedelta(minutes=1))
    scheduler = scheduler_at(NOON, hands=hands)
    hands.set_by += 0.04
    scheduler._follow_clock()
    assert scheduler.next_due == NOON


def test_a_due_run_that_no_thread_has_begun_means_that_the_schedule_is_not_kept():
    hands = Hands(NOON)
    scheduler = scheduler_at(NOON, hands=hands)
    assert scheduler.is_kept()
    scheduler._awaited_since = scheduler.clock.boottime()
    hands.gone = 9.0
    assert scheduler.is_kept()
    hands.gone = 11.0
    assert not scheduler.is_kept()


def test_a_due_run_that_finds_one_going_is_skipped_and_one_that_has_just_ended_is_made_soon():
    skipped = []
    scheduler = scheduler_at(NOON, skipped=skipped)
    scheduler._skipped(None)
    assert skipped == []
    assert scheduler.next_due == NOON + timedelta(milliseconds=20)
    scheduler.is_performing = True
    scheduler._skipped(None)
    assert skipped == [NOON]


@pytest.mark.parametrize(("until_due", "is_made"), [(59.0, False), (60.0, False), (60.1, True)])
def test_there_is_no_retry_at_or_after_the_next_due_time(until_due, is_made):
    scheduler = scheduler_at(NOON - timedelta(seconds=until_due))
    scheduler.plan_retry(Run(7, Outcome.FAILED), replace(EVERY_HOUR, retries=3, retry_after=60.0))
    assert (scheduler.plan().retry is not None) is is_made
    assert scheduler.next_due == NOON


@pytest.mark.parametrize(("gone", "attempt"), [(60.0, 2), (119.0, 2), (121.0, 1), (7200.0, 1)])
def test_a_retry_that_was_slept_through_until_the_next_due_time_is_a_first_attempt(gone, attempt):
    hands = Hands(NOON - timedelta(minutes=2))
    scheduler = scheduler_at(NOON, hands=hands)
    scheduler.plan_retry(Run(7, Outcome.FAILED), replace(EVERY_HOUR, retries=1, retry_after=60.0))
    hands.gone = gone
    scheduler._note_what_is_due()
    assert scheduler.due().attempt == attempt
    assert scheduler.plan().retry is None


def test_a_great_number_of_attempts_overflows_nothing():
    scheduler = scheduler_at(NOON - HOUR)
    scheduler.plan_retry(Run(7, Outcome.FAILED, attempt=5000), replace(EVERY_HOUR, retries=10**5))
    assert scheduler.plan().retry is None
