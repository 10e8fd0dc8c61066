import errno
import math
import os
import socket
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sched_runner.schedule.notify import Notifier, watchdog

SHORT = 0.05  # seconds; so long a test waits for one who does not read


@pytest.fixture
def systemd(tmp_path):
    """Takes messages; ``systemd.getsockname()`` is its address."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bound:
        bound.bind(str(tmp_path / "notify"))
        bound.setblocking(False)
        yield bound


def notifier(systemd):
    return Notifier({"NOTIFY_SOCKET": systemd.getsockname()})


def assignments(systemd):
    return systemd.recv(65536).decode().split("\n")


def test_each_word_is_that_of_sd_notify(systemd):
    told = notifier(systemd)
    told.status("starting")
    told.ready("next run soon")
    told.watchdog_ping()
    told.stopping(30.5)
    assert [assignments(systemd) for _ in range(4)] == [
        ["STATUS=starting"],
        ["READY=1", "STATUS=next run soon"],
        ["WATCHDOG=1"],
        ["STOPPING=1", "EXTEND_TIMEOUT_USEC=30500000", "STATUS=stopping"],
    ]


def test_a_reload_has_the_time_of_the_monotonic_clock(systemd):
    before = time.monotonic_ns() // 1000
    notifier(systemd).reloading()
    reloading, when = assignments(systemd)
    assert reloading == "RELOADING=1"
    assert before <= int(when.removeprefix("MONOTONIC_USEC=")) <= time.monotonic_ns() // 1000


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\u2028", "\u2029", "\x85", "\v", "\f", "\0", "\x1c"])
def test_no_status_can_add_an_assignment(systemd, end):
    told = notifier(systemd)
    text = f"run 7 failed: no{end}READY=1{end}MAINPID=1"
    told.status(text)
    told.ready(text)
    for first in ([], ["READY=1"]):
        *before, status = assignments(systemd)
        assert before == first
        assert status.startswith("STATUS=run 7 failed: no")
        assert len(status.splitlines()) == 1


@settings(max_examples=100)
@given(st.text(max_size=1000))
def test_whatever_a_status_says_it_is_one_assignment_of_a_sensible_length(text):
    told = Notifier({})
    sent = []
    told._send = lambda *lines: sent.extend(lines)
    told.status(text)
    told.ready(text)
    assert sent[::2] == [sent[0], sent[0]]
    assert sent[1] == "READY=1"
    assert sent[0].startswith("STATUS=")
    assert len(sent[0].splitlines()) == 1
    assert len(sent[0]) <= 407


def test_an_abstract_address_begins_with_a_nul():
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bound:
        name = f"test-{os.getpid()}"
        bound.bind(f"\0{name}")
        Notifier({"NOTIFY_SOCKET": f"@{name}"}).watchdog_ping()
        assert bound.recv(100, socket.MSG_DONTWAIT) == b"WATCHDOG=1"


@pytest.mark.parametrize(
    "environ", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "/none"}, {"NOTIFY_SOCKET": "x" * 500}]
)
def test_without_one_who_reads_nothing_fails(environ):
    told = Notifier(environ)
    told.ready("all is well")
    told.watchdog_ping()


def test_where_no_socket_can_be_made_nothing_fails_and_the_next_message_tries_again(systemd, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as full:
        full.setattr(socket, "socket", refuse)
        Notifier({}).status("starting")
        told = notifier(systemd)
        told.status("starting")
    told.status("found")
    assert assignments(systemd) == ["STATUS=found"]


def fill(told, systemd):
    """Until there is no room; without patience."""
    told._patience = 0.0
    sent = 0
    while True:
        told.status(f"{sent}")
        if told._patience == 0.0:
            return sent
        sent, told._patience = sent + 1, 0.0


def seconds(call):
    begun = time.monotonic()
    call()
    return time.monotonic() - begun


def test_a_socket_that_nobody_reads_is_waited_for_once_and_no_longer_than_the_patience(systemd):
    told = notifier(systemd)
    assert told._patience <= 2.0
    fill(told, systemd)
    told._patience = SHORT
    assert SHORT <= seconds(told.watchdog_ping) < 1.0
    assert seconds(lambda: [told.watchdog_ping() for _ in range(20)]) < SHORT * 20
    assert told._patience == 0.0


def test_when_somebody_reads_again_the_patience_is_back(systemd):
    told = notifier(systemd)
    fill(told, systemd)
    assignments(systemd)
    told.status("found")
    assert told._patience == 2.0


@pytest.mark.parametrize(
    ("environ", "wanted"),
    [
        ({}, math.inf),
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
        # Another process is meant.
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, math.inf),
        ({"WATCHDOG_USEC": "0"}, math.inf),
        ({"WATCHDOG_USEC": ""}, math.inf),
        ({"WATCHDOG_USEC": "-5"}, math.inf),
        ({"WATCHDOG_USEC": "soon"}, math.inf),
    ],
)
def test_the_time_of_the_watchdog_is_that_which_systemd_gave_to_this_process(environ, wanted):
    assert watchdog(environ) == wanted
