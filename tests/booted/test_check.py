"""`main-scheduler check`: with the service's eyes, whatever its drop-ins say; and nothing stays of the look."""

import re

import pytest

PREPARE = "mkdir -p /srv/directory && "


@pytest.fixture
def check(machine):
    """What check prints on both streams, and its exit status."""

    def call(*arguments, user=None):
        before = machine.run("ls -A /var/lib /var/log /run /run/systemd/system").stdout
        done = machine.run(["main-scheduler", "check", *arguments], check=False, user=user)
        assert machine.run("ls -A /var/lib /var/log /run /run/systemd/system").stdout == before
        assert "main-scheduler-check" not in machine.run("systemctl list-units --all --plain --no-legend").stdout
        return done

    return call


def faults(done):
    assert done.returncode == 78
    return [line.strip() for line in done.stderr.splitlines()[1:]]


def test_six_faults_and_more_are_all_told_at_once(machine, service, check):
    machine.run(PREPARE + f"chmod 600 {service.script_file} && chown root: {service.script_file}")
    service.settings(
        SCHED_ENV="prdo",
        SCHED_PYTHON="/srv/directory",
        SCHED_STATE_DIR="/srv/state",
        SCHED_LOG_DIR="/srv/log",
        SCHED_METRICS_FILE="/var/lib/prometheus/x.prom",
        SCHED_ALERT_COMMAND="/usr/local/bin/telegram | tee",
        SCHED_TIMEUOT="3",
    )
    told = faults(check())
    expected = (
        r"SCHED_ENV=prdo: no such environment",
        r"SCHED_TIMEUOT: no such setting \(did you mean SCHED_TIMEOUT",
        r"the interpreter /srv/directory is a directory",
        rf"{service.script_file}: Permission denied",
        r"SCHED_STATE_DIR: .*cannot write to /srv: name /srv/state with ReadWritePaths=",
        r"SCHED_LOG_DIR: .*/srv",
        r"SCHED_METRICS_FILE: .*/var/lib",
        r"SCHED_ALERT_COMMAND: /usr/local/bin/telegram is not there",
        r"SCHED_ALERT_COMMAND: no shell reads it, so that \| is a mere word: use sh -c",
    )
    assert [pattern for pattern in expected if not any(re.search(pattern, fault) for fault in told)] == []
    assert len(told) == len(expected)


@pytest.mark.parametrize(
    ("setting", "fault"),
    [
        ("SCHED_PYTHON=/usr/bin/python3 -u", r"python3 -u: .*; SCHED_PYTHON takes no options"),
        ("SCHED_PYTHON=pyhton3", r"the interpreter pyhton3 is not in PATH="),
        ("SCHED_ALERT_COMMAND=cat && true", r"&& is a mere word"),
        ("SCHED_ALERT_COMMAND=echo a; true", r"; is a mere word"),
        ("SCHED_ALERT_COMMAND=cat > /tmp/x", r"> is a mere word"),
        ("SCHED_WORKDIR=/srv/none", r"the working directory /srv/none is not there"),
        ("SCHED_ALERT_MAIL=root", r"SCHED_ALERT_MAIL: this host has no /usr/sbin/sendmail"),
        ("A=b\r", r"has the line ends of Windows"),
    ],
)
def test_each_setting_that_cannot_work_on_this_host_is_a_fault(machine, service, check, setting, fault):
    machine.run(["sh", "-c", f"printf '%s\\n' \"$1\" > {service.settings_file}", "sh", setting])
    machine.run("mv /usr/sbin/sendmail /usr/sbin/sendmail.away")
    try:
        told = faults(check())
    finally:
        machine.run("mv /usr/sbin/sendmail.away /usr/sbin/sendmail")
    assert len(told) == 1
    assert re.search(fault, told[0])


def test_what_works_is_no_fault(machine, service, check):
    service.settings(SCHED_ALERT_COMMAND="sh -c 'cat | tee /tmp/x'", SCHED_ALERT_MAIL="root", SCHED_PYTHON="python3")
    done = check()
    assert done.returncode == 0
    assert (
        "SCHED_ALERT_MAIL is set, but main-scheduler-alert.path and main-scheduler-alert.timer are not enabled"
        in done.stdout
    )
    machine.run(["rm", service.script_file])
    done = check()
    assert (done.returncode, "is not there (yet)" in done.stdout) == (0, True)


def test_each_value_is_exact_and_from_where_systemd_has_it(machine, service, check):
    """A drop-in's file over the shipped one, which only root can read, and a drop-in's own value."""
    service.settings(SCHED_ENV="test", SCHED_STOP_GRACE="59.6s")
    machine.write("/etc/prod.env", "SCHED_ENV=prod\n", 0o600)
    service.drop_in('[Service]\nEnvironmentFile=/etc/prod.env\nEnvironment="SCHED_TIMEOUT=26h 30min"\n')
    done = check()
    assert done.returncode == 0
    shown = {line.split()[0]: " ".join(line.split()[1:]) for line in done.stdout.splitlines() if line[:6] == "SCHED_"}
    assert shown["SCHED_ENV"] == "prod from /etc/prod.env"
    assert shown["SCHED_INTERVAL"] == "4 h from the default"
    assert shown["SCHED_STOP_GRACE"] == f"59.6 s from {service.settings_file}"
    assert shown["SCHED_TIMEOUT"] == f"1 d 2 h 30 min from /etc/systemd/system/{service.unit}.d/test.conf"
    assert len(re.findall(r"(?m)^  \d{4}-\d\d-\d\d ", done.stdout)) == 5


def test_what_keeps_systemd_from_starting_the_service_is_named(machine, service, check):
    machine.write("/etc/ping", "ftp://secret\n", 0o600)
    service.drop_in(
        "[Service]\nEnvironmentFile=/etc/none.env\nEnvironmentFile=/etc/default\nLoadCredential=smtp:/etc/none\n"
        "LoadCredential=ping-url:/etc/ping\n"
    )
    told = faults(check())
    assert told[:3] == [
        "/etc/none.env cannot be read: No such file or directory",
        "/etc/default cannot be read: it is not a regular file",
        "/etc/none is not there: without its credential smtp the service does not start",
    ]
    assert [fault for fault in told[3:] if "the credential ping-url" not in fault or "secret" in fault] == []
    assert len(told) == 4
    service.drop_in("[Service]\nReadWritePaths=/srv/none\n")
    assert re.search(r"systemd could not start it: .*/srv/none: No such file", faults(check())[0])
    service.drop_in("[Service]\nUser=nobody2\n")
    assert faults(check())[0] == "User=nobody2: there is no such user"
    for line, why in (
        ("Group=nobody2", "Failed to determine group credentials"),
        ("WorkingDirectory=/nope", "Changing to the requested working directory failed"),
        ("LogLevelMax=crit\nReadWritePaths=/srv/none", "Failed to set up mount namespacing"),
    ):
        service.drop_in(f"[Service]\n{line}\n")
        assert faults(check())[0].startswith(f"systemd could not start it: {why}")


def test_systemd_s_reason_is_found_although_the_journal_is_late(machine, service):
    service.settings(SCHED_ENV="prod")
    service.drop_in("[Service]\nReadWritePaths=/srv/none\n")
    failed = ["systemctl", "list-units", "--state=failed", "--plain", "--no-legend", "main-scheduler-check-*"]
    machine.run("systemctl kill --signal=STOP systemd-journald")
    try:
        machine.run(
            "systemd-run --quiet --unit=late-check --property=StandardOutput=file:/run/late main-scheduler check"
        )
        machine.wait_until(lambda: machine.run(failed).stdout, 20, "systemd could not start it")
    finally:
        machine.run("systemctl kill --signal=CONT systemd-journald")
    told = machine.wait_until(lambda: machine.read("/run/late"), 20, "check has ended")
    assert re.search(r"systemd could not start it: .*/srv/none: No such file", told)


@pytest.mark.parametrize("mode", [None, 0o600])
def test_a_settings_file_that_the_service_cannot_read_is_named(machine, service, check, mode):
    machine.run(f"rm {service.settings_file}")
    if mode is not None:
        machine.write(service.settings_file, "SCHED_ENV=prod\n", mode)
    why = "No such file or directory" if mode is None else "Permission denied; the user main-scheduler must be able"
    assert [why in fault and service.settings_file in fault for fault in faults(check())] == [True]
    # The start says the same, once.
    assert service.systemctl("start", check=False).returncode != 0
    assert (service.property("ExecMainStatus"), service.property("NRestarts")) == ("78", "0")
    assert f"{service.settings_file} cannot be read" in machine.journal(f"--unit={service.unit}")
    told = machine.run(["main-scheduler", "status"], check=False)
    assert (told.returncode, "wrong: the settings are faulty" in told.stdout) == (3, True)


def test_a_look_at_a_service_that_is_up_takes_nothing_from_it(machine, service, check):
    service.drop_in("[Service]\nRuntimeDirectory=ours\nExecStartPre=/bin/touch /run/ours/begun\n")
    service.settings(SCHED_ENV="prod")
    service.start()
    service.wait_for_runs(1)
    pid = service.property("MainPID")
    machine.run("rm /run/ours/begun")
    assert check().returncode == 0
    assert machine.run("ls -A /run/ours").stdout == ""
    assert (service.property("MainPID"), service.property("ActiveState")) == (pid, "active")


def test_check_of_an_instance_has_its_names(machine, reports, check):
    reports.settings(SCHED_ENV="prod")
    done = check("reports")
    assert done.returncode == 0
    assert f"SCHED_ENV prod from {reports.settings_file}" in " ".join(done.stdout.split())
    assert f"{reports.script_file} is not there (yet)" in done.stdout


def test_a_masked_service_and_one_whose_files_have_changed_are_told(machine, service, check):
    service.drop_in("[Service]\nNice=4\n")
    service.start()
    machine.run("sleep 1.1")  # systemd compares the times of the files
    machine.write(f"/etc/systemd/system/{service.unit}.d/test.conf", "[Service]\nNice=5\n")
    assert "they count after systemctl daemon-reload" in check().stdout
    service.systemctl("daemon-reload")
    service.stop()
    service.systemctl("mask", "--runtime")
    assert faults(check()) == [f"{service.unit} is masked"]


def test_a_drop_in_for_all_services_keeps_its_place_among_those_of_the_service(machine, service, check):
    machine.write("/run/systemd/system/service.d/10.conf", "[Service]\nEnvironment=SCHED_INTERVAL=11h\n")
    try:
        service.drop_in("[Service]\nEnvironment=SCHED_INTERVAL=5h\n")
        assert "SCHED_INTERVAL 5 h from" in " ".join(check().stdout.split())
    finally:
        machine.run("rm -r /run/systemd/system/service.d && systemctl daemon-reload")


def test_a_condition_that_does_not_hold_is_named(machine, service, check):
    service.systemctl("enable")
    service.drop_in("[Unit]\nConditionPathExists=/none\n")
    service.start()
    assert service.property("ActiveState") == "inactive"
    assert "ConditionPathExists=/none" in faults(check())[0]
    told = machine.run(["main-scheduler", "status"], check=False)
    assert (told.returncode, "a condition of the unit does not hold" in told.stdout) == (3, True)


def test_what_only_the_service_gets_from_systemd_is_told(machine, service, check):
    machine.write("/etc/secret.env", "SCHED_ALERT_COMMAND=cat\n", 0o600)
    machine.write("/etc/other.env", "A=b\\ c\n", 0o644)
    service.drop_in("[Service]\nEnvironmentFile=/etc/secret.env\nEnvironmentFile=/etc/other.env\n")
    done = check()
    assert [fault.partition(":")[0] for fault in faults(done)] == ["SCHED_ALERT_COMMAND"]
    assert "warning: /etc/other.env:1: has a backslash" in done.stdout
    # The way that root tries is that of the alert's unit.
    told = machine.run("main-scheduler alert --test", check=False).stdout
    assert "neither SCHED_ALERT_MAIL nor SCHED_ALERT_COMMAND is set" in told


def test_users_who_cannot_see_the_state_are_named(machine, service, check):
    machine.run("id other >/dev/null 2>&1 || useradd other")
    service.group = "other"
    service.settings(SCHED_ENV="prod")
    service.drop_in("[Service]\nUser=other\nGroup=other\n")
    assert "main-scheduler-alert.service has User=main-scheduler, who cannot look" in check().stdout
    service.drop_in("[Service]\nDynamicUser=yes\n")
    assert faults(check())[0].startswith("DynamicUser=yes hides the state")
