"""A scheduler that is SIGKILLed, in each phase of a run: no orphan, no half file, and a clean next start."""

import json
import os
import re
import stat
from datetime import datetime
from pathlib import Path

import faults
import pytest
from harness import Command, Site, wait_until

from sched_runner.run import launcher

NEVER = {"SCHED_INTERVAL": "1h"}


def block(site: Site, name: str, when: str = "lambda *a, **o: True") -> Command:
    """Start a scheduler that stays for ever where this function is called, and wait until it is there."""
    fifo = site.fifo("phase")
    scheduler = site.start(patch=f"import faults\nfaults.block_at({name!r}, {str(fifo)!r}, {when})", **NEVER)
    assert fifo.read_text() == "here\n"
    return scheduler


def next_start_is_clean(site: Site, interrupted: int | None = 1) -> None:
    """The next scheduler runs main.py, tells of the run that its predecessor left, and keeps whole files."""
    runs_before = len(site.runs())
    site.main("print('next')")
    scheduler = site.start(**NEVER)
    added = 1 if interrupted is None else 2
    runs = site.await_runs(runs_before + added)
    if interrupted is not None:
        assert (runs[-2]["number"], runs[-2]["outcome"]) == (interrupted, "interrupted")
        assert f"run {interrupted} was interrupted: its scheduler ended unexpectedly".encode() in site.log()
    assert runs[-1]["outcome"] == "succeeded"
    assert len({run["number"] for run in runs}) == len(runs), "a number was given twice"
    assert scheduler.stop() == 0
    datetime.fromisoformat(site.marker.read_text().strip())
    whole_lines(site)
    assert not [path.name for path in site.own.iterdir() if path.name.endswith(".new")]
    assert not site.processes.alive()


def whole_lines(site: Site) -> None:
    log = site.log()
    assert log.endswith(b"\n")
    assert all(re.match(rb"\d{4}-\d\d-\d\dT\S+ \S", line) for line in log.splitlines())


@pytest.mark.parametrize("moment", ["before the prctl", "after the prctl"])
def test_killed_before_the_exec_main_py_never_runs(site: Site, moment: str) -> None:
    phase, go = site.fifo("phase"), site.fifo("go")
    site.main("open('ran', 'w').close(); import time; time.sleep(60)")
    wait = f"open({str(phase)!r}, 'w').write('here\\n'); open({str(go)!r}).readline()\n"
    real = Path(launcher.__file__).read_text()
    before, after = "    ctypes.CDLL(None)", "    for ignored in"
    place = before if moment == "before the prctl" else after
    assert real.count(place) == 1
    file = site.path / "launcher.py"
    file.write_text(real.replace(place, f"    {wait}{place}"))
    scheduler = site.start(patch=f"import faults\nfaults.start_with({str(file)!r})", **NEVER)
    assert phase.read_text() == "here\n"
    scheduler.kill()
    if site.processes.alive():
        with open(os.open(go, os.O_RDWR), "w") as file:
            file.write("\n")
            file.flush()
            wait_until(lambda: not site.processes.alive())
    assert not (site.path / "ran").exists()
    next_start_is_clean(site)


def kill_during_a_run(site: Site, *arguments: str) -> None:
    """Kill the command while main.py runs, which goes with it."""
    site.use("print_signals.py")
    command = site.start(*arguments, **NEVER)
    wait_until(lambda: site.output() == b"ready\n")
    command.kill()
    wait_until(lambda: not site.processes.alive(), 2)
    assert site.output() == b"ready\n"


@pytest.mark.parametrize("arguments", [("run",), ("once", "--here")], ids=" ".join)
def test_killed_during_a_run_it_takes_main_py_with_it(site: Site, arguments: tuple[str, ...]) -> None:
    kill_during_a_run(site, *arguments)
    next_start_is_clean(site)


def test_a_run_of_once_that_was_killed_is_told_by_the_next_one(site: Site) -> None:
    kill_during_a_run(site, "once", "--here")
    site.main("")
    assert site.call("once", "--here").returncode == 0
    assert site.outcomes() == ["interrupted", "succeeded"]


def test_killed_between_main_pys_end_and_the_summary_the_run_is_told_as_interrupted(site: Site) -> None:
    site.main("print('all of it')")
    scheduler = block(site, faults.RUN_ENDED)
    scheduler.kill()
    assert site.output() == b"all of it\n"
    next_start_is_clean(site)


def test_killed_between_the_marker_and_the_summary_the_marker_stays(site: Site) -> None:
    site.main("")
    scheduler = block(site, faults.RUN_TOLD)
    scheduler.kill()
    datetime.fromisoformat(site.marker.read_text().strip())
    next_start_is_clean(site, interrupted=None)


@pytest.mark.parametrize("call", ["os:fsync", "os:replace"])
def test_killed_while_the_marker_is_written_the_old_one_stays_whole(site: Site, call: str) -> None:
    site.main("")
    before = "2001-02-03T04:05:06.007+00:00\n"
    site.own.mkdir()
    site.marker.write_text(before)
    of_marker = "lambda *a: '.last_success.txt.new' in (str(a[0]), __import__('os').readlink(f'/proc/self/fd/{a[0]}')"
    when = {
        "os:fsync": of_marker + ".rpartition('/')[2])",
        "os:replace": "lambda *a: str(a[0]).endswith('.last_success.txt.new')",
    }[call]
    scheduler = block(site, call, when)
    assert site.marker.read_text() == before
    scheduler.kill()
    assert site.marker.read_text() == before
    next_start_is_clean(site)


def test_killed_while_the_state_is_written_the_old_one_stays_whole(site: Site) -> None:
    site.main("")
    when = "lambda *a: str(a[0]).endswith('.state.json.new') and 'succeeded' in open(a[0]).read()"
    scheduler = block(site, "os:replace", when)
    before = site.state()
    scheduler.kill()
    assert json.loads((site.own / "state.json").read_text()) == before
    assert before["running"]["number"] == 1
    next_start_is_clean(site)


@pytest.mark.parametrize("step", ["first", "last"])
def test_killed_while_rotating_it_loses_no_line_and_rotates_on(site: Site, step: str) -> None:
    site.main("for n in range(40000): print(f'line {n} ' + 'x' * 60)")
    suffix = {"first": ".log.1", "last": ".log"}[step]
    scheduler = block(site, "os:rename", f"lambda *a: str(a[0]).endswith({suffix!r})")
    scheduler.kill()
    wait_until(lambda: not site.processes.alive(), 2)
    numbers = [int(line.split()[1]) for line in site.output().splitlines()]
    assert len(numbers) > 8000
    assert numbers == list(range(len(numbers)))
    whole_lines(site)
    (site.own / "last_success.txt").touch()
    next_start_is_clean(site)
    assert stat.S_IMODE((site.own / "scheduler.log").stat().st_mode) == 0o640


def test_a_torn_last_line_of_a_killed_scheduler_is_not_merged_with_the_next(site: Site) -> None:
    site.own.mkdir()
    (site.own / "scheduler.log").write_bytes(b"2001-02-03T04:05:06.007+00:00 INFO cut in the mid")
    site.main("print('next')")
    site.start(**NEVER)
    site.await_runs()
    assert site.output() == b"next\n"
    lines = site.log().split(b"\n")
    assert lines[0].endswith(b"cut in the mid")


def test_a_faulty_state_file_is_kept_aside_and_the_schedule_begins_anew(site: Site) -> None:
    site.own.mkdir()
    (site.own / "state.json").write_text('{"number": 12, "ru')
    site.main("print('runs')")
    site.start(**NEVER)
    wait_until(lambda: site.output() == b"runs\n")
    assert site.await_runs()[0]["outcome"] == "succeeded"
    assert Path(site.own / "state.json.faulty").read_text() == '{"number": 12, "ru'


@pytest.mark.parametrize(
    "text", ["[]", "null", '"x"', "1", '{"runs": 3}', '{"number": "x"}', '{"running": []}', "\xff"]
)
def test_a_state_file_of_another_kind_does_not_keep_the_schedule_from_starting(site: Site, text: str) -> None:
    site.own.mkdir()
    (site.own / "state.json").write_text(text, encoding="latin-1")
    site.main("print('runs')")
    scheduler = site.start(**NEVER)
    wait_until(lambda: site.output() == b"runs\n", 5)
    assert scheduler.stop() == 0
