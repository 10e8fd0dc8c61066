import itertools

import pytest

from sched_runner.run import sweeper
from sched_runner.run.sweeper import Process, Sweeper

NOBODY = 2**22 + 1  # above the largest pid that Linux gives


class Stubborn(Sweeper):
    """Sweeps a process that no KILL ends, by a clock that runs."""

    def __init__(self, process):
        super().__init__(clock=itertools.count(0.0, 2.0).__next__)
        self.there = [process]

    def _descendants(self, sessions):
        return iter(self.there)


@pytest.fixture
def process():
    return Process(NOBODY, 5, 7)


@pytest.fixture
def swept(process, monkeypatch):
    made = Stubborn(process)
    monkeypatch.setattr(sweeper, "_look_up", lambda pid: next((p for p in made.there if p.pid == pid), None))
    return made


def test_what_cannot_be_killed_is_given_up_and_named_once(swept, process):
    assert swept.sweep() == ({}, {process: f"{NOBODY}"})
    assert swept.left() == []
    assert swept.sweep() == ({}, {})


def test_what_was_given_up_is_forgotten_when_it_has_ended(swept, process):
    swept.sweep()
    swept.there = []
    swept.sweep()
    assert swept._given_up == set()


def test_a_later_process_with_the_same_pid_is_another(swept, process):
    swept.sweep()
    swept.there = [process._replace(start=6)]
    assert swept.left() == swept.there
