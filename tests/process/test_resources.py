"""No descriptors, no processes to be had; and hundreds of runs without a leak."""

import resource
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from harness import DEADLINE, SUPPORT, Command, Site, unprivileged_prefix, wait_until


def limit(scheduler: Command, which: int, soft: int) -> tuple[int, int]:
    old = resource.prlimit(scheduler.pid, which)
    resource.prlimit(scheduler.pid, which, (soft, old[1]))
    return old


def test_without_descriptors_a_run_ends_as_not_started_and_the_next_may_succeed(site: Site) -> None:
    site.shell("echo x")
    scheduler = site.start(SCHED_INTERVAL="1h")
    site.await_runs(1)
    wait_until(lambda: not scheduler.children())
    # One for a file at a time, and none for pipes.
    spare = max(int(name) for name in scheduler.descriptors()) + 2
    old = limit(scheduler, resource.RLIMIT_NOFILE, spare)
    site.ask_for_a_run(scheduler)
    assert site.await_runs(2)[1]["outcome"] == "not started"
    resource.prlimit(scheduler.pid, resource.RLIMIT_NOFILE, old)
    site.ask_for_a_run(scheduler)
    assert site.await_runs(3)[2]["outcome"] == "succeeded"
    assert [run["number"] for run in site.runs()] == [1, 2, 3]
    assert scheduler.stop() == 0


def test_without_descriptors_for_a_start_the_reason_is_told(site: Site) -> None:
    site.shell("echo x")
    scheduler = site.start(prefix=["prlimit", "--nofile=6"], options={"text": True})
    told = scheduler.process.communicate(timeout=DEADLINE)[1]
    assert scheduler.process.returncode == 1
    assert "Too many open files" in told


def test_without_any_descriptor_left_the_schedule_goes_on_when_there_are_some_again(site: Site) -> None:
    site.shell("echo x; echo 1 >>times")
    scheduler = site.start(SCHED_INTERVAL="300ms")
    site.await_runs(1)
    old = limit(scheduler, resource.RLIMIT_NOFILE, 3)
    cpu = scheduler.cpu()
    ended = threading.Event()
    assert not ended.wait(1.2)
    assert scheduler.process.poll() is None
    assert scheduler.cpu() - cpu < 0.8
    resource.prlimit(scheduler.pid, resource.RLIMIT_NOFILE, old)
    before = len(site.times())
    wait_until(lambda: len(site.times()) >= before + 2)
    assert scheduler.stop() == 0


def test_where_fork_fails_runs_end_as_not_started_and_succeed_later(open_site: Site) -> None:
    site = open_site
    site.shell("echo x")
    scheduler = site.start(prefix=unprivileged_prefix(), SCHED_INTERVAL="300ms")
    site.await_runs(1)
    # The limit counts the user's processes, and does not hold for root.
    change = [*unprivileged_prefix(), "prlimit", "--pid", str(scheduler.pid)]
    old = resource.getrlimit(resource.RLIMIT_NPROC)[1]
    subprocess.run([*change, f"--nproc=1:{old}"], check=True)
    wait_until(lambda: site.outcomes().count("not started") >= 2)
    assert "Resource temporarily unavailable" in site.runs()[-1]["reason"]
    subprocess.run([*change, f"--nproc={old}:{old}"], check=True)
    wait_until(lambda: site.outcomes()[-1] == "succeeded")
    assert scheduler.stop() == 0


def test_a_main_py_that_runs_out_of_memory_is_a_failed_run_and_nothing_else(site: Site) -> None:
    site.main("import resource; resource.setrlimit(resource.RLIMIT_AS, (10**8, 10**8)); x = b'x' * 10**9")
    scheduler = site.start(SCHED_INTERVAL="1h")
    assert site.await_runs()[0]["outcome"] == "failed"
    assert scheduler.process.poll() is None


def test_a_file_size_limit_does_not_end_the_scheduler(site: Site) -> None:
    site.shell("echo x; echo 1 >>times")
    scheduler = site.start(SCHED_INTERVAL="300ms")
    site.await_runs(1)
    old = limit(scheduler, resource.RLIMIT_FSIZE, 1)
    ended = threading.Event()
    assert not ended.wait(1)
    assert scheduler.process.poll() is None
    resource.prlimit(scheduler.pid, resource.RLIMIT_FSIZE, old)
    before = len(site.times())
    wait_until(lambda: len(site.times()) >= before + 2)
    assert scheduler.stop() == 0


def grown(site: Site, runs: int) -> None:
    site.shell("echo x; echo y >&2; case $SCHED_RUN in *0) sleep 3600 & esac")  # a leftover takes a second
    line = [sys.executable, str(SUPPORT / "many_runs.py"), str(runs)]
    done = subprocess.run(line, env=site.env, cwd=site.path, capture_output=True, text=True, timeout=3000, check=False)
    assert done.returncode == 0, done.stderr
    rss, descriptors, threads, children = (int(word) for word in done.stdout.split())
    assert rss < 2048, "KiB"
    assert (descriptors, threads, children) == (0, 0, 0)
    assert site.state()["number"] == runs + 20
    assert len(site.runs()) == 50
    assert not site.processes.alive()


def test_200_runs_leak_no_memory_descriptors_threads_or_zombies(site: Site) -> None:
    grown(site, 200)


@pytest.mark.soak
def test_5000_runs_leak_no_memory_descriptors_threads_or_zombies(site: Site) -> None:
    grown(site, 5000)


def test_a_scheduler_at_its_shortest_interval_leaks_nothing(site: Site) -> None:
    site.shell("echo x")
    scheduler = site.start(SCHED_INTERVAL="100ms")
    site.await_runs(10)
    memory = scheduler.kib("VmRSS")
    wait_until(lambda: site.state()["number"] >= 50)
    scheduler.signal(signal.SIGSTOP)
    wait_until(lambda: Path(f"/proc/{scheduler.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T")
    assert scheduler.kib("VmRSS") - memory < 1024
    assert len(scheduler.descriptors()) < 25
    assert int(scheduler.proc("Threads")) == 2
    scheduler.signal(signal.SIGCONT)
    assert scheduler.stop() == 0
