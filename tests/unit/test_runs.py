import fcntl
import json
import os
import struct
from dataclasses import replace

import pytest

from sched_runner import clock
from sched_runner.output.capture import Piece, Tail
from sched_runner.record import columns, store
from sched_runner.record.lock import LockFile
from sched_runner.record.outcome import FAILURES, Outcome
from sched_runner.record.run_record import Run
from sched_runner.record.store import Store
from sched_runner.run import runs as runs_module
from sched_runner.run.execution import Leftovers, NotStartedError
from sched_runner.run.runs import Runs
from sched_runner.settings import places, table
from sched_runner.tell import alerts

ENDED = 1_700_000_000.25


@pytest.fixture
def runs(tmp_path):
    """Those of a state directory in which run 7 is going; nothing is started, and nobody is told."""
    kept = Store(tmp_path, LockFile(tmp_path))
    made = Runs(kept, outputs=None, monitoring=None, stop=-1)
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


@pytest.mark.parametrize(
    ("outcomes", "is_worth_an_alert"),
    [
        ([Outcome.SUCCEEDED], False),
        ([Outcome.INTERRUPTED], False),
        *(([outcome], True) for outcome in FAILURES),
        ([Outcome.FAILED, Outcome.INTERRUPTED, Outcome.SUCCEEDED], True),
        ([Outcome.SUCCEEDED, Outcome.SUCCEEDED], False),
    ],
)
def test_after_a_failure_and_the_first_success_the_alert_is_reminded_once(
    runs, tmp_path, monkeypatch, outcomes, is_worth_an_alert
):
    now = [1000.0]
    monkeypatch.setattr(clock, "boottime", lambda: now[0])
    for number, outcome in enumerate(outcomes, 7):
        record(runs, replace(ended(outcome), number=number))
        now[0] += 60
    now[0] -= 60
    file = tmp_path / "last_failure.json"
    reminded = []
    for seconds in (0, 4.9, 0.2, 60):
        if file.exists():
            os.utime(file, (0, 0))
        now[0] += seconds
        runs.remind()
        reminded.append(file.exists() and file.stat().st_mtime > 0)
    assert reminded == [False, False, is_worth_an_alert, False]


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
    read_back = columns.read(alerts.Failure, found)
    assert (read_back.number, read_back.tail) == (7, ["one", "two"])


def test_the_first_success_after_a_failure_says_that_all_is_well_again(runs, tmp_path, monkeypatch):
    monkeypatch.setattr("sched_runner.words.timestamp", lambda when: f"@{when}")
    record(runs, ended(Outcome.FAILED, exit_status=3))
    record(runs, replace(ended(Outcome.SUCCEEDED), number=8))
    found = json.loads((tmp_path / "last_failure.json").read_text())
    assert (found["number"], found["recovered"]) == (7, f"@{ENDED}")


class Told:
    """Outputs, monitoring, schedule and execution in one: notes in which order each is used."""

    deadline, pid, leftovers = 60.0, 4711, Leftovers()

    def __init__(self, **faults):
        self.calls = []
        self.faults = faults

    def __getattr__(self, name):
        def note(*arguments):
            self.calls.append(name)
            if name in self.faults:
                raise self.faults[name]
            return arguments[0].end(Outcome.SUCCEEDED, exit_status=0) if name == "wait" else None

        return note


SETTINGS, _ = table.load({}, places.installed())


def execute(directory, told):
    class Watched(Store):
        def sync(self):
            told.calls.append("sync")
            super().sync()

    kept = Watched(directory, LockFile(directory))
    runs = Runs(kept, told, told, -1, told)
    return runs._execute(told, SETTINGS, {}, kept.update(lambda state: state.begin_run(None)))


def test_a_run_is_told_and_made_durable_when_main_py_has_begun(tmp_path):
    told = Told()
    assert execute(tmp_path, told).outcome is Outcome.SUCCEEDED
    assert told.calls == ["start", "wait_until", "begun", "sync", "wakeup", "wait"]


def test_a_run_that_could_not_start_is_not_waited_for(tmp_path):
    told = Told(start=NotStartedError("no such file"))
    run = execute(tmp_path, told)
    assert (run.outcome, run.reason, told.calls) == (Outcome.NOT_STARTED, "no such file", ["start"])


@pytest.mark.parametrize("name", ["wait_until", "begun", "wakeup", "wait"])
def test_whatever_fails_in_the_scheduler_while_a_run_goes_on_it_is_ended_and_told(tmp_path, name, caplog):
    told = Told(**{name: ZeroDivisionError("a fault")})
    run = execute(tmp_path, told)
    assert told.calls[-1] == "abort"
    assert (run.outcome, run.reason) == (Outcome.KILLED, "the scheduler had a fault of its own: a fault")
    assert caplog.records[-1].getMessage() == "the scheduler has ended run 1, because it had a fault of its own"


def lock_of_another(directory):
    """The lock of a run, held as another process would: its locks are the descriptor's own (F_OFD_SETLK)."""
    other = os.open(directory / "lock", os.O_RDWR)
    fcntl.fcntl(other, fcntl.F_OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, LockFile.RUN, 1, 0))
    return other


def test_who_gives_the_lock_back_a_little_late_costs_no_run(tmp_path, monkeypatch):
    runs = Runs(Store(tmp_path, LockFile(tmp_path)), None, None, -1)
    other = lock_of_another(tmp_path)
    monkeypatch.setattr(runs_module.time, "sleep", lambda seconds: os.close(other))
    monkeypatch.setattr(runs_module.time, "monotonic", lambda: 0.0)
    assert runs._acquire()


def test_a_fault_in_a_run_leaves_none_going_gives_its_lock_back_and_has_readers_waited_for_again(tmp_path, monkeypatch):
    kept, told = Store(tmp_path, LockFile(tmp_path)), Told()
    runs = Runs(kept, told, told, -1, told)

    def fail(*_):
        kept.update(lambda state: state.begin_run(None))
        raise ZeroDivisionError

    monkeypatch.setattr(runs, "_make_run", fail)
    with pytest.raises(ZeroDivisionError):
        runs.make_run(SETTINGS, {})
    found = store.load(tmp_path)
    assert (found.running, found.outcomes) == (None, {"interrupted": 1})
    os.close(lock_of_another(tmp_path))
    assert told.calls == ["wait_until"]


def test_where_another_process_has_a_run_going_none_is_made_and_that_is_counted_and_told(tmp_path, caplog):
    kept = Store(tmp_path, LockFile(tmp_path))
    lock_of_another(tmp_path)
    told = Told()
    assert Runs(kept, told, told, -1, told).make_run(SETTINGS, {}) is None
    assert (store.load(tmp_path).skipped, store.load(tmp_path).number, told.calls) == (1, 0, [])
    assert caplog.records[-1].getMessage() == (
        "skipped a run: another process is making a run, or is about to restart the scheduler"
    )
