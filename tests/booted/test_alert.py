"""Who installed it is told when runs fail or do not come, by units that are installed and not enabled."""

import json

import pytest
from tier import need_loopback

ALERT = "0d3b1c7f5c1f4d0e9a7c6b1f2a3e4d08"
FAILS_UNTIL_WELL = """
import os, sys
print("the last words")
sys.exit(0 if os.path.exists(os.environ["STATE_DIRECTORY"] + "/well") else 3)
"""
# So that the test need not wait for minutes.
OFTEN = "[Timer]\nOnActiveSec=\nOnUnitInactiveSec=\nOnActiveSec=1\nOnUnitInactiveSec=1\nAccuracySec=100ms\n"
TOLD = "/run/told"


class Alerts:
    """The alert units of a service."""

    def __init__(self, service):
        self.service = service
        self.machine = service.machine
        self.name = service.name.replace("main-scheduler", "main-scheduler-alert", 1)
        self.machine.run(f"systemctl start postfix; rm -rf /var/mail/root {TOLD}")

    def switch_on(self, kind):
        if kind == "timer":
            self.machine.write(f"/etc/systemd/system/{self.name}.timer.d/often.conf", OFTEN)
            self.machine.run("systemctl daemon-reload")
        self.machine.run(["systemctl", "start", f"{self.name}.{kind}"])

    def records(self):
        """The texts of the alerts in the journal."""
        lines = self.machine.journal("-t", self.service.name, "-p", "alert", output="json").splitlines()
        return [entry["MESSAGE"] for entry in map(json.loads, lines) if entry.get("MESSAGE_ID") == ALERT]

    def await_records(self, count):
        return self.machine.wait_until(lambda: len(self.records()) >= count and self.records(), 60, f"{count} alerts")

    def mails(self):
        """The mailbox of root, without what breaks lines."""
        return self.machine.run("cat /var/mail/root", check=False).stdout.replace("\n ", " ")

    def await_mail(self, text):
        need_loopback(self.machine)
        self.machine.wait_until(lambda: text in self.mails(), 30, f"a mail with {text}")

    def has_ended(self):
        """Whether the alert unit is at rest."""
        return self.machine.property(f"{self.name}.service", "ActiveState") == "inactive"


@pytest.fixture(params=["main", "instance"])
def alerts(request, service, reports):
    return Alerts(service if request.param == "main" else reports)


def test_a_failure_and_the_recovery_are_told_in_the_journal_and_by_mail(machine, alerts):
    service = alerts.service
    service.settings(SCHED_ENV="prod", SCHED_ALERT_MAIL="root")
    service.script(FAILS_UNTIL_WELL)
    alerts.switch_on("path")
    service.start()
    assert alerts.await_records(1) == ["run 1 failed: exit status 3"]
    alerts.await_mail("run 1 failed: exit status 3")
    assert "Subject: " + service.name in alerts.mails()
    assert "the last words" in alerts.mails()

    service.trigger()
    service.wait_for_runs(2)
    machine.wait_until(alerts.has_ended, 20, "the alert unit is at rest")
    assert len(alerts.records()) == 1  # the next one in a day

    machine.write(f"{service.state}/well", "")
    service.trigger()
    assert "all is well again" in alerts.await_records(2)[1]
    alerts.await_mail("all is well again")
    service.trigger()
    service.wait_for_runs(4)
    machine.wait_until(alerts.has_ended, 20, "the alert unit is at rest")
    assert len(alerts.records()) == 2


def test_failures_are_told_from_the_nth_in_a_row_on(machine, service):
    alerts = Alerts(service)
    service.settings(SCHED_ENV="prod", SCHED_ALERT_AFTER="3")
    service.script("raise SystemExit(3)\n")
    alerts.switch_on("path")
    service.start()
    for number in (1, 2, 3):
        service.wait_for_runs(number)
        if number < 3:
            service.trigger()
    assert [text.rpartition(", ")[2] for text in alerts.await_records(1)] == ["3 failures in a row"]


def test_many_failures_in_a_row_are_one_alert_and_do_not_make_systemd_give_the_path_up(machine, service):
    alerts = Alerts(service)
    service.settings(SCHED_INTERVAL="0.2s", SCHED_PYTHON="/bin/sh")
    service.script("exit 3\n")
    alerts.switch_on("path")
    service.start()
    service.wait_for_runs(40)
    assert len(alerts.records()) == 1
    assert machine.property(f"{alerts.name}.path", "ActiveState") == "active"


def let_recover_meanwhile(alerts):
    """A run succeeds while the alert unit, which tells of a failure, waits for TOLD/go_on; that is told, too."""
    alerts.machine.write(f"{alerts.service.state}/well", "")
    alerts.service.trigger()
    assert alerts.service.wait_for_runs(2) == ["failed", "succeeded"]
    assert not alerts.has_ended()
    alerts.machine.write(f"{TOLD}/go_on", "")
    assert "all is well again" in alerts.await_records(2)[1]


def test_what_happens_during_a_delivery_is_told_without_the_timer(machine, service):
    alerts = Alerts(service)
    machine.run(f"install -d -o main-scheduler {TOLD}")
    slow = f"#!/bin/sh\ntouch {TOLD}/begun\ncat\nuntil [ -e {TOLD}/go_on ]; do sleep 0.1; done\n"
    machine.write(f"{TOLD}/slow", slow, 0o755)
    service.settings(SCHED_ENV="prod", SCHED_ALERT_COMMAND=f"{TOLD}/slow")
    service.script(FAILS_UNTIL_WELL)
    alerts.switch_on("path")
    service.start()
    machine.wait_until(lambda: machine.exists(f"{TOLD}/begun"), 20, "a delivery has begun")
    let_recover_meanwhile(alerts)


def test_what_happens_while_the_alert_s_unit_ends_is_told_without_the_timer(machine, service):
    alerts = Alerts(service)
    ending = f"[Service]\nExecStopPost=+/bin/sh -c 'mkdir -p {TOLD}; until [ -e {TOLD}/go_on ]; do sleep 0.1; done'\n"
    machine.write(f"/etc/systemd/system/{alerts.name}.service.d/ending.conf", ending)
    machine.run("systemctl daemon-reload")
    service.settings(SCHED_ENV="prod")
    service.script(FAILS_UNTIL_WELL)
    alerts.switch_on("path")
    service.start()
    machine.wait_until(lambda: machine.exists(TOLD), 20, "the alert has been told, its unit ends")
    let_recover_meanwhile(alerts)


def test_a_mail_that_cannot_be_sent_is_tried_again_and_the_record_is_not_repeated(machine, service):
    alerts = Alerts(service)
    service.settings(SCHED_ENV="prod", SCHED_ALERT_MAIL="root")
    service.script(FAILS_UNTIL_WELL)
    machine.run("mv /usr/sbin/sendmail /usr/sbin/sendmail.away")
    try:
        service.start()
        service.wait_for_runs(1)
        alerts.switch_on("timer")
        told = "this host has no /usr/sbin/sendmail"
        machine.wait_until(lambda: machine.journal("-u", f"{alerts.name}.service").count(told) >= 3, 30, "it is tried")
    finally:
        machine.run("mv /usr/sbin/sendmail.away /usr/sbin/sendmail")
    alerts.await_mail("run 1 failed: exit status 3")
    machine.wait_until(alerts.has_ended, 20, "the alert unit is at rest")
    assert alerts.records() == ["run 1 failed: exit status 3"]
    assert alerts.mails().count("Subject: ") == 1


FORGES = """
import json, os, sys
when = __import__("time").time() - 1
forged = json.dumps({way: {"kind": "failing", "when": when, "count": 0} for way in ("journal", "mail", "command")})
for path in ("/var/lib/main-scheduler-alert", os.environ["STATE_DIRECTORY"]):
    for name in ("last_alert.json", ".last_alert.json.new"):
        try:
            with open(f"{path}/{name}", "w") as file:
                file.write(forged)
            print("written", path)
        except OSError as error:
            print(error)
sys.exit(3)
"""


def test_main_py_cannot_forge_what_was_told(machine, service):
    alerts = Alerts(service)
    service.settings(SCHED_ENV="prod")
    machine.run(["systemctl", "start", f"{alerts.name}.service"])  # its directory is there
    assert len(alerts.await_records(1)) == 1
    machine.forget_journal()
    service.script(FORGES)
    alerts.switch_on("path")
    service.start()
    assert alerts.await_records(1) == ["run 1 failed: exit status 3"]
    assert "written /var/lib/main-scheduler-alert" not in service.log()
    assert "written /var/lib/main-scheduler\n" in service.log()


def test_nothing_is_told_where_nothing_was_switched_on(machine, service):
    alerts = Alerts(service)
    service.settings(SCHED_ENV="prod", SCHED_ALERT_MAIL="root")
    service.script("raise SystemExit(3)\n")
    service.start()
    assert service.wait_for_runs(1) == ["failed"]
    service.stop()
    assert machine.exists(f"{service.state}/last_failure.json")
    for kind in ("path", "timer"):
        assert machine.run(["systemctl", "is-enabled", f"{alerts.name}.{kind}"], check=False).stdout == "disabled\n"
    assert alerts.records() == []
    assert machine.property(f"{alerts.name}.service", "ActiveEnterTimestampMonotonic") == "0"


def let_time_pass(service):
    """As if start and last success were hours ago."""
    state = json.loads(service.machine.read(f"{service.state}/state.json"))
    state["fresh_boottime"] = None  # this boot may be younger
    for name in ("last_success", "started"):
        state[name] = state[name] and state[name] - 20_000
    service.machine.write(f"{service.state}/state.json", json.dumps(state))


def wait_for_success(service):
    service.settings(SCHED_ENV="prod")
    service.script("print('hello')\n")
    service.start()
    assert service.wait_for_runs(1) == ["succeeded"]


def test_a_masked_scheduler_is_told_once_and_its_recovery_too(machine, alerts):
    service = alerts.service
    wait_for_success(service)
    alerts.switch_on("timer")
    machine.run(f"systemctl stop {service.unit} && systemctl mask --runtime {service.unit}")
    machine.wait_until(alerts.has_ended, 20, "the check is over")
    assert alerts.records() == []
    let_time_pass(service)
    (told,) = alerts.await_records(1)
    assert told.startswith("no success for 5 h ")
    assert told.endswith("it is not running")
    machine.run(f"systemctl unmask --runtime {service.unit}")
    service.start()
    assert [text.partition(":")[0] for text in alerts.await_records(2)] == [told, "all is well again"]


def test_a_hung_scheduler_is_told(machine, service):
    alerts = Alerts(service)
    wait_for_success(service)
    machine.run(["systemctl", "kill", "--signal=STOP", "--kill-whom=main", service.unit])
    let_time_pass(service)
    try:
        alerts.switch_on("timer")
        assert alerts.await_records(1)[0].startswith("no success for 5 h ")
        found = machine.run("main-scheduler status", check=False)
        assert found.returncode == 1
        assert "no success for 5 h " in found.stdout
    finally:
        machine.run(["systemctl", "kill", "--signal=KILL", "--kill-whom=main", service.unit])


def test_a_typo_before_the_first_start_is_told_once_and_by_mail(machine, service):
    alerts = Alerts(service)
    service.settings(SCHED_ENV="pord", SCHED_ALERT_MAIL="root")
    assert service.systemctl("start", check=False).returncode != 0
    machine.run(["rm", "-rf", service.state])  # as on a host where not even that was made
    alerts.switch_on("timer")
    (told,) = alerts.await_records(1)
    assert told.startswith("the settings are faulty: SCHED_ENV=pord: no such environment")
    alerts.await_mail("did you mean prod?")
    await_further_checks(alerts)
    assert len(alerts.records()) == 1


def await_further_checks(alerts, count=3):
    """Wait until the alert unit has looked so often again."""
    lines = ["journalctl", "-q", "-o", "cat", "-u", f"{alerts.name}.service", "-g", "Finished|Deactivated"]
    before = len(alerts.machine.run(lines, check=False).stdout.splitlines())
    alerts.machine.wait_until(
        lambda: len(alerts.machine.run(lines, check=False).stdout.splitlines()) >= before + 2 * count, 30, "more checks"
    )


def test_what_goes_wrong_after_a_failure_is_told_too(machine, service):
    alerts = Alerts(service)
    service.settings(SCHED_ENV="prod")
    service.script("raise SystemExit(3)\n")
    service.start()
    alerts.switch_on("timer")
    assert alerts.await_records(1) == ["run 1 failed: exit status 3"]
    service.settings(SCHED_ENV="pord")
    assert alerts.await_records(2)[1].startswith("the settings are faulty: ")
    service.settings(SCHED_ENV="prod")
    assert alerts.await_records(3)[2] == "the settings are in order again"
    service.stop()
    let_time_pass(service)
    assert alerts.await_records(4)[3].endswith("it is not running")
    await_further_checks(alerts)
    assert len(alerts.records()) == 4


def test_a_service_that_was_never_started_is_told_once(machine, alerts):
    alerts.service.settings(SCHED_ENV="prod")
    alerts.switch_on("timer")
    assert alerts.await_records(1) == ["it was never started, it is not running"]
    await_further_checks(alerts)
    assert len(alerts.records()) == 1


def test_a_command_of_the_operators_gets_the_alert_and_the_names_of_the_settings_file(machine, service):
    alerts = Alerts(service)
    machine.run(f"install -d -o main-scheduler {TOLD}")
    command = f"sh -c 'cat >{TOLD}/text; echo $HTTPS_PROXY $NTFY_TOKEN $HOME >{TOLD}/names'"
    service.settings(
        SCHED_ENV="prod", SCHED_ALERT_COMMAND=f'"{command}"', HTTPS_PROXY="http://proxy:3128", NTFY_TOKEN="t"
    )
    service.script(FAILS_UNTIL_WELL)
    alerts.switch_on("path")
    service.start()
    machine.wait_until(lambda: machine.exists(f"{TOLD}/names"), 20, "it is told")
    assert "the last words" in machine.read(f"{TOLD}/text")
    proxy, token, home = machine.read(f"{TOLD}/names").split()
    assert (proxy, token) == ("http://proxy:3128", "t")
    assert home == "/"


def test_a_test_says_what_works_and_what_is_missing(machine, alerts):
    service = alerts.service
    instance = [service.instance] if service.instance else []
    service.settings(SCHED_ENV="prod")
    service.script("print('hello')\n")
    found = machine.run(["main-scheduler", "alert", "--test", *instance], check=False)
    assert found.returncode == 1
    path, timer = f"{alerts.name}.path", f"{alerts.name}.timer"
    assert found.stdout.splitlines() == [
        "journal: told",
        "neither SCHED_ALERT_MAIL nor SCHED_ALERT_COMMAND is set: the journal alone is told",
        f"{path} and {timer} are not enabled; try systemctl enable --now {path} {timer}",
    ]
    service.settings(SCHED_ENV="prod", SCHED_ALERT_MAIL="root", SCHED_ALERT_COMMAND="false")
    machine.run(["systemctl", "enable", "--now", path, timer])
    machine.run(["systemctl", "stop", timer])
    try:
        found = machine.run(["main-scheduler", "alert", "--test", *instance], check=False)
        assert found.stdout.splitlines()[3:] == [f"{timer} is not up; try systemctl restart {timer}"]
        machine.run(["systemctl", "start", timer])
        found = machine.run(["main-scheduler", "alert", "--test", *instance], check=False)
        assert found.stdout.splitlines() == ["journal: told", "mail: told", "command: false ended with exit status 1: "]
        assert found.returncode == 1
        service.settings(SCHED_ENV="prod", SCHED_ALERT_MAIL="root")
        assert machine.run(["main-scheduler", "alert", "--test", *instance]).stdout == "journal: told\nmail: told\n"
    finally:
        machine.run(["systemctl", "disable", "--now", path, timer])
    alerts.await_mail("this is a test of the alerts, nothing is wrong")
    assert alerts.records() == ["this is a test of the alerts, nothing is wrong"] * 4


def test_the_alert_runs_as_the_user_of_the_service_outside_of_its_sandbox(machine, alerts):
    unit = f"{alerts.name}.service"
    assert machine.property(unit, "User") == "main-scheduler"
    assert machine.property(unit, "NoNewPrivileges") == "no"
