import signal

import pytest

from sched_runner.schedule import signals
from sched_runner.schedule.signals import RELOAD, STOP, TRIGGER, Signals


@pytest.fixture
def handlers(monkeypatch):
    """What would be set in this process."""
    found = {}
    monkeypatch.setattr(signals.signal, "signal", found.__setitem__)
    monkeypatch.setattr(signals.signal, "getsignal", lambda number: found.get(number, signal.SIG_DFL))
    return found


def test_the_signals_of_an_operator_are_noted_and_those_of_children_are_not_ignored(handlers):
    made = Signals()
    assert handlers == dict.fromkeys((*STOP, RELOAD, TRIGGER), made._note) | {signal.SIGCHLD: signal.SIG_DFL}


def test_a_hangup_that_nohup_has_left_ignored_stays_so(handlers):
    handlers[signal.SIGHUP] = signal.SIG_IGN
    Signals()
    assert handlers[signal.SIGHUP] is signal.SIG_IGN


def test_each_signal_wakes_and_is_taken_once_whatever_came_before_there_was_anything_to_wake(handlers):
    made, woken = Signals(), []
    made._note(signal.SIGTERM, None)
    made.wake = lambda: woken.append(1)
    for _ in range(3):
        made._note(signal.SIGHUP, None)
    assert len(woken) == 3
    assert made.take() == {signal.SIGTERM, signal.SIGHUP}
    assert made.take() == set()
