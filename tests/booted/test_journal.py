"""What reaches the journal, and what happens where it is slow, gone or flooded."""

import json
import re
import time

import pytest
from service import CHECKOUT, GATED, SOURCE, Service, reset

RUN_FAILED = "0d3b1c7f5c1f4d0e9a7c6b1f2a3e4d02"
RUN_SKIPPED = "0d3b1c7f5c1f4d0e9a7c6b1f2a3e4d04"
CLOCK_STEPPED = "0d3b1c7f5c1f4d0e9a7c6b1f2a3e4d06"
LINES_LOST = "0d3b1c7f5c1f4d0e9a7c6b1f2a3e4d07"

INFO, NOTICE, WARNING, ERR = "6", "5", "4", "3"

CATALOG = (CHECKOUT / "deploy/systemd/main-scheduler.catalog").read_text()

SAYS_A_LITTLE = """
import os, sys
print("<3>one")
print("<3>two", file=sys.stderr)
sys.exit(os.environ["SCHED_RUN"] != "1")
"""

# One way to end per run.
ENDS_IN_MANY_WAYS = f"""
import os, signal, subprocess, sys, time
run = int(os.environ["SCHED_RUN"])
if run == 2:
    sys.exit(3)
if run == 3:
    os.kill(os.getpid(), signal.SIGKILL)
if run == 4:
    subprocess.Popen(["sleep", "600"])
if run == 5:
    time.sleep(600)
if run >= 7:
    exec({GATED!r})
"""

OFFSET = "/etc/main-scheduler/offset"
CLOCK_OF_ITS_OWN = f"""
sys.path.append({f"{SOURCE}/tests/support"!r})
import faults
faults.shift_clock({OFFSET!r})
"""

LINES = 300_000
FLOOD = f"""
import sys
sys.stdout.write("".join(f"line {{number:06}} end\\n" for number in range({LINES})))
"""

# Numbered lines on both channels until the gate opens; then how many there were, and how long the longest took.
COUNTS = """
import os, sys, threading, time
gate, result = (os.environ["STATE_DIRECTORY"] + "/" + name for name in ("end", "result"))
number, longest, blocked = 0, 0.0, 0.0
while not os.path.exists(gate):
    for _ in range(ROUND):
        for stream in (sys.stdout, sys.stderr):
            before = time.monotonic()
            stream.write(f"line {number:06} end\\n")
            stream.flush()
            took = time.monotonic() - before
            longest = max(longest, took)
            blocked += took if took > 0.3 else 0
        number += 1
    time.sleep(0.001)
if not os.path.exists(result):  # else it is the next run, which found the gate open
    open(result, "w").write(f"{number} {longest} {blocked}")
"""

# The journal's streams have buffers of several megabytes: these are full at once.
SMALL_BUFFERS = """
import os, socket
from sched_runner.output import journal
connect = journal._connect
def small(*arguments):
    descriptor = connect(*arguments)
    with socket.socket(fileno=os.dup(descriptor)) as stream:
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
    return descriptor
journal._connect = small
"""

BINARY = r"""
import os
os.write(1, bytes(range(256)) + b"\n")
os.write(1, b"red \x1b[31mtext\x1b[0m\n")
os.write(2, "broken \u00fc".encode()[:-1] + b" tail\n")
os.write(1, b"\n")
os.write(1, b"no newline")
"""


def lines_of(text, channel):
    """The numbers of the lines in the journal or the log, in its order."""
    return [int(number) for number in re.findall(rf"(?m){channel} run \d+ \| line (\d{{6}}) end$", text)]


@pytest.mark.parametrize("instance", [None, "reports"])
def test_every_line_has_its_priority_unit_run_and_channel(machine, instance):
    service = Service(machine, instance)
    service.settings(SCHED_INTERVAL="1h")
    service.script(SAYS_A_LITTLE)
    service.start()
    service.wait_for_runs(1)
    service.trigger()
    service.wait_for_runs(2)
    service.stop()
    records = service.records()
    assert {entry["_SYSTEMD_UNIT"] for entry in records} == {service.unit}
    expected = [
        (INFO, r".*/main.py runs every 1 h .*"),
        *run_of_two_lines(1, INFO, "succeeded"),
        (INFO, "asked to run now"),
        *run_of_two_lines(2, ERR, "failed with exit status 1"),
        (INFO, "stopping"),
        (INFO, "stopped"),
    ]
    for priority, pattern in expected:
        found = [entry["PRIORITY"] for entry in records if re.fullmatch(pattern, entry["MESSAGE"])]
        assert found == [priority], pattern
    assert len(records) == len(expected)


def run_of_two_lines(run, priority, ending):
    return [
        (INFO, rf"run {run} started: .*"),
        (INFO, rf"stdout run {run} \| <3>one"),
        (NOTICE, rf"stderr run {run} \| <3>two"),
        (priority, rf"run {run} {ending} .*"),
    ]


@pytest.fixture(scope="module")
def eventful(installed):
    """A service to which everything has happened: its records, and what journalctl says about them."""
    machine = installed
    reset(machine)
    service = Service(machine)
    service.settings(SCHED_INTERVAL="1h", SCHED_TIMEOUT="2s", SCHED_STOP_GRACE="1s")
    service.drop_in("[Service]\nRestartSec=100ms\n")
    machine.write(OFFSET, "0.0")
    service.patch(CLOCK_OF_ITS_OWN)
    service.script(ENDS_IN_MANY_WAYS)
    service.start()
    for ended in range(1, 5):
        service.wait_for_runs(ended)
        service.trigger()
    service.wait_for_runs(5)  # timed out
    machine.run(["mv", service.script_file, "/opt/main-scheduler/away"])
    service.trigger()
    service.wait_for_runs(6)  # not started
    machine.run("systemctl start main-scheduler-alert")
    machine.run(["mv", "/opt/main-scheduler/away", service.script_file])

    service.settings(SCHED_INTERVAL="1h", SCHED_STOP_GRACE="1s")
    service.systemctl("reload")
    service.trigger()
    service.wait_for_run()
    service.ask_for_a_run()
    machine.wait_until(lambda: message(service, RUN_SKIPPED), 10, "a run is skipped")
    service.systemctl("kill", "--signal=KILL", "--kill-whom=main")
    service.wait_for_runs(7)  # interrupted by a crash

    machine.run(["systemd-run", "--quiet", "--unit=once", "main-scheduler", "once"])
    service.wait_for_run()
    service.ask_for_a_run()
    machine.wait_until(lambda: len(message(service, RUN_SKIPPED)) == 2, 10, "a run is skipped because of once")
    service.end_run()
    service.wait_for_runs(8)

    machine.write(f"{OFFSET}.new", "3600.0")
    machine.run(["mv", f"{OFFSET}.new", OFFSET])
    machine.run(f"rm -r {service.logs} && touch {service.logs}")
    service.trigger()
    service.wait_for_run()
    machine.wait_until(lambda: message(service, CLOCK_STEPPED), 20, "the step of the clock is noticed")
    machine.wait_until(lambda: message(service, LINES_LOST), 10, "the lost lines are noticed")
    machine.run(["rm", service.logs])
    service.stop()  # interrupted
    # Not --unit=: the alert may have ended before the journal looks to which unit it belongs.
    lines = machine.journal("--identifier=main-scheduler", "--all", output="json").splitlines()
    return {
        "records": [json.loads(line) for line in lines],
        "outcomes": [run["outcome"] for run in service.runs()],
        "explained": machine.journal("--identifier=main-scheduler", "--catalog", output="short"),
        "failed": machine.journal("--unit=main-scheduler", f"MESSAGE_ID={RUN_FAILED}"),
    }


def message(service, message_id):
    return [entry for entry in service.records() if entry.get("MESSAGE_ID") == message_id]


def catalog():
    """The text for each MESSAGE_ID."""
    return dict(re.findall(r"(?ms)^-- ([0-9a-f]{32})\n(.*?)(?=^-- |\Z)", CATALOG))


@pytest.mark.parametrize("message_id", catalog())
def test_records_have_the_fields_that_the_catalog_names(eventful, message_id):
    named = set(re.findall(r"@(\w+)@", catalog()[message_id]))
    found = [entry for entry in eventful["records"] if entry.get("MESSAGE_ID") == message_id]
    assert found
    for entry in found:
        assert named <= entry.keys(), entry["MESSAGE"]


def test_journalctl_explains_every_record(eventful):
    subjects = [re.search(r"Subject: (.*?)(@|$)", text, re.MULTILINE)[1] for text in catalog().values()]
    assert [subject for subject in subjects if f"Subject: {subject}" not in eventful["explained"]] == []
    assert not re.search(r"@\w+@", eventful["explained"])


def test_records_of_runs_have_outcome_status_duration_cpu_and_memory(eventful):
    ended = {entry["RUN"]: entry for entry in eventful["records"] if "DURATION_SEC" in entry}
    assert ended["1"]["OUTCOME"] == "succeeded"
    assert (ended["2"]["OUTCOME"], ended["2"]["EXIT_STATUS"]) == ("failed", "3")
    assert (ended["3"]["OUTCOME"], ended["3"]["SIGNAL"]) == ("killed", "SIGKILL")
    assert ended["5"]["OUTCOME"] == "timed out"
    assert 2 <= float(ended["5"]["DURATION_SEC"]) < 3
    assert 0 < float(ended["1"]["CPU_SEC"]) < 2
    assert 1000 < int(ended["1"]["PEAK_MEMORY_KIB"]) < 100_000


def test_message_id_lists_exactly_the_failed_runs(eventful):
    failures = [
        str(number)
        for number, outcome in enumerate(eventful["outcomes"], 1)
        if outcome in ("failed", "killed", "timed out", "not started")
    ]
    assert re.findall(r"(?m)^run (\d+)", eventful["failed"]) == failures == ["2", "3", "5", "6"]
    assert len(eventful["failed"].splitlines()) == len(failures)


def test_binary_output_is_shown_in_whole_lines(machine, service):
    service.script(BINARY)
    service.start()
    service.wait_for_runs(1)
    said = [entry["MESSAGE"] for entry in service.records()]
    assert all(isinstance(text, str) for text in said)  # a list of numbers where it is binary
    lines = [text.partition("| ")[2] for text in said if text.startswith("stdout run 1 | ")]
    assert lines[0] == r"\x00\x01\x02\x03\x04\x05\x06\x07\x08"  # tab and newline at the end of a line are white space
    assert lines[1].endswith(r"~\x7f\x80" + "".join(rf"\x{byte:02x}" for byte in range(0x81, 0x100)))
    assert lines[2] == r"red \x1b[31mtext\x1b[0m"
    assert lines[-1] == "no newline"
    assert r"stderr run 1 | broken \xc3 tail" in said


def test_flood_of_300000_lines_is_all_in_the_journal(machine, service):
    service.script(FLOOD)
    service.start()
    assert service.wait_for_runs(1, timeout=120) == ["succeeded"]
    assert lines_of(machine.journal("--unit=main-scheduler"), "stdout") == list(range(LINES))


@pytest.fixture
def journald(machine):
    """Does something to journald; it is well again after the test."""
    units = "systemd-journald-dev-log.socket systemd-journald.socket systemd-journald.service"

    def change(what):
        machine.run(
            {
                "restart": "systemctl restart systemd-journald",
                "stop": f"systemctl stop {units}",
                "start": f"systemctl start {units}",
                "wedge": "systemctl kill --signal=STOP systemd-journald.service",
                "unwedge": "systemctl kill --signal=CONT systemd-journald.service",
            }[what]
        )

    yield change
    change("unwedge")
    change("start")


def result(machine, service):
    """Ends a run of COUNTS: how many lines it wrote to each channel, the longest wait and all long waits, in seconds."""
    machine.write(f"{service.state}/end", "")
    machine.wait_until(lambda: machine.exists(f"{service.state}/result"), 20, "the run ends")
    machine.wait_until(lambda: not service.is_running(), 20, "the run is over")
    count, longest, blocked = machine.read(f"{service.state}/result").split()
    return int(count), float(longest), float(blocked)


def test_restart_of_journald_loses_no_line(machine, service, journald):
    service.script(COUNTS.replace("ROUND", "1"))
    service.start()
    service.wait_for_run()
    for _ in range(2):
        lines = len(service.log().splitlines())
        journald("restart")
        machine.wait_until(lambda lines=lines: len(service.log().splitlines()) > lines + 20, 20, "lines are written")
    count, _, _ = result(machine, service)
    said = machine.journal("--unit=main-scheduler")
    assert count > 20
    assert lines_of(said, "stdout") == list(range(count))
    assert lines_of(said, "stderr") == list(range(count))


@pytest.mark.parametrize(("fault", "mended"), [("stop", "start"), ("wedge", "unwedge")])
def test_journal_that_takes_nothing_loses_counted_lines_and_stops_nothing(machine, service, journald, fault, mended):
    """A run of main.py that is due each second is skipped for as long as the first goes on: that shows the schedule."""
    service.settings(SCHED_INTERVAL="1s")
    service.patch(SMALL_BUFFERS)
    service.script(COUNTS.replace("ROUND", "3"))
    service.start()
    service.wait_for_run()
    pid, skipped = service.property("MainPID"), service.status()["skipped"]
    journald(fault)
    before = time.monotonic()
    machine.wait_until(lambda: service.kept()["skipped"] >= skipped + 8, 20, "the schedule goes on")
    assert time.monotonic() - before < 10.5
    journald(mended)

    machine.wait_until(lambda: len(told_losses(service)) >= 2, 15, "the lost lines of both channels are told")
    count, longest, blocked = result(machine, service)
    assert service.property("MainPID") == pid
    assert longest < 5.5
    assert blocked < 6
    service.stop()
    logged, said = service.log(), machine.journal("--unit=main-scheduler")
    for channel in ("stdout", "stderr"):
        assert lines_of(logged, channel) == list(range(count))
        in_journal = lines_of(said, channel)
        assert in_journal == sorted(set(in_journal))
        assert in_journal[-1] == count - 1
    lost, missing = sum(told_losses(service)), len(logged.splitlines()) - len(service.records())
    assert 0 < lost <= missing + 2  # of a line that was cut both parts may have arrived
    if fault == "wedge":  # a journald that is stopped takes with it what it has not read
        assert lost >= missing


def told_losses(service):
    """The counts of lost lines that scheduler.log tells."""
    told = service.machine.run(f"grep -h 'the journal can be written again' {service.logs}/*.log*", check=False).stdout
    return [int(lost) for lost in re.findall(r"; (\d+) lines? lost", told)]
