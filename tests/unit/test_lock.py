import pytest

from sched_runner.record.lock import LockFile


def test_a_lock_of_our_own_has_no_other_holder(tmp_path):
    lock = LockFile(tmp_path)
    assert lock.acquire(LockFile.SCHEDULER)
    assert lock.holder(LockFile.SCHEDULER) is None


def test_a_lock_that_is_planted_as_a_link_is_refused(tmp_path):
    (tmp_path / "lock").symlink_to(tmp_path / "victim")
    with pytest.raises(OSError, match="symbolic links"):
        LockFile(tmp_path)
    assert not (tmp_path / "victim").exists()


def test_a_lock_is_not_made_by_one_who_only_asks(tmp_path):
    with pytest.raises(FileNotFoundError):
        LockFile(tmp_path, writable=False)
