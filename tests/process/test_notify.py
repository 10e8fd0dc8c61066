"""What systemd is told, by way of a NOTIFY_SOCKET of the test's own; and a reload."""

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import pytest
from harness import Command, Site, Supervisor, gaps, wait_until

Start = Callable[..., Command]


@pytest.fixture
def start(site: Site, supervisor: Supervisor) -> Start:
    return lambda *arguments, **env: site.start(*arguments, **{"NOTIFY_SOCKET": supervisor.address} | env)


def lines(supervisor: Supervisor, begin: str) -> list[str]:
    return [line for _, text in supervisor.messages for line in text.split("\n") if line.startswith(begin)]


def test_ready_comes_before_the_first_run_ends(site: Site, supervisor: Supervisor, start: Start) -> None:
    site.fifo("go")
    site.main("open('go').read()")
    start(SCHED_INTERVAL="1h")
    assert "STATUS=" in supervisor.await_message("READY=1")
    assert site.runs() == []


def test_ready_does_not_come_with_faulty_settings(supervisor: Supervisor, start: Start) -> None:
    assert start(SCHED_INTERVAL="never").wait() == 78
    assert supervisor.receive(0) == []


def test_status_tells_of_the_run_that_is_going_and_of_the_last_one(
    site: Site, supervisor: Supervisor, start: Start
) -> None:
    site.fifo("go")
    site.main("open('go').read(); raise SystemExit(3)")
    start(SCHED_INTERVAL="1h")
    supervisor.await_message("STATUS=run 1 has been going since ")
    (site.path / "go").write_text("")
    told = supervisor.await_message("STATUS=last run 1 failed")
    assert "1 failure in a row" in told
    assert "next run " in told


def test_status_tells_of_a_run_of_once_when_that_has_ended(site: Site, supervisor: Supervisor, start: Start) -> None:
    site.main("raise SystemExit(3)")
    start(SCHED_INTERVAL="1h", WATCHDOG_USEC="600000")
    supervisor.await_message("STATUS=last run 1 failed")
    site.main("")
    assert site.call("once", "--here").returncode == 0
    assert "next run " in supervisor.await_message("STATUS=last run 2 succeeded")
    assert [run["outcome"] for run in site.runs()] == ["failed", "succeeded"]


def test_the_watchdog_is_pinged_at_least_every_half_of_its_time(
    site: Site, supervisor: Supervisor, start: Start
) -> None:
    site.main("import time; time.sleep(1.2)")
    scheduler = start(SCHED_INTERVAL="1h", WATCHDOG_USEC="600000")
    supervisor.await_message("READY=1")
    supervisor.receive(3)
    pings = [when for when, text in supervisor.messages if "WATCHDOG=1" in text]
    assert len(pings) >= 8
    assert median(gaps(pings)) < 0.3 + 0.02
    assert max(gaps(pings)) < 0.6
    assert scheduler.process.poll() is None


def test_a_watchdog_of_another_process_is_not_pinged_often(site: Site, supervisor: Supervisor, start: Start) -> None:
    site.main("")
    start(SCHED_INTERVAL="1h", WATCHDOG_USEC="100000", WATCHDOG_PID="1")
    site.await_runs(1)
    supervisor.receive(0.2)
    before = len(lines(supervisor, "WATCHDOG=1"))
    supervisor.receive(1)
    assert len(lines(supervisor, "WATCHDOG=1")) - before <= 1


def test_no_ping_when_the_executor_is_dead(site: Site, supervisor: Supervisor, start: Start) -> None:
    site.main("")
    patch = """
        import faults
        faults.overdue_after(0.5)
        calls = iter(range(1000))
        def around(original, *args, **options):
            if next(calls) < 2:
                return original(*args, **options)
            raise RuntimeError("cannot schedule new futures after shutdown")
        faults.wrap(faults.RUN_SUBMITTED, around)
    """
    start(patch=patch, SCHED_INTERVAL="300ms", WATCHDOG_USEC="300000")
    site.await_runs(2)
    assert lines(supervisor, "WATCHDOG=1") or supervisor.await_message("WATCHDOG=1")
    supervisor.receive(1.5)
    assert not [text for text in supervisor.receive(1) if "WATCHDOG=1" in text]
    assert len(site.runs()) == 2


def test_no_ping_when_the_loop_is_stuck(site: Site, supervisor: Supervisor, start: Start) -> None:
    site.main("")
    patch = """
        import os, time
        import faults
        def around(original, *args, **options):
            while os.path.exists("stuck"):
                time.sleep(0.05)
            return original(*args, **options)
        faults.wrap(faults.TURN, around)
    """
    scheduler = start(patch=patch, SCHED_INTERVAL="300ms", WATCHDOG_USEC="300000")
    supervisor.await_message("WATCHDOG=1")
    (site.path / "stuck").touch()
    supervisor.receive(0.5)
    assert not [text for text in supervisor.receive(1) if "WATCHDOG=1" in text]
    (site.path / "stuck").unlink()
    supervisor.await_message("WATCHDOG=1")
    assert scheduler.stop() == 0


def test_pings_go_on_during_an_overlong_run(site: Site, supervisor: Supervisor, start: Start) -> None:
    site.main("import time; time.sleep(60)")
    start(
        patch="import faults\nfaults.overdue_after(0.5)",
        SCHED_INTERVAL="200ms",
        WATCHDOG_USEC="300000",
    )
    supervisor.await_message("READY=1")
    supervisor.receive(2)
    assert len([text for text in supervisor.receive(1) if "WATCHDOG=1" in text]) >= 5


def test_stopping_is_told_with_the_time_that_the_stop_grace_takes(
    site: Site, supervisor: Supervisor, start: Start
) -> None:
    site.use("print_signals.py")
    scheduler = start(SCHED_INTERVAL="1h", SCHED_STOP_GRACE="1s")
    wait_until(lambda: site.output() == b"ready\n")
    scheduler.signal(signal.SIGTERM)
    told = supervisor.await_message("STOPPING=1")
    extension = next(line for line in told.split("\n") if line.startswith("EXTEND_TIMEOUT_USEC="))
    assert int(extension.partition("=")[2]) > 1_000_000
    assert scheduler.wait() == 0


def test_no_ready_comes_after_stopping(site: Site, supervisor: Supervisor, start: Start) -> None:
    site.use("print_signals.py")
    scheduler = start("run", "--env-file", env_file(site, ""), SCHED_INTERVAL="1h", SCHED_STOP_GRACE="500ms")
    wait_until(lambda: site.output() == b"ready\n")
    scheduler.signal(signal.SIGTERM)
    supervisor.await_message("STOPPING=1")
    scheduler.signal(signal.SIGHUP)
    assert scheduler.wait() == 0
    supervisor.receive(0)
    texts = [text for _, text in supervisor.messages]
    after = texts[next(n for n, text in enumerate(texts) if "STOPPING=1" in text) + 1 :]
    assert not [text for text in after if "READY=1" in text or "RELOADING=1" in text]


def test_a_notify_socket_that_is_gone_stops_nothing(site: Site, supervisor: Supervisor, start: Start) -> None:
    site.main("")
    scheduler = start(SCHED_INTERVAL="300ms")
    site.await_runs(1)
    supervisor.close()
    os.unlink(supervisor.address)
    before = len(site.runs())
    site.await_runs(before + 2)
    assert scheduler.stop() == 0


# Reload


def env_file(site: Site, text: str) -> str:
    path = site.path / "env"
    path.write_text(text)
    return str(path)


def reload(scheduler: Command, supervisor: Supervisor) -> None:
    scheduler.signal(signal.SIGHUP)
    supervisor.await_message("RELOADING=1")
    supervisor.await_message("READY=1")


def test_reloading_comes_with_the_time_and_is_ended_by_ready(site: Site, supervisor: Supervisor, start: Start) -> None:
    site.main("")
    scheduler = start("run", "--env-file", env_file(site, ""), SCHED_INTERVAL="1h")
    supervisor.await_message("READY=1")
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    scheduler.signal(signal.SIGHUP)
    told = supervisor.await_message("RELOADING=1")
    usec = next(line for line in told.split("\n") if line.startswith("MONOTONIC_USEC="))
    assert before <= int(usec.partition("=")[2]) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    supervisor.await_message("READY=1")
    assert scheduler.stop() == 0


def test_a_reload_reads_the_file_anew_and_what_the_unit_has_of_its_own_stays(
    site: Site, supervisor: Supervisor, start: Start
) -> None:
    site.main("import os\nfor n in ('FILES', 'GONE', 'NEW', 'UNITS', 'BOTH'): print(n, os.environ.get(n))")
    path = env_file(site, "FILES=old\nGONE=here\n")
    # As systemd does: the values of the file are in the environment at start, beside the unit's own.
    scheduler = start("run", "--env-file", path, FILES="old", GONE="here", UNITS="units", BOTH="u", SCHED_INTERVAL="1h")
    site.await_runs(1)
    env_file(site, "FILES=new\nNEW=now\nBOTH=files\n")
    reload(scheduler, supervisor)
    assert len(site.runs()) == 1, "a reload runs nothing"
    site.ask_for_a_run(scheduler)
    site.await_runs(2)
    assert site.output(run=1) == b"FILES old\nGONE here\nNEW None\nUNITS units\nBOTH u\n"
    assert site.output(run=2) == b"FILES new\nGONE None\nNEW now\nUNITS units\nBOTH u\n"


def test_a_reload_says_what_it_cannot_change(site: Site, supervisor: Supervisor, start: Start) -> None:
    site.shell(":")
    path = env_file(site, "")
    scheduler = start("run", "--env-file", path, SCHED_INTERVAL="1h")
    supervisor.await_message("READY=1")
    env_file(site, "SCHED_INTERVAL=2h\nSCHED_LOG_DIR=/elsewhere\n")
    reload(scheduler, supervisor)
    assert [line.partition(" WARNING ")[2] for line in site.own_lines()] == [
        f"reload: SCHED_INTERVAL: the value that the environment had at the start stays, and not that of {path}",
        "reload: new directories take effect only after a restart",
    ]
    assert scheduler.stop() == 0


def test_a_reload_with_a_faulty_file_keeps_the_old_settings(site: Site, supervisor: Supervisor, start: Start) -> None:
    site.shell("echo $NAME; echo 1 >>times")
    scheduler = start("run", "--env-file", env_file(site, "SCHED_INTERVAL=400ms\nNAME=old\n"), SCHED_INTERVAL="400ms")
    site.await_runs(1)
    env_file(site, "SCHED_INTERVAL=often\nNAME=new\n")
    reload(scheduler, supervisor)
    before = len(site.times())
    wait_until(lambda: len(site.times()) >= before + 3, 5)
    assert set(site.output().split()) == {b"old"}
    assert "often" in site.errors()
    assert scheduler.stop() == 0


def test_after_a_reload_the_next_run_is_due_at_the_last_due_time_plus_the_new_interval(
    site: Site, supervisor: Supervisor, start: Start
) -> None:
    site.main("import time; print(time.monotonic(), file=open('times', 'a'))")
    scheduler = start("run", "--env-file", env_file(site, "SCHED_INTERVAL=1h\n"), SCHED_INTERVAL="1h")
    site.await_runs(1)
    due = site.state()["due"]
    threading.Event().wait(1)
    env_file(site, "SCHED_INTERVAL=3s\n")
    reload(scheduler, supervisor)
    assert site.state()["next_due"] == pytest.approx(due + 3, abs=0.1)
    wait_until(lambda: len(site.times()) >= 2)
    assert 2.5 < gaps(site.times())[0] < 5.5, "neither at once nor at the due time after the next"


def test_a_reload_to_an_interval_that_has_passed_runs_at_once(site: Site, supervisor: Supervisor, start: Start) -> None:
    site.main("import time; print(time.monotonic(), file=open('times', 'a'))")
    scheduler = start("run", "--env-file", env_file(site, "SCHED_INTERVAL=1h\n"), SCHED_INTERVAL="1h")
    site.await_runs(1)
    threading.Event().wait(1)
    env_file(site, "SCHED_INTERVAL=800ms\n")
    reload(scheduler, supervisor)
    wait_until(lambda: len(site.times()) >= 3, 5)


def test_a_reload_during_a_run_does_not_touch_it(site: Site, supervisor: Supervisor, start: Start) -> None:
    site.fifo("go")
    site.shell("echo begun; read line <go; echo $NAME")
    path = env_file(site, "SCHED_TIMEOUT=1h\nNAME=old\n")
    scheduler = start("run", "--env-file", path, SCHED_INTERVAL="1h")
    wait_until(lambda: site.output() == b"begun\n")
    env_file(site, "SCHED_TIMEOUT=100ms\nNAME=new\n")
    reload(scheduler, supervisor)
    threading.Event().wait(0.3)
    (site.path / "go").write_text("\n")
    assert site.await_runs()[0]["outcome"] == "succeeded"
    assert site.output() == b"begun\nold\n"
    assert scheduler.stop() == 0


def test_many_reloads_in_a_row_run_nothing_and_move_no_due_time(
    site: Site, supervisor: Supervisor, start: Start
) -> None:
    site.main("open('times', 'a').write('1\\n')")
    scheduler = start("run", "--env-file", env_file(site, "A=1\n"), SCHED_INTERVAL="1h")
    site.await_runs(1)
    due = site.state()["next_due"]
    for _ in range(10):
        reload(scheduler, supervisor)
    assert site.state()["next_due"] == due
    assert len(site.times()) == 1
    assert scheduler.stop() == 0
    assert Path(site.own / "scheduler.log").exists()
