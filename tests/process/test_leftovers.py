"""What main.py leaves behind: it may end by itself, then TERM, then KILL; and what the run did not start stays."""

import signal
import sys
import time
from pathlib import Path

import pytest
from harness import Site, wait_until

NEVER = {"SCHED_INTERVAL": "1h"}
# On a busy machine what ends by itself takes its time.
PATIENT = "import faults; faults.linger(30)"
BASH = {"SCHED_PYTHON": "/bin/bash"}


def told(site: Site) -> list[str]:
    """What is told of the leftovers of the first run, after which the summary comes."""
    wait_until(lambda: b" run 1 " in b"".join(line for line in site.log().splitlines() if b"peak memory" in line))
    return [line for line in site.own_lines() if "leftover" in line and "run 1" in line]


# It ends by itself


def test_the_last_error_of_a_process_substitution_is_kept_and_nothing_is_told(site: Site) -> None:
    site.main(
        """
        exec 2> >(while read -r l; do sleep 0.1; echo "ERR: $l" >&2; done)
        echo "the only error" >&2
        exit 3
        """
    )
    scheduler = site.start(patch=PATIENT, **NEVER, **BASH)
    run = site.await_runs()[0]
    assert site.output("stderr") == b"ERR: the only error\n"
    assert (run["outcome"], run["reason"]) == ("failed", "ERR: the only error")
    assert told(site) == []
    assert scheduler.stop() == 0


def test_a_tee_finishes_its_copy(site: Site) -> None:
    site.main("exec > >(sleep 0.1; tee copy); seq 5000; exit 3")
    site.start(patch=PATIENT, **NEVER, **BASH)
    site.await_runs()
    numbers = b"".join(b"%d\n" % number for number in range(1, 5001))
    assert site.output() == numbers
    assert (site.path / "copy").read_bytes() == numbers
    assert told(site) == []


def test_the_shared_memory_of_a_failed_run_is_cleaned_up_by_its_resource_tracker(site: Site) -> None:
    site.main(
        """
        from multiprocessing.shared_memory import SharedMemory
        print(SharedMemory(create=True, size=4096).name, flush=True)
        raise SystemExit(3)
        """
    )
    site.start(patch=PATIENT, **NEVER)
    assert site.await_runs()[0]["outcome"] == "failed"
    assert not Path("/dev/shm", site.output().decode().strip()).exists()
    assert told(site) == []


def test_a_pool_of_a_forkserver_is_not_worth_a_word(site: Site) -> None:
    site.main(
        """
        import multiprocessing
        if __name__ == "__main__":
            context = multiprocessing.get_context("forkserver")
            with context.Pool(2) as pool:
                print(sum(pool.map(abs, [-1, -2])))
        """
    )
    site.start(patch=PATIENT, **NEVER)
    assert site.await_runs()[0]["outcome"] == "succeeded"
    assert site.output() == b"3\n"
    assert told(site) == []


def test_a_stop_while_a_leftover_ends_by_itself_does_not_cut_it_short(site: Site) -> None:
    site.fifo("go")
    site.shell("sh -c 'read line <go; echo last words' & echo gone")
    scheduler = site.start(patch=PATIENT, **NEVER)
    wait_until(lambda: site.output() == b"gone\n")
    wait_until(
        lambda: any(" <defunct>" not in line and "read line" in line for line in site.processes.alive().values())
    )
    wait_until(lambda: len(scheduler.children()) == 1 and not scheduler.zombies(), what="main.py has ended")
    scheduler.signal(signal.SIGTERM)
    wait_until(lambda: b"INFO stopping" in site.log())
    (site.path / "go").write_text("\n")
    assert scheduler.wait() == 0
    assert site.output() == b"gone\nlast words\n"
    assert site.outcomes() == ["succeeded"]


# It does not


def test_a_leftover_gets_a_second_then_term_its_last_words_are_kept_and_it_is_told(site: Site) -> None:
    site.fifo("ready")
    site.main(
        """
        trap 'read now rest </proc/uptime; echo $now >>times; echo tidied; exit' TERM
        echo 1 >ready
        while :; do sleep 0.05; done
        """,
        "leftover.sh",
    )
    site.shell("sh leftover.sh & read line <ready; read now rest </proc/uptime; echo $now >>times; echo gone")
    site.start(**NEVER)
    assert site.await_runs()[0]["outcome"] == "succeeded"
    assert site.output() == b"gone\ntidied\n"
    gone, term = site.times()
    assert term - gone > 0.9
    (line,) = told(site)
    assert " of run 1; the last output may be missing: " in line


def test_leftovers_of_a_run_that_succeeded_get_a_second_then_term_then_kill(site: Site) -> None:
    site.use("spawn_tree.py")
    scheduler = site.start(**NEVER, SCHED_ARGS="leave", SCHED_STOP_GRACE="30s")
    run = site.await_runs()[0]
    assert run["outcome"] == "succeeded"
    assert list(site.processes.alive()) == [scheduler.pid]
    (line,) = told(site)
    assert "leftovers of run 1; the last output may be missing: " in line
    assert not scheduler.zombies()


@pytest.mark.parametrize("how", ["", "setsid "], ids=["same session", "session of its own"])
@pytest.mark.parametrize("deaf", [False, True], ids=["obedient", "deaf"])
def test_a_leftover_that_holds_the_pipe_delays_the_end_by_3_seconds_at_most(site: Site, how: str, deaf: bool) -> None:
    trap = "trap '' TERM;" if deaf else ""
    site.shell(f"echo before; {trap} {how}sleep 3600 & echo after; read now rest </proc/uptime; echo $now >times")
    site.start(**NEVER)
    run = site.await_runs()[0]
    ended = site.times()[0]
    assert time.clock_gettime(time.CLOCK_BOOTTIME) - ended < 3 + 7, "a busy machine has some seconds more"
    assert run["outcome"] == "succeeded"
    assert site.output() == b"before\nafter\n"
    assert len(told(site)) == 1


def test_where_proc_lists_no_children_main_py_gets_its_term_and_everything_is_ended(site: Site) -> None:
    site.main(
        """
        import os, subprocess, sys
        subprocess.Popen(["sleep", "3600"], start_new_session=True)
        os.execv(sys.executable, [sys.executable, "-u", "print_signals.py"])
        """
    )
    (site.path / "print_signals.py").write_text((Path(__file__).parents[1] / "support/print_signals.py").read_text())
    patch = "import faults; faults.no_children_files()"
    scheduler = site.start(patch=patch, **NEVER, SCHED_TIMEOUT="3s", SCHED_STOP_GRACE="500ms")
    run = site.await_runs()[0]
    assert (run["outcome"], run["signal"]) == ("timed out", signal.SIGKILL)
    assert site.output() == b"ready\nTERM\n"
    assert list(site.processes.alive()) == [scheduler.pid]


# What the run did not start


def test_what_a_shell_has_started_before_once_stays(site: Site) -> None:
    site.main("")
    once = site.start("once", "--here", prefix=["sh", "-c", 'sleep 3600 & echo $! >before; exec "$@"', "sh"])
    assert once.wait() == 0
    assert int(site.await_file("before")) in site.processes.alive()
    assert told(site) == []


def test_a_tee_of_the_schedulers_own_output_stays(site: Site) -> None:
    site.shell("sleep 3600 & echo x")
    scheduler = site.start(prefix=["bash", "-c", 'exec > >(tee copy); exec "$@"', "bash"], SCHED_INTERVAL="500ms")
    site.await_runs(3)
    assert scheduler.stop() == 0
    wait_until(lambda: (site.path / "copy").read_text().endswith(" stopped\n"))
    wait_until(lambda: not site.processes.alive(), what="the tee has its end, and only what runs have left was ended")


@pytest.mark.parametrize("detach", ["", "setsid "], ids=["same session", "session of its own"])
def test_a_daemon_of_the_entry_point_and_what_it_starts_during_a_run_stay(site: Site, detach: str) -> None:
    site.fifo("ask")
    site.fifo("answer")
    daemon = "read line <ask; sleep 3600 & echo $! >worker; echo 1 >answer; wait"
    site.shell("sleep 3600 & echo $! >own; echo 1 >ask; read line <answer; exit 0")
    site.start(prefix=["sh", "-c", f'{detach}sh -c "{daemon.replace("$", chr(92) + "$")}" & exec "$@"', "sh"], **NEVER)
    assert site.await_runs()[0]["outcome"] == "succeeded"
    alive = site.processes.alive()
    assert int(site.await_file("worker")) in alive
    assert int(site.await_file("own")) not in alive
    assert len(told(site)) == 1


def test_a_run_has_another_sigchld_and_oom_score_than_the_scheduler_got(site: Site) -> None:
    site.shell("cat /proc/self/oom_score_adj; exit 7")
    before = """
import os, signal, sys
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
open("/proc/self/oom_score_adj", "w").write("300")
os.execv(sys.argv[1], sys.argv[1:])
"""
    site.start(prefix=[sys.executable, "-c", before], **NEVER)
    run = site.await_runs()[0]
    assert (run["outcome"], run["exit_status"]) == ("failed", 7), "ignored, SIGCHLD would take the wait status away"
    assert site.output() == b"0\n", "short of memory, the kernel takes main.py first"
