"""`main-scheduler add` and `remove`: an instance with all that it needs, or nothing of it."""

import pytest
from service import GATED, Service

SCRIPT = "/srv/it's 100% mine/reports.py"
SETTINGS = """# Settings of main-scheduler@reports. After an edit: systemctl reload main-scheduler@reports
# /etc/default/main-scheduler shows what else may be set.
"""
# What add may have written, and what systemd may have made.
PLACES = "/etc/default /etc/systemd /var/lib /var/log /run/systemd/system"


@pytest.fixture
def call(machine):
    def call(command, *arguments, user=None):
        return machine.run(["main-scheduler", command, *arguments], check=False, user=user)

    yield call
    machine.run("systemctl -q disable --now main-scheduler-alert.path main-scheduler-alert@reports.path; rm -rf /srv/*")


@pytest.fixture
def added(machine, call):
    """The instance, added with a script that goes on until it is told to end."""
    machine.write(SCRIPT, GATED)
    call("add", "reports", SCRIPT, "--every", "2h")
    return Service(machine, "reports")


def seen(machine):
    """All that an instance consists of."""
    units = machine.run("systemctl list-units --all --plain --no-legend 'main-scheduler*@*'").stdout
    return machine.run(f"find {PLACES} -name 'main-scheduler*' -printf '%p %l %s\\n' | sort").stdout, units


def is_enabled(machine, unit):
    return machine.run(["systemctl", "is-enabled", unit], check=False).stdout.strip() == "enabled"


def test_add_writes_settings_and_the_script_runs_now_and_at_every_boot(machine, service, reports, call):
    service.settings(SCHED_STATE_DIR="/srv/state", SCHED_PING_URL="https://example.org/first")
    machine.run("systemctl -q enable main-scheduler-alert.path")
    machine.write(SCRIPT, "import os; print('environment', os.environ['SCHED_ENV'])\n")
    done = call("add", "reports", SCRIPT, "--every", "7h 30min", "--env", "prod")
    assert (done.returncode, done.stderr) == (0, "")
    text = f"{SETTINGS}SCHED_MAIN={SCRIPT}\nSCHED_ENV=prod\nSCHED_INTERVAL=7h 30min\n"
    assert machine.read(reports.settings_file) == text
    assert machine.run(["stat", "-c", "%a %U %G", reports.settings_file]).stdout == "640 root main-scheduler\n"
    assert reports.wait_for_runs(1) == ["succeeded"]
    assert "stdout run 1 | environment prod\n" in reports.log()
    assert reports.status()["every"] == "every 7 h 30 min"
    for unit in (reports.unit, "main-scheduler-alert@reports.path"):
        assert (is_enabled(machine, unit), machine.property(unit, "ActiveState")) == (True, "active")
        assert unit in done.stdout
    assert not is_enabled(machine, "main-scheduler-alert@reports.timer")
    assert call("check", "reports").returncode == 0


def test_add_with_a_calendar_and_no_start_is_for_an_edit_before_the_first_run(machine, reports, call):
    machine.write(reports.script_file, "")
    done = call("add", "reports", reports.script_file, "--calendar", "Mon..Fri 08:30 Europe/Madrid", "--no-start")
    assert done.returncode == 0
    calendar = "SCHED_CALENDAR=Mon..Fri 08:30 Europe/Madrid\nSCHED_START=due\n"
    assert machine.read(reports.settings_file) == f"{SETTINGS}SCHED_MAIN={reports.script_file}\n{calendar}"
    assert (is_enabled(machine, reports.unit), reports.property("ActiveState")) == (False, "inactive")
    assert not machine.exists(reports.state)
    command = next(line for line in done.stdout.splitlines() if line.startswith("  sudo systemctl"))
    machine.run(command.replace("sudo", ""))
    assert (is_enabled(machine, reports.unit), reports.property("ActiveState")) == (True, "active")
    assert reports.status()["runs"] == []


def test_what_add_refuses_leaves_nothing(machine, reports, call):
    machine.write("/srv/good.py", "")
    machine.write("/srv/lacks.py", "#!/usr/bin/none\n", 0o755)
    machine.write("/root/hidden.py", "")
    machine.write("/tmp/hidden.py", "")
    machine.run("touch /etc/default/main-scheduler@old; ln -s /srv/none /etc/default/main-scheduler@link")
    before = seen(machine)
    good = ("reports", "/srv/good.py")
    refused = [
        (("../x", "/srv/good.py", "--every", "1h"), 2, "an instance's name begins with"),
        (good, 2, "say how often the script runs: --every 30min"),
        (
            (*good, "--every", "1h30"),
            78,
            "--every 1h30: a number lacks its unit; write 1h 30min and not 1h30; nothing is added",
        ),
        (("reports", "/srv/none.py", "--every", "1h"), 1, "/srv/none.py cannot be seen: No such file"),
        (("old", "/srv/good.py", "--every", "1h"), 1, "main-scheduler@old is there already"),
        (("link", "/srv/good.py", "--every", "1h"), 1, "main-scheduler@link is there already"),
        (("reports", "/srv/lacks.py", "--every", "1h"), 78, "the first line of /srv/lacks.py names /usr/bin/none"),
        *(
            (("reports", script, "--every", "1h"), 78, f"put it elsewhere, for instance to {reports.script_file}: noth")
            for script in ("/root/hidden.py", "/tmp/hidden.py")
        ),
    ]
    for arguments, exit_status, why in refused:
        done = call("add", *arguments)
        assert (done.returncode, why in done.stderr, done.stdout) == (exit_status, True, "")
        assert seen(machine) == before
    done = call("add", *good, "--every", "1h", user="nobody")
    assert (done.returncode, "must be run by root: sudo main-scheduler add" in done.stderr) == (1, True)
    machine.run("rm /tmp/hidden.py /root/hidden.py /etc/default/main-scheduler@link")


def test_add_whose_start_fails_or_is_interrupted_takes_everything_back(machine, reports, call):
    machine.write("/srv/good.py", "")
    machine.run("systemctl -q enable main-scheduler-alert.path")
    reports.drop_in("[Service]\nExecStartPre=/bin/false\n")
    before = seen(machine)
    done = call("add", "reports", "/srv/good.py", "--every", "1h")
    assert (done.returncode, "has not come up" in done.stderr) == (1, True)
    assert seen(machine) == before
    reports.drop_in("[Service]\nExecStartPre=/bin/sh -c 'until [ -e /srv/go ]; do sleep 0.1; done'\n")
    machine.run("main-scheduler add reports /srv/good.py --every 1h >/srv/said 2>&1 & echo $! >/srv/pid")
    machine.wait_until(lambda: reports.property("ActiveState") == "activating", 10, "the service is about to start")
    machine.run("kill -INT $(cat /srv/pid); touch /srv/go; tail --pid=$(cat /srv/pid) -f /dev/null")
    assert machine.read("/srv/said") == "main-scheduler: interrupted: nothing is changed\n"
    assert seen(machine) == before


def test_remove_cuts_no_run_unless_told_and_keeps_logs_and_state(machine, added, call):
    machine.run("systemctl -q enable --now main-scheduler-alert@reports.path")
    added.drop_in("[Service]\nNice=4\n")
    added.wait_for_run()
    pid = added.property("MainPID")
    refused = call("remove", "reports")
    assert (refused.returncode, "run in progress" in refused.stderr) == (75, True)
    assert (added.property("MainPID"), is_enabled(machine, added.unit)) == (pid, True)
    assert added.is_running()
    misspelt = call("remove", "reprots", "--now")
    assert (misspelt.returncode, "did you mean reports?" in misspelt.stderr) == (4, True)

    done = call("remove", "reports", "--now")
    assert (done.returncode, done.stderr) == (0, "")
    assert "run 1 was interrupted" in added.log()
    assert (added.property("ActiveState"), added.control_group()) == ("inactive", [])
    found = machine.run(f"find {PLACES} -name 'main-scheduler*@reports*'").stdout.split()
    drop_ins = f"/etc/systemd/system/{added.unit}.d"
    assert sorted(found) == sorted([drop_ins, added.logs, added.state])
    assert [path for path in (SCRIPT, *found) if path not in done.stdout] == []
    assert machine.read(SCRIPT) == GATED


def test_a_masked_instance_is_not_said_to_be_removed_and_metrics_that_stay_are_named(machine, added, call):
    machine.run(f"echo SCHED_METRICS_FILE={added.state}/metrics.prom >>{added.settings_file}")
    added.systemctl("reload")
    machine.wait_until(lambda: machine.exists(f"{added.state}/metrics.prom"), 20, "the metrics are written")
    machine.run(["systemctl", "-q", "mask", added.unit])
    refused = call("remove", "reports", "--now")
    assert (refused.returncode, "systemctl unmask main-scheduler@reports" in refused.stderr) == (1, True)
    assert machine.exists(added.settings_file)
    machine.run(["systemctl", "-q", "unmask", added.unit])
    done = call("remove", "reports", "--now")
    assert (done.returncode, f"goes on reading it: {added.state}/metrics.prom\n" in done.stdout) == (0, True)
    assert not is_enabled(machine, added.unit)


def test_purge_removes_as_the_services_user_and_follows_no_link(machine, added, call):
    added.end_run()
    added.wait_for_runs(1)
    call("remove", "reports")
    assert "the numbers of the runs go on" in call("add", "reports", SCRIPT, "--every", "2h").stdout
    machine.write("/srv/outside/file", "stays\n")
    machine.write(f"{added.state}/roots/file", "stays\n")
    machine.run(f"cd {added.state} && mkdir -p a/b && ln -s /srv/outside a/b/link && ln -s /srv/outside link")
    machine.run(f"chown -R main-scheduler: /srv/outside {added.state}/a")
    purge = ("remove", "reports", "--now", "--purge")
    done = call(*purge)
    assert (done.returncode, f"could be removed: {added.state}: Directory not empty" in done.stderr) == (1, True)
    left = machine.run(f"find {PLACES} -path '*@reports*' | sort").stdout.split()
    assert left == [added.state, f"{added.state}/roots", f"{added.state}/roots/file"]
    machine.run(f"rm -r {added.state}/roots")
    assert call(*purge).stdout.startswith("main-scheduler@reports was removed before\n")
    assert machine.run(f"find {PLACES} -path '*@reports*'").stdout == ""
    assert seen(machine)[1] == ""
    assert machine.read("/srv/outside/file") == "stays\n"
