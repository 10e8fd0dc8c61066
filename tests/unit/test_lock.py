import fcntl
import os
import struct
import time
from pathlib import Path
from threading import Timer

import pytest

from sched_runner.record.lock import LockFile, LockOfRun


def test_a_lock_of_our_own_has_no_other_holder(tmp_path):
    lock = LockFile(tmp_path)
    assert lock.acquire(LockFile.SCHEDULER)
    assert lock.holder(LockFile.SCHEDULER) is None


def test_a_lock_that_is_planted_as_a_link_is_refused(tmp_path):
    (tmp_path / "lock").symlink_to(tmp_path / "victim")
    with pytest.raises(OSError, match="is not a regular file"):
        LockFile(tmp_path)
    assert not (tmp_path / "victim").exists()


def test_a_lock_is_not_made_by_one_who_only_asks(tmp_path):
    with pytest.raises(FileNotFoundError):
        LockFile(tmp_path, writable=False)


class Other:
    """Another process in the eyes of the kernel: its locks are those of an open file (fcntl(2), F_OFD_SETLK)."""

    def __init__(self, directory):
        self.descriptor = os.open(directory / "lock", os.O_RDWR)

    def lock(self, which, kind=fcntl.F_WRLCK):
        flock = struct.pack("hhqqi4x", kind, os.SEEK_SET, which, 1, 0)
        fcntl.fcntl(self.descriptor, fcntl.F_OFD_SETLK, flock)

    def unlock(self, which):
        self.lock(which, fcntl.F_UNLCK)

    def is_free(self, which):
        try:
            self.lock(which)
        except BlockingIOError:
            return False
        self.unlock(which)
        return True


ALL = (LockFile.SCHEDULER, LockFile.RUN, LockFile.UPDATE)


@pytest.mark.parametrize("which", ALL)
def test_each_lock_is_held_by_one_and_is_no_other_lock(tmp_path, which):
    lock = LockFile(tmp_path)
    other = Other(tmp_path)
    assert lock.acquire(which)
    assert [other.is_free(each) for each in ALL] == [each != which for each in ALL]
    lock.release(which)
    assert all(other.is_free(each) for each in ALL)


@pytest.mark.parametrize("which", ALL)
def test_a_lock_that_another_has_is_not_waited_for(tmp_path, which):
    lock = LockFile(tmp_path)
    other = Other(tmp_path)
    other.lock(which)
    assert not lock.acquire(which)
    assert lock.holder(which) == 0  # whose process cannot be told
    other.unlock(which)
    assert lock.holder(which) is None
    assert lock.acquire(which)


def test_a_second_scheduler_is_told_that_there_is_one(tmp_path):
    lock = LockFile(tmp_path)
    other = Other(tmp_path)
    other.lock(LockFile.SCHEDULER)
    assert lock.claim() == 0
    other.unlock(LockFile.SCHEDULER)
    assert lock.claim() is None


def test_an_update_waits_for_another_s_and_not_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr("sched_runner.record.lock._UPDATE_LASTS", 0.03)
    lock = LockFile(tmp_path)
    other = Other(tmp_path)
    other.lock(LockFile.UPDATE)
    begun = time.monotonic()
    with lock.update():
        assert 0.03 <= time.monotonic() - begun < 1
    other.unlock(LockFile.UPDATE)
    with lock.update():
        assert not other.is_free(LockFile.UPDATE)
    assert other.is_free(LockFile.UPDATE)


def replace_with_another(path):
    path.rename(path.with_name("old"))
    path.touch()


@pytest.mark.parametrize("lose", [Path.unlink, replace_with_another])
def test_a_lock_file_that_somebody_has_removed_is_made_anew_with_all_that_was_held(tmp_path, lose):
    lock = LockFile(tmp_path)
    lock.claim()
    lock.acquire(LockFile.RUN)
    assert lock.is_in_place()
    lose(tmp_path / "lock")
    assert not lock.is_in_place()
    lock.restore()
    assert lock.is_in_place()
    other = Other(tmp_path)
    assert [other.is_free(which) for which in ALL] == [False, False, True]


def test_a_lock_that_was_given_back_is_not_taken_again_in_a_new_file(tmp_path):
    lock = LockFile(tmp_path)
    lock.claim()
    lock.acquire(LockFile.RUN)
    lock.release(LockFile.RUN)
    (tmp_path / "lock").unlink()
    lock.restore()
    other = Other(tmp_path)
    assert [other.is_free(which) for which in ALL] == [False, True, True]


def test_a_lock_file_in_its_place_is_left_alone(tmp_path):
    lock = LockFile(tmp_path)
    lock.claim()
    before = os.stat(tmp_path / "lock").st_ino
    lock.restore()
    assert os.stat(tmp_path / "lock").st_ino == before
    assert not Other(tmp_path).is_free(LockFile.SCHEDULER)


@pytest.fixture
def descriptors(tmp_path):
    """As in /proc/PID/fd of a scheduler that has its lock file open."""
    LockFile(tmp_path)
    folder = tmp_path / "fd"
    folder.mkdir()
    (folder / "1").symlink_to("/dev/null")
    (folder / "2").symlink_to(tmp_path / "lock")
    return str(folder)


def test_who_has_the_lock_of_a_run_keeps_the_next_from_beginning(tmp_path, descriptors):
    lock = LockOfRun(descriptors)
    lock.open()
    other = Other(tmp_path)
    other.lock(LockFile.RUN)
    assert not lock.is_free()
    Timer(0.1, other.unlock, [LockFile.RUN]).start()
    lock.wait()
    assert not other.is_free(LockFile.RUN)
    lock.close()
    assert other.is_free(LockFile.RUN)


def test_the_lock_of_a_run_is_opened_by_no_path_that_its_user_could_change(tmp_path, descriptors):
    other = Other(tmp_path)
    other.lock(LockFile.RUN)
    lock = LockOfRun(descriptors)
    (tmp_path / "lock").rename(tmp_path / "moved")
    (tmp_path / "lock").symlink_to(tmp_path / "victim")
    lock.open()
    assert not lock.is_free()
    assert not (tmp_path / "victim").exists()
    lock.close()


def test_a_process_without_a_lock_has_no_run_that_could_be_seen(tmp_path):
    with pytest.raises(FileNotFoundError, match="the scheduler has no lock file open"):
        LockOfRun(str(tmp_path))


def test_a_pipe_in_the_place_of_the_lock_is_not_opened(tmp_path, descriptors):
    (tmp_path / "lock").unlink()
    os.mkfifo(tmp_path / "lock")
    with pytest.raises(OSError, match="not a regular file"):
        LockOfRun(descriptors)


def test_a_lock_that_is_removed_again_and_again_is_given_up(tmp_path, monkeypatch):
    class Removed(LockFile):
        def restore(self):
            super().restore()
            (tmp_path / "lock").unlink()

    monkeypatch.setattr("sched_runner.record.lock._REMOVALS_LAST", 0.05)
    lock = Removed(tmp_path)
    (tmp_path / "lock").unlink()
    assert not lock.acquire(LockFile.SCHEDULER)
    assert not lock._held


def test_who_keeps_a_lock_of_the_new_file_takes_none_away_that_is_held_in_the_old_one(tmp_path, monkeypatch):
    monkeypatch.setattr("sched_runner.record.lock._BEGINNERS_LAST", 0.05)
    lock = LockFile(tmp_path)
    assert lock.acquire(LockFile.SCHEDULER)
    old = Other(tmp_path)
    (tmp_path / "lock").unlink()
    LockFile(tmp_path).close()
    new = Other(tmp_path)
    new.lock(LockFile.SCHEDULER)
    with pytest.raises(OSError, match="another process has the lock of the new file"):
        lock.restore()
    assert not old.is_free(LockFile.SCHEDULER)
    new.unlock(LockFile.SCHEDULER)
    lock.restore()
    assert lock.is_in_place()
    assert not new.is_free(LockFile.SCHEDULER)
    assert old.is_free(LockFile.SCHEDULER)


def test_a_lock_survives_that_its_file_is_put_back_in_the_moment_of_the_look(tmp_path, monkeypatch):
    lock = LockFile(tmp_path)
    assert lock.acquire(LockFile.SCHEDULER)
    (tmp_path / "lock").rename(tmp_path / "away")
    open_again = lock._open

    def put_back_and_open():
        (tmp_path / "away").rename(tmp_path / "lock")
        return open_again()

    monkeypatch.setattr(lock, "_open", put_back_and_open)
    lock.restore()
    assert not Other(tmp_path).is_free(LockFile.SCHEDULER)
