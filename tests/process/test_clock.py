"""The clock is set, in the process under test alone: the time between runs stays, and costs nothing."""

import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

import faults
import pytest
from faults import set_offset
from harness import Command, Site, gaps, share_a_grid, wait_until

HOUR, DAY, YEAR = 3600.0, 86400.0, 31557600.0
INTERVAL = 0.5

RECORD = """
    read now rest </proc/uptime
    echo $now >>times
"""

Start = Callable[..., Command]


@pytest.fixture
def offset(site: Site) -> Path:
    path = site.path / "offset"
    set_offset(path, 0.0)
    return path


@pytest.fixture
def start(site: Site, offset: Path) -> Start:
    patch = f"import faults\nfaults.shift_clock({str(offset)!r})"
    return lambda **env: site.start(patch=patch, **{"SCHED_INTERVAL": f"{INTERVAL}s"} | env)


def goes_on_unmoved(site: Site, before: list[float]) -> None:
    """The runs after a step lie on the grid of those before, and no due time between was lost or came twice."""
    wait_until(lambda: share_a_grid(before, site.times()[len(before) :], INTERVAL), what="runs on the grid of before")
    state, times = site.state(), site.times()
    due = (times[-1] - times[0]) / INTERVAL + 1
    assert state["number"] + state["skipped"] == pytest.approx(due, abs=2), (state, times)


@pytest.mark.parametrize(
    "step",
    [HOUR, -DAY, 10 * YEAR, -10 * YEAR, 0.2, -0.2, 1.5, -1.5, -20.0],
    ids=lambda step: f"{step:+g}s",
)
def test_a_step_of_the_clock_between_runs_moves_no_run(site: Site, offset: Path, start: Start, step: float) -> None:
    site.shell(RECORD)
    scheduler = start()
    wait_until(lambda: len(site.times()) >= 3)
    cpu, memory = scheduler.cpu(), scheduler.kib("VmRSS")
    before = site.times()
    set_offset(offset, step)
    goes_on_unmoved(site, before)
    assert scheduler.cpu() - cpu < 0.5
    assert scheduler.kib("VmRSS") - memory < 4096
    wait_until(lambda: abs(site.state()["due"] - step - time.time()) < 10, what="the clock was set indeed")


def test_a_board_that_boots_in_1970_and_gets_the_time_later_keeps_its_cadence(
    site: Site, offset: Path, start: Start
) -> None:
    set_offset(offset, 100.0 - time.time())
    site.shell(RECORD)
    scheduler = start()
    wait_until(lambda: len(site.times()) >= 3)
    cpu, memory = scheduler.cpu(), scheduler.kib("VmRSS")
    assert site.state()["due"] < DAY
    before = site.times()
    set_offset(offset, 0.0)
    goes_on_unmoved(site, before)
    assert scheduler.cpu() - cpu < 0.5
    assert scheduler.kib("VmRSS") - memory < 4096
    wait_until(lambda: abs(site.state()["due"] - time.time()) < 60)


def test_many_steps_forth_and_back_drift_by_less_than_a_second(site: Site, offset: Path, start: Start) -> None:
    site.shell(RECORD)
    start()
    for count, step in enumerate((HOUR, -HOUR, DAY, 0.0, -YEAR, 30.0, -30.0, 0.3), 1):
        wait_until(lambda count=count: len(site.times()) > count)
        set_offset(offset, step)
    goes_on_unmoved(site, site.times()[:2])


@pytest.mark.parametrize("step", [YEAR, -YEAR], ids=["forward", "back"])
def test_a_step_in_the_moment_that_a_run_is_found_due_moves_none(site: Site, offset: Path, step: float) -> None:
    site.shell(RECORD)
    patch = f"""
import faults
from pathlib import Path
offset = Path({str(offset)!r})
faults.shift_clock(str(offset))
def around(original, *args):
    if Path("times").exists() and len(Path("times").read_text().split()) >= 3:
        faults.set_offset(offset, {step!r})
    return original(*args)
faults.wrap("apscheduler.schedulers.base:BaseScheduler._process_jobs", around)
"""
    site.start(patch=patch, SCHED_INTERVAL=f"{INTERVAL}s")
    wait_until(lambda: len(site.times()) >= 3)
    goes_on_unmoved(site, site.times()[:3])
    wait_until(lambda: abs(site.state()["due"] - step - time.time()) < 10, what="the clock was set indeed")


@pytest.mark.parametrize("step", [HOUR, -DAY], ids=["forward", "back"])
def test_a_step_during_a_run_neither_times_it_out_nor_moves_the_next(
    site: Site, offset: Path, start: Start, step: float
) -> None:
    site.fifo("go")
    site.shell(RECORD + "echo started >started\n[ -e second ] || { >second; read line <go; }\n")
    start(SCHED_TIMEOUT="1min")
    site.await_file("started")
    set_offset(offset, step)
    began = time.monotonic()
    wait_until(lambda: time.monotonic() > began + 0.2)
    (site.path / "go").write_text("\n")
    runs = site.await_runs(3)
    assert [run["outcome"] for run in runs[:3]] == ["succeeded"] * 3
    assert 0 < runs[0]["duration"] < 10
    wait_until(lambda: share_a_grid(site.times()[:1], site.times()[1:], INTERVAL), what="the grid of before")


@pytest.mark.parametrize("step", [HOUR, -DAY, 10 * YEAR], ids=["+1h", "-1d", "+10y"])
def test_a_step_while_a_run_is_overlong_skips_no_more_than_the_time_that_passed(
    site: Site, offset: Path, start: Start, step: float
) -> None:
    site.shell(RECORD + "[ -e second ] || { >second; sleep 2; }\n")
    scheduler = start()
    wait_until(site.times)
    wait_until(lambda: site.state().get("skipped", 0) >= 1)
    cpu = scheduler.cpu()
    set_offset(offset, step)
    wait_until(lambda: len(site.times()) >= 3, 10)
    assert site.state()["skipped"] <= (site.times()[2] - site.times()[0]) / INTERVAL
    assert scheduler.cpu() - cpu < 0.5


def test_status_of_a_shifted_clock_is_not_taken_for_a_late_run_when_the_scheduler_resumes(
    site: Site, offset: Path, start: Start
) -> None:
    site.shell(RECORD)
    set_offset(offset, 10 * YEAR)
    scheduler = start(SCHED_INTERVAL="3s", SCHED_START="resume")
    site.await_runs(1)
    scheduler.kill()
    set_offset(offset, 0.0)
    start(SCHED_INTERVAL="3s", SCHED_START="resume")
    wait_until(lambda: len(site.times()) >= 2)
    assert 2.5 < gaps(site.times())[0] < 5.5, "neither at once nor at the due time after the next"


@pytest.mark.parametrize("step", [YEAR, -YEAR], ids=["forward", "back"])
def test_a_step_in_the_moment_that_a_run_begins_is_not_kept_for_the_cadence_after_a_crash(
    site: Site, offset: Path, step: float
) -> None:
    site.shell(RECORD)
    patch = f"""
import faults
from pathlib import Path
offset = Path({str(offset)!r})
faults.shift_clock(str(offset))
def around(original, *args):
    faults.set_offset(offset, {step!r})
    return original(*args)
faults.wrap(faults.DUE_TOLD, around)
"""
    settings = {"SCHED_INTERVAL": "3s", "SCHED_START": "resume"}
    scheduler = site.start(patch=patch, **settings)
    site.await_runs(1)
    scheduler.kill()
    site.start(patch=patch, **settings)
    wait_until(lambda: len(site.times()) >= 2)
    assert 2.5 < gaps(site.times())[0] < 5.5, "neither at once nor at the due time after the next"


@pytest.mark.parametrize("step", [2 * HOUR, -DAY], ids=["forward", "back"])
def test_a_step_during_a_run_changes_neither_how_long_it_has_been_going_nor_how_late_it_is(
    site: Site, offset: Path, start: Start, step: float
) -> None:
    site.fifo("go")
    site.shell("echo started >started; read line <go")
    scheduler = start(SCHED_INTERVAL="1h")
    site.await_file("started")
    set_offset(offset, step)
    scheduler.signal(signal.SIGUSR1)
    told = wait_until(lambda: re.search(rb"run 1 has been going since .*, for (.*), (.*) late", site.log()))
    assert told.groups()[1] == b"0 s"
    assert re.fullmatch(rb"[\d.]+ s", told.groups()[0]), "not even a minute"
    (site.path / "go").write_text("\n")
    assert 0 <= site.await_runs()[0]["duration"] < 60
    assert scheduler.stop() == 0


@pytest.mark.parametrize("step", [10 * YEAR, -10 * YEAR, HOUR], ids=["+10y", "-10y", "+1h"])
@pytest.mark.parametrize(
    "place",
    faults.STEPS_OF_THE_START,
    ids=lambda place: place.rpartition(":")[2],
)
def test_a_step_between_two_readings_at_the_start_moves_no_run(
    site: Site, offset: Path, step: float, place: str
) -> None:
    site.shell(RECORD)
    patch = f"""
import faults
from pathlib import Path
offset = Path({str(offset)!r})
faults.shift_clock(str(offset))
def around(original, *args, **options):
    result = original(*args, **options)
    faults.set_offset(offset, {step!r})
    return result
faults.wrap({place!r}, around)
"""
    site.start(patch=patch, SCHED_INTERVAL=f"{INTERVAL}s")
    wait_until(lambda: share_a_grid(site.times(), site.times(), INTERVAL), what="runs on one grid")
    wait_until(lambda: abs(site.state()["due"] - step - time.time()) < 60, what="the clock was set indeed")
