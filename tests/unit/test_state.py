import contextlib
import json
import os
import resource
import stat
from pathlib import Path

import pytest

from sched_runner import state
from sched_runner.state import LockFile, State, StateError, StateFile, write_atomic


@pytest.fixture
def umask():
    """One that would give files to everybody, put back afterwards."""
    old = os.umask(0)
    yield
    os.umask(old)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_without_a_file_the_state_is_new(tmp_path):
    assert StateFile(tmp_path).load() == State()


def test_what_was_saved_is_loaded(tmp_path):
    saved = State(
        boot_id="b", clean=False, due=1.5, number=7, running={"number": 7, "started": 1.0}, runs=[{"number": 6}]
    )
    StateFile(tmp_path).save(saved)
    assert StateFile(tmp_path).load() == saved


def test_the_last_50_runs_are_kept(tmp_path):
    StateFile(tmp_path).save(State(runs=[{"number": number} for number in range(1, 61)]))
    assert [run["number"] for run in StateFile(tmp_path).load().runs] == list(range(11, 61))


def test_what_a_newer_version_wrote_besides_is_ignored(tmp_path):
    (tmp_path / "state.json").write_text('{"number": 7, "mood": "good"}')
    assert StateFile(tmp_path).load() == State(number=7)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"7", b'{"number": 7', b"\xff", b"\0" * 100])
def test_a_file_that_this_program_did_not_write_is_faulty(tmp_path, content):
    (tmp_path / "state.json").write_bytes(content)
    with pytest.raises(StateError, match=r"is (faulty|not in UTF-8)"):
        StateFile(tmp_path).load()


def test_a_faulty_file_is_kept_under_another_name(tmp_path):
    (tmp_path / "state.json").write_text("{")
    aside = StateFile(tmp_path).set_aside()
    assert aside.read_text() == "{"
    assert StateFile(tmp_path).load() == State()


def test_the_marker_is_one_line_with_the_time(tmp_path):
    StateFile(tmp_path).mark_success("2026-01-01T00:00:00.000+00:00")
    assert (tmp_path / "last_success.txt").read_text() == "2026-01-01T00:00:00.000+00:00\n"


@pytest.mark.parametrize("mask", [0o000, 0o077])
def test_files_are_the_group_s_to_read_whatever_the_umask(tmp_path, umask, mask):
    os.umask(mask)
    StateFile(tmp_path).save(State())
    StateFile(tmp_path).mark_success("now")
    LockFile(tmp_path)
    assert {path.name: mode(path) for path in tmp_path.iterdir()} == {
        "state.json": 0o640,
        "last_success.txt": 0o640,
        "lock": 0o640,
    }


def test_a_reader_keeps_the_text_that_it_opened(tmp_path):
    path = tmp_path / "file"
    write_atomic(path, "old\n")
    with path.open() as reader:
        write_atomic(path, "new\n")
        assert reader.read() == "old\n"
    assert path.read_text() == "new\n"


@contextlib.contextmanager
def full_disk():
    """Files may not become longer than two bytes, which is as good as a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("durable", [True, False])
def test_where_the_disk_is_full_the_old_text_stays(tmp_path, durable):
    (tmp_path / "file").write_text("o\n")
    with full_disk(), pytest.raises(OSError, match="File too large"):
        write_atomic(tmp_path / "file", "new\n", durable=durable)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"file": "o\n"}


def test_what_a_killed_writer_left_is_no_hindrance(tmp_path):
    (tmp_path / ".file.new").write_text("half a te")
    write_atomic(tmp_path / "file", "new\n")
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"file": "new\n"}


def test_a_link_that_was_planted_is_not_followed(tmp_path):
    (tmp_path / ".file.new").symlink_to(tmp_path / "victim")
    with pytest.raises(OSError, match="symbolic links"):
        write_atomic(tmp_path / "file", "new\n")
    assert not (tmp_path / "victim").exists()


def test_a_directory_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        StateFile(tmp_path / "none").save(State())


def test_state_json_is_for_people_too(tmp_path):
    StateFile(tmp_path).save(State(number=7))
    text = (tmp_path / "state.json").read_text()
    assert '\n "number": 7,\n' in text
    assert json.loads(text)["number"] == 7


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


def test_updates_wait_for_each_other_and_end(tmp_path):
    store, lock = StateFile(tmp_path), LockFile(tmp_path)
    for _ in range(3):
        with store.exclusive(lock):
            now = store.load()
            now.number += 1
            store.save(now, durable=False)
    assert store.load().number == 3


def test_this_boot_has_one_name():
    assert state.boot_id() == state.boot_id() != ""


def test_the_state_of_another_host_is_taken_over_without_its_boot_clock():
    taken = State(boot_id="another", host="node2", due=1.0, due_boottime=9e9, fresh_boottime=9e9)
    taken.take_over()
    assert (taken.boot_id, taken.host) == (state.boot_id(), os.uname().nodename)
    assert (taken.due, taken.due_boottime) == (1.0, None)
    assert taken.fresh_boottime == pytest.approx(state.boottime(), abs=5)


def test_the_state_of_this_boot_keeps_its_clock():
    own = State(boot_id=state.boot_id(), due=1.0, due_boottime=2.0)
    own.take_over()
    assert own.due_boottime == 2.0


def test_a_state_that_nobody_wrote_is_of_this_host():
    assert State().is_of_this_host()
    assert State(host=os.uname().nodename).is_of_this_host()
    assert State(host="before it was renamed", boot_id=state.boot_id()).is_of_this_host()
    assert not State(host="another", boot_id="another").is_of_this_host()
