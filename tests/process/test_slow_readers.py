"""A reader of the live output that is slow or does not read: time-out and stop are kept, and nothing is left alone."""

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest
from harness import Command, Site, wait_until

NEVER = {"SCHED_INTERVAL": "1h"}
FLOOD = "import os\nopen('started', 'w').write('x\\n')\nwhile True: os.write(1, b'x' * 79 + b'\\n')"
# Seconds. Such a bound is broken by a wait for the reader, which takes a minute and more, and by no busy machine.
SOON = 25.0


@contextmanager
def nobody() -> Iterator[int]:
    """A socket that nobody reads, as Node gives its children one."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield theirs.fileno()


@contextmanager
def slow() -> Iterator[int]:
    """A pipe of which somebody reads 2 KiB/s."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    over = threading.Event()

    def read() -> None:
        while not over.wait(1):
            with suppress(BlockingIOError):
                os.read(reader, 2048)

    thread = threading.Thread(target=read)
    thread.start()
    try:
        yield writer
    finally:
        over.set()
        thread.join()
        os.close(writer)
        os.close(reader)


Reader = Callable[[], object]
EACH = pytest.mark.parametrize("reader", [nobody, slow])


def started(site: Site, stdout: int, *arguments: str, **env: str) -> Command:
    site.main(FLOOD)
    command = site.start(*arguments, options={"stdout": stdout}, SCHED_STOP_GRACE="500ms", **env)
    site.await_file("started")
    return command


@EACH
def test_a_time_out_is_kept_whoever_reads(site: Site, reader: Reader) -> None:
    with reader() as stdout:  # type: ignore[attr-defined]
        scheduler = started(site, stdout, **NEVER, SCHED_TIMEOUT="2s")
        run = site.await_runs(deadline=SOON)[0]
        assert run["outcome"] == "timed out"
        assert run["duration"] < SOON
        assert list(site.processes.alive()) == [scheduler.pid]


@EACH
@pytest.mark.parametrize("interval", ["1s", "1h"])
def test_a_stop_is_kept_whoever_reads(site: Site, reader: Reader, interval: str) -> None:
    with reader() as stdout:  # type: ignore[attr-defined]
        scheduler = started(site, stdout, SCHED_INTERVAL=interval)
        wait_until(lambda: len(site.log()) > 100_000, what="it waits for the reader now")
        if interval == "1s":
            wait_until(lambda: b"skipped the run" in site.log(), what="its loop waits too")
        assert scheduler.stop(SOON) == 0
    assert site.outcomes() == ["interrupted"]
    assert not site.processes.alive()


@EACH
def test_a_stop_of_once_is_kept_whoever_reads(site: Site, reader: Reader) -> None:
    with reader() as stdout:  # type: ignore[attr-defined]
        once = started(site, stdout, "once", "--here")
        wait_until(lambda: len(site.log()) > 100_000, what="it waits for the reader now")
        once.signal(signal.SIGTERM)
        assert once.wait(SOON) == 130
    assert not site.processes.alive()


def test_the_file_has_what_the_reader_has_not(site: Site) -> None:
    with nobody() as stdout:
        site.shell("seq 100000")
        scheduler = site.start(options={"stdout": stdout}, **NEVER)
        run = site.await_runs(deadline=SOON)[0]
        assert run["outcome"] == "succeeded"
        assert scheduler.stop() == 0
    assert site.output().endswith(b"\n99999\n100000\n")
    assert any("the terminal cannot be written, lines are lost" in line for line in site.own_lines())


# No way out of a run leaves it unsupervised


def test_where_no_thread_can_be_made_for_pings_the_run_is_as_any_other(site: Site) -> None:
    site.main("print('said')")
    patch = "import faults; faults.no_thread('ping')"
    scheduler = site.start(patch=patch, SCHED_INTERVAL="1s", SCHED_PING_URL="http://127.0.0.1:9/x")
    site.await_runs(2)
    assert set(site.outcomes()) == {"succeeded"}
    assert site.output(run=1) == b"said\n"
    assert len([line for line in site.own_lines() if "the ping cannot be delivered" in line]) == 1
    assert scheduler.stop() == 0


@pytest.mark.parametrize(
    "place",
    [
        "sched_runner.tell.monitoring:Monitoring.begun",
        "sched_runner.run.execution:Execution.wait",
        "sched_runner.run.execution:Execution._collect",
        "sched_runner.output.capture:Capture.read",
    ],
)
def test_whatever_fails_while_a_run_goes_on_the_run_is_ended_and_told(site: Site, place: str) -> None:
    site.shell("setsid sleep 3600 & echo x; [ $SCHED_RUN = 1 ] && sleep 3600; exit 0")
    patch = f"""
        import faults
        def around(original, *args, **options):
            if not __import__("os").path.exists("failed"):
                open("failed", "w").close()
                raise RuntimeError("a fault of our own")
            return original(*args, **options)
        faults.wrap({place!r}, around)
    """
    # The last but one is reached only when main.py ends.
    scheduler = site.start(patch=patch, **NEVER, SCHED_TIMEOUT="1s", SCHED_STOP_GRACE="1s")
    run = site.await_runs()[0]
    assert "a fault of our own" in run["reason"]
    wait_until(lambda: list(site.processes.alive()) == [scheduler.pid], what="an end of all that the run had started")
    wait_until(lambda: "a fault of our own" in site.errors())
    site.ask_for_a_run(scheduler)
    assert site.await_runs(2)[1]["outcome"] == "succeeded", "the schedule goes on"
    assert scheduler.stop() == 0


def with_a_fault_of_the_main_loop(site: Site, stop_grace: str) -> Command:
    """A scheduler whose loop fails while a run goes on that heeds its TERM."""
    site.use("print_signals.py")
    patch = """
        import faults, os
        def around(original, *args):
            if os.path.exists("fail"):
                raise RuntimeError("a fault of our own")
            return original(*args)
        faults.wrap(faults.TURN, around)
    """
    scheduler = site.start(patch=patch, **NEVER, SCHED_STOP_GRACE=stop_grace)
    wait_until(lambda: site.output() == b"ready\n")
    (site.path / "fail").touch()
    scheduler.signal(signal.SIGUSR1)  # wakes the loop
    return scheduler


def test_a_fault_of_the_main_loop_ends_the_run_and_then_the_scheduler(site: Site) -> None:
    scheduler = with_a_fault_of_the_main_loop(site, "500ms")
    assert scheduler.wait() == 1
    assert site.output() == b"ready\nTERM\n"
    assert site.outcomes() == ["interrupted"]
    assert not site.processes.alive()
    assert "a fault of our own" in site.errors()
    assert site.state()["clean"] is False, "who restarts it resumes the cadence"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_after_a_fault_of_the_main_loop_a_stop_neither_hangs_nor_is_needed(site: Site, number: int) -> None:
    scheduler = with_a_fault_of_the_main_loop(site, "3s")
    wait_until(lambda: site.output() == b"ready\nTERM\n")
    scheduler.signal(number)
    assert scheduler.wait() == 1
    assert not site.processes.alive()
