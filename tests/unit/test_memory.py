import errno
import json
import os

import pytest

from sched_runner.tell import memory as memory_module
from sched_runner.tell.alerts import Told
from sched_runner.tell.memory import Memory

NOW = 1_700_000_000.0
TOLD = Told("failing", NOW - 10, 3, NOW - 100)


def test_each_way_is_remembered_on_its_own(tmp_path):
    memory = Memory(tmp_path)
    assert memory.keep("mail", TOLD) == ""
    assert (memory.told("mail"), memory.told("command")) == (TOLD, Told())
    memory.keep("command", Told("stale", NOW))
    again = Memory(tmp_path)
    assert (again.told("mail"), again.told("command")) == (TOLD, Told("stale", NOW))


def test_a_directory_that_is_not_there_is_made(tmp_path):
    assert Memory(tmp_path / "a" / "b").keep("mail", TOLD) == ""
    assert Memory(tmp_path / "a" / "b").told("mail") == TOLD


def test_a_directory_into_which_nobody_may_look_is_a_memory_of_nothing(tmp_path, monkeypatch):
    def refuse(*arguments, **options):
        raise PermissionError(errno.EACCES, "Permission denied")

    for call in ("stat", "open", "mkdir"):
        monkeypatch.setattr(os, call, refuse)
    memory = Memory(tmp_path)
    assert memory.told("mail") == Told()
    assert memory.keep("mail", TOLD) == "Permission denied"


def test_a_full_disk_has_room_for_the_memory_that_was_made_before(tmp_path, monkeypatch):
    Memory(tmp_path)

    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(memory_module.files, "write_atomic", full)
    size = (tmp_path / "last_alert.json").stat().st_size
    assert Memory(tmp_path).keep("mail", TOLD) == ""
    assert Memory(tmp_path).told("mail") == TOLD
    assert (tmp_path / "last_alert.json").stat().st_size == size


def test_where_there_is_no_place_it_says_why_and_remembers_for_as_long_as_it_lives(tmp_path):
    (tmp_path / "file").touch()
    memory = Memory(tmp_path / "file" / "in")
    assert "Not a directory" in memory.keep("mail", TOLD)
    assert memory.told("mail") == TOLD


def plant_fifo(file):
    os.mkfifo(file)


def plant_link(file):
    target = file.with_name("target")
    target.write_text(json.dumps({"mail": {"kind": "failing", "when": NOW}}))
    file.symlink_to(target)


def plant(text):
    return lambda file: file.write_bytes(text)


@pytest.mark.parametrize(
    "poison",
    [
        os.mkdir,
        plant_fifo,
        plant_link,
        plant(b"\xff\xfe"),
        plant(b"[" * 100_000),
        plant(b"[]"),
        plant(b'{"mail": 7}'),
        plant(b'{"mail": {"kind": "failing", "when": 1e400}}'),
        plant(b'{"mail": {"kind": "failing", "when": NaN}}'),
        plant(b'{"mail": {"kind": null, "when": 1}}'),
        plant(b'{"mail": {"kind": "' + b"x" * 2_000_000 + b'"}}'),
        plant(b'{"mail": {"kind": "\\ud800", "when": "1"}}'),
        plant(b""),
    ],
)
def test_whatever_stands_in_its_place_is_no_memory_and_is_replaced(tmp_path, poison):
    poison(tmp_path / "last_alert.json")
    memory = Memory(tmp_path)
    assert memory.told("mail") == Told()
    assert memory.keep("mail", TOLD) == ""
    assert Memory(tmp_path).told("mail") == TOLD
