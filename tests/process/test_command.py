"""The subcommands: faults all in one message, check, status, trigger, environment files, terminal and pipe."""

import json
import os
import pty
import re
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

import pytest
from harness import DEADLINE, Site, wait_until

from sched_runner.settings import table

NEVER = {"SCHED_INTERVAL": "1h"}


def test_all_faults_of_the_settings_are_in_one_message_with_exit_78(site: Site) -> None:
    site.main("open('ran', 'w')")
    faulty = {"SCHED_INTERVAL": "often", "SCHED_TIMEOUT": "0", "SCHED_START": "later", "SCHED_MIAN": "x"}
    for arguments in (("run",), ("check", "--here"), ("once", "--here")):
        done = site.call(*arguments, **faulty)
        assert done.returncode == 78
        assert [name for name in faulty if name not in done.stderr] == []
        assert "SCHED_MAIN" in done.stderr, "the nearest name"
        assert "Traceback" not in done.stderr
    assert not (site.path / "ran").exists()


def test_a_misspelt_environment_is_refused_unless_the_interval_is_given(site: Site) -> None:
    site.main("")
    assert site.call("check", "--here", SCHED_ENV="porduction", SCHED_INTERVAL="").returncode == 78
    assert site.call("check", "--here", SCHED_ENV="staging", SCHED_INTERVAL="5min").returncode == 0


@pytest.mark.parametrize("arguments", [("check", "--here"), ("status", "--here"), ("history", "--here"), ("--help",)])
def test_an_output_that_takes_nothing_is_told_in_one_message(site: Site, arguments: tuple[str, ...]) -> None:
    site.main("")
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            site.line(*arguments), env=site.env, cwd=site.path, stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert (done.returncode, done.stderr) == (1, b"main-scheduler: No space left on device\n")


def test_who_stops_reading_ends_a_command_as_a_signal_would(site: Site) -> None:
    site.main("")
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "wb") as pipe:
        done = subprocess.run(
            site.line("--help"), env=site.env, cwd=site.path, stdout=pipe, stderr=subprocess.PIPE, check=False
        )
    assert (done.returncode, done.stderr) == (141, b"")


def due_times(told: str) -> list[float]:
    """What check tells, in seconds since the epoch."""
    found = re.findall(r"^  (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)", told, re.MULTILINE)
    return [datetime.fromisoformat(when).timestamp() for when in found]


def test_check_shows_every_setting_and_five_due_times(site: Site) -> None:
    site.main("")
    done = site.call("check", "--here", SCHED_INTERVAL="7h 30min", SCHED_ARGS="--to me")
    assert done.returncode == 0
    shown = dict(re.findall(r"^(SCHED_\w+) +(.*?) +from ", done.stdout, re.MULTILINE))
    assert (shown["SCHED_INTERVAL"], shown["SCHED_ARGS"]) == ("7 h 30 min", "--to me")
    assert tuple(shown) == table.NAMES
    assert len(due_times(done.stdout)) == 5
    assert not site.own.exists(), "check changes nothing"


def first_due(site: Site, **env: str) -> float:
    return due_times(site.call("check", "--here", **env).stdout)[0]


def test_check_tells_the_next_run_of_the_running_scheduler_as_a_reload_would_have_it(site: Site) -> None:
    site.main("")
    scheduler = site.start(SCHED_INTERVAL="1h")
    site.await_runs(1)
    last = site.state()["next_due"] - 3600
    assert first_due(site, SCHED_INTERVAL="1h") == pytest.approx(last + 3600, abs=1)
    assert first_due(site, SCHED_INTERVAL="3h") == pytest.approx(last + 3 * 3600, abs=1)
    assert scheduler.stop() == 0
    # Not running: at once, or where the cadence resumes.
    assert first_due(site, SCHED_INTERVAL="1h") == pytest.approx(time.time(), abs=5)
    assert first_due(site, SCHED_INTERVAL="1h", SCHED_START="resume") == pytest.approx(last + 3600, abs=1)


def test_check_of_a_path_that_is_too_long_says_that_it_is_not_there(site: Site) -> None:
    done = site.call("check", "--here", SCHED_MAIN="x" * 5000)
    assert (done.returncode, done.stderr) == (0, "")
    assert "is not there (yet)" in done.stdout


def test_status_where_the_locale_has_no_marks_shows_them_escaped(site: Site) -> None:
    site.main("")
    assert site.call("once", "--here").returncode == 0
    done = site.call("status", "--here", PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (3, "")
    assert "\\u2713" in done.stdout


def test_check_of_a_script_that_is_not_there_is_no_fault(site: Site) -> None:
    assert site.call("check", "--here").returncode == 0


def test_status_exits_3_where_nothing_is_running(site: Site) -> None:
    assert site.call("status", "--here").returncode == 3


def test_status_exits_0_when_healthy_1_after_a_failure_and_3_after_the_stop(site: Site) -> None:
    site.main("import os; raise SystemExit(os.environ['SCHED_RUN'] == '2')")
    scheduler = site.start(**NEVER)
    site.await_runs(1)
    assert site.call("status", "--here").returncode == 0
    site.ask_for_a_run(scheduler)
    site.await_runs(2)
    assert site.call("status", "--here").returncode == 1
    assert scheduler.stop() == 0
    assert site.call("status", "--here").returncode == 3


def test_status_exits_4_where_the_state_cannot_be_read(site: Site) -> None:
    site.main("")
    site.start(**NEVER)
    site.await_runs(1)

    def faulty() -> "subprocess.CompletedProcess[str]":
        (site.own / "state.json").write_text("{")
        return site.call("status", "--here")

    # The scheduler sets it aside when it next looks.
    done = wait_until(lambda: (done := faulty()).returncode == 4 and done)
    assert "Traceback" not in done.stderr


def test_status_json_is_the_truth_for_programs(site: Site) -> None:
    site.main("")
    scheduler = site.start(**NEVER)
    site.await_runs(1)
    told = json.loads(site.call("status", "--here", "--json").stdout)
    assert (told["health"], told["pid"], told["running"]) == ("healthy", scheduler.pid, None)
    assert told["next_due"] == pytest.approx(time.time() + 3600, abs=60)
    assert [run["outcome"] for run in told["runs"]] == ["succeeded"]


def test_status_tells_of_the_run_that_is_going(site: Site) -> None:
    site.use("print_signals.py")
    scheduler = site.start(**NEVER, SCHED_STOP_GRACE="100ms")
    wait_until(lambda: site.output() == b"ready\n")
    told = json.loads(site.call("status", "--here", "--json").stdout)
    assert told["running"]["number"] == 1
    assert scheduler.stop() == 0


def test_status_draws_the_last_runs_as_marks(site: Site) -> None:
    site.main("import os; raise SystemExit(os.environ['SCHED_RUN'] == '2')")
    scheduler = site.start(SCHED_INTERVAL="200ms")
    site.await_runs(3)
    assert scheduler.stop() == 0
    text = site.call("status", "--here").stdout
    assert re.search(r"✓ +✗ +✓", text)
    assert "\x1b" not in text


def test_trigger_exits_3_where_nothing_is_running(site: Site) -> None:
    site.own.mkdir()
    (site.own / "lock").touch()
    assert site.call("trigger", "--here").returncode == 3


def test_a_scheduler_of_another_host_is_named_by_its_host_and_never_signalled(site: Site) -> None:
    site.main("")
    site.start(**NEVER)
    site.await_runs()
    path = site.own / "state.json"

    def elsewhere(command: str) -> "subprocess.CompletedProcess[str]":
        path.write_text(json.dumps(json.loads(path.read_text()) | {"host": "node2", "boot_id": "its own"}))
        return site.call(command, "--here")

    # The scheduler here writes its own state anew if it finds another.
    wait_until(lambda: "up (on node2)" in elsewhere("status").stdout)
    asked = (1, "main-scheduler is running on node2\n")
    wait_until(lambda: ((done := elsewhere("trigger")).returncode, done.stderr) == asked)


def test_trigger_before_any_start_ends_in_one_message(site: Site) -> None:
    done = site.call("trigger", "--here")
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_faulty_line_of_the_environment_file_is_named_with_file_and_line(site: Site) -> None:
    site.main("")
    path = site.path / "env"
    path.write_text("SCHED_INTERVAL=1h\n\nexport A=b\nB=a # comment\n")
    done = site.call("run", "--env-file", str(path))
    assert done.returncode == 78
    assert f"{path}:3" in done.stderr
    assert f"{path}:4" in done.stderr


def test_an_environment_file_means_the_same_bytes_in_every_locale(site: Site) -> None:
    (site.path / "env").write_text("NAME=12 €\n")
    site.main("import os; print(os.environb[b'NAME'].hex())")
    ascii_only = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    site.start("run", "--env-file", str(site.path / "env"), **NEVER, **ascii_only)
    assert site.await_runs(1)[0]["outcome"] == "succeeded"
    assert site.output().decode().strip() == "12 €".encode().hex()


def test_a_missing_environment_file_is_a_fault(site: Site) -> None:
    site.main("")
    done = site.call("run", "--env-file", str(site.path / "missing"))
    assert done.returncode == 78
    assert "missing" in done.stderr


def test_the_environment_wins_over_the_environment_file(site: Site) -> None:
    site.main("import os; print(os.environ['A'], os.environ['B'])")
    path = site.path / "env"
    path.write_text("A=file\nB=file\n")
    site.start("run", "--env-file", str(path), **NEVER, A="environment")
    site.await_runs(1)
    assert site.output() == b"environment file\n"
    (told,) = site.own_lines()
    assert told.endswith(f"settings: A: the value that the environment had at the start stays, and not that of {path}")


def test_no_file_is_read_because_it_lies_in_the_current_directory(site: Site) -> None:
    (site.path / ".env").write_text("SCHED_TIMEOUT=never\n")  # a name that the environment lacks
    for name in ("apscheduler", "dotenv", "json", "logging"):
        (site.path / f"{name}.py").write_text("raise SystemExit('the directory was imported from')\n")
    site.main("print('x')")
    command = [sys.executable, "-P", "-m", "sched_runner", "once", "--here"]
    done = subprocess.run(command, env=site.env, cwd=site.path, capture_output=True, timeout=DEADLINE, check=False)
    assert done.returncode == 0, done.stderr


def test_a_second_of_everything_is_not_needed_help_and_version_are_enough(site: Site) -> None:
    helped = site.call("--help")
    assert helped.returncode == 0
    assert [word for word in ("run", "once", "check", "status", "trigger") if word not in helped.stdout] == []
    assert re.fullmatch(r"main-scheduler \d+\.\d+\.\d+\n", site.call("--version").stdout)
    assert site.call().returncode == 2
    assert site.call("rnu").returncode == 2


def test_a_scheduler_without_standard_output_runs_on(site: Site) -> None:
    site.main("print('x')")
    scheduler = site.start(prefix=["sh", "-c", 'exec "$@" >&-', "sh"], SCHED_INTERVAL="300ms")
    site.await_runs(3)
    assert set(site.outcomes()) == {"succeeded"}
    assert site.output(run=1) == b"x\n"
    assert scheduler.stop() == 0


def test_a_scheduler_without_any_standard_stream_runs_on(site: Site) -> None:
    site.main("import sys; print('x'); print('y', file=sys.stderr)")
    scheduler = site.start(prefix=["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh"], SCHED_INTERVAL="300ms")
    site.await_runs(2)
    assert (site.output(run=1), site.output("stderr", 1)) == (b"x\n", b"y\n")
    assert scheduler.stop() == 0


def test_a_reader_that_takes_one_line_ends_nothing(site: Site) -> None:
    site.shell("echo x")
    scheduler = site.start(options={"stdout": subprocess.PIPE}, SCHED_INTERVAL="300ms")
    assert scheduler.process.stdout
    assert scheduler.process.stdout.readline()
    scheduler.process.stdout.close()
    before = len(site.runs())
    site.await_runs(before + 3)
    assert set(site.outcomes()) == {"succeeded"}
    assert scheduler.stop() == 0


@pytest.mark.parametrize("arguments", [("status", "--here"), ("check", "--here")])
def test_status_and_check_into_head_leave_no_traceback(site: Site, arguments: tuple[str, ...]) -> None:
    site.main("")
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        site.line(*arguments), env=site.env, cwd=site.path, stdout=writer, stderr=subprocess.PIPE, check=False
    )
    os.close(writer)
    assert b"Traceback" not in done.stderr
    assert b"Exception ignored" not in done.stderr


def on_a_terminal(site: Site, *arguments: str, **env: str) -> bytes:
    """What the command writes there."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        site.line(*arguments), env=site.env | {"TERM": "xterm"} | env, cwd=site.path, stdin=theirs, stdout=theirs
    )
    os.close(theirs)
    written = b""
    try:
        while part := os.read(ours, 4096):
            written += part
    except OSError:
        pass  # EIO: nobody has the terminal any more
    process.wait(DEADLINE)
    os.close(ours)
    return written


@pytest.mark.parametrize("arguments", [("once", "--here"), ("status", "--here")])
def test_a_terminal_gets_colours_and_none_where_they_are_not_wanted(site: Site, arguments: tuple[str, ...]) -> None:
    site.main("print('hello')")
    assert site.call("once", "--here").returncode == 0
    assert b"\x1b[" in on_a_terminal(site, *arguments)
    assert b"\x1b" not in on_a_terminal(site, *arguments, NO_COLOR="1")
    assert b"\x1b" not in on_a_terminal(site, *arguments, TERM="dumb")


def test_a_terminal_shows_what_main_py_writes_with_run_and_channel(site: Site) -> None:
    site.main("import sys; print('hello'); print('oh', file=sys.stderr)")
    shown = on_a_terminal(site, "once", "--here", NO_COLOR="1").decode()
    assert re.search(r"stdout run 1 \| hello\r?\n", shown)
    assert re.search(r"stderr run 1 \| oh\r?\n", shown)


def test_once_into_a_file_writes_the_same_lines_there(site: Site) -> None:
    site.main("print('hello')")
    assert "stdout run 1 | hello\n" in site.call("once", "--here").stdout


def test_a_state_directory_that_cannot_be_made_ends_in_one_message(site: Site) -> None:
    site.main("")
    (site.path / "in the way").write_text("")
    done = site.call("run", SCHED_STATE_DIR=str(site.path / "in the way" / "x"))
    assert done.returncode not in (0, 78)
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_status_for_programs_says_unknown_where_the_state_is_faulty(site: Site) -> None:
    site.own.mkdir()
    (site.own / "state.json").write_text("{")
    done = site.call("status", "--here", "--json")
    assert (done.returncode, json.loads(done.stdout)["health"]) == (4, "unknown")


@pytest.mark.parametrize("instance", ["a:b", "..", "../here", r"a\x2db", "ä"])
def test_a_name_that_no_instance_can_have_ends_in_one_message(site: Site, instance: str) -> None:
    done = site.call("status", instance)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "an instance's name" in done.stderr


def test_another_script_may_be_named_on_the_command_line(site: Site) -> None:
    site.main("print('other')", "other.py")
    site.start("run", "--main", "other.py", **NEVER)
    site.await_runs(1)
    assert site.output() == b"other\n"
    assert Path(site.own / "state.json").exists()


def test_ctrl_c_ends_a_command_with_130_and_without_a_traceback(site: Site) -> None:
    patch = """
        import os, signal, sched_runner.commands.status as status
        status.find = lambda arguments: os.kill(os.getpid(), signal.SIGINT)
    """
    done = site.call("status", "--here", patch=patch)
    assert (done.returncode, done.stderr) == (130, "")
