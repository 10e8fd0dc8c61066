from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sched_runner import clock
from sched_runner.record.state import Plan, State
from sched_runner.schedule import cadence
from sched_runner.schedule.cadence import FixedRate, first_due
from sched_runner.settings import places, table

NOON = datetime(2026, 3, 28, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def rate(interval: timedelta) -> FixedRate:
    return FixedRate(interval, NOON)


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
    assert rate(HOUR).after(now) == following


def test_however_many_were_missed_the_next_is_found_in_one_step():
    assert rate(timedelta(seconds=0.1)).after(NOON + timedelta(days=365_000)) > NOON


@given(st.timedeltas(timedelta(seconds=0.1), timedelta(days=36525)), st.timedeltas(timedelta(0), timedelta(days=99999)))
def test_due_times_lie_on_the_grid_with_now_between_the_last_and_the_next(interval, passed):
    kept, now = rate(interval), NOON + passed
    last, following = kept.last(now), kept.after(now)
    assert last <= now < following == last + kept.gap
    assert (last - NOON) % kept.gap == timedelta(0)


def test_an_interval_of_a_day_is_24_hours_whatever_the_season():
    assert rate(timedelta(days=1)).after(NOON + timedelta(hours=23)) == NOON + timedelta(hours=24)


GAPS = st.timedeltas(timedelta(seconds=0.1), timedelta(days=36525))
MOMENTS = st.datetimes(datetime(1970, 1, 1), datetime(2500, 1, 1), timezones=st.just(UTC))
STEPS = st.timedeltas(timedelta(days=-40_000), timedelta(days=40_000))


@settings(max_examples=100)
@given(GAPS, MOMENTS, MOMENTS)
def test_the_next_due_time_is_to_come_and_the_last_has_come(gap, origin, now):
    kept = FixedRate(gap, origin)
    assert kept.last(now) <= now < kept.after(now)
    assert kept.after(now) == max(kept.last(now) + gap, origin)


@settings(max_examples=100)
@given(GAPS, MOMENTS, MOMENTS)
def test_due_times_follow_one_another_without_a_gap_or_a_double(gap, origin, now):
    kept = FixedRate(gap, origin)
    first = kept.after(now)
    second = kept.after(first)
    assert second == first + gap
    assert kept.last(first) == first
    assert kept.last(second - timedelta(microseconds=1)) == first


@settings(max_examples=100)
@given(GAPS, MOMENTS, MOMENTS, STEPS)
def test_a_step_of_the_clock_leaves_the_time_to_the_next_run_as_it_was(gap, origin, now, step):
    kept = FixedRate(gap, origin)
    stepped = kept.stepped(step)
    assert stepped.gap == gap
    assert stepped.after(now + step) - (now + step) == kept.after(now) - now
    assert stepped.last(now + step) - (now + step) == kept.last(now) - now
    due = kept.after(now)
    assert kept.due_after_step(due, step, now + step) == stepped.after(now + step)
    assert stepped.stepped(-step) == kept


@pytest.mark.parametrize(
    ("environ", "every"),
    [
        ({}, "every 1 min"),
        ({"SCHED_ENV": "prod"}, "every 4 h"),
        ({"SCHED_INTERVAL": "0.1s"}, "every 0.1 s"),
        ({"SCHED_INTERVAL": "7h 30min"}, "every 7 h 30 min"),
    ],
)
def test_how_often_is_said_in_words(environ, every):
    assert cadence.of(table.load(environ, places.installed())[0], NOON).every == every


NOW, BOOTTIME = 1_700_000_000.0, 5000.0
MINUTE, RESUMED = 60.0, {"SCHED_START": "resume"}
THIS_BOOT = clock.boot_id()


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
    settings, _ = table.load(environ, places.here(Path("/srv")))
    assert first_due(previous, settings, NOW, BOOTTIME, supervised=supervised) == pytest.approx(first, abs=0.001)


def test_a_second_start_after_a_failover_goes_by_the_wall_clock_still():
    settings, _ = table.load(RESUMED, places.here(Path("/srv")))
    taken = due_after(NOW - 20, boot="another", boottime=9e9)
    taken.start(settings, Plan("every 1 min", NOW, None, None))
    assert first_due(taken, settings, NOW, BOOTTIME, supervised=True) == pytest.approx(NOW + 40, abs=0.001)
