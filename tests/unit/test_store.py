import contextlib
import json
import logging
import os
import resource
import socket
import stat
import threading
from pathlib import Path

import pytest

from sched_runner.commands.installation import Installation
from sched_runner.exit_status import OperatorError
from sched_runner.record import files, store
from sched_runner.record.files import write_atomic
from sched_runner.record.lock import LockFile
from sched_runner.record.outcome import Outcome
from sched_runner.record.run_record import Run
from sched_runner.record.state import State
from sched_runner.record.store import StateError, Store, load
from sched_runner.settings import places
from sched_runner.settings.source import Source
from sched_runner.troubles import Trouble


@pytest.fixture
def umask():
    """One that would give files to everybody, put back afterwards."""
    old = os.umask(0)
    yield
    os.umask(old)


@pytest.fixture
def kept(tmp_path):
    """The store of a new state directory."""
    return Store(tmp_path, LockFile(tmp_path))


def save(directory: Path, state: State) -> None:
    """As the store of another process does."""

    def change(found: State) -> None:
        vars(found).update(vars(state))

    Store(directory, LockFile(directory)).update(change)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_without_a_file_the_state_is_new(tmp_path):
    assert load(tmp_path) == State()


def ended(number):
    return Run(number, Outcome.FAILED, 100.0, 5.0, 102.0, 2.0, exit_status=3, cpu=0.5, peak_kib=7, reason="no \ud800")


WRITTEN = State(
    boot_id="b",
    host="h",
    clean=False,
    started=1.0,
    environment="prod",
    every="every 4 h",
    gap=14400.0,
    timeout=3600.0,
    due=1.5,
    due_boottime=0.5,
    next_due=14401.5,
    number=7,
    running=Run(7, started=1.0, started_boottime=0.25),
    last_success=0.75,
    last_failure=0.5,
    fresh_boottime=0.125,
    failures_in_a_row=2,
    skipped=3,
    outcomes={"failed": 2, "succeeded": 4},
    runs=[ended(5), Run(6, Outcome.KILLED, 1.0, duration=2.0, signal=9)],
)


def test_what_was_saved_is_loaded(tmp_path):
    save(tmp_path, WRITTEN)
    assert load(tmp_path) == WRITTEN


def test_the_last_50_runs_are_kept(tmp_path, kept):
    save(tmp_path, State(runs=[ended(number) for number in range(1, 61)]))
    assert [run.number for run in load(tmp_path).runs] == list(range(11, 61))
    kept.update(lambda state: state.end_run(ended(61), None))
    assert [run.number for run in load(tmp_path).runs] == list(range(12, 62))


def test_what_a_newer_version_wrote_besides_is_ignored(tmp_path):
    (tmp_path / "state.json").write_text('{"number": 7, "mood": "good"}')
    assert load(tmp_path) == State(number=7)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"7", b'{"number": 7', b"\xff", b"\0" * 100])
def test_a_file_that_this_program_did_not_write_is_faulty(tmp_path, content):
    (tmp_path / "state.json").write_bytes(content)
    with pytest.raises(StateError, match="is faulty"):
        load(tmp_path)


def test_a_faulty_file_is_kept_under_another_name(tmp_path):
    (tmp_path / "state.json").write_text("{")
    aside = files.set_aside(tmp_path / "state.json")
    assert aside.read_text() == "{"
    assert load(tmp_path) == State()


@pytest.mark.parametrize("mask", [0o000, 0o077])
def test_files_are_the_group_s_to_read_whatever_the_umask(tmp_path, umask, mask):
    os.umask(mask)
    kept = Store(tmp_path, LockFile(tmp_path))
    kept.update(State.skip_run)
    kept.write(store.MARKER, "now\n")
    assert {path.name: mode(path) for path in tmp_path.iterdir()} == {
        "state.json": 0o640,
        "last_success.txt": 0o640,
        "lock": 0o600,
    }


def test_a_reader_keeps_the_text_that_it_opened(tmp_path):
    path = tmp_path / "file"
    write_atomic(path, "old\n")
    with path.open() as reader:
        write_atomic(path, "new\n")
        assert reader.read() == "old\n"
    assert path.read_text() == "new\n"


@pytest.mark.parametrize("durable", [True, False])
def test_what_is_made_durable_is_written_first_and_renamed_then(tmp_path, monkeypatch, durable):
    synced = []

    def fsync(descriptor):
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        synced.append(path.read_text() if path.is_file() else os.listdir(path))

    monkeypatch.setattr(os, "fsync", fsync)
    write_atomic(tmp_path / "file", "new\n", durable=durable)
    assert synced == (["new\n", ["file"]] if durable else [])


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


def refuse(*_, **__):
    raise PermissionError(13, "Permission denied")


def test_a_file_that_may_not_be_made_is_refused_in_the_words_of_the_system(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(PermissionError):
        files.open_regular(str(tmp_path / "lock"), os.O_RDWR | os.O_CREAT, 0o600)


def test_whether_a_scheduler_by_hand_is_up_is_unknown_to_whom_its_lock_is_closed(tmp_path, monkeypatch):
    monkeypatch.setattr(LockFile, "__init__", refuse)
    place = places.here(tmp_path)
    with pytest.raises(OperatorError, match="only root can see whether main-scheduler is up here") as told:
        Installation(place, *Source({}, None, place).read_all(), is_service=False).look()
    assert told.value.exit_status == 4
    assert Installation(place, *Source({}, None, place).read_all(), is_service=True).look().pid is None


def test_a_command_that_looks_again_and_again_keeps_no_file_open(tmp_path):
    (tmp_path / "scheduler").mkdir()
    LockFile(tmp_path / "scheduler").close()
    place = places.here(tmp_path)
    found = Installation(place, *Source({}, None, place).read_all(), is_service=True)
    before = os.listdir("/proc/self/fd")
    assert [found.look().pid for _ in range(3)] == [None] * 3
    assert len(os.listdir("/proc/self/fd")) == len(before)


def test_a_link_that_was_planted_is_not_followed(tmp_path):
    (tmp_path / ".file.new").symlink_to(tmp_path / "victim")
    write_atomic(tmp_path / "file", "new\n")
    assert {path.name for path in tmp_path.iterdir()} == {"file"}
    assert not (tmp_path / "file").is_symlink()


def test_a_directory_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_atomic(tmp_path / "none" / "state.json", "{}")


def test_state_json_is_for_people_too(tmp_path):
    save(tmp_path, State(number=7))
    text = (tmp_path / "state.json").read_text()
    assert '\n "number": 7,\n' in text
    assert json.loads(text)["number"] == 7


def test_updates_wait_for_each_other_and_end(tmp_path, kept):
    first_is_in, second_is_in = threading.Event(), threading.Event()

    def first(state):
        first_is_in.set()
        assert not second_is_in.wait(0.05)
        state.number += 1

    def second(state):
        second_is_in.set()
        state.number += 10

    waiting = threading.Thread(target=lambda: first_is_in.wait() and kept.update(second))
    waiting.start()
    kept.update(first)
    waiting.join()
    assert load(tmp_path).number == kept.state.number == 11


class Lock:
    """The lock file as the store uses it; says whether this process may change the state."""

    def __init__(self):
        self.is_held = False

    @contextlib.contextmanager
    def update(self):
        self.is_held = True
        yield
        self.is_held = False

    def restore(self):
        """Nobody has removed it."""

    def is_in_place(self):
        return True


def test_a_change_is_read_made_and_written_while_no_other_process_may_change_the_state(tmp_path):
    save(tmp_path, State(number=7))
    lock, seen = Lock(), []

    class Watched(Store):
        def _refresh(self):
            seen.append(("read", lock.is_held))
            return super()._refresh()

        def _save(self, *, durable):
            seen.append(("written", lock.is_held))
            super()._save(durable=durable)

    def change(state):
        seen.append((state.number, lock.is_held))

    Watched(tmp_path, lock).update(change)
    assert seen == [("read", True), (7, True), ("written", True)]
    assert not lock.is_held


def plant_fifo(path):
    os.mkfifo(path)


def plant_link(path):
    path.symlink_to(path.with_name("victim"))


def plant_link_to_itself(path):
    path.symlink_to(path)


def plant_directory(path):
    path.mkdir()
    (path / "within").touch()


def plant_huge_file(path):
    with path.open("w") as file:
        file.write('{"number": 1}')
        file.truncate(2**31)  # sparse


def plant_socket(path):
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(path))


def plant_file_of_nobody(path):
    path.write_text("\0")


PLANTS = [plant_fifo, plant_link, plant_link_to_itself, plant_directory, plant_huge_file, plant_socket]
planted = pytest.mark.parametrize("plant", [*PLANTS, plant_file_of_nobody])


def told(caplog):
    return [record.getMessage() for record in caplog.records]


@planted
def test_what_stands_in_the_place_of_state_json_is_refused_at_once(tmp_path, plant):
    plant(tmp_path / "state.json")
    with pytest.raises(StateError, match=r"not a regular file|larger than 1 MiB|is faulty"):
        load(tmp_path)


@planted
def test_what_stands_in_the_place_of_state_json_is_set_aside_told_and_begun_anew(tmp_path, plant, caplog):
    plant(tmp_path / "state.json")
    kept = Store(tmp_path, LockFile(tmp_path))
    kept.refresh()
    assert kept.update(lambda state: state.begin_run(None)).number == 1
    assert load(tmp_path).number == 1
    assert os.path.lexists(tmp_path / "state.json.faulty")
    assert not (tmp_path / "victim").exists()
    assert [line.count("kept as") for line in told(caplog)] == [1]


@planted
def test_what_is_put_in_the_place_of_state_json_while_the_scheduler_is_up_costs_nothing(tmp_path, kept, plant):
    kept.update(lambda state: vars(state).update(vars(WRITTEN)))
    (tmp_path / "state.json").unlink()
    plant(tmp_path / "state.json")
    kept.refresh()
    assert load(tmp_path) == kept.state == WRITTEN


@planted
def test_however_often_it_is_put_there_it_is_set_aside_and_no_descriptor_is_left_open(tmp_path, kept, plant):
    kept.update(State.skip_run)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(4):
        (tmp_path / "state.json").unlink()
        plant(tmp_path / "state.json")
        kept.update(State.skip_run)
    assert load(tmp_path).skipped == kept.state.skipped == 5
    assert len(os.listdir("/proc/self/fd")) == before


@planted
@pytest.mark.parametrize("name", ["state.json", "last_success.txt", "last_failure.json"])
def test_what_stands_where_a_new_file_is_written_is_no_hindrance(tmp_path, kept, plant, name, caplog):
    plant(tmp_path / f".{name}.new")
    if name == "state.json":
        kept.update(State.skip_run)
        assert load(tmp_path).skipped == 1
    else:
        kept.write(name, "text\n")
        assert (tmp_path / name).read_text() == "text\n"
    assert stat.S_ISREG((tmp_path / name).lstat().st_mode)
    assert not (tmp_path / "victim").exists()
    assert told(caplog) == []


@planted
def test_what_stands_in_the_place_of_the_marker_is_replaced(tmp_path, kept, plant, caplog):
    plant(tmp_path / "last_success.txt")
    kept.write(store.MARKER, "now\n")
    assert files.read_text(tmp_path / "last_success.txt") == "now\n"
    assert not (tmp_path / "victim").exists()
    assert told(caplog) == []


@pytest.mark.parametrize("plant", [plant for plant in PLANTS if plant is not plant_huge_file])
def test_what_stands_in_the_place_of_the_lock_is_set_aside_and_told(tmp_path, plant, caplog):
    plant(tmp_path / "lock")
    lock = store.open_lock(tmp_path)
    assert lock.claim() is None
    assert stat.S_ISREG((tmp_path / "lock").lstat().st_mode)
    assert os.path.lexists(tmp_path / "lock.faulty")
    assert not (tmp_path / "victim").exists()
    assert told(caplog) == [f"{tmp_path}/lock is no regular file; it is kept as {tmp_path}/lock.faulty"]


@planted
def test_an_object_beside_the_state_is_empty_if_something_else_stands_there(tmp_path, kept, plant):
    plant(tmp_path / "last_failure.json")
    assert kept.read_object(store.FAILURE) == {}


@pytest.mark.parametrize("text", ["[" * 200_000, '{"a":' * 150_000, "9" * 10_000, "[]", "7", "\ud800"])
def test_json_that_nobody_wrote_is_a_fault_and_nothing_worse(tmp_path, text):
    (tmp_path / "file").write_bytes(text.encode(errors="surrogatepass"))
    assert files.read_object(tmp_path / "file") == {}
    (tmp_path / "file").rename(tmp_path / "state.json")
    with pytest.raises(StateError, match="is faulty"):
        load(tmp_path)


def test_a_file_of_1_mib_is_read_and_no_larger_one(tmp_path):
    (tmp_path / "file").write_text("x" * 1024 * 1024)
    assert len(files.read_text(tmp_path / "file")) == 1024 * 1024
    (tmp_path / "file").write_text("x" * (1024 * 1024 + 1))
    with pytest.raises(ValueError, match="larger than 1 MiB"):
        files.read_text(tmp_path / "file")


def remove_file(directory):
    (directory / "state.json").unlink()


def remove_all(directory):
    for path in directory.iterdir():
        path.unlink()


def remove_directory(directory):
    remove_all(directory)
    directory.rmdir()


@pytest.mark.parametrize("remove", [remove_file, remove_all, remove_directory])
@pytest.mark.parametrize("notice", [Store.refresh, lambda kept: kept.update(State.skip_run)], ids=["refresh", "update"])
def test_a_state_that_vanished_is_written_anew_and_no_number_is_given_twice(tmp_path, remove, notice, caplog):
    directory = tmp_path / "state"
    directory.mkdir()
    kept = Store(directory, LockFile(directory))
    numbers = [kept.update(lambda state: state.begin_run(None)).number for _ in range(3)]
    remove(directory)
    notice(kept)
    assert load(directory) == kept.state
    numbers.append(kept.update(lambda state: state.begin_run(None)).number)
    assert numbers == [1, 2, 3, 4]
    assert load(directory).number == 4
    assert (directory / "lock").is_file()
    assert told(caplog) == []


@pytest.mark.parametrize("number", [0, 2])
def test_an_older_state_that_somebody_puts_back_gives_no_number_twice(tmp_path, kept, number):
    for _ in range(3):
        kept.update(lambda state: state.begin_run(None))
    write_atomic(tmp_path / "state.json", json.dumps({"number": number, "skipped": 5}))
    assert kept.refresh()
    assert kept.state.skipped == 5
    assert kept.update(lambda state: state.begin_run(None)).number == 4


def test_what_another_process_has_written_is_taken_over_once(tmp_path, kept):
    kept.update(State.skip_run)
    assert not kept.refresh()
    save(tmp_path, State(number=7, skipped=9))
    assert kept.refresh()
    assert not kept.refresh()
    assert (kept.state.number, kept.state.skipped) == (7, 9)
    kept.update(State.skip_run)
    assert load(tmp_path) == State(number=7, skipped=10)


def test_an_update_gives_what_the_change_gives(kept):
    assert kept.update(lambda state: 7) == 7


def test_a_change_that_fails_changes_nothing(tmp_path, kept):
    kept.update(State.skip_run)

    def change(state):
        state.skip_run()
        raise RuntimeError("a fault of our own")

    with pytest.raises(RuntimeError):
        kept.update(change)
    assert load(tmp_path).skipped == kept.state.skipped == 1
    kept.update(State.skip_run)
    assert load(tmp_path).skipped == 2


def test_while_state_json_cannot_be_written_changes_hold_here_and_it_is_told_once_and_once_when_it_can_again(
    tmp_path, kept, caplog
):
    kept.update(State.skip_run)
    with full_disk():
        for _ in range(3):
            kept.update(State.skip_run)
    assert (kept.state.skipped, load(tmp_path).skipped) == (4, 1)
    kept.update(State.skip_run)
    assert load(tmp_path).skipped == 5
    assert told(caplog) == [
        "state.json cannot be written, the schedule goes on: File too large",
        "state.json can be written again",
    ]


def test_what_fails_for_the_first_time_while_another_trouble_is_told_ends_nothing(tmp_path, kept):
    class Writes(logging.Handler):
        """As the other thread may, at this moment."""

        def emit(self, record):
            kept.write("another.json", "")

    handler = Writes()
    logging.getLogger("sched_runner.troubles").addHandler(handler)
    try:
        kept._troubles.setdefault("a file", Trouble("a file")).report("it fails")
        kept.update(lambda state: None)
    finally:
        logging.getLogger("sched_runner.troubles").removeHandler(handler)
    assert (tmp_path / "another.json").exists()
