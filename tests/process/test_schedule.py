"""When main.py runs: at once, then at a fixed rate, never twice at a time; and what moves that."""

import json
import os
import signal
import time

import pytest
from harness import Command, Site, Supervisor, share_a_grid, wait_until

RECORD = """
    import time
    with open("times", "a") as file:
        print(time.monotonic(), file=file)
"""


def recorder(then: str = "") -> str:
    return RECORD + "\n".join(f"    {line}" for line in then.split("\n"))


def test_the_first_run_begins_at_once_and_not_an_interval_later(site: Site) -> None:
    site.main(recorder())
    began = time.monotonic()
    site.start(SCHED_INTERVAL="1h")
    wait_until(site.times)
    assert site.times()[0] - began < 10


def test_runs_are_due_at_a_fixed_rate_counted_from_the_due_time_and_not_from_the_end_of_the_last(site: Site) -> None:
    site.main(recorder("time.sleep(0.3)"))
    site.start(SCHED_INTERVAL="600ms")
    wait_until(lambda: len(site.times()) >= 8)
    state, times = site.state(), site.times()
    due = (times[-1] - times[0]) / 0.6 + 1
    assert state["number"] + state["skipped"] == pytest.approx(due, abs=1.5)


def test_a_due_run_that_finds_one_going_is_skipped_and_counted_and_not_made_up_for_in_a_burst(site: Site) -> None:
    site.main(
        recorder("""while not __import__('os').path.exists('go'):
    time.sleep(0.01)
with open("ends", "a") as file:
    print(time.monotonic(), file=file)""")
    )
    scheduler = site.start()
    wait_until(lambda: site.state().get("skipped", 0) == 3)
    (site.path / "go").touch()
    wait_until(lambda: share_a_grid(site.times()[:1], site.times()[1:], 1.0), what="the grid goes on")
    starts, ends = site.times(), site.times("ends")
    assert starts[1] >= ends[0], "two at once"
    state = site.state()
    due = starts[-1] - starts[0] + 1
    assert state["number"] + state["skipped"] == pytest.approx(due, abs=1.5), "missed runs are not replayed"
    skipped = site.state()["skipped"]
    assert len([line for line in site.own_lines() if "skipped" in line]) == pytest.approx(skipped, abs=1)
    assert scheduler.stop() == 0


def test_a_stopped_scheduler_that_goes_on_makes_up_for_all_missed_runs_with_one(site: Site) -> None:
    site.main(recorder())
    scheduler = site.start(SCHED_INTERVAL="700ms")
    wait_until(lambda: len(site.times()) >= 2)
    scheduler.signal(signal.SIGSTOP)
    stopped = time.monotonic()
    wait_until(lambda: time.monotonic() > stopped + 3)
    before = len(site.times())
    scheduler.signal(signal.SIGCONT)
    went_on = time.monotonic()
    wait_until(lambda: time.monotonic() > went_on + 1.5)
    assert 2 <= len(site.times()) - before <= 4


@pytest.mark.parametrize("how", ["SIGUSR1", "trigger"])
def test_a_trigger_runs_now_and_moves_no_due_time(site: Site, how: str) -> None:
    site.main(recorder())
    scheduler = site.start(SCHED_INTERVAL="1h")
    site.await_runs(1)
    due = site.state()["next_due"]
    if how == "SIGUSR1":
        site.ask_for_a_run(scheduler)
    else:
        site.ask_for_a_run(scheduler, lambda: site.call("trigger", "--here").check_returncode())
    site.await_runs(2)
    assert len(site.times()) == 2
    assert site.state()["next_due"] == pytest.approx(due, abs=0.01)


def test_a_trigger_during_a_run_starts_no_second_one(site: Site) -> None:
    site.main(recorder("time.sleep(1.5)"))
    scheduler = site.start(SCHED_INTERVAL="1h")
    wait_until(site.times)
    for _ in range(5):
        scheduler.signal(signal.SIGUSR1)
    site.await_runs(1)
    assert scheduler.stop() == 0
    assert len(site.times()) == 1


def test_a_second_scheduler_refuses_with_75_and_names_the_first_ones_process(site: Site) -> None:
    site.main(recorder("time.sleep(60)"))
    first = site.start(SCHED_INTERVAL="1h")
    wait_until(site.times)
    second = site.call("run")
    assert second.returncode == 75
    assert str(first.pid) in second.stderr
    assert len(site.times()) == 1
    assert first.process.poll() is None


def test_once_during_a_run_exits_75_and_runs_nothing(site: Site) -> None:
    site.main(recorder("time.sleep(60)"))
    site.start(SCHED_INTERVAL="1h")
    wait_until(site.times)
    assert site.call("once", "--here").returncode == 75
    assert len(site.times()) == 1


def test_a_due_run_is_skipped_while_once_has_one_going(site: Site) -> None:
    site.shell("date +%s.%N >>times; ${SLOW:+sleep 2.5}; date +%s.%N >>ends")
    site.start()
    site.await_runs(1)
    wait_until(lambda: site.call("once", "--here", SLOW="yes").returncode == 0)
    wait_until(lambda: site.state()["running"] is None and site.state())
    assert site.state()["skipped"] >= 1
    starts, ends = site.times(), site.times("ends")
    assert all(start >= end for start, end in zip(starts[1:], ends, strict=False)), "two at once"


@pytest.mark.parametrize(
    ("source", "status"),
    [
        ("", 0),
        ("raise SystemExit(3)", 3),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", 128 + 9),
        ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", 128 + 15),
        ("import time; time.sleep(60)", 124),
    ],
)
def test_once_exits_as_main_py_did(site: Site, source: str, status: int) -> None:
    site.main(source)
    assert site.call("once", "--here", SCHED_TIMEOUT="2s").returncode == status


def test_once_exits_127_where_main_py_could_not_be_started(site: Site) -> None:
    assert site.call("once", "--here").returncode == 127
    assert site.outcomes() == ["not started"]


def test_once_ends_the_run_at_ctrl_c_and_exits_130(site: Site) -> None:
    site.main(recorder("time.sleep(60)"))
    once = site.start("once", "--here")
    wait_until(site.times)
    once.signal(signal.SIGINT)
    assert once.wait() == 130
    assert site.outcomes() == ["interrupted"]
    assert not site.processes.alive()


def test_once_writes_the_marker_and_counts_runs_with_the_schedulers(site: Site) -> None:
    site.main("import os; print('run', os.environ['SCHED_RUN'])")
    assert [site.call("once", "--here").returncode for _ in range(2)] == [0, 0]
    assert site.output() == b"run 1\nrun 2\n"
    assert site.marker.exists()


def crashed_after_a_run(site: Site, **env: str) -> float:
    """A scheduler ran main.py once and was SIGKILLed when idle; gives when it ran."""
    site.main(recorder())
    scheduler = site.start(**env)
    site.await_runs(1)
    scheduler.kill()
    return site.times()[0]


def second_start(site: Site, **env: str) -> tuple[Command, float]:
    """Start again, and give when main.py ran for the second time."""
    scheduler = site.start(**env)
    return scheduler, wait_until(lambda: len(site.times()) >= 2 and site.times()[1])


def assert_that_the_next_start_keeps_the_cadence(site: Site, supervisor: Supervisor, env: dict[str, str]) -> None:
    """The run after it is due so many intervals after the last, and no due time before that is left out."""
    last = site.state()["due"]
    supervisor.receive(0)
    site.start(**env)
    supervisor.await_message("READY=1")
    is_ready = time.time()
    wait_until(lambda: len(site.times()) >= 2)
    due = wait_until(lambda: site.state()["due"] > last + 0.1 and site.state()["due"])
    intervals = (due - last) / 3
    assert intervals == pytest.approx(round(intervals), abs=0.02), "not at once"
    assert due - 3 < is_ready + 0.1, "nor later than at the next due time"


def test_a_crashed_scheduler_that_systemd_restarts_resumes_the_cadence(site: Site, supervisor: Supervisor) -> None:
    env = {"NOTIFY_SOCKET": supervisor.address, "SCHED_INTERVAL": "3s"}
    crashed_after_a_run(site, **env)
    assert_that_the_next_start_keeps_the_cadence(site, supervisor, env)


def test_a_crashed_scheduler_whose_due_time_has_passed_runs_at_once_when_restarted(
    site: Site, supervisor: Supervisor
) -> None:
    env = {"NOTIFY_SOCKET": supervisor.address, "SCHED_INTERVAL": "3s"}
    first = crashed_after_a_run(site, **env)
    wait_until(lambda: time.monotonic() > first + 3.1)
    before = time.monotonic()
    _, second = second_start(site, **env)
    assert second - before < 2.5


def test_a_crashed_scheduler_started_by_hand_runs_at_once(site: Site) -> None:
    first = crashed_after_a_run(site, SCHED_INTERVAL="1h")
    _, second = second_start(site, SCHED_INTERVAL="1h")
    assert second - first < 20


def test_a_cleanly_stopped_scheduler_runs_at_once_under_systemd_too(site: Site, supervisor: Supervisor) -> None:
    site.main(recorder())
    env = {"NOTIFY_SOCKET": supervisor.address, "SCHED_INTERVAL": "1h"}
    scheduler = site.start(**env)
    site.await_runs(1)
    assert scheduler.stop() == 0
    _, second = second_start(site, **env)
    assert second - site.times()[0] < 20


def test_sched_start_resume_keeps_the_cadence_over_every_start(site: Site, supervisor: Supervisor) -> None:
    site.main(recorder())
    env = {"NOTIFY_SOCKET": supervisor.address, "SCHED_START": "resume", "SCHED_INTERVAL": "3s"}
    scheduler = site.start(**env)
    site.await_runs(1)
    assert scheduler.stop() == 0
    assert_that_the_next_start_keeps_the_cadence(site, supervisor, env)


def test_a_scheduler_that_crashes_again_and_again_does_not_run_more_often(site: Site, supervisor: Supervisor) -> None:
    env = {"NOTIFY_SOCKET": supervisor.address, "SCHED_INTERVAL": "3s"}
    first = crashed_after_a_run(site, **env)
    for _ in range(3):
        scheduler = site.start(**env)
        supervisor.await_message("READY=1")
        scheduler.kill()
    _, second = second_start(site, **env)
    assert second - first >= 2.5


def test_the_directory_of_main_py_is_where_it_runs_and_the_scheduler_keeps_its_files_in_its_own(site: Site) -> None:
    (site.path / "elsewhere").mkdir()
    script = site.path / "elsewhere" / "job.py"
    script.write_text("import os; print(os.getcwd())")
    site.start(SCHED_MAIN=str(script), SCHED_INTERVAL="1h")
    site.await_runs(1)
    assert site.output().decode().strip() == os.path.realpath(script.parent)
    assert site.marker.exists()


def test_a_restart_before_the_first_run_of_a_boot_does_not_take_the_boot_clock_of_the_boot_before(site: Site) -> None:
    site.shell("date +%s.%N >>times")
    due = time.time() - 600
    site.own.mkdir()
    state = {"boot_id": "the boot before", "due": due, "due_boottime": 1.0, "number": 3, "interval": 3600.0}
    (site.own / "state.json").write_text(json.dumps(state))
    settings = {"SCHED_INTERVAL": "1h", "SCHED_START": "resume"}
    for _ in range(2):
        scheduler = site.start(**settings)
        wait_until(lambda: site.state().get("next_due"), what="the plan")
        assert site.state()["next_due"] == pytest.approx(due + 3600, abs=1)
        assert scheduler.stop() == 0
    assert site.times() == []


def test_a_stop_just_before_a_run_is_due_begins_none_and_takes_none_away(site: Site) -> None:
    site.main(RECORD)
    patch = """
        import os, signal
        from pathlib import Path
        import faults
        def around(original, service):
            if Path("times").exists() and not service._scheduler.is_performing:
                os.kill(os.getpid(), signal.SIGTERM)
                while service._scheduler.next_due > service._scheduler.now():
                    pass
            return original(service)
        faults.wrap(faults.TURN, around)
    """
    scheduler = site.start(patch=patch, SCHED_INTERVAL="1s")
    assert scheduler.wait() == 0
    state = site.state()
    begun = len(site.times())
    assert (state["number"], state["running"], len(state["runs"])) == (begun, None, begun)
    assert state["due"] <= state["runs"][-1]["started"]
    assert not site.processes.alive()


def test_a_stop_when_a_run_has_been_handed_to_its_thread_begins_none(site: Site) -> None:
    site.main(RECORD)
    patch = """
        import os, signal
        import faults
        def around(original, executor, job, run_times):
            stopping = executor._scheduler._on_turn.__self__
            def when_stopping(*args, **options):
                while not stopping._stopping:
                    pass
                return job_func(*args, **options)
            job_func = job.func
            object.__setattr__(job, "func", when_stopping)
            os.kill(os.getpid(), signal.SIGTERM)
            return original(executor, job, run_times)
        faults.wrap(faults.RUN_SUBMITTED, around)
    """
    scheduler = site.start(patch=patch, SCHED_INTERVAL="1h")
    assert scheduler.wait() == 0
    assert (site.times(), site.state()["number"], site.runs()) == ([], 0, [])
