from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sched_runner import config, state
from sched_runner.scheduler import FixedRate, Scheduler
from sched_runner.service import first_due
from sched_runner.state import State

NOON = datetime(2026, 3, 28, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def rate(interval: timedelta) -> FixedRate:
    return FixedRate(seconds=interval.total_seconds(), start_date=NOON, timezone=UTC)


@pytest.mark.parametrize(
    ("now", "following"),
    [
        (NOON - HOUR, NOON),
        (NOON, NOON + HOUR),
        (NOON + timedelta(microseconds=1), NOON + HOUR),
        (NOON + HOUR - timedelta(microseconds=1), NOON + HOUR),
        (NOON + HOUR, NOON + 2 * HOUR),
        (NOON + 9.5 * HOUR, NOON + 10 * HOUR),
        (NOON + 100_000.5 * HOUR, NOON + 100_001 * HOUR),
    ],
)
def test_the_next_due_time_is_the_first_of_the_grid_to_come(now, following):
    assert rate(HOUR).get_next_fire_time(None, now) == following


def test_however_many_were_missed_the_next_is_found_in_one_step():
    assert rate(timedelta(seconds=0.1)).get_next_fire_time(NOON, NOON + timedelta(days=365_000)) > NOON


@given(st.timedeltas(timedelta(seconds=0.1), timedelta(days=36525)), st.timedeltas(timedelta(0), timedelta(days=99999)))
def test_due_times_lie_on_the_grid_with_now_between_the_last_and_the_next(interval, passed):
    trigger, now = rate(interval), NOON + passed
    last, following = trigger.last_due(now), trigger.get_next_fire_time(None, now)
    assert last <= now < following == last + trigger.interval
    assert (last - NOON) % trigger.interval == timedelta(0)


def test_an_interval_of_a_day_is_24_hours_whatever_the_season():
    trigger = rate(timedelta(days=1))
    assert trigger.get_next_fire_time(None, NOON + timedelta(hours=23)) == NOON + timedelta(hours=24)


class FixedClock:
    """Stands still."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def wall(self) -> float:
        return self.now.timestamp()

    def boot(self) -> float:
        return self.now.timestamp() - NOON.timestamp() + 5000


def scheduler_at(now, perform=lambda: None):
    """With a run due at noon, and every hour."""
    scheduler = Scheduler(perform, on_turn=lambda: None, on_skip=lambda due: None, clock=FixedClock(now))
    scheduler.plan(HOUR, NOON)
    return scheduler


@pytest.mark.parametrize(
    ("before", "following"),
    [
        (timedelta(minutes=1), NOON - HOUR + 3 * HOUR),
        (timedelta(milliseconds=11), NOON - HOUR + 3 * HOUR),
        # Found due, and not made yet.
        (timedelta(milliseconds=10), NOON),
        (timedelta(milliseconds=1), NOON),
    ],
)
def test_a_new_interval_counts_from_the_last_due_time_and_loses_no_run_that_is_due(before, following):
    scheduler = scheduler_at(NOON - before)
    scheduler.set_interval(3 * HOUR)
    assert scheduler.next_due == following


@pytest.mark.parametrize(
    ("before", "is_asked_for", "due", "wait"),
    [
        (timedelta(milliseconds=8), False, NOON, 0.008),
        (timedelta(0), False, NOON, 0.0),
        # Asked for, it begins at once, and is not the one that is due a moment later.
        (timedelta(milliseconds=12), True, NOON - HOUR, 0.0),
        (timedelta(minutes=1), True, NOON - HOUR, 0.0),
    ],
)
def test_a_run_waits_for_its_own_due_time_and_for_no_other(before, is_asked_for, due, wait):
    found = []

    def perform():
        found.append((scheduler.due, scheduler.due_boottime - 5000, pytest.approx(scheduler.due_in(), abs=1e-6)))
        scheduler.leave()

    scheduler = scheduler_at(NOON - before, perform)
    if is_asked_for:
        scheduler.run_now()
    scheduler.start()
    assert found == [(due, (due - NOON).total_seconds(), wait)]


NOW, BOOTTIME = 1_700_000_000.0, 5000.0
MINUTE, RESUMED = 60.0, {"SCHED_START": "resume"}
THIS_BOOT = state.boot_id()


def due_after(last, *, clean=False, boot=THIS_BOOT, boottime=None):
    """The state that a scheduler left whose last due time was ``last``."""
    return State(boot_id=boot, clean=clean, due=last, due_boottime=boottime)


@pytest.mark.parametrize(
    ("previous", "environ", "supervised", "first"),
    [
        # At once: the first start, a stop and a start, another boot, a start by hand.
        (State(), {}, True, NOW),
        (State(), RESUMED, True, NOW),
        (due_after(NOW - 20, clean=True), {}, True, NOW),
        (due_after(NOW - 20, boot="another"), {}, True, NOW),
        (due_after(NOW - 20), {}, False, NOW),
        # A scheduler that crashed and was restarted by systemd in the same boot resumes the cadence.
        (due_after(NOW - 20), {}, True, NOW + 40),
        (due_after(NOW - 20, boottime=BOOTTIME - 20), {}, True, NOW + 40),
        (due_after(NOW - 100, boottime=BOOTTIME - 100), {}, True, NOW - 40),
        (due_after(NOW - 20, boottime=BOOTTIME - 20), {"SCHED_INTERVAL": "5min"}, True, NOW + 280),
        # So does every start where that is asked for.
        (due_after(NOW - 20, clean=True), RESUMED, True, NOW + 40),
        (due_after(NOW - 20, clean=True), RESUMED, False, NOW + 40),
        (due_after(NOW - 20, boot="another", boottime=9e9), RESUMED, True, NOW + 40),
        (due_after(NOW - 1e6, boot="another"), RESUMED, True, NOW - 1e6 + MINUTE),
        # The wall clock was set since: back by years, forward by years.
        (due_after(NOW + 1e9, boottime=BOOTTIME - 20), {}, True, NOW + 40),
        (due_after(NOW - 1e9, boottime=BOOTTIME - 20), {}, True, NOW + 40),
        # The clock of the host that takes over is some seconds behind: the run that was just made is not repeated.
        (due_after(NOW + 5, boot="another", boottime=9e9), RESUMED, True, NOW + 65),
        # Without a boot clock to go by, a due time to come is not to be believed.
        (due_after(NOW + 1e9, boot="another"), RESUMED, True, NOW),
    ],
)
def test_the_first_run_is_due_at_once_or_where_the_cadence_resumes(previous, environ, supervised, first):
    settings = config.load(environ, config.here(Path("/srv")), "python3")
    assert first_due(previous, settings, NOW, BOOTTIME, supervised=supervised) == pytest.approx(first, abs=0.001)


def test_a_second_start_after_a_failover_goes_by_the_wall_clock_still():
    settings = config.load(RESUMED, config.here(Path("/srv")), "python3")
    taken = due_after(NOW - 20, boot="another", boottime=9e9)
    taken.take_over()
    assert first_due(taken, settings, NOW, BOOTTIME, supervised=True) == pytest.approx(NOW + 40, abs=0.001)
