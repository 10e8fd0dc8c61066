import pytest

from sched_runner import clock
from sched_runner.clock import SteadyClock


class Hands:
    def __init__(self):
        self.boottime, self.offset, self.readings = 50.0, 1000.0, 0

    def wall(self):
        self.readings += 1
        return self.boottime + self.offset


@pytest.fixture
def hands():
    return Hands()


@pytest.fixture
def steady(hands):
    return SteadyClock(hands.wall, lambda: hands.boottime)


def test_it_goes_on_as_if_nobody_had_set_the_wall_clock(hands, steady):
    hands.boottime += 10
    hands.offset += 3600
    assert steady.now() == 1060.0
    assert steady.at(20.0) == 1020.0


def test_the_wall_clock_is_read_once(hands, steady):
    for _ in range(3):
        steady.now()
    assert hands.readings == 1


@pytest.mark.parametrize("step", [0.06, -0.06, 3600.0, -1e9])
def test_it_knows_by_how_much_somebody_has_set_the_wall_clock_and_follows_when_told_to(hands, steady, step):
    hands.offset += step
    assert steady.step() == pytest.approx(step)
    steady.follow(step)
    assert steady.step() == 0.0
    assert steady.now() == pytest.approx(hands.wall())


@pytest.mark.parametrize("late", [0.0, 0.049, -0.049])
def test_a_reading_that_came_late_is_no_step(hands, steady, late):
    hands.offset += late
    assert steady.step() == 0.0


def test_many_small_steps_add_up_to_one(hands, steady):
    found = []
    for _ in range(10):
        hands.offset += 0.02
        found.append(steady.step())
        steady.follow(found[-1])
    assert sum(found) == pytest.approx(0.18, abs=0.03)


def test_by_itself_it_reads_the_clocks_of_this_machine():
    assert SteadyClock().now() == pytest.approx(clock.wall(), abs=1)
    assert SteadyClock().step() == 0.0
