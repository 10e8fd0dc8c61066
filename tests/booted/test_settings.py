"""The environment file as shipped, and who may read what."""

import json
import re

import pytest

from sched_runner.settings import table

PRINTS_ENVIRONMENT = "import json, os; print(json.dumps(dict(os.environ)))\n"
SHOWS_WHAT_DOTENV_READS = """
import dotenv, json, sys
print(json.dumps(dotenv.dotenv_values(sys.argv[1], interpolate=False)))
"""


@pytest.fixture
def reader(machine):
    """A user who is in the group."""
    machine.run("useradd --groups main-scheduler reader")
    yield "reader"
    machine.run("userdel reader 2>/dev/null")


@pytest.mark.parametrize("uncommented", [False, True])
def test_main_gets_the_shipped_settings_as_dotenv_reads_them(machine, service, uncommented):
    if uncommented:
        machine.run(f"sed -i 's/^#SCHED_/SCHED_/' {service.settings_file}")
    service.script(PRINTS_ENVIRONMENT)
    service.start()
    assert service.wait_for_runs(1) == ["succeeded"]
    printed = re.search(r"stdout run 1 \| (.*)", service.log())[1]
    environment = {name: value for name, value in json.loads(printed).items() if name.startswith("SCHED_")}
    read = json.loads(machine.run(["python3", "-c", SHOWS_WHAT_DOTENV_READS, service.settings_file]).stdout)
    assert environment == read | {"SCHED_RUN": "1", "SCHED_ATTEMPT": "1"}
    assert len(read) == (len(table.NAMES) if uncommented else 1)


def test_logs_and_state_are_for_the_group_and_not_for_others(machine, service, reader):
    service.script("import os, sys; sys.exit(os.environ['SCHED_RUN'] != '1')\n")
    service.start()
    service.wait_for_runs(1)
    service.trigger()
    assert service.wait_for_runs(2) == ["succeeded", "failed"]
    for file in (f"{service.logs}/scheduler.log", f"{service.logs}/scheduler.err", f"{service.state}/last_success.txt"):
        assert machine.run(["stat", "-c", "%a %G", file]).stdout == "640 main-scheduler\n"
        assert machine.run(["cat", file], user=reader, check=False).returncode == 0
        assert machine.run(["cat", file], user="nobody", check=False).returncode != 0
        assert machine.run(f"echo >> {file}", user=reader, check=False).returncode != 0


def test_status_is_for_the_group_and_unknown_to_others(machine, service, reader):
    service.script("print('done')\n")
    service.start()
    service.wait_for_runs(1)
    assert machine.run(["main-scheduler", "status"], user=reader).returncode == 0
    stranger = machine.run(["main-scheduler", "status"], user="nobody", check=False)
    assert stranger.returncode == 4
    assert stranger.stdout == ""
    service.stop()
    assert machine.run(["main-scheduler", "status"], user=reader, check=False).returncode == 3


def test_a_calendar_follows_the_time_zone_of_the_host(machine, service):
    service.settings(SCHED_CALENDAR="08:00", SCHED_START="due")
    service.start()
    assert service.status()["next_due"] % 86400 == 8 * 3600
    before = machine.run("readlink /etc/localtime").stdout.strip()
    machine.run("ln -sfn /usr/share/zoneinfo/Asia/Kolkata /etc/localtime")
    try:
        service.systemctl("reload")  # the loop looks sooner than after its sleep
        machine.wait_until(lambda: service.status()["next_due"] % 86400 == 2.5 * 3600, 30, "08:00 in Kolkata")
    finally:
        machine.run(["ln", "-sfn", before, "/etc/localtime"])
