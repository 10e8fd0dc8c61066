"""A stop at any moment: exit 0, nothing left; and main.py gets its stop grace."""

import contextlib
import os
import random
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from harness import Command, Site, wait_until

NEVER = {"SCHED_INTERVAL": "1h"}
# A main.py that is importing, running or ending at most moments, with a child.
BUSY = "import json, subprocess, sys; child = subprocess.Popen(['sleep', '0.1']); print('x' * 5000); child.wait()"


def stop_with(scheduler: Command, number: int, times: int = 1) -> int:
    for _ in range(times):
        with contextlib.suppress(ProcessLookupError):
            scheduler.signal(number)
    return scheduler.wait()


def pause(seconds: float) -> None:
    threading.Event().wait(seconds)  # the moment itself is what is tested


def stop_at_random_moments(site: Site, count: int, seed: int) -> None:
    chance = random.Random(seed)
    site.main(BUSY)
    for number in range(count):
        scheduler = site.start(SCHED_INTERVAL="300ms", SCHED_STOP_GRACE="5s")
        scheduler.await_handlers()
        pause(chance.uniform(0, 0.7))
        times = 3 if number % 2 else 1
        assert stop_with(scheduler, chance.choice((signal.SIGTERM, signal.SIGINT)), times) == 0, f"stop {number}"
        wait_until(lambda: not site.processes.alive(), 1, f"nothing left after stop {number}")
        assert not site.state() or site.state()["running"] is None
        assert not site.state() or site.state()["clean"]
    assert b"Traceback" not in site.log()


def in_three_lanes(path: Path, count: int, seed: int) -> None:
    """So many stops of each of three schedulers, side by side."""
    lanes = []
    for number in range(3):
        (path / str(number)).mkdir()
        lanes.append(Site(path / str(number)))
    try:
        with ThreadPoolExecutor(3) as pool:
            ended = [pool.submit(stop_at_random_moments, lane, count, seed + n) for n, lane in enumerate(lanes)]
        assert [future.result() for future in ended] == [None] * 3
    finally:
        for lane in lanes:
            lane.end()


def test_60_stops_at_random_moments_end_with_exit_0_and_leave_nothing(tmp_path: Path) -> None:
    in_three_lanes(tmp_path, 20, seed=1)


@pytest.mark.soak
def test_1000_stops_at_random_moments_end_with_exit_0_and_leave_nothing(tmp_path: Path) -> None:
    in_three_lanes(tmp_path, 334, seed=1000)


def test_stops_while_the_interpreter_starts_leave_nothing(site: Site) -> None:
    chance = random.Random(3)
    site.main(BUSY)
    for _ in range(12):
        scheduler = site.start(**NEVER)
        pause(chance.uniform(0, 0.06))
        status = stop_with(scheduler, signal.SIGTERM)
        assert status in (0, -signal.SIGTERM)
        wait_until(lambda: not site.processes.alive(), 1, "nothing left")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_when_the_handlers_have_just_been_installed_runs_nothing_and_exits_0(site: Site, number: int) -> None:
    site.main("open('ran', 'w')")
    fifo = site.fifo("installed")
    patch = f"""
        import faults
        def around(original, *args, **options):
            original(*args, **options)
            open({str(fifo)!r}, "w").write("here\\n")
        faults.wrap(faults.SIGNALS_INSTALLED, around)
    """
    scheduler = site.start(patch=patch, **NEVER)
    assert fifo.read_text() == "here\n"
    assert stop_with(scheduler, number) == 0
    assert not site.processes.alive()


def test_a_stop_during_a_run_gives_the_stop_grace_then_kills(site: Site) -> None:
    site.use("print_signals.py")
    scheduler = site.start(**NEVER, SCHED_STOP_GRACE="700ms")
    wait_until(lambda: site.output() == b"ready\n")
    began = time.monotonic()
    assert scheduler.stop() == 0
    assert 0.6 < time.monotonic() - began < 3
    assert site.output() == b"ready\nTERM\n"
    assert site.runs()[0]["signal"] == signal.SIGKILL
    assert not site.processes.alive()


def test_a_stop_lets_main_py_end_by_itself_within_the_stop_grace(site: Site) -> None:
    site.main(
        """
        import signal, sys, time
        signal.signal(signal.SIGTERM, lambda *_: (print("bye"), sys.exit(0)))
        print("ready")
        time.sleep(60)
        """
    )
    scheduler = site.start(**NEVER, SCHED_STOP_GRACE="30s")
    wait_until(lambda: site.output() == b"ready\n")
    assert scheduler.stop(10) == 0
    assert site.output() == b"ready\nbye\n"
    assert site.outcomes() == ["interrupted"]


def test_three_stops_in_a_row_shorten_nothing_and_break_nothing(site: Site) -> None:
    site.use("print_signals.py")
    scheduler = site.start(**NEVER, SCHED_STOP_GRACE="1s")
    wait_until(lambda: site.output() == b"ready\n")
    began = time.monotonic()
    assert stop_with(scheduler, signal.SIGTERM, 3) == 0
    assert time.monotonic() - began > 0.9
    assert site.output() == b"ready\nTERM\n", "TERM once"
    assert not site.processes.alive()


def test_a_stop_ends_the_whole_tree_of_the_run(site: Site) -> None:
    site.use("spawn_tree.py")
    scheduler = site.start(**NEVER, SCHED_STOP_GRACE="500ms")
    wait_until(lambda: site.output() == b"ready\n")
    assert scheduler.stop() == 0
    assert not site.processes.alive()


def test_a_stop_when_idle_takes_no_time(site: Site) -> None:
    site.shell("echo x")
    scheduler = site.start(**NEVER)
    site.await_runs(1)
    wait_until(lambda: not scheduler.children())
    began = time.monotonic()
    assert scheduler.stop() == 0
    assert time.monotonic() - began < 1


def test_a_stop_that_signals_main_py_before_the_scheduler_interrupts_the_run(site: Site) -> None:
    """As KillMode=control-group and a bare ``systemctl kill`` do."""
    site.main("import os, time; print(os.getpid(), flush=True); time.sleep(600)")
    scheduler = site.start(**NEVER)
    os.kill(int(wait_until(site.output)), signal.SIGTERM)
    pause(0.05)
    assert stop_with(scheduler, signal.SIGTERM) == 0
    assert [run["outcome"] for run in site.runs()] == ["interrupted"]


def test_a_stop_while_a_time_out_ends_a_run_promises_no_next_one(site: Site) -> None:
    site.use("print_signals.py")
    scheduler = site.start(**NEVER, SCHED_TIMEOUT="500ms", SCHED_STOP_GRACE="1s", SCHED_RETRIES="1")
    wait_until(lambda: site.output() == b"ready\nTERM\n")
    assert scheduler.stop() == 0
    assert [run["outcome"] for run in site.runs()] == ["timed out"]
    (summary,) = [line for line in site.log().splitlines() if b"run 1 timed out" in line]
    assert summary.endswith(b" MiB)"), "nothing follows the figures"


def test_ctrl_c_in_a_terminal_stops_scheduler_and_run_with_exit_0(site: Site) -> None:
    site.use("print_signals.py")
    main_side, terminal = os.openpty()
    scheduler = site.start(
        **NEVER,
        SCHED_STOP_GRACE="300ms",
        options={"stdin": terminal, "stdout": terminal, "start_new_session": True, "preexec_fn": take_terminal},
    )
    os.close(terminal)
    wait_until(lambda: site.output() == b"ready\n")
    os.write(main_side, b"\x03")
    assert scheduler.wait() == 0
    assert site.output() == b"ready\nTERM\n", "the run has a session of its own"
    os.close(main_side)


def take_terminal() -> None:
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def test_a_hang_up_stops_a_scheduler_without_environment_file(site: Site) -> None:
    site.use("print_signals.py")
    scheduler = site.start(**NEVER, SCHED_STOP_GRACE="300ms")
    wait_until(lambda: site.output() == b"ready\n")
    assert stop_with(scheduler, signal.SIGHUP) == 0
    assert not site.processes.alive()


def test_a_flood_of_signals_neither_deadlocks_nor_ends_the_schedule(site: Site) -> None:
    site.shell("echo 1 >>times")
    scheduler = site.start(SCHED_INTERVAL="500ms")
    wait_until(site.times)
    for _ in range(3000):
        scheduler.signal(signal.SIGUSR1)
    before = len(site.times())
    wait_until(lambda: len(site.times()) >= before + 3)
    assert scheduler.stop() == 0
    assert b"Traceback" not in site.log()
    assert Path(site.own / "lock").exists()
