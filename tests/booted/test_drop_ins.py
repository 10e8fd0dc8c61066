"""Each drop-in that is shipped lets work what the plain unit prevents."""

import pytest
from service import SOURCE
from tier import need_loopback

SENDMAIL = """
import subprocess
subprocess.run(["/usr/sbin/sendmail", "root"], input=b"Subject: from main.py\\n\\nhello\\n", check=True, timeout=10)
"""
WRITES_BESIDE_ITSELF = "open('beside.txt', 'w').write('hello')\n"
PRINTS_ITS_PREFIX = "import sys\nprint('prefix', sys.prefix)\n"
MAKES_NAMESPACES = """
import subprocess
subprocess.run(["unshare", "--user", "--map-root-user", "--pid", "--net", "--mount", "--fork", "true"], check=True)
"""
READS_SECRET = """
import os
print("secret of", len(open(os.environ["CREDENTIALS_DIRECTORY"] + "/smtp-password").read()), "characters")
"""
# What one instance can do to another: its arguments are a process to signal and files to read.
REACHES_FOR_ANOTHER = """
import os, signal, sys
def tried(what, function, *arguments):
    try:
        function(*arguments)
        print(what, "reached")
    except OSError as error:
        print(what, "not reached")
tried("process", os.kill, int(sys.argv[1]), 0)
for file in sys.argv[2:]:
    tried(file, open, file)
"""
FLOODS_ITS_LOG = "for _ in range(40_000): print('x' * 100)\nraise SystemExit(3)\n"


@pytest.fixture
def outcome(machine, service):
    """The outcome of one run of a script."""

    def run_once(script):
        machine.run(["rm", "-rf", service.state])  # the runs before
        service.script(script)
        service.start()
        run = machine.wait_until(service.runs, 30, "a run is over")[-1]
        service.stop()
        return run["outcome"]

    return run_once


def test_sendmail(machine, service, outcome):
    need_loopback(machine)
    assert outcome(SENDMAIL) != "succeeded"
    service.drop_in("sendmail.conf")
    machine.run("systemctl start postfix; rm -f /var/mail/root")
    assert outcome(SENDMAIL) == "succeeded", service.log()
    machine.wait_until(
        lambda: "from main.py" in machine.run("cat /var/mail/*", check=False).stdout, 20, "the mail is delivered"
    )


def test_write_beside_script(machine, service, outcome):
    assert outcome(WRITES_BESIDE_ITSELF) == "failed"
    machine.run("chown -R main-scheduler: /opt/main-scheduler")
    assert outcome(WRITES_BESIDE_ITSELF) == "failed"
    service.drop_in("write-beside-script.conf")
    assert outcome(WRITES_BESIDE_ITSELF) == "succeeded", service.log()
    assert machine.read("/opt/main-scheduler/beside.txt") == "hello"


def test_venv_in_home(machine, service, outcome):
    machine.run("mkdir -p /home/ann && python3 -m venv /home/ann/venv && chmod o+x /home/ann", timeout=120)
    service.settings(SCHED_ENV="prod", SCHED_PYTHON="/home/ann/venv/bin/python")
    assert outcome(PRINTS_ITS_PREFIX) == "not started"
    assert "the drop-in venv-in-home.conf relaxes it" in service.log()
    service.drop_in("venv-in-home.conf")
    assert outcome(PRINTS_ITS_PREFIX) == "succeeded", service.log()
    assert "prefix /home/ann/venv" in service.log()


def test_browser(service, outcome):
    """A browser's sandbox is user, process, network and mount namespaces."""
    assert outcome(MAKES_NAMESPACES) == "failed"
    service.drop_in("browser.conf")
    assert outcome(MAKES_NAMESPACES) == "succeeded", service.log()


def test_secret(machine, service, outcome):
    machine.write("/etc/main-scheduler/smtp-password", "not for others", 0o600)
    service.drop_in("secret.conf")
    assert outcome(READS_SECRET) == "succeeded", service.log()
    assert "secret of 14 characters" in service.log()
    # Neither its source nor systemd's copy is for other users of the machine.
    seen = machine.run("cat /etc/main-scheduler/smtp-password", user="nobody", check=False)
    assert seen.returncode != 0


def test_secret_that_is_missing_fails_the_start(service):
    service.drop_in("secret.conf")
    assert service.systemctl("start", check=False).returncode != 0


def test_memory(service):
    service.drop_in("memory.conf")
    assert service.property("MemoryMax") == str(500 * 1024 * 1024)


@pytest.fixture
def own_user(machine, reports):
    """Gives the instance a user of its own, by what own-user.conf says."""
    user = "main-scheduler-reports"

    def give():
        for unit in ("main-scheduler@reports", "main-scheduler-alert@reports"):
            directory = f"/etc/systemd/system/{unit}.service.d"
            machine.run(f"install -D -m 644 -t {directory} /usr/local/share/doc/main-scheduler/drop-ins/own-user.conf")
        comment = machine.read(f"{directory}/own-user.conf").replace("NAME", "reports")
        commands = [line.removeprefix("#     ") for line in comment.splitlines() if line.startswith("#     ")]
        assert len(commands) == 2
        for command in (*commands, "systemctl daemon-reload"):
            machine.run(command)
        return user

    yield give
    reports.stop()
    machine.run(f"rm -rf /etc/default/{reports.name} {reports.state} {reports.logs}; userdel {user}", check=False)


def test_instances_reach_each_other_unless_one_has_a_user_of_its_own(machine, service, reports, own_user):
    for each in (service, reports):
        each.settings(SCHED_ENV="prod")
        each.script("print('hello')\n")
        each.start()
        each.wait_for_runs(1)

    assert reached_by(reports, service) == 3
    reports.group = own_user()
    assert reached_by(reports, service) == 0
    assert reached_by(service, reports) == 0


def reached_by(service, other):
    """How many of three things of another instance: its process, its settings, its state."""
    service.stop()
    service.script(REACHES_FOR_ANOTHER)
    things = f"{other.property('MainPID')} {other.settings_file} {other.state}/state.json"
    service.settings(SCHED_ENV="prod", SCHED_ARGS=things)
    before = len(service.runs())
    service.start()
    service.wait_for_runs(before + 1)
    tried = service.log().split(" runs every ")[-1]
    assert tried.count("reached") == 3
    return 3 - tried.count("not reached")


def test_an_instance_with_a_user_of_its_own_reloads_alerts_rotates_and_is_purged(machine, service, reports, own_user):
    need_loopback(machine)
    reports.settings(SCHED_ENV="prod", SCHED_ALERT_MAIL="root")
    reports.script(FLOODS_ITS_LOG)
    user = own_user()
    machine.run("systemctl start postfix main-scheduler-alert@reports.path; rm -f /var/mail/root")
    reports.start()
    reports.wait_for_runs(1)

    machine.run(f"echo SCHED_INTERVAL=3h >> {reports.settings_file}")
    reports.systemctl("reload")
    machine.wait_until(lambda: "runs every 3 h" in reports.log(), 20, "it has reloaded")
    machine.wait_until(
        lambda: f"From: {user}@" in machine.run("cat /var/mail/root", check=False).stdout, 20, "the alert is delivered"
    )
    assert machine.exists(f"{reports.logs}/scheduler.log.1")
    assert owners(machine, reports) == {f"{user}:{user}"}

    service.start()  # rotated by logrotate, beside it
    machine.run(
        f"head -c 2000000 /dev/zero | tr '\\0' x >> {service.logs}/scheduler.log; logrotate /etc/logrotate.conf"
    )
    assert machine.exists(f"{service.logs}/scheduler.log.1")

    machine.run(f"{SOURCE}/deploy/uninstall.sh --purge")
    assert machine.run(f"getent passwd {user}; getent group {user}", check=False).stdout == ""
    assert not machine.exists(reports.state)
    machine.run(f"{SOURCE}/deploy/install.sh")


def owners(machine, service):
    """Who owns what is in its directories."""
    return set(machine.run(f"find {service.state} {service.logs} -printf '%u:%g\\n'").stdout.split())
