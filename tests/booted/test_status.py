"""What systemd is told: READY, STATUS= in words, and the watchdog's pings."""

import re

import pytest
from service import GATED

TIME = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"
GOING = rf"has been going since {TIME}"
NEXT = rf"next run {TIME}"
SUCCESS = rf"last success {TIME}"

IGNORES_TERM = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + GATED

SHORT_WATCHDOG = "[Service]\nWatchdogSec=1\nRestartSec=2\n"
FAULT = "/etc/main-scheduler/fault"  # while it is there the patches below do harm

WAITS_BEFORE_READY = f"""
import pathlib, time
from sched_runner.schedule.service import Service
plan = Service._plan
def wait(*arguments):
    while pathlib.Path("{FAULT}").exists():
        time.sleep(0.05)
    plan(*arguments)
Service._plan = wait
"""

STUCK_LOOP = f"""
import pathlib, time
from sched_runner.schedule.scheduler import Scheduler
sleep = Scheduler._sleep
def stuck(self, wait):
    while pathlib.Path("{FAULT}").exists():
        time.sleep(0.05)
    sleep(self, wait)
Scheduler._sleep = stuck
"""

DEAD_EXECUTOR = f"""
import pathlib
from apscheduler.executors.pool import BasePoolExecutor
from sched_runner.schedule import scheduler
scheduler._OVERDUE_AFTER = 2.0
submit = BasePoolExecutor.submit_job
def dead(self, job, times):
    if not pathlib.Path("{FAULT}").exists():
        submit(self, job, times)
BasePoolExecutor.submit_job = dead
"""


def says(machine, service, pattern):
    """Waits until STATUS= is the pattern, all of it."""
    machine.wait_until(lambda: re.fullmatch(pattern, service.property("StatusText")), 10, f"STATUS={pattern}")
    return True


def test_ready_comes_before_the_first_run_ends(service):
    service.script(GATED)
    service.start()
    assert service.property("ActiveState") == "active"
    service.wait_for_run()
    assert service.runs() == []


def test_ready_does_not_come_before_the_schedule_stands(machine, service):
    service.patch(WAITS_BEFORE_READY)
    machine.write(FAULT, "")
    service.systemctl("start", "--no-block")
    assert says(machine, service, "starting")
    assert service.property("ActiveState") == "activating"
    assert not machine.exists(f"{service.state}/state.json")
    machine.run(["rm", FAULT])
    machine.wait_until(lambda: service.property("ActiveState") == "active", 10, "the service is ready")


def test_status_tells_the_truth_in_every_state(machine, service):
    service.script(GATED)
    service.start()
    assert says(machine, service, f"run 1 {GOING}; {NEXT}")
    service.systemctl("reload")
    assert says(machine, service, f"run 1 {GOING}; {NEXT}")
    service.end_run()
    assert says(machine, service, f"last run 1 succeeded; {SUCCESS}; {NEXT}")
    service.trigger()
    assert says(machine, service, f"run 2 {GOING}; last run 1 succeeded; {SUCCESS}; {NEXT}")
    service.end_run(3)
    assert says(machine, service, f"last run 2 failed; {SUCCESS}; {NEXT}; 1 failure in a row")
    service.systemctl("reload")
    assert says(machine, service, f"last run 2 failed; {SUCCESS}; {NEXT}; 1 failure in a row")

    service.script(IGNORES_TERM)
    service.trigger()
    assert says(machine, service, f"run 3 {GOING}; last run 2 failed; {SUCCESS}; {NEXT}; 1 failure in a row")
    machine.wait_until(lambda: machine.exists(f"{service.state}/gate"), 10, "the run ignores TERM")
    service.systemctl("stop", "--no-block")
    assert says(machine, service, "stopping")
    assert service.property("ActiveState") == "deactivating"
    service.end_run()
    machine.wait_until(lambda: service.property("ActiveState") == "inactive", 10, "the service is down")
    assert service.property("StatusText") in ("stopped", "")


def is_restarted_by_watchdog(machine, service, break_it):
    """Breaks a scheduler that is up, and mends it after the watchdog has come."""
    service.start()
    before = service.property("MainPID")
    break_it()
    machine.wait_until(lambda: service.property("Result") == "watchdog", 30, "the watchdog comes")
    machine.run(["rm", "-f", FAULT])
    machine.wait_until(lambda: service.property("SubState") == "running", 15, "the scheduler is back")
    assert service.property("MainPID") not in (before, "0")
    assert service.property("NRestarts") == "1"
    assert service.control_group()[0] == service.property("MainPID")


@pytest.fixture
def watched(service):
    service.drop_in(SHORT_WATCHDOG)
    service.settings(SCHED_INTERVAL="1h")
    service.script("print('done')\n")
    return service


def test_stopped_scheduler_is_restarted_by_the_watchdog(machine, watched):
    def stop():
        watched.wait_for_runs(1)
        watched.systemctl("kill", "--signal=STOP", "--kill-whom=main")

    is_restarted_by_watchdog(machine, watched, stop)


def test_stuck_loop_is_restarted_by_the_watchdog(machine, watched):
    watched.patch(STUCK_LOOP)
    is_restarted_by_watchdog(machine, watched, lambda: machine.write(FAULT, ""))


def test_dead_executor_is_restarted_by_the_watchdog(machine, watched):
    watched.patch(DEAD_EXECUTOR)

    def die():
        watched.wait_for_runs(1)
        machine.write(FAULT, "")
        watched.trigger()

    is_restarted_by_watchdog(machine, watched, die)


def test_watchdog_leaves_alone_a_long_run_and_an_idle_scheduler(machine, watched):
    """Five times the watchdog's time each."""
    watched.script("import time; time.sleep(5)\n")
    watched.start()
    pid = watched.property("MainPID")
    assert watched.wait_for_runs(1) == ["succeeded"]

    def last_ping():
        return int(watched.property("WatchdogTimestampMonotonic"))

    idle_since = last_ping()
    machine.wait_until(lambda: last_ping() > idle_since + 5_000_000, 10, "an idle scheduler goes on pinging")
    assert watched.property("MainPID") == pid
    assert watched.property("NRestarts") == "0"
