import errno
import os
from dataclasses import replace
from types import SimpleNamespace

import pytest

from sched_runner.commands import following, trigger
from sched_runner.commands.following import LogFile
from sched_runner.exit_status import OperatorError
from sched_runner.record.outcome import Outcome
from sched_runner.record.run_record import Run
from sched_runner.record.state import State
from sched_runner.record.status import Status


@pytest.fixture
def path(tmp_path):
    return tmp_path / "scheduler.log"


def append(path, *lines):
    with path.open("a") as file:
        file.writelines(f"{line}\n" for line in lines)


def rotate(path):
    for n in (4, 3, 2, 1):
        if (older := path.with_name(f"scheduler.log.{n}")).exists():
            older.rename(path.with_name(f"scheduler.log.{n + 1}"))
    path.rename(path.with_name("scheduler.log.1"))


def test_what_comes_is_shown_and_nothing_of_before(path, capsys):
    append(path, "before")
    log = LogFile(path)
    append(path, "one", "two")
    assert not log.has_shown(b"three")
    append(path, "three")
    assert log.has_shown(b"three")
    assert capsys.readouterr().out == "one\ntwo\nthree\n"


def test_what_was_shown_earlier_is_not_waited_for(path):
    log = LogFile(path)
    append(path, "run 2 succeeded")
    log.show()
    append(path, "run 3 started")
    assert log.has_shown(b"run 2 succeeded")
    assert not log.has_shown(b"run 3 succeeded")


def test_a_line_is_shown_when_it_is_whole(path, capsys):
    log = LogFile(path)
    path.write_text("ha")
    log.show()
    assert capsys.readouterr().out == ""
    append(path, "lf")
    log.show()
    assert capsys.readouterr().out == "half\n"


@pytest.mark.parametrize("rotations", [1, 3, 5])
def test_nothing_is_left_out_or_doubled_over_rotations(path, capsys, rotations):
    append(path, "before")
    log = LogFile(path)
    for n in range(rotations):
        append(path, f"line {n}")
        rotate(path)
    append(path, "last")
    log.show()
    log.show()
    assert capsys.readouterr().out.splitlines() == [*(f"line {n}" for n in range(rotations)), "last"]


def test_in_the_middle_of_a_rotation_it_is_waited_for_the_new_file(path, capsys):
    append(path, "before")
    log = LogFile(path)
    append(path, "one")
    rotate(path)
    log.show()
    append(path, "two")
    log.show()
    assert capsys.readouterr().out == "one\ntwo\n"


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: os.symlink("/etc/passwd", path)])
def test_what_main_py_puts_in_the_place_of_the_log_is_not_followed(path, capsys, make):
    make(path)
    log = LogFile(path)
    log.show()
    assert capsys.readouterr().out == ""


def test_where_standard_output_was_closed_nothing_is_shown_and_nothing_fails(path, monkeypatch):
    monkeypatch.setattr("sys.stdout", None)
    log = LogFile(path)
    append(path, "one")
    assert log.has_shown(b"one")


def test_what_a_terminal_would_obey_is_shown_escaped(path, capsys):
    log = LogFile(path)
    append(path, "\x1b[2Jgone")
    log.show()
    assert capsys.readouterr().out == "\\x1b[2Jgone\n"


def test_a_log_of_any_size_is_read_in_portions(path, monkeypatch):
    """Between them somebody looks whether the run has ended."""
    log = LogFile(path)
    path.touch()
    os.truncate(path, 2**40)
    shown = []
    monkeypatch.setattr("sched_runner.words.escape", lambda lines: shown.append(len(lines)) or b"")
    log.show()
    assert 0 < sum(shown) <= 8 * 1024 * 1024


def test_a_log_that_was_removed_is_missed_once_when_there_is_a_new_one(path, capsys):
    append(path, "before")
    log = LogFile(path)
    path.unlink()
    log.show()
    log.show()
    assert capsys.readouterr().err == ""
    append(path, "after")
    log.show()
    log.show()
    shown = capsys.readouterr()
    assert (shown.out, shown.err.count("lines are missing here")) == ("after\n", 1)


def test_lines_that_the_log_no_longer_has_are_missed_aloud(path, capsys):
    append(path, "before")
    log = LogFile(path)
    for n in range(8):
        append(path, f"line {n}")
        rotate(path)
    append(path, "line 8")
    log.show()
    shown = capsys.readouterr()
    assert shown.out == "line 0\nline 8\n"
    assert shown.err.count("lines are missing here") == 1


def follow(path, *runs):
    """Follow run 7 of a scheduler that is up and writes to ``path``; the state has ``runs`` once it was asked for."""
    settings = SimpleNamespace(log_dir=path.parent, timeout=0.1, stop_grace=0.1)
    status = Status("main-scheduler", 42, State(number=6), 0.0, 0.0, "this boot")
    then = replace(status, state=State(number=7, runs=[*runs]))
    return following.follow(SimpleNamespace(reading=SimpleNamespace(settings=settings), look=lambda: then), status)


@pytest.mark.parametrize("call", ["read", "fstat", "lseek"])
@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE])
def test_a_disk_that_has_a_fault_is_told_in_one_message(path, monkeypatch, call, number):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    append(path, "before")
    monkeypatch.setattr(trigger, "ask", lambda _: monkeypatch.setattr(os, call, refuse))
    if call == "lseek":
        monkeypatch.setattr(os, call, refuse)
    with pytest.raises(OperatorError, match=f"run 7 cannot be followed: {os.strerror(number)}; main-sch") as raised:
        follow(path)
    assert raised.value.exit_status == 4


def test_where_nobody_reads_what_is_shown_it_ends_as_any_command_does(path, monkeypatch):
    def end(_):
        raise BrokenPipeError

    monkeypatch.setattr(trigger, "ask", lambda _: None)
    monkeypatch.setattr(LogFile, "show", end)
    with pytest.raises(BrokenPipeError):
        follow(path)


@pytest.mark.parametrize("is_there", [True, False])
def test_a_run_whose_end_the_log_does_not_show_is_told(path, monkeypatch, capsys, is_there):
    """As where somebody has removed the directory of the log, and the scheduler may not make another."""
    end = "run 7 failed with exit status 3 after 2 s (CPU 0.5 s, peak memory 20.0 MiB)"
    monkeypatch.setattr(following, "_SUMMARY_LASTS", 0.3)
    monkeypatch.setattr(trigger, "ask", lambda _: append(path, f"ERROR {end}; next run soon" if is_there else "1"))
    run = Run(number=7, outcome=Outcome.FAILED, duration=2.0, exit_status=3, cpu=0.5, peak_kib=20480)
    assert follow(path, run) == 3
    told = f"main-scheduler: lines may be missing here, for the log does not show that {end}\n"
    assert capsys.readouterr().err == ("" if is_there else told)
