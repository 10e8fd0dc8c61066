"""Each drop-in that is shipped lets work what the plain unit prevents."""

import pytest
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


@pytest.fixture
def outcome(machine, service):
    """The outcome of one run of a script."""

    def run_once(script):
        machine.run(["rm", "-rf", service.state])  # the runs before
        service.script(script)
        service.start()
        run = machine.wait_until(lambda: service.status()["runs"], 30, "a run is over")[-1]
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
