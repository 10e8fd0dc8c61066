"""Small things that no other test would miss if they went."""

import fcntl
import math
import os

import pytest

from sched_runner.output.patient_stream import Patience
from sched_runner.output.rotating_file import MAX_BYTES, RotatingFile
from sched_runner.run import sweeper
from sched_runner.run.sweeper import Process, Sweeper

LINE = b"x" * 999 + b"\n"


class Listed(Sweeper):
    """Finds what a test says is there."""

    def __init__(self, *there):
        super().__init__()
        self.there = list(there)

    def _descendants(self, sessions):
        return iter([process for process in self.there if process.session not in sessions])


FIRST, SECOND = Process(2**22 + 1, 5, 7), Process(2**22 + 2, 6, 8)  # pids above the largest that Linux gives


def test_a_sweep_looks_again_when_somebody_has_died_meanwhile(monkeypatch):
    swept = Listed()
    monkeypatch.setattr(sweeper, "_send", lambda number, processes: swept.there.clear() if processes else None)

    def reap():
        monkeypatch.setattr(sweeper, "reap", lambda: False)
        swept.there.append(FIRST)
        return True

    monkeypatch.setattr(sweeper, "reap", reap)
    assert swept.sweep()[0] == {FIRST: f"{FIRST.pid}"}, "a child was missed"


def test_what_is_there_before_a_run_is_not_the_run_s():
    swept = Listed(FIRST)
    swept.begin()
    swept.there.append(SECOND)
    assert swept.left() == [SECOND]


def test_what_came_while_something_was_given_up_may_be_the_run_s(monkeypatch):
    monkeypatch.setattr(sweeper, "_look_up", lambda pid: FIRST if pid == FIRST.pid else None)
    swept = Listed(FIRST, SECOND)
    swept._given_up = {FIRST}
    swept.begin()
    assert swept.left() == [SECOND]


def test_once_what_was_given_up_has_ended_what_is_there_is_no_longer_taken_for_the_run_s(monkeypatch):
    monkeypatch.setattr(sweeper, "_look_up", lambda pid: None)
    swept = Listed(SECOND)
    swept._given_up = {FIRST}
    swept.begin()
    assert swept.left() == []


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.mark.parametrize("how", ["the lock", "the hold file"])
def test_who_holds_a_rotation_off_for_longer_than_logrotate_would_is_not_waited_for(tmp_path, how):
    lock, hold, clock = tmp_path / "rotate.lock", tmp_path / "rotate.hold", Clock()
    lock.touch()
    log = RotatingFile(tmp_path / "scheduler.log", lock=lock, hold=hold, clock=clock)
    holder = os.open(lock, os.O_RDONLY)
    if how == "the lock":
        fcntl.flock(holder, fcntl.LOCK_EX)
    for second in range(0, 80, 5):
        clock.now = float(second)
        if how == "the hold file":
            hold.touch()
        log.append(LINE * (MAX_BYTES // len(LINE)))
        assert (tmp_path / "scheduler.log.1").exists() == (second >= 65)
    os.close(holder)
    log.close()


def test_a_stop_outlasts_what_a_run_says_of_patience():
    patience = Patience()
    assert patience.until == math.inf
    patience.end_now()
    until = patience.until
    patience.end_at(math.inf)
    assert patience.until == until < math.inf
