"""What a restart looks at before and after it."""

import itertools
import signal

import pytest

from sched_runner.commands import restart

UP = {"ActiveState": "active", "SubState": "running", "MainPID": "7"}
STARTING = {"ActiveState": "activating", "SubState": "start", "MainPID": "7"}
AGAIN_AND_AGAIN = {"ActiveState": "activating", "SubState": "auto-restart", "MainPID": "0"}
FAILED = {"ActiveState": "failed", "SubState": "failed", "MainPID": "0"}
STOPPED = {"ActiveState": "inactive", "SubState": "dead", "MainPID": "0"}


class Clock:
    """Time passes only in a sleep."""

    def __init__(self):
        self.now = 0.0

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    monkeypatch.setattr(restart, "time", Clock())
    return restart.time


@pytest.fixture
def seen(monkeypatch):
    """What looks at a unit show, one after the other; the last stays."""

    def make(*units):
        looks = itertools.chain(units, itertools.repeat(units[-1]))
        monkeypatch.setattr(restart, "unit_named", lambda name: next(looks))

    return make


@pytest.mark.parametrize("end", [UP, AGAIN_AND_AGAIN, FAILED, STOPPED])
def test_a_unit_that_starts_or_stops_is_looked_at_until_it_does_not(seen, end):
    seen(STARTING, {"ActiveState": "reloading"}, end)
    assert restart.settled("x") == end


def test_a_start_that_never_ends_is_not_waited_for(seen, clock):
    seen(STARTING)
    assert restart.settled("x") == STARTING
    assert 90 < clock.now < 150


class Systemctl:
    """Counts the starts; those are done of which it says so."""

    def __init__(self, done):
        self.done = iter(done)
        self.starts = 0

    def start(self, name):
        self.starts += 1
        return next(self.done)


@pytest.fixture
def start(seen):
    def make(*units, done=(True,)):
        """Start a unit that then looks like that; gives how often it was tried."""
        seen(*units)
        systemctl = Systemctl(done)
        restart.start("x", systemctl.start)
        return systemctl.starts

    return make


def test_no_key_of_the_terminal_stops_a_restart_in_its_middle(seen, monkeypatch):
    held = []
    seen(UP, UP, UP | {"MainPID": "8"})
    monkeypatch.setattr(
        restart, "start", lambda name, systemctl: held.extend(signal.pthread_sigmask(signal.SIG_BLOCK, ()))
    )
    restart.restart("x", now=True)
    assert {signal.SIGINT, signal.SIGTSTP, signal.SIGHUP} <= {*held}
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, ()) & {*held}


def test_a_service_that_stays_up_has_come_up(start):
    assert start(STARTING, UP) == 1


def test_a_start_that_another_has_cancelled_is_tried_again(start):
    assert start(STOPPED, STOPPED, UP, done=(False, False, True)) == 3


def test_a_service_that_somebody_has_stopped_again_is_left_so(start):
    assert start(STOPPED) == 1
    assert start(UP, STOPPED) == 1


@pytest.mark.parametrize(
    ("units", "why"),
    [
        ([STOPPED], "it is inactive"),
        ([FAILED | {"ExecMainStatus": "78"}], "its settings are faulty"),
        ([AGAIN_AND_AGAIN | {"Id": "x", "Result": "timeout"}], "longer than its unit allows"),
        ([UP, AGAIN_AND_AGAIN | {"Id": "x", "ExecMainStatus": "1"}], "exit status 1"),
        ([UP, UP | {"MainPID": "8"}], "it was started again"),
        ([{}], "unknown to systemd"),
    ],
)
def test_a_service_that_does_not_stay_up_has_not_come_up(start, units, why):
    with pytest.raises(restart.OperatorError, match=f"x has not come up: .*{why}"):
        start(*units, done=(False,) * 3)
