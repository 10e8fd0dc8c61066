import logging
import socket
from collections import deque

import pytest

from sched_runner.troubles import Trouble, fault_of, said


@pytest.fixture
def told(caplog):
    """What has been logged since the last time."""

    def look():
        found = [record.getMessage() for record in caplog.records]
        caplog.clear()
        return found

    return look


def test_what_works_is_not_told(told):
    trouble = Trouble("the ping", "delivered")
    trouble.report("")
    trouble.tell()
    assert told() == []
    assert not trouble


def test_a_trouble_is_told_once_when_it_begins_and_once_when_it_is_over(told):
    trouble = Trouble("the ping", "delivered")
    for fault in ("refused", "refused", "timed out"):
        trouble.report(fault)
        trouble.tell()
    assert trouble
    assert told() == ["the ping cannot be delivered, the schedule goes on: refused"]
    for _ in range(2):
        trouble.report("")
        trouble.tell()
    assert not trouble
    assert told() == ["the ping can be delivered again"]


def test_each_trouble_is_told_anew(told):
    trouble = Trouble("the log")
    for fault in ("full", "", "gone", ""):
        trouble.report(fault)
        trouble.tell()
    assert told() == [
        "the log cannot be written, the schedule goes on: full",
        "the log can be written again",
        "the log cannot be written, the schedule goes on: gone",
        "the log can be written again",
    ]


def test_what_happened_before_somebody_asks_is_told_in_order(told):
    trouble = Trouble("the log")
    for fault in ("full", "", "gone"):
        trouble.report(fault)
    assert told() == []
    trouble.tell()
    trouble.tell()
    assert [line.split(",")[0] for line in told()] == [
        "the log cannot be written",
        "the log can be written again",
        "the log cannot be written",
    ]


@pytest.mark.parametrize(("counts", "said"), [((2,), "2 lines"), ((1, 0, 2), "3 lines"), ((3,), "3 lines")])
def test_lost_lines_are_counted_from_begin_to_end_of_a_trouble(told, counts, said):
    trouble = Trouble("the log")
    for _ in range(2):
        for lost in counts:
            trouble.report("full", lost)
        trouble.report("")
    trouble.tell()
    assert (
        told() == ["the log cannot be written, lines are lost: full", f"the log can be written again; {said} lost"] * 2
    )


def test_what_is_told_is_printable_and_of_a_sensible_length(told):
    trouble = Trouble("a\x1b[2J\u2028", "written")
    trouble.report("refused\n\x9b31m\u202e" + "x" * 10_000)
    trouble.tell()
    (line,) = told()
    assert line.isprintable()
    assert len(line) < 700


def test_fields_for_the_journal_go_with_it(caplog):
    trouble = Trouble("the log")
    trouble.report("full")
    trouble.tell({"fields": {"MESSAGE_ID": "7"}})
    (record,) = caplog.records
    assert (record.levelno, vars(record)["fields"]) == (logging.WARNING, {"MESSAGE_ID": "7"})


def test_the_fault_of_an_attempt_is_what_the_system_said():
    def attempt():
        raise OSError(28, "No space left on device")

    assert fault_of(lambda: None) == ""
    assert fault_of(attempt) == "No space left on device"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ConnectionRefusedError(111, "Connection refused"), "Connection refused"),
        (FileNotFoundError(2, "No such file or directory", "/x"), "/x: No such file or directory"),
        (PermissionError(13, "Permission denied", b"/\xff"), "/\udcff: Permission denied"),
        (socket.gaierror(-2, "Name or service not known"), "Name or service not known"),
        (TimeoutError("timed out"), "timed out"),
        (TimeoutError(), "TimeoutError"),
        (ValueError("no"), "no"),
    ],
)
def test_a_failure_is_told_in_words_without_its_number(error, words):
    assert said(error) == words


def test_a_fault_of_our_own_is_no_trouble():
    with pytest.raises(ZeroDivisionError):
        fault_of(lambda: 1 / 0)


class Emptied(deque):
    """Another thread takes the last one in the moment after it was seen to be there."""

    def __bool__(self):
        return True


def test_what_another_thread_has_just_told_is_not_told_again_and_ends_nothing(told):
    trouble = Trouble("the log")
    trouble.note("something")
    trouble._untold = Emptied(trouble._untold)
    trouble.tell()
    assert told() == ["something"]
