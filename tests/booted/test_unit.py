"""The unit files as systemd sees them, and the environment file as both of its readers do."""

import re

import pytest
from service import CHECKOUT

from sched_runner.settings import table

SECURITY = (CHECKOUT / "SECURITY.md").read_text()
DROP_INS = sorted(path.name for path in (CHECKOUT / "deploy/systemd/drop-ins").iterdir())
UNITS = ["main-scheduler.service", "main-scheduler@reports.service"]
ALERT_UNITS = [f"main-scheduler-alert{at}.{kind}" for at in ("", "@reports") for kind in ("service", "path", "timer")]

GOOD_LINES = r"""
PLAIN=value
SPACED = a value with spaces   
HASH=a#b
DOUBLE="one pair of quotes"
SINGLE='one pair of quotes'
JSON={"hours": 7, "minutes": 30}
QUOTED_JSON='{"hours": 7}'
DOLLAR=$HOME and $
UMLAUT=Grüße
EMPTY=
# a comment
#COMMENTED=1
"""

PRINT_ENVIRONMENT = "import json, os; print(json.dumps({n: os.environ[n] for n in %s}))"


@pytest.mark.parametrize("unit", UNITS + ALERT_UNITS)
def test_verify_has_nothing_to_say(machine, unit):
    verified = machine.run(["systemd-analyze", "verify", "--man=no", unit])  # minimal hosts have no man(1)
    assert verified.stdout + verified.stderr == ""


@pytest.mark.parametrize("drop_in", DROP_INS)
def test_verify_has_nothing_to_say_about_a_drop_in(machine, reports, drop_in):
    reports.drop_in(drop_in)
    verified = machine.run(["systemd-analyze", "verify", "--man=no", reports.unit])
    assert verified.stdout + verified.stderr == ""


def exposure(machine, unit):
    summary = machine.run(["systemd-analyze", "security", "--no-pager", unit]).stdout.splitlines()[-1]
    return re.search(r"Overall exposure level for .*: ([0-9.]+) ", summary)[1]


def test_exposure_is_what_security_md_says(machine, reports):
    """Of both units, of the instance, and with each of the drop-ins."""
    stated = dict(re.findall(r"(?m)^\| `([\w.-]+)` \| ([0-9.]+) \|", SECURITY))
    measured = {unit: exposure(machine, f"{unit}.service") for unit in ("main-scheduler", "main-scheduler-alert")}
    assert exposure(machine, reports.unit) == measured["main-scheduler"]
    for drop_in in DROP_INS:
        reports.drop_in(drop_in)
        measured[drop_in] = exposure(machine, reports.unit)
        machine.run(f"rm -r /etc/systemd/system/{reports.unit}.d && systemctl daemon-reload")
    assert measured == stated
    assert float(measured["main-scheduler"]) <= 1.3
    assert float(measured["main-scheduler-alert"]) <= 6.3


def test_every_directive_is_known(machine):
    """Older versions only log what they don't know."""
    machine.run("systemctl daemon-reload && systemctl start main-scheduler")
    assert "Unknown key" not in machine.journal("_PID=1")


def test_template_is_the_same_unit_with_its_own_paths(machine, service, reports):
    """Every property that names a path differs by the instance's name alone."""
    assert service.property("LogsDirectory") == "main-scheduler"
    assert reports.property("LogsDirectory") == "main-scheduler@reports"
    assert reports.property("StateDirectory") == "main-scheduler@reports"
    assert reports.property("EnvironmentFiles") == "/etc/default/main-scheduler@reports (ignore_errors=yes)"
    assert "--main /opt/main-scheduler/main.py ;" in service.property("ExecStart")
    assert "--main /opt/main-scheduler/reports/main.py ;" in reports.property("ExecStart")
    template = machine.read("/usr/local/lib/systemd/system/main-scheduler@.service")
    assert template.replace("/%i/", "/") == machine.read("/usr/local/lib/systemd/system/main-scheduler.service")


def test_missing_settings_fail_the_start(machine, service):
    machine.run(["rm", service.settings_file])
    assert service.systemctl("start", check=False).returncode != 0
    assert service.property("ActiveState") != "active"


def test_shipped_settings_are_valid(machine, service):
    service.start()
    assert service.property("ActiveState") == "active"
    assert machine.read(service.settings_file).count("\nSCHED_") == 1


def test_good_lines_are_read_alike_by_systemd_and_dotenv(machine):
    machine.write("/tmp/good.env", GOOD_LINES)
    names = re.findall(r"(?m)^(\w+) ?=", GOOD_LINES)
    script = PRINT_ENVIRONMENT % names
    by_systemd = machine.run(
        [
            "systemd-run",
            "--quiet",
            "--pipe",
            "--wait",
            "-p",
            "EnvironmentFile=/tmp/good.env",
            "/usr/bin/python3",
            "-c",
            script,
        ]
    )
    dotenv = (
        "import dotenv, json, os; "
        f"os.environ.update(dotenv.dotenv_values('/tmp/good.env', interpolate=False)); {script}"
    )
    assert machine.run(["python3", "-c", dotenv]).stdout == by_systemd.stdout
    assert len(names) == 10


def test_shipped_settings_once_uncommented_are_read_alike(machine):
    machine.run("sed 's/^#SCHED_/SCHED_/' /etc/default/main-scheduler > /tmp/all.env")
    names = re.findall(r"(?m)^(SCHED_\w+)=", machine.read("/tmp/all.env"))
    script = PRINT_ENVIRONMENT % names
    by_systemd = machine.run(
        [
            "systemd-run",
            "--quiet",
            "--pipe",
            "--wait",
            "-p",
            "EnvironmentFile=/tmp/all.env",
            "/usr/bin/python3",
            "-c",
            script,
        ]
    )
    dotenv = (
        f"import dotenv, json, os; os.environ.update(dotenv.dotenv_values('/tmp/all.env', interpolate=False)); {script}"
    )
    assert machine.run(["python3", "-c", dotenv]).stdout == by_systemd.stdout
    assert tuple(names) == table.NAMES


def test_catalog_knows_all_records(machine):
    for number in range(1, 9):
        explained = machine.run(f"journalctl --dump-catalog 0d3b1c7f5c1f4d0e9a7c6b1f2a3e4d0{number}").stdout
        assert "Defined-By: main-scheduler" in explained
