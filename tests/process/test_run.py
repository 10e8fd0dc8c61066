"""One run: its six outcomes, what main.py is given, and that nothing outlives it."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from harness import Site, unprivileged_prefix, wait_until

NEVER = {"SCHED_INTERVAL": "1h"}


# Outcomes


@pytest.mark.parametrize(
    ("source", "outcome", "exit_status", "number"),
    [
        ("print('well')", "succeeded", 0, None),
        ("raise SystemExit(7)", "failed", 7, None),
        ("raise ValueError('broken')", "failed", 1, None),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "killed", None, signal.SIGSEGV),
        ("import time; time.sleep(60)", "timed out", None, signal.SIGTERM),
    ],
    ids=["exit 0", "exit 7", "exception", "signal", "too long"],
)
def test_a_run_ends_in_the_outcome_that_its_ending_means(
    site: Site, source: str, outcome: str, exit_status: int | None, number: int | None
) -> None:
    site.main(source)
    site.start(**NEVER, SCHED_TIMEOUT="1s")
    run = site.await_runs()[0]
    assert (run["outcome"], run["exit_status"], run["signal"]) == (outcome, exit_status, number)
    assert site.marker.exists() == (outcome == "succeeded")
    assert site.state()["failures_in_a_row"] == (0 if outcome == "succeeded" else 1)


def test_a_run_that_is_stopped_ends_as_interrupted_and_is_no_failure(site: Site) -> None:
    site.use("print_signals.py")
    scheduler = site.start(**NEVER, SCHED_STOP_GRACE="300ms")
    wait_until(lambda: site.output() == b"ready\n")
    assert scheduler.stop() == 0
    assert site.outcomes() == ["interrupted"]
    assert site.state()["failures_in_a_row"] == 0


def test_a_stop_after_the_time_out_leaves_the_outcome_timed_out(site: Site) -> None:
    site.use("print_signals.py")
    scheduler = site.start(**NEVER, SCHED_TIMEOUT="500ms", SCHED_STOP_GRACE="1s")
    wait_until(lambda: site.output() == b"ready\nTERM\n")
    assert scheduler.stop() == 0
    assert site.outcomes() == ["timed out"]


def test_failures_in_a_row_are_counted_until_a_success(site: Site) -> None:
    site.main("import os; raise SystemExit(int(os.environ['SCHED_RUN']) < 3)")
    site.start(SCHED_INTERVAL="500ms")
    site.await_runs(2)
    assert site.state()["failures_in_a_row"] in (0, 2)
    site.await_runs(3)
    assert site.outcomes()[:3] == ["failed", "failed", "succeeded"]
    assert site.state()["failures_in_a_row"] == 0


def test_the_last_20_lines_of_stderr_of_a_failed_run_are_in_scheduler_err(site: Site) -> None:
    site.main("import sys\nfor n in range(30): print(f'line {n}', file=sys.stderr)\nsys.exit(5)")
    scheduler = site.start(**NEVER)
    site.await_runs()
    assert scheduler.stop() == 0
    errors = site.errors()
    assert [f"line {n}" for n in range(30) if f"  line {n}\n" in errors] == [f"line {n}" for n in range(10, 30)]


@pytest.mark.parametrize("status", [126, 127])
def test_exit_statuses_126_and_127_are_main_pys_own_words(site: Site, status: int) -> None:
    site.main(f"raise SystemExit({status})")
    site.start(**NEVER)
    run = site.await_runs()[0]
    assert (run["outcome"], run["exit_status"]) == ("failed", status)


@pytest.mark.parametrize("status", [126, 127])
def test_exit_statuses_126_and_127_of_a_shell_script_are_its_own_words_too(site: Site, status: int) -> None:
    site.shell(f"exit {status}")
    site.start(**NEVER)
    run = site.await_runs()[0]
    assert (run["outcome"], run["exit_status"]) == ("failed", status)


# Not started


def test_a_missing_script_is_not_started_and_the_next_run_succeeds_when_it_has_appeared(site: Site) -> None:
    site.start()
    site.await_runs()
    site.main("print('here now')")
    wait_until(lambda: "succeeded" in site.outcomes())
    assert set(site.outcomes()) == {"not started", "succeeded"}
    assert site.output().startswith(b"here now\n")


def test_a_script_that_is_a_directory_is_not_started(site: Site) -> None:
    (site.path / "main.py").mkdir()
    site.start(**NEVER)
    assert site.await_runs()[0]["outcome"] == "not started"


def test_a_missing_interpreter_is_not_started(site: Site) -> None:
    site.main("print('never')")
    site.start(**NEVER, SCHED_PYTHON="/nonexistent/python3")
    run = site.await_runs()[0]
    assert run["outcome"] == "not started"
    assert "/nonexistent/python3" in run["reason"]
    assert site.output() == b""


def test_an_interpreter_that_is_no_program_is_not_started(site: Site) -> None:
    fake = site.path / "python"
    fake.write_bytes(b"\x7fELF but not really\n" + bytes(200))
    fake.chmod(0o755)
    site.main("print('never')")
    site.start(**NEVER, SCHED_PYTHON=str(fake))
    assert site.await_runs()[0]["outcome"] == "not started"


def test_an_interpreter_whose_own_interpreter_is_missing_is_not_started(site: Site) -> None:
    fake = site.path / "python"
    fake.write_text("#!/nonexistent/loader\n")
    fake.chmod(0o755)
    site.main("print('never')")
    site.start(**NEVER, SCHED_PYTHON=str(fake))
    assert site.await_runs()[0]["outcome"] == "not started"


def test_a_script_that_may_not_be_read_is_not_started(open_site: Site) -> None:
    open_site.main("print('never')").chmod(0)
    open_site.start(prefix=unprivileged_prefix(), **NEVER)
    run = open_site.await_runs()[0]
    assert run["outcome"] == "not started"
    assert "main.py" in run["reason"]


def test_an_interpreter_without_permission_is_not_started(site: Site) -> None:
    fake = site.path / "python"
    fake.write_text("#!/bin/sh\n")
    fake.chmod(0o644)
    site.main("print('never')")
    site.start(**NEVER, SCHED_PYTHON=str(fake))
    assert site.await_runs()[0]["outcome"] == "not started"


def test_a_script_replaced_while_it_runs_finishes_and_the_next_run_is_of_the_new_one(site: Site) -> None:
    site.fifo("go")
    site.main("print('old'); open('go').read(); print('old to the end')")
    site.start()
    wait_until(lambda: b"old\n" in site.output())
    site.main("print('new')")
    (site.path / "go").write_text("")
    site.await_runs(2)
    assert site.output(run=1) == b"old\nold to the end\n"
    wait_until(lambda: b"new\n" in site.output())
    assert set(site.outcomes()) == {"succeeded"}


def test_a_script_deleted_while_it_runs_finishes_and_the_next_run_is_not_started(site: Site) -> None:
    site.fifo("go")
    site.main("print('begun'); open('go').read(); print('done')")
    site.start()
    wait_until(lambda: site.output() == b"begun\n")
    (site.path / "main.py").unlink()
    (site.path / "go").write_text("")
    site.await_runs(2)
    assert site.outcomes()[:2] == ["succeeded", "not started"]
    assert site.output() == b"begun\ndone\n"


# What main.py is given


def test_main_py_gets_the_environment_without_what_belongs_to_the_scheduler_alone(site: Site) -> None:
    site.main("import os\nfor item in sorted(os.environ.items()): print('='.join(item))")
    theirs = {
        "WATCHDOG_USEC": "0",
        "WATCHDOG_PID": "1",
        "MAINPID": "1",
        "LISTEN_FDS": "1",
        "LISTEN_PID": "1",
        "LISTEN_FDNAMES": "x",
        "JOURNAL_STREAM": "1:2",
        "SYSTEMD_EXEC_PID": "5",
    }
    kept = {"INVOCATION_ID": "abc", "CREDENTIALS_DIRECTORY": "/run/c", "STATE_DIRECTORY": str(site.own), "due": "yes"}
    site.start(**NEVER, **theirs, **kept, SCHED_ENV="prod")
    site.await_runs()
    given = dict(line.split("=", 1) for line in site.output().decode().splitlines())
    assert not theirs.keys() & given.keys()
    assert kept.items() <= given.items()
    assert (given["SCHED_RUN"], given["SCHED_ENV"], given["PYTHONUNBUFFERED"]) == ("1", "prod", "1")


def test_main_py_does_not_get_the_notify_socket(site: Site, socket_path: Path) -> None:
    import socket

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(socket_path))
        site.main("import os; print(os.environ.get('NOTIFY_SOCKET'), os.environ['SCHED_ENV'])")
        site.start(**NEVER, NOTIFY_SOCKET=str(socket_path))
        site.await_runs()
    assert site.output() == b"None test\n"


def test_a_pythonunbuffered_of_the_users_own_stays(site: Site) -> None:
    site.main("import os; print(repr(os.environ['PYTHONUNBUFFERED']))")
    site.start(**NEVER, PYTHONUNBUFFERED="")
    site.await_runs()
    assert site.output() == b"''\n"


def test_main_py_has_an_empty_stdin_a_session_of_its_own_and_only_three_descriptors(site: Site) -> None:
    site.main(
        """
        import os, sys
        print(repr(sys.stdin.read()), os.getsid(0) == os.getpid(), sorted(os.listdir('/proc/self/fd'))[:3])
        print(len(os.listdir('/proc/self/fd')))
        """
    )
    site.start(**NEVER)
    site.await_runs()
    assert site.output() == b"'' True ['0', '1', '2']\n4\n"


def test_main_py_has_no_signal_blocked_or_ignored(site: Site) -> None:
    site.shell("while read line; do case $line in Sig[BI]*) echo $line;; esac; done </proc/self/status")
    site.start(**NEVER)
    site.await_runs()
    assert {line.split()[1] for line in site.output().decode().splitlines()} == {"0" * 16}


def test_arguments_are_given_as_a_shell_would(site: Site) -> None:
    site.main("import sys; print(sys.argv[1:])")
    site.start(**NEVER, SCHED_ARGS="--to 'a b' \"\" $HOME")
    site.await_runs()
    assert site.output() == b"['--to', 'a b', '', '$HOME']\n"


def test_every_run_has_its_own_number_also_after_a_restart(site: Site) -> None:
    site.main("import os; print(os.environ['SCHED_RUN'])")
    for _ in range(2):
        scheduler = site.start(SCHED_INTERVAL="300ms")
        before = len(site.runs())
        site.await_runs(before + 2)
        assert scheduler.stop() == 0
    numbers = [int(line) for line in site.output().split()]
    assert numbers == list(range(1, len(numbers) + 1))


# Time-out and leftovers


def test_the_time_out_ends_child_grandchild_daemon_the_deaf_and_the_stopped(site: Site) -> None:
    site.use("spawn_tree.py")
    scheduler = site.start(**NEVER, SCHED_TIMEOUT="2s", SCHED_STOP_GRACE="500ms")
    tree = [int(pid) for pid in site.await_file("tree").split()]
    wait_until(lambda: len(tree) == 6 and tree[-1] in site.processes.alive())
    site.await_runs()
    assert site.outcomes() == ["timed out"]
    assert list(site.processes.alive()) == [scheduler.pid]
    assert not scheduler.zombies()


def test_handlers_of_term_get_the_stop_grace(site: Site) -> None:
    site.main(
        """
        import signal, sys, time
        def handler(number, frame):
            time.sleep(0.7)
            print("tidied")
            sys.exit(0)
        signal.signal(signal.SIGTERM, handler)
        print("ready")
        time.sleep(60)
        """
    )
    site.start(**NEVER, SCHED_TIMEOUT="1s", SCHED_STOP_GRACE="20s")
    run = site.await_runs()[0]
    assert site.output() == b"ready\ntidied\n"
    assert (run["outcome"], run["exit_status"]) == ("timed out", 0)
    assert run["duration"] < 10


def test_a_child_gets_the_rest_of_the_stop_grace_when_main_py_ends_first(site: Site) -> None:
    script = "trap 'sleep 0.5; echo tidied; exit' TERM; echo ready; while :; do sleep 0.05; done"
    site.shell(f'sh -c "{script}" & sleep 60')
    hasty = "import faults; faults.linger(0.05)"  # what a leftover would get is too short for it
    site.start(patch=hasty, **NEVER, SCHED_TIMEOUT="1s", SCHED_STOP_GRACE="20s")
    site.await_runs()
    assert site.output() == b"ready\ntidied\n"


def test_what_ignores_term_is_killed_when_the_stop_grace_is_over(site: Site) -> None:
    site.use("print_signals.py")
    site.start(**NEVER, SCHED_TIMEOUT="1s", SCHED_STOP_GRACE="500ms")
    run = site.await_runs()[0]
    assert site.output() == b"ready\nTERM\n"
    assert (run["outcome"], run["signal"]) == ("timed out", signal.SIGKILL)
    assert 1.4 < run["duration"] < 4


def test_a_main_py_that_stops_itself_is_ended_by_the_time_out(site: Site) -> None:
    site.main("import os, signal; os.kill(os.getpid(), signal.SIGSTOP)")
    site.start(**NEVER, SCHED_TIMEOUT="500ms", SCHED_STOP_GRACE="20s")
    run = site.await_runs()[0]
    assert (run["outcome"], run["signal"]) == ("timed out", signal.SIGTERM)


@pytest.mark.parametrize("session", [False, True], ids=["same session", "sessions of their own"])
def test_a_few_hundred_forked_processes_are_all_gone_when_the_run_is_over(site: Site, session: bool) -> None:
    site.main(
        f"""
        import os, time
        for _ in range(300):
            if os.fork() == 0:
                {"os.setsid()" if session else "pass"}
                if os.fork() == 0:
                    time.sleep(3600)
                os._exit(0)
            os.wait()
        """
    )
    scheduler = site.start(**NEVER)
    run = site.await_runs(deadline=40)[0]
    assert run["outcome"] == "succeeded"
    assert list(site.processes.alive()) == [scheduler.pid]
    assert not scheduler.zombies()


def test_processes_that_go_on_forking_are_ended_too(site: Site) -> None:
    site.main(
        """
        import os, time
        until = time.monotonic() + 15
        def breed():
            while time.monotonic() < until:
                if os.fork():
                    os._exit(0)
                os.setsid()
                time.sleep(0.002)
        for _ in range(10):
            if os.fork() == 0:
                breed()
        """
    )
    scheduler = site.start(**NEVER)
    site.await_runs(deadline=30)
    wait_until(lambda: list(site.processes.alive()) == [scheduler.pid], 10, "an end of the breeding")


def test_a_main_py_that_closes_its_output_and_goes_on_is_waited_for(site: Site) -> None:
    site.fifo("go")
    site.main(
        """
        import os
        print("last words")
        os.close(1), os.close(2)
        open("go").read()
        open("done", "w").write("done\\n")
        """
    )
    scheduler = site.start(**NEVER)
    wait_until(lambda: site.output() == b"last words\n")
    cpu = scheduler.cpu()
    began = time.monotonic()
    wait_until(lambda: time.monotonic() > began + 1)
    assert scheduler.cpu() - cpu < 0.3, "it waits without turning"
    assert site.runs() == []
    (site.path / "go").write_text("")
    assert site.await_runs()[0]["outcome"] == "succeeded"
    assert site.await_file("done") == "done\n"


def test_cpu_time_and_peak_memory_of_main_py_are_recorded(site: Site) -> None:
    site.main("import time\nx = b'x' * 50_000_000\nwhile time.process_time() < 0.3: pass")
    site.start(**NEVER)
    run = site.await_runs()[0]
    assert 0.25 < run["cpu"] < 5
    assert run["peak_kib"] > 48_000


def test_what_belongs_to_another_user_is_given_up_after_5_seconds_and_named_once(open_site: Site, root: None) -> None:
    helper = open_site.path / "setpriv"
    shutil.copy(shutil.which("setpriv") or "setpriv", helper)
    helper.chmod(0o4755)
    # Wholly another's: of a process with our real user id a signal is allowed.
    if subprocess.run([*unprivileged_prefix(), str(helper), "--reuid=54321", "true"], check=False).returncode:
        pytest.skip("no setuid programs here")
    open_site.shell(f"[ -e once ] || {{ >once; {helper} --reuid=54321 --clear-groups sleep 3600 & }}; sleep 0.2\n")
    scheduler = open_site.start(prefix=unprivileged_prefix(), SCHED_INTERVAL="1s")
    open_site.await_runs(3, 30)
    assert set(open_site.outcomes()) == {"succeeded"}
    assert len([line for line in open_site.own_lines() if "could not kill" in line]) == 1
    assert open_site.state()["skipped"] >= 4, "5 s were tried"
    assert len(open_site.processes.alive()) == 2
    assert scheduler.stop() == 0


def test_a_path_in_which_nothing_is_found_keeps_no_run_from_starting(site: Site) -> None:
    site.main("import os; print(os.environ['PATH'])")
    site.start(**NEVER, SCHED_PYTHON=sys.executable, PATH="/nowhere")
    site.await_runs()
    assert site.output() == b"/nowhere\n"


def test_the_interpreter_may_be_named_without_a_path(site: Site) -> None:
    site.main("print('here')")
    name = os.path.basename(sys.executable)
    site.start(**NEVER, SCHED_PYTHON=name, PATH=f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}")
    site.await_runs()
    assert site.output() == b"here\n"
