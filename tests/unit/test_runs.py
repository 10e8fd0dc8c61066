import json
from dataclasses import replace

import pytest

from sched_runner import clock
from sched_runner.output.capture import Piece, Tail
from sched_runner.record import store
from sched_runner.record.lock import LockFile
from sched_runner.record.outcome import FAILURES, Outcome
from sched_runner.record.run_record import Run
from sched_runner.record.store import Store
from sched_runner.run.runs import Runs
from sched_runner.tell import alerts

ENDED = 1_700_000_000.25


@pytest.fixture
def runs(tmp_path):
    """Those of a state directory in which run 7 is going; nothing is started, and nobody is told."""
    lock = LockFile(tmp_path)
    kept = Store(tmp_path, lock)
    made = Runs(kept, lock, outputs=None, monitoring=None, stop=-1)
    kept.update(lambda state: vars(state).update(number=6))
    kept.update(lambda state: state.begin_run(None))
    return made


def ended(outcome, **details):
    return Run(7, outcome, ENDED - 2, clock.boottime() - 2, ENDED, 2.0, **details)


def record(runs, run, *lines):
    output = Tail("stdout", "stderr")
    for line in lines:
        output.take(run.number, "stderr", [Piece(continued=False, text=line)])
    runs._record(run, output)


def test_the_marker_is_one_line_with_the_time(runs, tmp_path, monkeypatch):
    monkeypatch.setattr("sched_runner.words.timestamp", lambda when: f"@{when}")
    record(runs, ended(Outcome.SUCCEEDED))
    assert (tmp_path / "last_success.txt").read_text() == f"@{ENDED}\n"


@pytest.mark.parametrize("outcome", Outcome)
def test_only_a_success_writes_the_marker_and_only_a_failure_what_alerts_go_by(runs, tmp_path, outcome):
    record(runs, ended(outcome))
    assert (tmp_path / "last_success.txt").exists() is (outcome is Outcome.SUCCEEDED)
    assert (tmp_path / "last_failure.json").exists() is (outcome in FAILURES)
    assert [run.outcome for run in store.load(tmp_path).runs] == [outcome]


def test_a_failure_is_kept_with_its_words_its_figures_and_the_end_of_its_output(runs, tmp_path):
    run = ended(Outcome.FAILED, exit_status=3, reason="ValueError: no")
    record(runs, run, b"one", b"two")
    found = json.loads((tmp_path / "last_failure.json").read_text())
    assert (found["number"], found["outcome"], found["exit_status"]) == (7, "failed", 3)
    assert found["summary"].startswith("run 7 failed with exit status 3 after 2 s")
    assert found["headline"] == "run 7 failed: ValueError: no"
    assert (found["failures_in_a_row"], found["tail"], found["recovered"]) == (1, ["one", "two"], None)
    read_back = alerts.failure(found)
    assert (read_back.number, read_back.tail) == (7, ["one", "two"])


def test_the_first_success_after_a_failure_says_that_all_is_well_again(runs, tmp_path, monkeypatch):
    monkeypatch.setattr("sched_runner.words.timestamp", lambda when: f"@{when}")
    record(runs, ended(Outcome.FAILED, exit_status=3))
    record(runs, replace(ended(Outcome.SUCCEEDED), number=8))
    found = json.loads((tmp_path / "last_failure.json").read_text())
    assert (found["number"], found["recovered"]) == (7, f"@{ENDED}")
