"""What is told to the outside: pings, the metrics file, last_failure.json, alerts. None of it delays or fails a run."""

import json
import os
import signal
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import Site, share_a_grid, wait_until
from ping_server import PingServer
from prometheus_client.parser import text_string_to_metric_families

NEVER = {"SCHED_INTERVAL": "1h"}
IMPATIENT = "import faults; faults.impatient_pings()"
# By a clock that nobody sets.
RECORDS = "echo hello; read now rest </proc/uptime; echo $now >>times"


@pytest.fixture
def server() -> Iterator[PingServer]:
    made = PingServer()
    yield made
    made.close()


def test_a_run_pings_its_start_and_its_end_with_one_id_and_the_output(site: Site, server: PingServer) -> None:
    site.shell("echo hello; echo trouble >&2")
    site.start(**NEVER, SCHED_PING_URL=server.url)
    start, end = server.await_pings(2)
    assert (start.path, end.path) == ("/uuid/start", "/uuid")
    assert start.run_id == end.run_id
    assert start.body == b""
    assert {b"hello", b"trouble"} <= set(end.body.splitlines())
    assert end.body.splitlines()[-1].startswith(b"run 1 succeeded in ")


@pytest.mark.parametrize(
    ("source", "settings", "paths"),
    [
        ("exit 3", {}, ["/uuid/start", "/uuid/3"]),
        ("kill -KILL $$", {}, ["/uuid/start", "/uuid/137"]),
        ("sleep 600", {"SCHED_TIMEOUT": "0.3s"}, ["/uuid/start", "/uuid/124"]),
        ("exit 0", {"SCHED_MAIN": "missing.py"}, ["/uuid/127"]),
    ],
)
def test_a_run_that_fails_pings_its_exit_status(
    site: Site, server: PingServer, source: str, settings: dict[str, str], paths: list[str]
) -> None:
    site.shell(source)
    scheduler = site.start(SCHED_PING_URL=server.url, **(NEVER | settings))
    server.await_pings(len(paths))
    assert scheduler.stop() == 0
    assert server.paths() == paths


@pytest.mark.parametrize(
    ("source", "status", "message"),
    [
        ("exit 0", "up", "run 1 succeeded"),
        ("echo 'a&status=up#b' >&2; exit 3", "down", "run 1 failed: a&status=up#b"),
    ],
)
def test_an_address_with_placeholders_is_asked_for_once_at_the_end_of_a_run(
    site: Site, server: PingServer, source: str, status: str, message: str
) -> None:
    site.shell(source)
    url = f"{server.url}?status={{status}}&msg={{message}}&ping={{duration_ms}}"
    scheduler = site.start(**NEVER, SCHED_PING_URL=url)
    server.await_pings(1)
    assert scheduler.stop() == 0
    (ping,) = server.received
    assert (ping.path, ping.body) == ("/uuid", None)
    assert (ping.query["status"], ping.query["msg"]) == ([status], [message])
    assert 0 < int(ping.query["ping"][0]) < 10_000


def test_a_run_that_is_interrupted_pings_no_end(site: Site, server: PingServer) -> None:
    site.shell("echo begun >begun; sleep 600")
    scheduler = site.start(**NEVER, SCHED_PING_URL=server.url)
    site.await_file("begun")
    server.await_pings(1)
    assert scheduler.stop() == 0
    assert server.paths() == ["/uuid/start"]


def test_the_body_is_the_last_10_kb_of_the_output(site: Site, server: PingServer) -> None:
    site.shell("seq 100000")
    site.start(**NEVER, SCHED_PING_URL=server.url)
    body = server.await_pings(2)[1].body
    assert len(body) == 10_000
    assert b"\n99999\n100000\nrun 1 succeeded in " in body


def test_the_address_can_be_a_credential(site: Site, server: PingServer) -> None:
    site.shell("exit 0")
    (site.path / "ping-url").write_text(f"{server.url}\n")
    site.start(**NEVER, CREDENTIALS_DIRECTORY=str(site.path))
    server.await_pings(2)
    assert server.paths() == ["/uuid/start", "/uuid"]


def test_a_credential_that_is_no_address_is_told_and_fails_no_run(site: Site) -> None:
    site.shell("exit 0")
    (site.path / "ping-url").write_text("file:///etc/passwd\n")
    site.start(CREDENTIALS_DIRECTORY=str(site.path))
    assert {run["outcome"] for run in site.await_runs(2)} == {"succeeded"}
    (told,) = site.own_lines()
    assert "the credential ping-url cannot be used" in told


def test_a_run_by_hand_pings_too(site: Site, server: PingServer) -> None:
    site.shell("exit 5")
    assert site.call("once", SCHED_PING_URL=server.url).returncode == 5
    assert server.paths() == ["/uuid/start", "/uuid/5"]


def faulty_url(fault: str, server: PingServer) -> str:
    if fault == "refused":
        with socket.create_server(("127.0.0.1", 0)) as free:
            return f"http://127.0.0.1:{free.getsockname()[1]}/"
    return "http://no-such-host.invalid/" if fault == "no such host" else server.url


FAULTS = {
    "refused": None,
    "no such host": None,
    "error 500": lambda number: 500,
    "not found": lambda number: 404,
    "hanging": "hang",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_ping_server_delays_and_fails_no_run_and_is_told_once(site: Site, fault: str) -> None:
    answers = FAULTS[fault]
    server = PingServer(answers if callable(answers) else lambda number: server.hang(number) if answers else 200)
    try:
        site.shell(RECORDS)
        scheduler = site.start(patch=IMPATIENT, SCHED_PING_URL=faulty_url(fault, server))
        runs = site.await_runs(5)
        assert {run["outcome"] for run in runs} == {"succeeded"}
        wait_until(lambda: share_a_grid(site.times()[:2], site.times()[2:], 1.0), what="runs that are not delayed")
        assert site.state()["skipped"] == 0
        wait_until(site.own_lines, what="a line about the ping")
        assert scheduler.stop() == 0
        (told,) = site.own_lines()
        assert "the ping cannot be delivered, the schedule goes on: " in told
    finally:
        server.close()


def test_a_slow_ping_server_gets_every_ping_and_delays_no_run(site: Site) -> None:
    answers = iter([200] * 100)
    server = PingServer(lambda number: server.released.wait(0.4) or next(answers))
    try:
        site.shell(RECORDS)
        scheduler = site.start(SCHED_PING_URL=server.url)
        site.await_runs(4)
        wait_until(lambda: share_a_grid(site.times()[:2], site.times()[2:], 1.0), what="runs that are not delayed")
        assert site.state()["skipped"] == 0
        assert server.await_pings(6)
        assert scheduler.stop() == 0
        assert [line for line in site.own_lines() if "ping" in line] == []
    finally:
        server.close()


def test_a_ping_is_tried_again_and_told_when_it_arrives(site: Site) -> None:
    server = PingServer(lambda number: 503 if number <= 4 else 200)
    try:
        site.shell("exit 0")
        site.start(patch=IMPATIENT, SCHED_PING_URL=server.url)
        told = wait_until(lambda: len(site.own_lines()) >= 2 and site.own_lines(), what="both lines")
        assert "cannot be delivered" in told[0]
        assert "the ping can be delivered again" in told[1]
        # The start is tried once, the end three times, each a ping of its own.
        assert server.paths()[:4] == ["/uuid/start", "/uuid", "/uuid", "/uuid"]
    finally:
        server.close()


def test_a_stop_waits_a_moment_for_the_last_ping(site: Site) -> None:
    server = PingServer(lambda number: server.released.wait(0.3) or 200)
    try:
        site.shell("exit 3")
        scheduler = site.start(**NEVER, SCHED_PING_URL=server.url)
        site.await_runs()
        assert scheduler.stop() == 0
        assert server.paths() == ["/uuid/start", "/uuid/3"]
    finally:
        server.close()


def samples(file: Path) -> dict[str, float]:
    families = text_string_to_metric_families(file.read_text())
    return {s.name + s.labels.get("outcome", ""): s.value for family in families for s in family.samples}


def test_the_metrics_file_says_how_runs_go(site: Site) -> None:
    file = site.path / "main.prom"
    site.shell("[ -e failed ] || { echo 1 >failed; exit 3; }")
    scheduler = site.start(SCHED_METRICS_FILE=str(file))
    runs = site.await_runs(3)
    assert scheduler.stop() == 0
    found, state = samples(file), site.state()
    assert found["main_scheduler_runs_totalfailed"] == 1
    assert found["main_scheduler_runs_totalsucceeded"] == len(runs) - 1
    assert found["main_scheduler_last_success_timestamp_seconds"] == state["last_success"]
    assert found["main_scheduler_last_failure_timestamp_seconds"] == state["last_failure"]
    assert found["main_scheduler_last_start_timestamp_seconds"] == state["runs"][-1]["started"]
    assert found["main_scheduler_interval_seconds"] == 1
    assert stat.S_IMODE(file.stat().st_mode) == 0o644


def test_the_metrics_file_says_that_a_run_is_going(site: Site) -> None:
    file = site.path / "main.prom"
    site.shell("sleep 600")
    site.start(**NEVER, SCHED_METRICS_FILE=str(file))
    wait_until(lambda: file.exists() and samples(file)["main_scheduler_run_going"] == 1, what="the run")
    assert samples(file)["main_scheduler_last_start_timestamp_seconds"] == site.state()["running"]["started"]


NEXT_RUN = "main_scheduler_next_run_timestamp_seconds"


def test_the_metrics_file_says_when_the_first_run_is_due_and_after_a_reload_the_next(site: Site) -> None:
    file, settings = site.path / "main.prom", site.path / "settings"
    site.shell("exit 0")
    settings.write_text(f"SCHED_CALENDAR=*-01-01\nSCHED_START=due\nSCHED_METRICS_FILE={file}\n")
    scheduler = site.start("run", "--env-file", "settings", SCHED_INTERVAL="")
    assert samples(wait_until(lambda: file.exists() and file))[NEXT_RUN] == site.state()["next_due"]
    settings.write_text(f"SCHED_CALENDAR=*-07-01\nSCHED_START=due\nSCHED_METRICS_FILE={file}\n")
    os.kill(scheduler.pid, signal.SIGHUP)
    wait_until(lambda: "reloaded" in site.log().decode(), what="the reload")
    assert samples(file)[NEXT_RUN] == site.state()["next_due"]


def test_the_metrics_file_counts_what_is_skipped_while_a_run_goes_on(site: Site) -> None:
    file = site.path / "main.prom"
    site.shell("sleep 600")
    site.start(SCHED_METRICS_FILE=str(file))
    wait_until(lambda: file.exists() and samples(file)["main_scheduler_skipped_runs_total"] >= 2, what="two skips")
    assert samples(file)["main_scheduler_run_going"] == 1


def test_a_metrics_file_that_cannot_be_written_is_told_once_and_fails_no_run(site: Site) -> None:
    site.shell("exit 0")
    site.start(SCHED_METRICS_FILE=str(site.path / "missing/main.prom"))
    assert {run["outcome"] for run in site.await_runs(3)} == {"succeeded"}
    (told,) = site.own_lines()
    assert "main.prom cannot be written, the schedule goes on" in told


def failure(site: Site) -> dict[str, Any]:
    return json.loads((site.own / "last_failure.json").read_text())


def test_a_failure_is_reported_with_its_last_50_lines_and_a_success_says_that_it_has_recovered(site: Site) -> None:
    site.shell("[ -e well ] && exit 0; seq 60; echo trouble >&2; exit 3")
    scheduler = site.start(**NEVER)
    site.await_runs(1)
    site.ask_for_a_run(scheduler)
    site.await_runs(2)
    report = wait_until(lambda: failure(site)["number"] == 2 and failure(site), what="the second report")
    assert (report["outcome"], report["exit_status"], report["failures_in_a_row"]) == ("failed", 3, 2)
    assert report["reason"] == "trouble"
    assert report["recovered"] is None
    assert len(report["tail"]) == 50
    assert {"60", "trouble"} <= set(report["tail"])
    (site.path / "well").touch()
    site.ask_for_a_run(scheduler)
    recovered = wait_until(lambda: failure(site)["recovered"], what="recovery")
    assert recovered >= site.marker.read_text().strip()
    assert failure(site) == report | {"recovered": recovered}


def test_the_report_looks_changed_once_more_when_an_alert_that_missed_it_has_ended(site: Site) -> None:
    site.shell("exit 3")
    patch = "from sched_runner.run import runs; runs._ALERT_ENDS = 1.0"
    site.start(patch=patch, **NEVER, WATCHDOG_USEC="600000")  # its loop turns five times a second
    ended = site.await_runs()[0]["ended"]
    wait_until(lambda: (site.own / "last_failure.json").stat().st_mtime >= ended + 1.0, what="the reminder")


def test_a_success_without_a_failure_before_it_reports_nothing(site: Site) -> None:
    site.shell("exit 0")
    site.start()
    site.await_runs(3)
    assert not (site.own / "last_failure.json").exists()


def test_history_lists_the_runs_that_state_json_has(site: Site) -> None:
    site.main("import sys\nif len(sys.argv) > 1: raise ValueError('no')")
    site.call("once")
    site.call("once", SCHED_ARGS="x")
    listed = json.loads(site.call("history", "--here", "--json").stdout)
    assert [(run["number"], run["outcome"], run["reason"]) for run in listed] == [
        (1, "succeeded", ""),
        (2, "failed", "ValueError: no"),
    ]
    (failed,) = json.loads(site.call("history", "--here", "--json", "--failed").stdout)
    assert failed["number"] == 2
    assert json.loads(site.call("history", "--here", "--json", "--since", "2999-01-01").stdout) == []
    text = site.call("history", "--here").stdout
    assert [line.split()[0] for line in text.splitlines()] == ["run", "1", "2"]
    assert "█" not in text


def test_a_since_that_nobody_understands_is_an_error_that_says_what_to_write(site: Site) -> None:
    ended = site.call("history", "--here", "--since", "last week")
    assert ended.returncode == 2
    assert "use a date (2026-01-31)" in ended.stderr
