"""A failed run is made again: how often, when, and what a stop, a reload, a crash and a step of the clock do to that.

Times are those that the scheduler has planned and kept, so that a slow machine changes none of them.
"""

import signal
from itertools import pairwise

import pytest
from faults import set_offset
from harness import Command, Site, Supervisor, wait_until

FAILS_UNTIL_WELL = "echo $SCHED_ATTEMPT >>attempts; [ -e well ] || exit 7"
HOURLY = {"SCHED_INTERVAL": "1h", "SCHED_RETRIES": "3", "SCHED_RETRY_AFTER": "1s"}


def attempts(site: Site) -> list[int]:
    return [run["attempt"] for run in site.runs()]


def planned(site: Site) -> list[float]:
    """When the retry is to be that state.json tells of: wall clock, boot clock, attempt."""
    return wait_until(lambda: site.state().get("retry"), what="a retry is planned")


def with_a_retry_to_come(site: Site, *arguments: str, **env: str) -> Command:
    """A scheduler whose first run has failed, and which will try again much later."""
    site.shell(FAILS_UNTIL_WELL)
    scheduler = site.start(*(arguments or ("run",)), **HOURLY | {"SCHED_RETRY_AFTER": "20min"} | env)
    planned(site)
    return scheduler


def test_a_failed_run_is_made_again_as_often_as_wanted_each_time_later(site: Site) -> None:
    site.shell(FAILS_UNTIL_WELL)
    scheduler = site.start(**HOURLY)
    runs = site.await_runs(4, 40)
    assert [(run["number"], run["attempt"]) for run in runs] == [(1, 1), (2, 2), (3, 3), (4, 4)]
    assert (site.path / "attempts").read_text().split() == ["1", "2", "3", "4"]
    waits = [
        later["started_boottime"] - earlier["started_boottime"] - earlier["duration"]
        for earlier, later in pairwise(runs)
    ]
    assert all(wait >= least for wait, least in zip(waits, (1, 2, 4), strict=True)), waits
    state = site.state()
    assert state["retry"] is None
    assert state["next_due"] - state["due"] == pytest.approx(3600, abs=0.01)
    assert state["failures_in_a_row"] == 4
    assert scheduler.stop() == 0


def test_the_summary_says_when_and_as_which_attempt(site: Site) -> None:
    with_a_retry_to_come(site)
    wait_until(lambda: "attempt 2 of 4" in site.errors(), what="the summary")


def test_a_success_ends_the_retries(site: Site) -> None:
    site.shell("[ $SCHED_ATTEMPT = 2 ] || exit 7")
    site.start(**HOURLY)
    runs = site.await_runs(2)
    assert [run["outcome"] for run in runs] == ["failed", "succeeded"]
    wait_until(lambda: site.state()["running"] is None)
    assert (site.state()["retry"], site.state()["failures_in_a_row"]) == (None, 0)


def test_no_retry_comes_after_the_next_due_time_which_does_not_move(site: Site) -> None:
    site.shell(FAILS_UNTIL_WELL)
    site.start(SCHED_INTERVAL="3s", SCHED_RETRIES="9", SCHED_RETRY_AFTER="2s")
    runs = site.await_runs(5, 40)
    assert set(attempts(site)) <= {1, 2}, "the second retry would be due 4 s later"
    firsts = [run for run in runs if run["attempt"] == 1]
    assert len(firsts) >= 2
    for run in runs:
        if run["attempt"] == 2:
            assert any(abs(run["started"] - first["started"]) < 3 for first in firsts)


@pytest.mark.parametrize(
    ("script", "outcome"),
    [("kill -9 $$", "killed"), ("exec sleep 60", "timed out"), (None, "not started")],
    ids=["killed", "timed out", "not started"],
)
def test_each_kind_of_failure_is_tried_again(site: Site, script: str | None, outcome: str) -> None:
    if script:
        site.shell(script)
    site.start(**HOURLY, SCHED_TIMEOUT="500ms")
    runs = site.await_runs(2)
    assert [(run["outcome"], run["attempt"]) for run in runs[:2]] == [(outcome, 1), (outcome, 2)]


def test_without_the_setting_nothing_is_tried_again(site: Site) -> None:
    site.shell(FAILS_UNTIL_WELL)
    site.start(SCHED_INTERVAL="1h")
    site.await_runs(1)
    wait_until(lambda: site.state()["running"] is None)
    assert site.state()["retry"] is None


def test_a_stop_ends_the_retries_and_a_start_begins_with_a_first_attempt(site: Site) -> None:
    scheduler = with_a_retry_to_come(site)
    assert scheduler.stop() == 0
    site.start(**HOURLY)
    site.await_runs(2)
    assert attempts(site)[:2] == [1, 1]


def test_with_resume_a_start_goes_on_with_the_retry(site: Site) -> None:
    scheduler = with_a_retry_to_come(site, SCHED_START="resume")
    when, boottime, attempt = planned(site)
    assert scheduler.stop() == 0
    site.start(**HOURLY, SCHED_START="resume")
    wait_until(lambda: site.state()["clean"] is False, what="the second has started")
    assert planned(site) == [pytest.approx(when, abs=1), pytest.approx(boottime, abs=0.1), attempt]


def test_after_a_crash_the_retry_comes_as_planned(site: Site, supervisor: Supervisor) -> None:
    env = {"NOTIFY_SOCKET": supervisor.address}
    scheduler = with_a_retry_to_come(site, SCHED_RETRY_AFTER="4s", **env)
    _, boottime, attempt = planned(site)
    scheduler.kill()
    site.start(**HOURLY, **env)
    second = site.await_runs(2)[1]
    assert second["attempt"] == attempt
    assert second["started_boottime"] >= boottime


def test_a_run_that_is_asked_for_is_a_first_attempt_and_takes_the_place_of_the_retry(site: Site) -> None:
    scheduler = with_a_retry_to_come(site)
    (site.path / "well").touch()
    site.ask_for_a_run(scheduler)
    site.await_runs(2)
    wait_until(lambda: site.state()["running"] is None)
    assert (attempts(site), site.state()["retry"]) == ([1, 1], None)


def test_a_reload_without_retries_takes_the_planned_one_away(site: Site, supervisor: Supervisor) -> None:
    path = site.path / "env"
    path.write_text("SCHED_RETRIES=3\n")
    site.shell(FAILS_UNTIL_WELL)
    env = {"SCHED_INTERVAL": "1h", "SCHED_RETRY_AFTER": "20min", "NOTIFY_SOCKET": supervisor.address}
    scheduler = site.start("run", "--env-file", str(path), SCHED_RETRIES="3", **env)
    planned(site)
    path.write_text("SCHED_RETRIES=0\n")
    scheduler.signal(signal.SIGHUP)
    wait_until(lambda: site.state()["retry"] is None, what="no retry is planned any more")
    assert len(site.runs()) == 1


@pytest.mark.parametrize("step", [86400.0, -86400.0], ids=["forward", "back"])
def test_a_step_of_the_clock_moves_the_retry_with_it(site: Site, step: float) -> None:
    offset = site.path / "offset"
    set_offset(offset, 0.0)
    site.shell(FAILS_UNTIL_WELL)
    patch = f"import faults\nfaults.shift_clock({str(offset)!r})"
    site.start(patch=patch, **HOURLY | {"SCHED_RETRY_AFTER": "20min"})
    when, boottime, _ = planned(site)
    set_offset(offset, step)
    moved = wait_until(lambda: (r := planned(site))[0] != when and r, 30, "the retry has moved")
    assert moved[:2] == [pytest.approx(when + step, abs=1), pytest.approx(boottime, abs=0.01)]
    assert len(site.runs()) == 1


def test_further_exit_statuses_may_mean_success(site: Site) -> None:
    site.shell("exit 3")
    site.start(SCHED_INTERVAL="1h", SCHED_SUCCESS_STATUS="3 5")
    run = site.await_runs(1)[0]
    assert (run["outcome"], run["exit_status"]) == ("succeeded", 3)
    assert site.marker.exists()
    assert site.call("once", "--here", SCHED_SUCCESS_STATUS="5").returncode == 3
    assert site.runs()[-1]["outcome"] == "failed"


def test_the_script_runs_where_sched_workdir_says(site: Site) -> None:
    (site.path / "there").mkdir()
    site.main("import os; print(os.getcwd())")
    site.start(SCHED_INTERVAL="1h", SCHED_WORKDIR=str(site.path / "there"))
    site.await_runs(1)
    assert site.output().decode().strip() == str((site.path / "there").resolve())
