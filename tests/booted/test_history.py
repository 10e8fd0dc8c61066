"""The runs that have ended, from the journal, and from state.json where that is all there is."""

import json

import pytest

ENDS_IN_MANY_WAYS = """
import os, signal, sys
run = int(os.environ["SCHED_RUN"])
if run == 2:
    raise ValueError("no such customer")
if run == 3:
    os.kill(os.getpid(), signal.SIGKILL)
"""


def history(machine, *arguments, user=None):
    return json.loads(machine.run(["main-scheduler", "history", "--json", *arguments], user=user).stdout)


@pytest.fixture
def lived(machine, service):
    """A service that has made three runs."""
    service.settings(SCHED_ENV="prod")
    service.script(ENDS_IN_MANY_WAYS)
    service.start()
    for number in (1, 2, 3):
        service.wait_for_runs(number)
        if number < 3:
            service.trigger()
    service.stop()
    machine.run("journalctl --sync")
    return service


def test_history_comes_from_the_journal_and_says_what_state_json_says(machine, lived):
    runs = lived.runs()
    # The journal has less, and rounds.
    lacks = {"cpu": 0, "started_boottime": None, "ended": None}
    rounded = [run | {"duration": round(run["duration"], 3), "started": round(run["started"], 3)} for run in runs]
    machine.run(["rm", f"{lived.state}/state.json"])
    found = history(machine)
    assert [run | lacks for run in found] == [run | lacks for run in rounded]
    assert [run["outcome"] for run in found] == ["succeeded", "failed", "killed"]
    assert found[1]["reason"] == "ValueError: no such customer"
    assert all(abs(run["cpu"] - before["cpu"]) < 0.001 for run, before in zip(found, runs, strict=True))


def test_history_without_a_journal_comes_from_state_json(machine, lived):
    machine.forget_journal()
    assert history(machine) == lived.runs()


def test_history_of_a_user_who_may_not_read_the_journal_comes_from_state_json(machine, lived):
    machine.run("id ann >/dev/null 2>&1 || useradd ann; usermod -a -G main-scheduler ann")
    assert [run["number"] for run in history(machine, user="ann")] == [1, 2, 3]


def test_history_can_be_of_the_failed_and_of_the_recent_alone(machine, lived):
    assert [run["number"] for run in history(machine, "--failed")] == [2, 3]
    assert [run["number"] for run in history(machine, "--since", "1h")] == [1, 2, 3]
    assert history(machine, "--since", "2999-01-01") == []


def test_history_of_an_instance_is_its_own(machine, lived, reports):
    reports.settings(SCHED_ENV="prod")
    reports.script("print('report')\n")
    reports.start()
    reports.wait_for_runs(1)
    machine.run("journalctl --sync")
    assert [run["outcome"] for run in history(machine, "reports")] == ["succeeded"]
    assert len(history(machine)) == 3
