"""An upgrade that does not come up: what was up is up afterwards, with the old version; and install.sh says so."""

import json

import pytest
from service import GATED, SOURCE, wait_for_end

INSTALL = f"{SOURCE}/deploy/install.sh"
UNINSTALL = f"{SOURCE}/deploy/uninstall.sh"
NEXT = "9.9.9"

# Files of the package, and what the next version has there in addition.
FAULTS = {
    "does not begin": ("cli.py", "raise RuntimeError('broken')"),
    "hangs before it begins": ("cli.py", "import time; time.sleep(600)"),
    "lacks a part": ("schedule/service.py", "import not_there"),
    "exits 1": ("schedule/service.py", "def run(self): raise SystemExit(1)\nService.run = run"),
    "hangs": ("schedule/service.py", "def run(self): time.sleep(600)\nService.run = run"),
    "ends when it is ready": (
        "schedule/service.py",
        "def run(self):\n    self._notifier.ready('')\n    time.sleep(0.3)\n    raise SystemExit(1)\nService.run = run",
    ),
}
SEEN_BEFORE_THE_STOP = ("does not begin", "hangs before it begins", "lacks a part")
SAYS_THAT_IT_IS_THE_NEXT = "open(os.environ['STATE_DIRECTORY'] + '/next', 'w').write(str(os.getpid()))"
BROKEN_FOR_REPORTS = (
    "def run(self): raise SystemExit(1)\nif 'reports' in os.environ['STATE_DIRECTORY']: Service.run = run"
)


@pytest.fixture
def next_version(machine):
    """Makes the checkout one of another version, with code in addition, and a drop-in that is shipped."""
    machine.run(f"rm -rf /tmp/checkout && cp -a {SOURCE} /tmp/checkout")

    def make(file="cli.py", code=""):
        package = f"{SOURCE}/sched_runner"
        machine.write(f"{package}/__init__.py", f'__version__ = "{NEXT}"\n')
        machine.write(f"{package}/{file}", f"{machine.read(f'{package}/{file}')}\n{code}\n")
        machine.run(f"echo '# the next' >> {SOURCE}/deploy/systemd/main-scheduler.service")

    yield make
    machine.run("systemctl stop main-scheduler 'main-scheduler@*'")
    machine.run(f"rm -rf {SOURCE} && mv /tmp/checkout {SOURCE} && {INSTALL}")


def fingerprint(machine):
    """Of all files that an upgrade replaces; nothing else lies beside them."""
    files = "/usr/local /etc/logrotate.d /etc/needrestart"
    return machine.run(f"find {files} -type f -exec md5sum {{}} + | sort; ls -d /usr/local/lib/main-scheduler*").stdout


def version(machine):
    return machine.run("main-scheduler --version").stdout.split()[-1]


def gated(service):
    """The service in the middle of a run."""
    service.script(GATED)
    service.start()
    service.wait_for_run()
    return service.property("MainPID")


def quick(service):
    """The service between two runs."""
    service.script("print('quick')\n")
    service.start()
    service.wait_for_runs(1)
    return service.property("MainPID")


@pytest.mark.parametrize("fault", FAULTS)
def test_a_version_that_does_not_come_up_is_taken_back(machine, service, next_version, fault):
    service.settings(SCHED_ENV="prod")
    service.drop_in("[Service]\nTimeoutStartSec=5\n")
    pid = quick(service)
    before = fingerprint(machine)
    next_version(*FAULTS[fault])
    upgraded = machine.run(INSTALL, check=False, timeout=120)
    assert upgraded.returncode == 1
    assert "the old version is back, and what was up is up" in upgraded.stderr
    assert fingerprint(machine) == before
    assert service.property("ActiveState") == "active"
    assert service.property("NeedDaemonReload") == "no"
    assert (service.property("MainPID") == pid) is (fault in SEEN_BEFORE_THE_STOP)
    machine.run("main-scheduler trigger")
    machine.wait_until(lambda: service.runs()[-1]["number"] > 1, 20, "it makes runs")


@pytest.mark.parametrize("settings", ["chmod 600 {0} && chown root: {0}", "echo SCHED_INTERVAL=often > {0}", "rm {0}"])
def test_upgrade_with_faulty_settings_leaves_all_that_is_up_as_it_was(
    machine, service, reports, next_version, settings
):
    reports.script("print('report')\n")
    reports.settings(SCHED_ENV="prod")
    pids = [gated(service)]
    reports.start()
    pids.append(reports.property("MainPID"))
    before = fingerprint(machine)
    next_version()
    machine.run(settings.format(service.settings_file))
    upgraded = machine.run(INSTALL, check=False)
    assert upgraded.returncode == 1
    assert "main-scheduler.service would not start: " in upgraded.stderr
    assert service.settings_file in upgraded.stderr or "SCHED_INTERVAL" in upgraded.stderr
    assert fingerprint(machine) == before
    assert [each.property("MainPID") for each in (service, reports)] == pids
    service.end_run()
    assert service.wait_for_runs(1) == ["succeeded"]


def test_where_one_of_two_does_not_come_up_both_are_up_with_the_old_version(machine, service, reports, next_version):
    """The first has come up with the new one, and has a run in progress that is not cut."""
    reports.settings(SCHED_ENV="prod")
    service.settings(SCHED_ENV="prod")
    quick(reports)
    quick(service)
    service.script("import time; time.sleep(4)\n")
    before = fingerprint(machine)
    next_version("schedule/service.py", f"{BROKEN_FOR_REPORTS}\n{SAYS_THAT_IT_IS_THE_NEXT}")
    upgraded = machine.run(INSTALL, check=False)
    assert upgraded.returncode == 1
    assert "main-scheduler@reports.service has not come up" in upgraded.stderr
    assert fingerprint(machine) == before
    assert [each.property("ActiveState") for each in (service, reports)] == ["active"] * 2
    outcomes = {run["number"]: run["outcome"] for run in service.runs()}
    assert outcomes[2] == "succeeded"
    assert "interrupted" not in outcomes.values()
    assert service.log().count("runs every") == 3  # as it was, the next version, and the old one
    assert machine.read(f"{service.state}/next") != service.property("MainPID")


def test_an_upgrade_is_held_up_neither_by_what_only_a_check_minds_nor_by_what_was_not_up(
    machine, service, reports, next_version
):
    machine.run("mv /usr/sbin/sendmail /usr/sbin/sendmail.away")
    service.settings(SCHED_ENV="prod", SCHED_ALERT_MAIL="you@example.org", SCHED_PYTHON="not-there")
    reports.settings(SCHED_STATE_DIR="/srv/not-writable")
    reports.script("print('report')\n")
    reports.systemctl("start", check=False)
    service.script("#!/bin/sh\necho shell\n")
    service.start()
    pid = service.property("MainPID")
    machine.wait_until(lambda: reports.property("SubState") == "auto-restart", 20, "it is started again and again")
    next_version()
    upgraded = machine.run(INSTALL, check=False)
    machine.run("mv /usr/sbin/sendmail.away /usr/sbin/sendmail")
    assert upgraded.returncode == 0, upgraded.stderr
    assert version(machine) == NEXT
    assert service.property("MainPID") not in (pid, "0")


def test_ctrl_c_while_it_waits_takes_the_upgrade_back_and_a_second_one_is_refused(machine, service, next_version):
    pid = gated(service)
    before = fingerprint(machine)
    next_version()
    machine.run(f"systemd-run --unit=upgrade-interrupted --property=SuccessExitStatus=130 {INSTALL}")
    machine.wait_until(lambda: "waiting" in machine.journal("--unit=upgrade-interrupted"), 60, "install.sh waits")
    for script in (INSTALL, UNINSTALL):
        second = machine.run(script, check=False)
        assert second.returncode == 1
        assert "is at work here" in second.stderr
    machine.run("systemctl kill --signal=INT upgrade-interrupted")
    wait_for_end(machine, "upgrade-interrupted")
    assert fingerprint(machine) == before
    assert service.property("MainPID") == pid
    service.end_run()
    assert service.wait_for_runs(1) == ["succeeded"]


def test_if_nobody_reads_what_it_says_the_upgrade_goes_on(machine, service, next_version):
    pid = quick(service)
    machine.run("echo '# mine' >> /etc/logrotate.d/main-scheduler")
    next_version()
    machine.run(f"({INSTALL}; echo $? >/tmp/status) | true")
    machine.run("rm /etc/logrotate.d/main-scheduler /usr/local/share/main-scheduler/logrotate")
    assert machine.read("/tmp/status") == "0\n"
    assert version(machine) == NEXT
    assert service.property("MainPID") not in (pid, "0")


def test_a_variable_that_changes_how_systemctl_reads_its_options_hides_nothing_that_was_up(
    machine, service, reports, next_version
):
    for each in (service, reports):
        each.settings(SCHED_ENV="prod")
        quick(each)
    before = fingerprint(machine)
    next_version(*FAULTS["exits 1"])
    upgraded = machine.run(f"POSIXLY_CORRECT=1 {INSTALL}", check=False)
    assert upgraded.stderr.endswith("the old version is back, and what was up is up\n")
    assert fingerprint(machine) == before
    assert [each.property("ActiveState") for each in (service, reports)] == ["active"] * 2


def test_a_package_restarts_what_is_up_in_the_background(machine, service):
    pid = gated(service)
    machine.run(
        "systemd-run --no-block --collect --unit=main-scheduler-upgrade main-scheduler restart --all", timeout=10
    )
    machine.wait_until(lambda: "waiting" in machine.journal("--unit=main-scheduler-upgrade"), 20, "it waits")
    assert service.property("MainPID") == pid
    service.end_run()
    machine.wait_until(lambda: service.property("MainPID") not in (pid, "0"), 20, "it is restarted")
    wait_for_end(machine, "main-scheduler-upgrade")
    assert service.runs()[0]["outcome"] == "succeeded"


def test_what_was_stopped_meanwhile_stays_stopped(machine, service):
    gated(service)
    machine.run("systemd-run --unit=restart-of-stopped main-scheduler restart --all")
    machine.wait_until(lambda: "waiting" in machine.journal("--unit=restart-of-stopped"), 20, "it waits")
    service.stop()
    wait_for_end(machine, "restart-of-stopped")
    assert service.property("ActiveState") == "inactive"


def test_a_restart_is_one_job_so_that_nobody_finds_the_service_down(machine, service):
    pid = gated(service)
    service.end_run()
    assert service.wait_for_runs(1) == ["succeeded"]
    machine.forget_journal()
    machine.run("main-scheduler restart")
    assert service.property("MainPID") not in (pid, "0")
    lines = machine.journal("_PID=1", f"UNIT={service.unit}", output="json").splitlines()
    jobs = [entry["JOB_ID"] for entry in map(json.loads, lines) if "JOB_ID" in entry]
    assert (len(jobs) >= 2, len({*jobs})) == (True, 1)  # stop and start


def test_a_service_that_systemd_does_not_restart_is_no_success(machine, service):
    pid = gated(service)
    service.drop_in("[Unit]\nRefuseManualStop=yes\n")
    try:
        asked = machine.run("main-scheduler restart --now", check=False)
    finally:
        service.drop_in("")
    assert (asked.returncode, service.property("MainPID")) == (1, pid)
    assert f"{service.unit} goes on as it was" in asked.stderr


def test_restart_is_for_root(machine, service):
    refused = machine.run("main-scheduler restart", user="nobody", check=False)
    assert refused.returncode == 1
    assert "only root" in refused.stderr
