import contextlib
import errno
import fcntl
import logging
import os
import shutil
import stat
import threading
import time
from io import FileIO
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sched_runner.output.capture import Piece
from sched_runner.output.rotating_file import LineFormatter, RotatingFile

LIMIT = 1_048_575  # one byte below what logrotate calls 1M


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


class Disk:
    """How many bytes are free on it."""

    def __init__(self, room):
        self.room = room


class FileOnDisk(FileIO):
    def write(self, data):
        size = min(len(data), self.disk.room)
        if not size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.disk.room -= size
        return super().write(data[:size])


class OnSmallDisk(RotatingFile):
    def _open_file(self):
        with super()._open_file() as file:
            limited = FileOnDisk(os.dup(file.fileno()), "ab")
        limited.disk = self.disk
        return limited


class Log:
    """A log file with all that is around it."""

    def __init__(self, directory: Path, kind=RotatingFile):
        self.directory = directory
        self.path = directory / "log" / "scheduler.log"
        self.path.parent.mkdir()
        self.lock, self.hold = directory / "rotate.lock", directory / "rotate.hold"
        self.clock = Clock()
        self.file = self.writer(kind)

    @property
    def notices(self):
        """What the file has noticed, and nobody has told yet."""
        trouble = self.file.trouble
        return list(trouble._untold)

    def writer(self, kind=RotatingFile):
        return kind(self.path, lock=self.lock, hold=self.hold, clock=self.clock)

    def write(self, batch):
        self.file.append(batch)

    def fill(self):
        """Make the file so full that no line goes into it."""
        self.write(b"x" * (LIMIT - 1) + b"\n")

    def backup(self, number):
        return self.path.with_name(f"scheduler.log.{number}")

    def files(self):
        return sorted(path.name for path in self.path.parent.iterdir())

    def text(self):
        return self.path.read_bytes()


@pytest.fixture
def log(tmp_path):
    made = Log(tmp_path)
    yield made
    made.file.close()


@pytest.fixture
def small(tmp_path):
    """A log on a disk that is full until the test says otherwise."""
    made = Log(tmp_path, OnSmallDisk)
    made.disk = made.file.disk = Disk(0)
    yield made
    made.file.close()


# Lines


def test_batches_stand_one_behind_the_other(log):
    log.write(b"a\nb\n")
    log.write(b"c\n")
    assert log.text() == b"a\nb\nc\n"


def test_the_file_is_the_group_s_to_read_whatever_the_umask(log):
    old = os.umask(0o077)
    log.write(b"a\n")
    os.umask(old)
    assert stat.S_IMODE(log.path.stat().st_mode) == 0o640


def test_what_was_there_stays(log):
    log.path.write_bytes(b"before\n")
    log.write(b"after\n")
    assert log.text() == b"before\nafter\n"


def test_a_line_that_a_killed_writer_tore_is_ended_first(log):
    log.path.write_bytes(b"half a li")
    log.write(b"whole\n")
    assert log.text() == b"half a li\nwhole\n"


def test_a_line_of_main_py_bears_time_channel_and_run(log):
    log.file.take(7, "stderr", [Piece(continued=False, text=b"a\nb"), Piece(continued=True, text=b"c")])
    times, lines = zip(*(line.split(" ", 1) for line in log.text().decode().splitlines()), strict=True)
    assert lines == ("stderr run 7 | a", "stderr run 7 | b", "stderr run 7 + c")
    assert all(time.strptime(stamp.replace(":", ""), "%Y-%m-%dT%H%M%S.%f%z") for stamp in times)


def test_each_line_of_a_record_bears_time_and_level(log):
    log.file.setFormatter(LineFormatter(with_tail=True))
    record = logging.LogRecord("n", logging.ERROR, "", 1, "run %d failed\nsecond", (7,), None)
    record.tail = ["last words", "of main.py"]
    log.file.emit(record)
    assert [line.split(" ", 1)[1] for line in log.text().decode().splitlines()] == [
        "ERROR run 7 failed",
        "ERROR second",
        "ERROR   last words",
        "ERROR   of main.py",
    ]


def test_a_record_with_a_lone_surrogate_is_written_all_the_same(log):
    log.file.emit(logging.LogRecord("n", logging.INFO, "", 1, "file \udcff", (), None))
    assert log.text() == b"file \\udcff\n"


def test_threads_take_turns(log):
    log.write(b"a\n")
    thread = threading.Thread(target=log.write, args=(b"b\n",), daemon=True)
    thread.start()
    thread.join(timeout=5)
    assert log.text() == b"a\nb\n"


# Rotation


def test_a_file_may_have_its_full_size(log):
    log.write(b"a\n")
    log.write(b"x" * (LIMIT - 3) + b"\n")
    assert log.files() == ["scheduler.log"]
    assert log.path.stat().st_size == LIMIT


def test_a_batch_that_would_exceed_it_goes_into_a_new_file(log):
    log.write(b"a\n")
    log.write(b"x" * (LIMIT - 2) + b"\n")
    assert log.backup(1).read_bytes() == b"a\n"
    assert log.path.stat().st_size == LIMIT - 1


def test_the_newline_that_ends_a_torn_line_counts_too(log):
    log.path.write_bytes(b"x" * (LIMIT - 2))
    log.write(b"a\n")
    assert log.backup(1).stat().st_size == LIMIT - 2
    assert log.text() == b"a\n"


def test_an_empty_file_is_not_rotated(log):
    log.write(b"x" * LIMIT + b"\n")
    assert log.files() == ["scheduler.log"]


def test_exactly_5_backups_are_kept_in_order(log):
    for number in range(8):
        log.write(b"%d" % number + b"x" * (LIMIT - 2) + b"\n")
    assert log.files() == ["scheduler.log", *(f"scheduler.log.{number}" for number in range(1, 6))]
    assert [log.backup(number).read_bytes()[:1] for number in range(1, 6)] == [b"6", b"5", b"4", b"3", b"2"]
    assert log.text()[:1] == b"7"


def test_a_gap_in_the_backups_is_no_hindrance(log):
    log.path.with_name("scheduler.log.3").write_bytes(b"old\n")
    log.fill()
    log.write(b"a\n")
    assert log.files() == ["scheduler.log", "scheduler.log.1", "scheduler.log.4"]


def test_a_batch_larger_than_a_file_is_spread_over_several_at_line_ends(log):
    batch = b"".join(b"%06d%s\n" % (number, b"x" * 93) for number in range(25000))
    log.write(batch)
    found = [*(log.backup(number) for number in (2, 1)), log.path]
    assert b"".join(path.read_bytes() for path in found) == batch
    assert all(path.stat().st_size <= LIMIT and path.read_bytes().endswith(b"\n") for path in found)


def refuse(*names):
    raise OSError(errno.EROFS, os.strerror(errno.EROFS))


def test_where_renaming_fails_the_file_grows(log, monkeypatch):
    log.fill()
    monkeypatch.setattr(os, "rename", refuse)
    log.write(b"a\n")
    assert log.path.stat().st_size == LIMIT + 2
    assert not log.notices


# Beside logrotate


def test_a_file_that_was_renamed_is_left_and_a_new_one_begun(log):
    log.write(b"a\n")
    log.path.rename(log.backup(1))
    log.write(b"b\n")
    assert (log.backup(1).read_bytes(), log.text()) == (b"a\n", b"b\n")


def test_a_file_that_another_has_put_there_is_followed(log):
    log.write(b"a\n")
    log.path.rename(log.backup(1))
    log.path.write_bytes(b"new\n")
    log.write(b"b\n")
    assert log.text() == b"new\nb\n"


def test_a_file_that_was_renamed_is_written_on_where_no_new_one_can_be_made(log, monkeypatch):
    log.write(b"a\n")
    log.path.rename(log.backup(1))
    monkeypatch.setattr(os, "open", refuse)
    log.write(b"b\n")
    monkeypatch.undo()
    assert log.backup(1).read_bytes() == b"a\nb\n"
    assert not log.notices


@pytest.mark.parametrize(
    ("age", "rotated"), [(0, False), (59, False), (61, True), (3600, True), (-30, False), (-3600, True)]
)
def test_while_logrotate_holds_it_off_nothing_is_rotated(log, age, rotated):
    log.fill()
    log.hold.touch()
    when = time.time() - age
    os.utime(log.hold, (when, when))
    log.write(b"a\n")
    assert log.backup(1).exists() is rotated
    assert log.text().endswith(b"a\n")


def test_a_hold_that_is_over_lets_it_rotate(log):
    log.fill()
    log.hold.touch()
    log.write(b"a\n")
    log.hold.unlink()
    log.write(b"b\n")
    assert log.backup(1).stat().st_size == LIMIT + 2
    assert log.text() == b"b\n"


@pytest.mark.parametrize("made", [True, False], ids=["lock file", "directory"])
def test_while_another_has_the_lock_nothing_is_rotated(log, made):
    log.fill()
    if made:
        log.lock.touch()
    descriptor = os.open(log.lock if made else log.path.parent, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    log.write(b"a\n")
    assert log.files() == ["scheduler.log"]
    os.close(descriptor)
    log.write(b"b\n")
    assert log.text() == b"b\n"


def test_of_two_writers_only_one_rotates_a_full_file(log):
    other = log.writer()
    log.fill()
    other.append(b"a\n")
    log.write(b"b\n")
    other.close()
    assert log.files() == ["scheduler.log", "scheduler.log.1"]
    assert log.text() == b"a\nb\n"


class Overtaken(RotatingFile):
    """Another writer has rotated the file when this one has the lock."""

    @contextlib.contextmanager
    def _rotation_lock(self):
        with super()._rotation_lock() as is_locked:
            assert is_locked
            os.rename(self.baseFilename, f"{self.baseFilename}.1")
            Path(self.baseFilename).write_bytes(b"new\n")
            yield is_locked


def test_a_file_that_another_has_rotated_meanwhile_is_not_rotated_again(tmp_path):
    log = Log(tmp_path, Overtaken)
    log.fill()
    log.write(b"a\n")
    log.file.close()
    assert log.files() == ["scheduler.log", "scheduler.log.1"]
    assert log.text() == b"new\na\n"


def logrotate(log):
    """What it does with "nocreate" and "missingok"."""
    if log.path.exists():
        for number in range(RETAINED, 0, -1):
            with contextlib.suppress(FileNotFoundError):
                log.backup(number).rename(log.backup(number + 1))
        log.path.rename(log.backup(1))


RETAINED = 80
_WRITES = st.tuples(st.just("write"), st.integers(0, 1), st.lists(st.integers(0, 120), min_size=1, max_size=6))
_OTHERS = st.tuples(st.sampled_from(["logrotate", "hold", "unhold", "lock", "unlock"]))


@settings(max_examples=100)
@given(st.lists(_WRITES | _OTHERS, max_size=25))
def test_whatever_renames_come_between_no_line_is_lost_doubled_or_torn(steps):
    with TemporaryDirectory() as directory:
        log = Log(Path(directory))
        log.lock.touch()
        lock = os.open(log.lock, os.O_RDONLY)
        writers = [log.file, log.writer()]
        for writer in writers:
            writer.maxBytes, writer.backupCount = 300, RETAINED
        written = []
        for kind, *details in steps:
            if kind == "write":
                lines = [b"%d:" % (len(written) + place) + b"x" * size for place, size in enumerate(details[1])]
                written += lines
                writers[details[0]].append(b"\n".join(lines) + b"\n")
            elif kind == "logrotate":
                logrotate(log)
            elif kind == "hold":
                log.hold.touch()
            elif kind == "unhold":
                log.hold.unlink(missing_ok=True)
            else:
                fcntl.flock(lock, fcntl.LOCK_EX if kind == "lock" else fcntl.LOCK_UN)
        for writer in writers:
            writer.close()
        os.close(lock)
        backups = [path for number in range(RETAINED, 0, -1) if (path := log.backup(number)).exists()]
        found = b"".join(path.read_bytes() for path in (*backups, log.path) if path.exists())
        assert found == b"".join(line + b"\n" for line in written)
        assert not log.notices


# What cannot be written


def failing(log, reason):
    return f"{log.path} cannot be written, lines are lost: {reason}"


def recovered(log, lost):
    return f"{log.path} can be written again; {lost} lost"


def test_on_a_full_disk_lines_are_counted_and_told_at_the_first_failure_and_on_recovery(small):
    small.write(b"a\nb\n")
    small.write(b"c\n")
    small.clock.now += 5
    small.write(b"d\n")
    assert small.notices == [failing(small, "No space left on device")]
    small.disk.room = 100
    small.clock.now += 5
    small.write(b"e\n")
    assert small.text() == b"e\n"
    assert small.notices[1:] == [recovered(small, "4 lines")]


def test_a_full_disk_is_tried_again_once_a_second(small):
    small.write(b"a\n")
    small.disk.room = 100
    small.clock.now += 0.9
    small.write(b"b\n")
    assert small.text() == b""
    small.clock.now += 0.2
    small.write(b"c\n")
    assert small.text() == b"c\n"
    assert small.notices[1:] == [recovered(small, "2 lines")]


def test_a_short_write_tears_a_line_and_the_next_stands_alone(small):
    small.disk.room = 5
    small.write(b"one\ntwo\nthree\n")
    assert small.text() == b"one\nt"
    small.disk.room = 100
    small.clock.now += 2
    small.write(b"four\n")
    assert small.text() == b"one\nt\nfour\n"
    assert small.notices[-1] == recovered(small, "2 lines")


def test_a_short_write_between_two_lines_tears_none(small):
    small.disk.room = 4
    small.write(b"one\ntwo\n")
    small.disk.room = 100
    small.clock.now += 2
    small.write(b"three\n")
    assert small.text() == b"one\nthree\n"
    assert small.notices[-1] == recovered(small, "1 line")


def test_a_newline_that_ends_a_torn_line_is_no_line_written(small):
    small.disk.room = 1
    small.write(b"one\n")
    small.disk.room = 1
    small.clock.now += 2
    small.write(b"two\n")
    small.disk.room = 100
    small.clock.now += 2
    small.write(b"three\n")
    assert small.text() == b"o\nthree\n"
    assert small.notices[-1] == recovered(small, "2 lines")


def test_a_line_torn_in_one_file_leaves_no_mark_in_the_next(small):
    small.disk.room = 2
    small.write(b"one\n")
    small.path.rename(small.backup(1))
    small.disk.room = 100
    small.clock.now += 2
    small.write(b"two\n")
    assert (small.backup(1).read_bytes(), small.text()) == (b"on", b"two\n")


def test_each_failure_is_told_anew(small):
    for _ in range(2):
        small.disk.room = 0
        small.write(b"a\n")
        small.disk.room = 100
        small.clock.now += 2
        small.write(b"b\n")
    assert small.notices == [failing(small, "No space left on device"), recovered(small, "1 line")] * 2


@settings(max_examples=100)
@given(st.lists(st.tuples(st.integers(0, 40), st.lists(st.integers(0, 9), min_size=1, max_size=5)), max_size=20))
def test_whatever_a_disk_takes_what_is_not_in_the_file_is_counted(steps):
    with TemporaryDirectory() as directory:
        log = Log(Path(directory), OnSmallDisk)
        log.disk = log.file.disk = Disk(0)
        written = []
        for room, sizes in steps:
            lines = [b"<%d%s>" % (len(written) + place, b"x" * size) for place, size in enumerate(sizes)]
            written += lines
            log.disk.room = room
            log.clock.now += 2
            log.write(b"\n".join(lines) + b"\n")
        log.disk.room = 100
        log.clock.now += 2
        log.write(b"last\n")
        log.file.close()
        *found, last = log.text().splitlines()
        whole = [line for line in found if line.endswith(b">")]
        lost = sum(int(notice.split("; ")[1].split()[0]) for notice in log.notices if "again" in notice)
    assert last == b"last"
    assert whole == [line for line in written if line in whole]
    # A line of which only the newline was missing is counted too.
    assert len(written) - len(whole) <= lost <= len(written) - len(whole) + len(steps)


def test_a_removed_directory_is_made_again(log):
    log.write(b"a\n")
    shutil.rmtree(log.path.parent)
    log.write(b"b\n")
    assert log.text() == b"b\n"
    assert not log.notices


def test_a_directory_replaced_by_a_file_loses_lines_until_it_is_back(log):
    log.write(b"a\n")
    shutil.rmtree(log.path.parent)
    log.path.parent.touch()
    log.write(b"b\n")
    assert log.notices == [failing(log, "File exists")]
    log.path.parent.unlink()
    log.clock.now += 2
    log.write(b"c\n")
    assert log.text() == b"c\n"
    assert log.notices[-1] == recovered(log, "1 line")


def test_a_link_in_the_place_of_the_file_is_not_followed(log):
    log.path.symlink_to(log.directory / "victim")
    log.write(b"a\n")
    assert not (log.directory / "victim").exists()
    assert log.text() == b"a\n"
    assert log.notices == [f"{log.path} is no regular file; it is kept as {log.path}.faulty"]


def test_a_closed_file_is_opened_again_by_the_next_line(log):
    log.write(b"a\n")
    log.file.close()
    log.write(b"b\n")
    assert log.text() == b"a\nb\n"
