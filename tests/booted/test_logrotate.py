"""The host's logrotate beside the scheduler's own rotation, on the installed service with its real user and paths."""

import re
import time

import pytest

LOCK = "/run/main-scheduler/rotate.lock"
HOLD = "/run/main-scheduler/rotate.hold"
SNIPPET = "/etc/logrotate.d/main-scheduler"
LINES = 400_000

HEAVY_WRITER = f"""
import sys
for number in range({LINES}):
    print(f"line {{number}} of a writer that is in a hurry")
"""

WHOLE_LINE = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00 "
    r"(stdout run 1 \| line (?P<number>\d+) of a writer that is in a hurry|(INFO|WARNING) \S.*)"
)

# Backups age out while the test goes on, so each file gets a second name as soon as it is there.
KEEPER = """
import os, time
while not os.path.exists("/tmp/keeper-may-end"):
    for entry in os.scandir("/var/log/main-scheduler"):
        try:
            os.link(entry.path, f"/var/log/kept/{entry.inode()}")
        except (FileExistsError, FileNotFoundError):
            pass
    time.sleep(0.002)
"""


@pytest.fixture
def keeper(machine, service):
    """Keeps every file that was ever in the log directory; gives a function that ends it and gives their lines."""
    machine.run("rm -rf /var/log/kept /tmp/keeper-may-end; mkdir /var/log/kept")
    machine.run(f"install -d -m 750 -o main-scheduler -g main-scheduler {service.logs}")
    machine.run(["systemd-run", "--quiet", "--unit=keeper", "/usr/bin/python3", "-c", KEEPER])

    def lines():
        machine.run("touch /tmp/keeper-may-end")
        machine.wait_until(lambda: machine.property("keeper", "ActiveState") != "active", 10, "the keeper ends")
        return machine.run("cat /var/log/kept/*").stdout.splitlines()

    yield lines
    machine.run("touch /tmp/keeper-may-end; rm -rf /var/log/kept")


def test_forced_logrotates_under_a_heavy_writer_lose_no_line(machine, service, keeper):
    service.script(HEAVY_WRITER)
    service.start()
    rotations = []

    def rotated_until_the_run_is_over():
        rotations.append(machine.run(["logrotate", "--force", SNIPPET]))
        return service.status()["runs"]

    machine.wait_until(rotated_until_the_run_is_over, 120, "the run is over")
    assert len(rotations) > 3
    service.stop()
    lines = keeper()
    assert [line for line in lines if not WHOLE_LINE.fullmatch(line)] == []
    numbers = [int(number) for line in lines if (number := WHOLE_LINE.fullmatch(line)["number"])]
    assert sorted(numbers) == list(range(LINES))


def test_daily_timers_logrotate_rotates(machine, service):
    """In the sandbox of logrotate.service, while the scheduler is down."""
    service.start()
    service.stop()
    machine.run(f"head -c 1048576 /dev/zero | tr '\\0' x >> {service.logs}/scheduler.log")
    machine.run("systemctl start logrotate.service")
    assert machine.property("logrotate.service", "Result") == "success"
    assert machine.exists(f"{service.logs}/scheduler.log.1")
    assert not machine.exists(f"{service.logs}/scheduler.log")
    assert not machine.exists(HOLD)


def test_instances_are_rotated_too(machine, reports):
    reports.settings(SCHED_ENV="prod")
    reports.script("print('report')\n")
    reports.start()
    machine.wait_until(reports.runs, 20, "a run is over")
    machine.run(["logrotate", "--force", SNIPPET])
    assert machine.exists(f"{reports.logs}/scheduler.log.1")


def test_rotation_is_given_up_where_the_lock_is_held(machine, service):
    service.start()
    service.stop()
    holder = f"flock {LOCK} sh -c 'touch /tmp/held; while [ -e /tmp/held ]; do sleep 0.1; done'"
    machine.run(["systemd-run", "--quiet", "--unit=holder", "sh", "-c", holder])
    machine.wait_until(lambda: machine.exists("/tmp/held"), 10, "the lock is held")
    refused = machine.run(["logrotate", "--force", SNIPPET], check=False, timeout=20)
    machine.run("rm /tmp/held")
    assert refused.returncode != 0
    assert not machine.exists(f"{service.logs}/scheduler.log.1")
    assert not machine.exists(HOLD)


def test_readers_of_the_logs_cannot_take_the_lock(machine, service):
    machine.run("useradd --groups main-scheduler reader")
    service.start()
    assert machine.run(["head", "-1", f"{service.logs}/scheduler.log"], user="reader").stdout != ""
    taken = machine.run(["flock", "--nonblock", LOCK, "true"], user="reader", check=False)
    replaced = machine.run(["mv", LOCK, "/run/main-scheduler/mine"], user="reader", check=False)
    machine.run("userdel --remove reader 2>/dev/null || userdel reader")
    assert taken.returncode == 66  # EX_NOINPUT: can't be opened
    assert replaced.returncode != 0


LEASES = f"""
import fcntl, os, signal
signal.signal(signal.SIGIO, signal.SIG_IGN)  # somebody wants it
fcntl.fcntl(os.open("{LOCK}", os.O_RDONLY), fcntl.F_SETLEASE, fcntl.F_WRLCK)
open(os.environ["STATE_DIRECTORY"] + "/leased", "w")
signal.pause()
signal.pause()
"""


def test_a_lease_of_a_script_on_the_lock_holds_the_hosts_logrotate_up_for_10_seconds_at_most(machine, service):
    service.script(LEASES)
    service.start()
    machine.wait_until(lambda: machine.exists(f"{service.state}/leased"), 20, "the script has its lease")
    began = time.monotonic()
    assert machine.run(["logrotate", "--force", SNIPPET], check=False).returncode != 0
    assert time.monotonic() - began < 20
    assert not machine.exists(HOLD)
    assert machine.run(f"ls {service.logs}").stdout.split() == ["scheduler.err", "scheduler.log"]
