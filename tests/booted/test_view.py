"""The other commands see what the service sees, and tell the truth also to those who may not look."""

import json
import re

import pytest

SHOWS_ITS_WORLD = """
import os, sys, time
print("mark", os.environ.get("MARK"), os.path.exists("/root/x"), os.access("/etc/default", os.W_OK), flush=True)
while os.path.exists("/opt/main-scheduler/wait"):
    time.sleep(0.05)
print("the last line")
sys.exit(7)
"""
WHO_MAY = "only root and members of the group main-scheduler may look at"


@pytest.fixture
def users(machine):
    machine.run("id stranger >/dev/null 2>&1 || useradd stranger; id member >/dev/null 2>&1 || useradd member")
    machine.run("usermod -a -G main-scheduler member")


def call(machine, *arguments, user=None):
    return machine.run(["main-scheduler", *arguments], check=False, user=user)


def end_of_the_state(service):
    state = json.loads(service.machine.read(f"{service.state}/state.json"))
    return {name: state[name] for name in ("runs", "outcomes", "failures_in_a_row", "last_success", "last_failure")}


@pytest.fixture
def up(machine, service):
    """A service that makes no run by itself, with a variable that only a drop-in gives."""
    service.script("print('ready')\n")
    service.settings(SCHED_ENV="prod")
    service.drop_in("[Service]\nEnvironment=MARK=drop-in\n")
    service.start()
    service.wait_for_runs(1)
    service.script(SHOWS_ITS_WORLD)
    return service


def test_once_of_a_service_that_is_up_is_a_run_of_its_scheduler(machine, up):
    done = call(machine, "once")
    assert done.returncode == 7
    assert re.search(r"stdout run 2 \| mark drop-in False False$", done.stdout, re.MULTILINE)
    assert re.search(r"stdout run 2 \| the last line$", done.stdout, re.MULTILINE)
    assert re.search(r"run 2 failed with exit status 7 .*$", done.stdout.splitlines()[-1])
    assert up.wait_for_runs(2) == ["succeeded", "failed"]
    assert [record["RUN"] for record in up.records() if "OUTCOME" in record] == ["1", "2"]


def test_once_that_is_left_leaves_the_run_and_a_second_is_refused(machine, up):
    machine.write("/opt/main-scheduler/wait", "")
    left = machine.run("timeout --preserve-status -s INT 3 main-scheduler once", check=False)
    assert left.returncode == 130
    assert "run 2 goes on" in left.stderr
    assert call(machine, "once").returncode == 75
    assert call(machine, "trigger").returncode == 75
    machine.run("rm /opt/main-scheduler/wait")
    assert up.wait_for_runs(2)[-1] == "failed"


def test_once_whose_scheduler_is_stopped_ends_with_it(machine, up):
    machine.write("/opt/main-scheduler/wait", "")
    machine.run("(sleep 2; systemctl stop main-scheduler) >/dev/null 2>&1 &")
    assert call(machine, "once").returncode == 130
    assert up.runs()[-1]["outcome"] == "interrupted"


def test_a_state_directory_that_is_roots_makes_no_script_roots(machine, up):
    up.stop()
    machine.run(f"chown root: {up.state}")
    up.script("import os; print('user', os.getuid())\n")
    assert "user 0" not in call(machine, "once").stdout


def test_once_follows_the_log_over_rotations(machine, up):
    up.script("for n in range(40000): print(f'{n:06} ' + 'x' * 60)\n")
    done = call(machine, "once")
    assert done.returncode == 0
    assert re.findall(r"\| (\d{6}) x", done.stdout) == [f"{n:06}" for n in range(40000)]


def test_once_of_a_service_that_is_down_counts_for_nothing(machine, up):
    up.stop()
    before = end_of_the_state(up)
    files = machine.run(["stat", "-c", "%n %Y", f"{up.state}/last_success.txt"]).stdout
    for exit_status in (7, 0):
        up.script(f"import os, sys; print(os.umask(0), os.environ['MARK']); sys.exit({exit_status})\n")
        done = call(machine, "once")
        assert done.returncode == exit_status
        assert len([line for line in done.stderr.splitlines() if "neither as the service's success nor" in line]) == 1
        umask = int(up.property("UMask"), 8)
        assert f"{umask} drop-in" in done.stdout
    assert end_of_the_state(up) == before
    assert machine.run(["stat", "-c", "%n %Y", f"{up.state}/last_success.txt"]).stdout == files
    assert not machine.exists(f"{up.state}/last_failure.json")
    up.start()
    assert [run["number"] for run in up.runs()][:1] == [1]
    machine.wait_until(lambda: up.runs()[-1]["number"] == 4, 10, "no number is given twice")


@pytest.mark.parametrize("fault", ["SCHED_ENV=porduction", "SCHED_TIMEUOT=3", "directory", "missing"])
def test_reload_with_faulty_settings_fails_and_says_why(machine, up, fault):
    machine.forget_journal()
    machine.run(f"rm {up.settings_file}")
    if fault == "directory":
        machine.run(f"mkdir {up.settings_file}")
    elif fault != "missing":
        machine.write(up.settings_file, f"{fault}\n", 0o644)
    assert up.systemctl("reload", check=False).returncode != 0
    why = fault.partition("=")[0] if "=" in fault else f"{up.settings_file} cannot be read"
    assert why in machine.journal(f"--unit={up.unit}")
    assert (up.property("ActiveState"), up.property("Result")) == ("active", "success")
    told = call(machine, "status")
    assert (told.returncode, "every 4 h" in told.stdout, why in told.stdout) == (1, True, True)
    # A typo does not keep anybody from asking for a run.
    assert call(machine, "trigger").returncode == 0
    machine.run(f"rm -rf {up.settings_file}")
    up.settings(SCHED_INTERVAL="3h")
    up.systemctl("reload")
    machine.wait_until(lambda: "every 3 h" in call(machine, "status").stdout, 10, "good settings count")


@pytest.mark.parametrize("command", ["status", "check", "history", "trigger", "once"])
def test_a_stranger_is_told_who_may_look(machine, up, users, command):
    done = call(machine, command, user="stranger")
    assert (done.returncode, done.stdout) == (4, "")
    assert WHO_MAY in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_member_is_told_what_only_others_see(machine, up, users):
    assert call(machine, "status", user="member").returncode == 0
    seen = call(machine, "history", user="member")
    assert (seen.returncode, "systemd-journal" in seen.stderr) == (0, True)
    assert call(machine, "history").stderr == ""
    looked = call(machine, "check", user="member")
    assert (looked.returncode, "only root sees the rest" in looked.stdout) == (4, True)
    for command in ("once", "trigger"):
        done = call(machine, command, user="member")
        assert (done.returncode, "try with sudo" in done.stderr) == (1, True)


@pytest.mark.parametrize("command", ["status", "check", "history", "trigger", "once"])
def test_an_instance_that_does_not_exist_is_an_error_that_names_the_nearest(machine, service, reports, command):
    reports.settings(SCHED_ENV="prod")
    done = call(machine, command, "reprots")
    assert (done.returncode, done.stdout) == (4, "")
    assert "there is no instance reprots" in done.stderr
    assert "did you mean reports?" in done.stderr


def test_the_environment_of_the_manager_counts_but_for_what_is_unset(machine, service):
    machine.run("mkdir -p /srv/state && chown main-scheduler: /srv/state")
    machine.run("systemctl set-environment SCHED_STATE_DIR=/srv/state SCHED_ENV=prdo")
    try:
        service.drop_in("[Service]\nReadWritePaths=/srv/state\nUnsetEnvironment=SCHED_ENV\n")
        service.start()
        assert service.wait_for_runs(1) == ["succeeded"]
        assert machine.exists("/srv/state/state.json")
        assert call(machine, "status").returncode == 0
    finally:
        machine.run("systemctl unset-environment SCHED_STATE_DIR SCHED_ENV; rm -r /srv/state")


def test_directories_and_command_of_a_drop_in_are_those_of_the_service(machine, service):
    machine.write("/srv/other/main.py", "print('the other')\n")
    machine.write("/etc/other.env", "SCHED_ENV=prod\n", 0o644)
    run = "/usr/local/bin/main-scheduler run --env-file /etc/other.env --main /srv/other/main.py"
    directories = "StateDirectory=\nStateDirectory=other\nLogsDirectory=\nLogsDirectory=other\n"
    service.drop_in(f"[Service]\nEnvironmentFile=\n{directories}ExecStart=\nExecStart={run}\n")
    service.start()
    try:
        assert service.wait_for_runs(1) == ["succeeded"]
        assert "every 4 h" in call(machine, "list").stdout
        service.stop()
        assert "the other" in call(machine, "once").stdout
        assert not machine.exists(service.state)
    finally:
        machine.run("systemctl stop main-scheduler; rm -rf /var/lib/other /var/log/other /srv/other")


def test_status_says_why_systemd_does_not_have_it_up(machine, service):
    service.drop_in("[Service]\nReadWritePaths=/srv/none\n")
    service.systemctl("start", check=False)
    told = call(machine, "status")
    assert (told.returncode, "systemd starts it again and again" in told.stdout) == (3, True)
    service.systemctl("stop")
    service.systemctl("mask", "--runtime")
    assert "it is masked" in call(machine, "status").stdout


def test_list_has_a_line_for_each_and_exits_as_the_worst(machine, up, reports):
    reports.settings(SCHED_INTERVAL="2h")
    machine.run("systemctl -q enable main-scheduler main-scheduler@lost")
    machine.run("mkdir /var/lib/main-scheduler@removed; touch /etc/default/main-scheduler@reports~")
    try:
        done = call(machine, "list")
        lines = {line.split()[0]: line for line in done.stdout.splitlines()}
        assert done.returncode == 3
        assert re.search(r" up +every 4 h +succeeded [\d.]+ m?s ago +[\d.]+ m?s ago +\d{4}-", lines[up.name])
        assert re.search(r" down +every 2 h +none +never +none +not enabled$", lines[reports.name])
        assert "/etc/default/main-scheduler@lost cannot be read" in lines["main-scheduler@lost"]
        told = json.loads(call(machine, "list", "--json").stdout)
        assert [(entry["name"], entry["up"], entry["enabled"]) for entry in told] == [
            (up.name, True, True),
            ("main-scheduler@lost", False, True),
            (reports.name, False, False),
        ]
        up.stop()
        up.settings(SCHED_INTERVAL="30min")
        assert re.search(rf"(?m)^{up.name} +down +every 30 min ", call(machine, "list").stdout)
    finally:
        machine.run("systemctl -q disable main-scheduler main-scheduler@lost")


def test_list_of_twenty_takes_one_call_and_little_time(machine, up):
    for n in range(20):
        machine.write(f"/etc/default/main-scheduler@i{n}", "SCHED_ENV=prod\n", 0o640)
    machine.run("chgrp main-scheduler /etc/default/main-scheduler@*")
    machine.run(["bash", "-c", "TIMEFORMAT='%U %S'; time main-scheduler list >/dev/null || true"])
    took = machine.run(
        ["bash", "-c", "TIMEFORMAT='%U %S'; { time main-scheduler list >/dev/null || true; } 2>&1"]
    ).stdout
    assert sum(map(float, took.split())) < 0.5


IS_ROOT = "#!/bin/sh\nid -u > /tmp/ran-as\n"


@pytest.mark.parametrize(
    "trap",
    [
        "ln -s /var/lib scheduler",
        "mkdir scheduler; rm main.py; ln -s /opt/roots/main.py main.py",
        "ln -s /opt/roots scheduler; chmod 4755 main.py",
    ],
)
def test_root_in_a_strangers_directory_runs_nothing_as_root(machine, users, trap):
    machine.write("/opt/roots/main.py", IS_ROOT, 0o755)
    machine.run("rm -rf /tmp/ran-as /srv/trap; install -d -o stranger /srv/trap")
    machine.write("/srv/trap/main.py", IS_ROOT, 0o755)
    machine.run(f"cd /srv/trap && chown stranger: main.py && runuser -u stranger -- sh -c '{trap}'")
    machine.run("cd /srv/trap && SECRET=1 main-scheduler once --here", check=False)
    assert machine.run("cat /tmp/ran-as", check=False).stdout.strip() != "0"


def test_root_in_a_directory_of_its_own_that_others_can_change_runs_nothing(machine, users):
    machine.run("rm -rf /tmp/ran-as /srv/shared; install -d -m 777 /srv/shared")
    machine.write("/srv/shared/main.py", IS_ROOT, 0o755)
    done = machine.run("cd /srv/shared && main-scheduler once --here", check=False)
    assert (done.returncode, "others than root can change /srv/shared" in done.stderr) == (1, True)
    machine.run("chmod 755 /srv/shared; cd /srv/shared && main-scheduler once --here")
    assert machine.read("/tmp/ran-as") == "0\n"


def test_a_strangers_script_gets_nothing_of_roots_environment(machine, users):
    machine.run("rm -rf /srv/trap; install -d -o stranger /srv/trap")
    machine.write("/srv/trap/main.py", "import os; print(sorted(os.environ)); print(os.getgroups(), os.getuid())\n")
    machine.run("chown stranger: /srv/trap/main.py")
    done = machine.run(
        "cd /srv/trap && TOKEN=1 LD_PRELOAD= SSH_AUTH_SOCK=/x SCHED_TIMEOUT=5s main-scheduler once --here"
    )
    assert "TOKEN" not in done.stdout
    assert "SSH_AUTH_SOCK" not in done.stdout
    assert "'HOME'" in done.stdout
    assert "'SCHED_TIMEOUT'" in done.stdout
    assert re.search(r"\| \[(\d+)\] \1$", done.stdout, re.MULTILINE)


def test_a_member_can_hold_no_lock_of_the_scheduler(machine, up, users):
    lock = f"{up.state}/lock"
    asked = machine.run(["cat", lock], user="member", check=False)
    assert (asked.returncode, "Permission denied" in asked.stderr) == (1, True)
    seen = call(machine, "status", "--json", user="member")
    assert (seen.returncode, json.loads(seen.stdout)["pid"]) == (0, int(up.property("MainPID")))
