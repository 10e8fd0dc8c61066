"""A schedule by times of day: the wall clock rules, and systemd says when."""

import shutil
import signal
from pathlib import Path

import pytest
from faults import set_offset
from harness import Site, Supervisor, wait_until

pytestmark = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd computes the times")

EVERY_2_S = {"SCHED_CALENDAR": "*:*:0/2", "SCHED_INTERVAL": ""}
# Far enough from every moment at which a test may run, however the clock is set in it.
RARELY = {"SCHED_CALENDAR": "*-02-29 03:00 UTC", "SCHED_INTERVAL": ""}


def test_runs_are_due_at_the_times_of_the_calendar(site: Site) -> None:
    site.shell(":")
    scheduler = site.start(**EVERY_2_S, SCHED_START="due")
    runs = site.await_runs(3)
    state = site.state()
    assert (state["due"] % 2, state["next_due"] % 2) == (pytest.approx(0, abs=0.001), pytest.approx(0, abs=0.001))
    assert len({int(run["started"] // 2) for run in runs}) == len(runs), "one run for each time"
    assert (state["every"], state["gap"]) == ("at *:*:0/2", None)
    assert scheduler.stop() == 0


def test_the_first_run_begins_at_once_unless_it_is_to_wait_for_its_time(site: Site) -> None:
    site.shell(":")
    site.start(**RARELY)
    site.await_runs(1)
    assert site.state()["next_due"] > site.runs()[0]["started"]


def test_with_due_no_run_is_made_at_the_start(site: Site) -> None:
    site.shell(":")
    scheduler = site.start(**RARELY, SCHED_START="due")
    wait_until(lambda: site.state().get("next_due"), what="the plan")
    assert scheduler.stop() == 0
    assert (site.runs(), site.state()["number"]) == ([], 0)


@pytest.mark.parametrize("step", [0.7, -3600.0], ids=["forward", "back"])
def test_after_a_step_of_the_clock_the_next_time_is_looked_up_anew(site: Site, step: float) -> None:
    offset = site.path / "offset"
    set_offset(offset, 0.0)
    site.shell(":")
    site.start(patch=f"import faults\nfaults.shift_clock({str(offset)!r})", **EVERY_2_S)
    site.await_runs(2)
    set_offset(offset, step)
    if abs(step) > 1:
        wait_until(lambda: b"the next run is at the next time of the calendar" in site.log(), 30)
    before = len(site.runs())
    site.await_runs(before + 3)
    state = site.state()
    assert (state["due"] % 2, state["next_due"] % 2) == (pytest.approx(0, abs=0.001), pytest.approx(0, abs=0.001))


def test_a_time_that_the_clock_jumped_over_is_made_up_for_once(site: Site) -> None:
    offset = site.path / "offset"
    set_offset(offset, 0.0)
    site.shell(":")
    calendar = {"SCHED_CALENDAR": "*-*-* 03:00 UTC", "SCHED_INTERVAL": ""}
    site.start(patch=f"import faults\nfaults.shift_clock({str(offset)!r})", **calendar, SCHED_START="due")
    wait_until(lambda: site.state().get("next_due"), what="the plan")
    set_offset(offset, 3 * 86400.0)
    runs = site.await_runs(1, 40)
    wait_until(lambda: site.state()["next_due"] > runs[0]["started"], what="the next time, by the clock of now")
    assert len(site.runs()) == 1


def test_a_reload_changes_from_an_interval_to_a_calendar(site: Site, supervisor: Supervisor) -> None:
    path = site.path / "env"
    path.write_text("SCHED_INTERVAL=1h\n")
    site.shell(":")
    scheduler = site.start("run", "--env-file", str(path), NOTIFY_SOCKET=supervisor.address, SCHED_INTERVAL="1h")
    site.await_runs(1)
    path.write_text("SCHED_CALENDAR=*-*-* 03:00 UTC\n")
    scheduler.signal(signal.SIGHUP)
    wait_until(lambda: site.state()["every"] == "at *-*-* 03:00 UTC")
    assert site.state()["next_due"] % 86400 == 3 * 3600
    assert len(site.runs()) == 1


def test_a_reload_follows_another_time_zone_of_main_py(site: Site, supervisor: Supervisor) -> None:
    path = site.path / "env"
    path.write_text("TZ=America/Sao_Paulo\n")
    site.shell(":")
    given = {"SCHED_CALENDAR": "08:00", "SCHED_INTERVAL": "", "SCHED_START": "due", "TZ": "America/Sao_Paulo"}
    scheduler = site.start("run", "--env-file", str(path), NOTIFY_SOCKET=supervisor.address, **given)
    wait_until(lambda: site.state().get("next_due"), what="the plan")
    assert site.state()["next_due"] % 86400 == 11 * 3600
    path.write_text("TZ=Asia/Kolkata\n")
    scheduler.signal(signal.SIGHUP)
    wait_until(lambda: site.state()["next_due"] % 86400 == 2.5 * 3600, what="08:00 in Kolkata")


def test_the_time_zone_of_the_host_is_followed_when_somebody_sets_it(site: Site) -> None:
    zones, zone = Path("/usr/share/zoneinfo"), site.path / "zone"
    zone.symlink_to(zones / "America/Sao_Paulo")
    site.shell(":")
    patch = """
        import os, faults
        faults.wrap("sched_runner.clock:zone_of_host", lambda original: os.stat("zone").st_ino)
    """
    given = {"SCHED_CALENDAR": "08:00", "SCHED_INTERVAL": "", "SCHED_START": "due", "TZ": f":{zone}"}
    scheduler = site.start(patch=patch, **given, WATCHDOG_USEC="300000")  # its loop turns ten times a second
    wait_until(lambda: site.state().get("next_due"), what="the plan")
    assert site.state()["next_due"] % 86400 == 11 * 3600
    (site.path / "new").symlink_to(zones / "Asia/Kolkata")
    (site.path / "new").replace(zone)
    wait_until(lambda: site.state()["next_due"] % 86400 == 2.5 * 3600, what="08:00 in Kolkata")
    assert scheduler.stop() == 0
    (told,) = [line for line in site.own_lines("INFO") if "the time zone was set" in line]
    assert told.endswith(" 08:00:00")


def test_interval_and_calendar_together_are_a_fault(site: Site) -> None:
    site.main("")
    done = site.call("run", SCHED_INTERVAL="1h", SCHED_CALENDAR="daily")
    assert done.returncode == 78
    assert "SCHED_INTERVAL and SCHED_CALENDAR" in done.stderr


def test_check_shows_the_next_five_times_and_names_a_faulty_expression(site: Site) -> None:
    site.main("")
    shown = site.call("check", "--here", TZ="UTC", SCHED_CALENDAR="Mon 08:30", SCHED_INTERVAL="", SCHED_START="due")
    assert (shown.returncode, shown.stdout.count(" 08:30:00 UTC")) == (0, 5)
    done = site.call("check", "--here", SCHED_CALENDAR="Mo 8.30", SCHED_INTERVAL="")
    assert done.returncode == 78
    assert "SCHED_CALENDAR=Mo 8.30: " in done.stderr


@pytest.mark.parametrize(
    ("crontab", "same"),
    [("*/5 * * * *", "*:0/5"), ("@daily", "=daily"), ("08:00", "08:00")],
    ids=["five fields", "a name", "a time"],
)
def test_what_other_tools_write_gets_the_expression_that_means_the_same(site: Site, crontab: str, same: str) -> None:
    site.main("")
    done = site.call("check", "--here", SCHED_INTERVAL=crontab)
    assert done.returncode == 78
    assert "SCHED_CALENDAR=" in done.stderr
    assert same in done.stderr
