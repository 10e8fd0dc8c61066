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
        return self.machine.wait_until(lambda: len(self.records()) >= count and self.records(), 30, f"{count} alerts")

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


def test_a_failed_run_and_the_recovery_are_told_in_the_journal_and_by_mail(machine, alerts):
    service = alerts.service
    service.settings(SCHED_ENV="prod", SCHED_ALERT_MAIL="root")
    service.script(FAILS_UNTIL_WELL)
    alerts.switch_on("path")
    service.start()
    (told,) = alerts.await_records(1)
    assert told.startswith("run 1 failed with exit status 3")
    alerts.await_mail("run 1 failed with exit status 3")
    assert "Subject: " + service.name in alerts.mails()
    assert "the last words" in alerts.mails()

    service.trigger()
    assert alerts.await_records(2)[1].endswith("2 failures in a row")
    alerts.await_mail("2 failures in a row")

    machine.write(f"{service.state}/well", "")
    service.trigger()
    assert "all is well again" in alerts.await_records(3)[2]
    alerts.await_mail("all is well again")
    service.trigger()
    service.wait_for_runs(4)
    machine.wait_until(alerts.has_ended, 20, "the alert unit is at rest")
    assert len(alerts.records()) == 3


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


def test_many_failures_in_a_row_do_not_make_systemd_give_the_path_up(machine, service):
    alerts = Alerts(service)
    service.settings(SCHED_INTERVAL="0.2s", SCHED_PYTHON="/bin/sh")
    service.script("exit 3\n")
    alerts.switch_on("path")
    service.start()
    alerts.await_records(12)
    assert machine.property(f"{alerts.name}.path", "ActiveState") == "active"


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
    for name in ("fresh_boottime", "last_success", "started"):
        state[name] -= 20_000
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


def test_a_typo_in_the_settings_is_told(machine, service):
    alerts = Alerts(service)
    service.settings(SCHED_ENV="pord", SCHED_ALERT_MAIL="root")
    assert service.systemctl("start", check=False).returncode != 0
    machine.run(["install", "-d", "-o", "main-scheduler", service.state])
    alerts.switch_on("timer")
    assert alerts.await_records(1) == ["the settings are faulty"]
    alerts.await_mail("did you mean prod?")


def test_a_command_of_the_operators_gets_the_alert(machine, service):
    alerts = Alerts(service)
    machine.run(f"install -d -o main-scheduler {TOLD}")
    service.settings(SCHED_ENV="prod", SCHED_ALERT_COMMAND=f"tee {TOLD}/text")
    service.script(FAILS_UNTIL_WELL)
    alerts.switch_on("path")
    service.start()
    machine.wait_until(
        lambda: machine.run(["test", "-s", f"{TOLD}/text"], check=False).returncode == 0, 20, "it is told"
    )
    assert "the last words" in machine.read(f"{TOLD}/text")


def test_the_alert_runs_as_the_user_of_the_service_outside_of_its_sandbox(machine, alerts):
    unit = f"{alerts.name}.service"
    assert machine.property(unit, "User") == "main-scheduler"
    assert machine.property(unit, "NoNewPrivileges") == "no"
