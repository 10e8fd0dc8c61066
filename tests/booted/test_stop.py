"""Stop, reload, kill, restart, boot: what is left of a run, and when the next one is."""

import json

import pytest
from machine import Machine
from service import GATED, Service, install

MINUTE, HOUR = 60, 3600

# Ends two seconds after TERM, and says so.
ENDS_IN_ORDER = """
import os, signal, sys, time
def end(*_):
    time.sleep(2)
    open("ended", "w").close()
    sys.exit()
signal.signal(signal.SIGTERM, end)
os.chdir(os.environ["STATE_DIRECTORY"])
open("ready", "w").close()
signal.pause()
"""

# Ignores TERM, as does its child, a daemon in a session of its own.
IGNORES_TERM = """
import os, signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork():
    os.wait()
else:
    os.setsid()
    if os.fork():
        os._exit(0)
    open(os.environ["STATE_DIRECTORY"] + "/ready", "w").close()
while True:
    signal.pause()
"""

KEEPS_ITS_ENVIRONMENT = """
import json, os
environment = {name: value for name, value in os.environ.items() if name not in ("SCHED_RUN", "INVOCATION_ID")}
json.dump(environment, open(os.environ["STATE_DIRECTORY"] + "/environment-" + os.environ["SCHED_RUN"], "w"))
"""


def wait_for_ready(machine, service):
    machine.wait_until(lambda: machine.exists(f"{service.state}/ready"), 20, "main.py is ready")


def is_stopped_well(service):
    """Nothing is left of the service, and systemd is content."""
    assert service.property("ActiveState") == "inactive"
    assert service.property("Result") == "success"
    assert service.property("ExecMainStatus") == "0"
    assert service.control_group() == []
    assert service.processes() == []
    assert [run["outcome"] for run in service.runs()] == ["interrupted"]
    return True


def state(machine, service):
    return json.loads(machine.read(f"{service.state}/state.json"))


def test_stop_gives_the_run_its_grace(machine, service):
    service.script(ENDS_IN_ORDER)
    service.start()
    wait_for_ready(machine, service)
    service.stop()
    assert machine.exists(f"{service.state}/ended")
    assert is_stopped_well(service)


def test_stop_kills_what_ignores_term_and_its_daemons(machine, service):
    service.settings(SCHED_STOP_GRACE="1s")
    service.script(IGNORES_TERM)
    service.start()
    wait_for_ready(machine, service)
    assert len(service.processes()) == 3  # the scheduler, main.py, the daemon
    service.stop()
    assert is_stopped_well(service)


def test_stop_grace_may_be_longer_than_timeout_stop(machine, service):
    service.drop_in("[Service]\nTimeoutStopSec=2\n")
    service.settings(SCHED_STOP_GRACE="6s")
    service.script(ENDS_IN_ORDER.replace("time.sleep(2)", "time.sleep(4)"))
    service.start()
    wait_for_ready(machine, service)
    service.stop()
    assert machine.exists(f"{service.state}/ended")
    assert is_stopped_well(service)


def test_reload_leaves_a_run_alone(machine, service):
    service.script(GATED)
    service.start()
    run = service.wait_for_run()
    before = service.processes()
    service.settings(SCHED_ENV="prod", SCHED_MAIN="other.py", SCHED_TIMEOUT="1s")
    service.systemctl("reload")
    assert service.is_running() == run
    assert service.processes() == before
    service.end_run()
    assert service.wait_for_runs(1) == ["succeeded"]


BY_SYSTEMD = {"HOME": "/var/tmp", "LANG": "C.utf8", "PATH": "/usr/bin:/bin"}


@pytest.mark.parametrize(
    ("before", "after"),
    [(BY_SYSTEMD | {"HOME": "/tmp"}, BY_SYSTEMD), ({}, BY_SYSTEMD), (BY_SYSTEMD, {})],
    ids=["changed", "added", "removed"],
)
def test_reload_gives_main_the_environment_that_a_restart_gives(machine, service, before, after):
    service.settings(KEPT="1", CHANGED="1", REMOVED="1", **before)
    service.script(KEEPS_ITS_ENVIRONMENT)
    service.start()
    service.wait_for_runs(1)
    service.settings(SCHED_ENV="prod", KEPT="1", CHANGED="2", ADDED="1", **after)
    service.systemctl("reload")
    service.trigger()
    service.wait_for_runs(2)
    service.systemctl("restart")
    assert service.wait_for_runs(3) == ["succeeded"] * 3
    old, reloaded, restarted = (json.loads(machine.read(f"{service.state}/environment-{run}")) for run in (1, 2, 3))
    # systemd's own PATH is not known to us: /sbin and /bin are links there.
    for environment in (old, reloaded, restarted):
        environment["PATH"] = environment["PATH"].removesuffix(":/sbin:/bin")
    # What the environment had of its own at the start stays until a restart: a drop-in may have put it there.
    own = {name: old[name] for name in after.keys() - before.keys()}
    assert reloaded == restarted | own
    assert old.items() >= before.items()
    assert restarted.items() >= after.items()
    assert old["REMOVED"] == "1"
    assert reloaded.keys() & {"KEPT", "CHANGED", "ADDED", "REMOVED"} == {"KEPT", "CHANGED", "ADDED"}
    assert reloaded["CHANGED"] == "2"


def test_reload_of_a_faulty_file_keeps_the_old_settings_and_says_why(machine, service):
    service.script("print('done')\n")
    service.settings(SCHED_INTERVAL="1h")
    service.start()
    service.wait_for_runs(1)
    pid, next_due = service.property("MainPID"), service.status()["next_due"]
    service.settings(SCHED_INTERVAL="2 fortnights", SCHED_STRAT="now")
    assert service.systemctl("reload", check=False).returncode != 0
    said = machine.wait_until(lambda: machine.journal("--unit=main-scheduler", "--priority=err"), 10, "it says why")
    assert "fortnights" in said
    assert "did you mean SCHED_START?" in said
    assert service.property("ActiveState") == "active"
    assert service.property("MainPID") == pid
    assert service.status()["next_due"] == next_due
    service.systemctl("kill", "--signal=USR1", "--kill-whom=main")
    assert service.wait_for_runs(2) == ["succeeded"] * 2


def test_reload_with_another_interval_counts_from_the_last_due_time(machine, service):
    service.script("print('done')\n")
    service.settings(SCHED_INTERVAL="1h")
    service.start()
    service.wait_for_runs(1)
    due = state(machine, service)["due"]
    service.settings(SCHED_INTERVAL="2h")
    service.systemctl("reload")
    machine.wait_until(lambda: abs(service.status()["next_due"] - (due + 2 * HOUR)) < 0.5, 10, "due in two hours")
    assert len(service.runs()) == 1
    service.settings(SCHED_INTERVAL="0.1s")  # overdue by now
    service.systemctl("reload")
    assert service.wait_for_runs(2)


def test_usr1_runs_now_and_moves_no_due_time(machine, service):
    service.script("print('done')\n")
    service.settings(SCHED_INTERVAL="1h")
    service.start()
    service.wait_for_runs(1)
    next_due = service.status()["next_due"]
    machine.run("systemctl kill -s USR1 --kill-whom=main main-scheduler")
    assert service.wait_for_runs(2) == ["succeeded"] * 2
    machine.wait_until(lambda: not service.is_running(), 10, "the run is over")
    assert abs(service.status()["next_due"] - next_due) < 0.5


def test_killed_scheduler_comes_back_without_orphans_and_without_another_run(machine, service):
    service.drop_in("[Service]\nRestartSec=100ms\n")
    service.settings(SCHED_INTERVAL="1h")
    service.script(IGNORES_TERM)
    service.start()
    wait_for_ready(machine, service)
    pid, due = service.property("MainPID"), state(machine, service)["due"]
    service.systemctl("kill", "--signal=KILL", "--kill-whom=main")
    machine.wait_until(
        lambda: service.property("SubState") == "running" and service.property("MainPID") != pid, 20, "it is back"
    )
    new = service.property("MainPID")
    assert service.processes() == service.control_group() == [new]
    assert [run["outcome"] for run in service.runs()] == ["interrupted"]
    assert not service.is_running()
    assert abs(service.status()["next_due"] - (due + HOUR)) < 0.5
    assert service.processes() == [new]
    assert state(machine, service)["number"] == 1


def test_killed_scheduler_resumes_the_cadence(machine, service):
    """Due times before and after the crash lie on one grid."""
    service.drop_in("[Service]\nRestartSec=100ms\n")
    service.settings(SCHED_INTERVAL="2s")
    service.script("print('done')\n")
    service.start()
    service.wait_for_runs(2)
    first = state(machine, service)["due"]
    service.systemctl("kill", "--signal=KILL", "--kill-whom=main")
    service.wait_for_runs(4)
    elapsed = state(machine, service)["due"] - first
    assert elapsed > 1
    assert abs(elapsed - 2 * round(elapsed / 2)) < 0.1


def test_faulty_settings_end_with_78_and_no_restart(machine, service):
    service.drop_in("[Service]\nRestartSec=100ms\n")
    service.settings(SCHED_ENV="prd", SCHED_TIMEOUT="soon")
    assert service.systemctl("start", check=False).returncode != 0
    assert service.property("ExecMainStatus") == "78"
    assert service.property("SubState") == "failed"  # and not auto-restart
    assert service.property("NRestarts") == "0"
    told = machine.journal("--unit=main-scheduler")
    assert "2 faults" in told
    assert "did you mean prod?" in told
    assert "SCHED_TIMEOUT=soon" in told


def test_missing_settings_fail_the_start_until_they_are_back(machine, service):
    service.drop_in("[Service]\nRestartSec=100ms\n")
    machine.run(["mv", service.settings_file, "/etc/default/away"])
    assert service.systemctl("start", check=False).returncode != 0
    assert service.property("MainPID") == "0"
    assert not machine.exists(f"{service.state}/state.json")
    machine.run(["mv", "/etc/default/away", service.settings_file])
    service.start()
    assert service.wait_for_runs(1) == ["succeeded"]


def test_script_that_comes_late_succeeds_then(machine, service):
    machine.run(["rm", service.script_file])
    service.settings(SCHED_INTERVAL="1s")
    service.start()
    assert set(service.wait_for_runs(1)) == {"not started"}
    assert service.property("ActiveState") == "active"
    pid = service.property("MainPID")
    service.script("print('done')\n")
    machine.wait_until(lambda: service.runs()[-1]["outcome"] == "succeeded", 10, "a run succeeds")
    assert service.property("MainPID") == pid
    assert service.property("NRestarts") == "0"


@pytest.fixture
def own_machine(release):
    """A machine that can be rebooted."""
    with Machine(release, keep=True) as machine:
        install(machine)
        yield machine


def test_enabled_service_starts_at_boot(own_machine):
    """And a run is ended in order before the machine goes down."""
    service = Service(own_machine)
    service.settings(SCHED_INTERVAL="1h", SCHED_STOP_GRACE="6s")
    service.script(ENDS_IN_ORDER)
    own_machine.run("systemctl enable --now main-scheduler")
    wait_for_ready(own_machine, service)
    service.script("print('done')\n")
    own_machine.reboot()
    assert service.wait_for_runs(2) == ["interrupted", "succeeded"]
    assert own_machine.exists(f"{service.state}/ended")
    assert service.property("ActiveState") == "active"
