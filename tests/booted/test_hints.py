"""What the summary of a failed run says of the sandbox: the drop-in that helps, or nothing."""

import pytest

BESIDE = "open('beside.txt', 'w').write('hello')\n"
ELSEWHERE = "open('/srv/out/x.csv', 'w').write('hello')\n"
DATABASE = """
import sqlite3
sqlite3.connect("beside.db").execute("CREATE TABLE IF NOT EXISTS t (x)")
"""
DEVICE = "open('/dev/ttyUSB0')\n"
HOME = "open('/home/ann/list.txt')\n"
OF_A_DROP_IN = "relaxes it"


@pytest.fixture
def summary(machine, service):
    """The summary of one run of a script."""

    def run_once(script):
        machine.run(["rm", "-rf", service.state, service.logs])  # the runs before
        service.script(script)
        service.start()
        machine.wait_until(service.runs, 30, "a run is over")
        service.stop()
        (line,) = [line for line in service.log().splitlines() if " ERROR run 1 failed" in line]
        return line

    return run_once


def test_a_script_that_writes_beside_itself_is_led_to_the_drop_in_and_then_to_a_chown(machine, service, summary):
    assert "the drop-in write-beside-script.conf relaxes it" in summary(BESIDE)
    assert "the drop-in write-beside-script.conf relaxes it" in summary(DATABASE)
    service.drop_in("write-beside-script.conf")
    line = summary(BESIDE)
    assert "the service's user may not write in /opt/main-scheduler: write to $STATE_DIRECTORY" in line
    assert OF_A_DROP_IN not in line
    assert OF_A_DROP_IN not in summary(DATABASE)


def test_another_place_gets_a_drop_in_of_its_own_and_then_a_chown(machine, service, summary):
    machine.run("mkdir -p /srv/out")
    assert "a drop-in with ReadWritePaths=/srv/out relaxes it" in summary(ELSEWHERE)
    service.drop_in("[Service]\nReadWritePaths=/srv/out\n")
    assert "the service's user may not write in /srv/out: write to $STATE_DIRECTORY, or let that user own" in summary(
        ELSEWHERE
    )
    machine.run("rm -rf /srv/out")


def test_a_device_of_the_host_gets_the_drop_in_for_devices(machine, service, summary):
    assert "the drop-in device.conf relaxes it" in summary(DEVICE)


def test_a_file_in_a_home_gets_the_drop_in_for_homes(machine, service, summary):
    machine.run("mkdir -p /home/ann && echo x >/home/ann/list.txt && chmod o+x /home/ann")
    assert "the drop-in venv-in-home.conf relaxes it" in summary(HOME)
    machine.run("rm -rf /home/ann")


@pytest.mark.parametrize(
    "script",
    [
        "raise SystemExit('git@github.com: Permission denied (publickey).')",
        "raise SystemExit('554 relay not permitted')",
        "import socket; socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)",
        "import socket; socket.socket().bind(('127.0.0.1', 80))",
        "open('/etc/shadow')",
        "open('/proc/sys/vm/swappiness', 'w').write('1')",
        "open('missing.csv')",
    ],
)
def test_where_the_sandbox_is_not_the_cause_or_no_drop_in_helps_none_is_named(service, summary, script):
    assert OF_A_DROP_IN not in summary(script)
