import threading
from urllib.parse import parse_qs, urlsplit

import pytest

from sched_runner.record.outcome import Outcome
from sched_runner.record.run_record import Run
from sched_runner.tell import pings
from sched_runner.tell.pings import Ping, Pinger, address


@pytest.mark.parametrize(
    ("url", "ending", "wanted"),
    [
        ("https://hc-ping.com/uuid", "", "https://hc-ping.com/uuid?rid=7"),
        ("https://hc-ping.com/uuid", "/start", "https://hc-ping.com/uuid/start?rid=7"),
        ("https://hc-ping.com/uuid/", "/3", "https://hc-ping.com/uuid/3?rid=7"),
        ("https://hc-ping.com/key/slug?create=1", "/start", "https://hc-ping.com/key/slug/start?create=1&rid=7"),
    ],
)
def test_the_ending_stands_before_the_query_and_the_run_id_after_it(url, ending, wanted):
    assert address(url, ending, "7") == wanted


PUSH = "https://kuma.example.org/api/push/TOKEN?status={status}&msg={message}&ping={duration_ms}"


@pytest.mark.parametrize(
    ("run", "wanted"),
    [
        (Run(7, Outcome.SUCCEEDED, duration=1.2345), "status=up&msg=run%207%20succeeded&ping=1234"),
        (Run(7, Outcome.FAILED, exit_status=3), "status=down&msg=run%207%20failed%3A%20exit%20status%203&ping=0"),
        (Run(7, Outcome.TIMED_OUT, signal=15), "status=down&msg=run%207%20timed%20out%3A%20SIGTERM&ping=0"),
    ],
)
def test_placeholders_say_how_the_run_ended(run, wanted):
    assert pings.filled(PUSH, run) == f"https://kuma.example.org/api/push/TOKEN?{wanted}"


def test_nothing_that_main_py_says_ends_a_field_or_fills_a_placeholder():
    reason = "&status=up#/../\r\n\x1b[2J\u202e\udcff{status}%26" + "é" * 500
    run = Run(7, Outcome.FAILED, reason=reason, duration=1.0)
    parts = urlsplit(pings.filled(PUSH, run))
    fields = parse_qs(parts.query, strict_parsing=True)
    assert (parts.path, parts.fragment, list(fields)) == ("/api/push/TOKEN", "", ["status", "msg", "ping"])
    assert (fields["status"], fields["ping"]) == (["down"], ["1000"])
    (message,) = fields["msg"]
    assert message.startswith(r"run 7 failed: &status=up#/../\r\n\x1b[2J\xe2\x80\xae\udcff{status}%26é")
    assert len(message) == 200


def test_what_main_py_says_is_one_part_of_a_path():
    run = Run(7, Outcome.FAILED, reason="/../../admin?x", duration=1.0)
    assert pings.filled("https://h/a/{message}/b", run) == "https://h/a/run%207%20failed%3A%20%2F..%2F..%2Fadmin%3Fx/b"


class Server:
    """Takes pings after so many faults; ``gate`` holds it up."""

    def __init__(self, faults=0):
        self.faults = faults
        self.got = []
        self.tried = 0
        self.gate = threading.Event()
        self.gate.set()
        self.reached = threading.Event()

    def post(self, ping):
        self.reached.set()
        self.gate.wait()
        self.tried += 1
        if self.faults:
            self.faults -= 1
            raise ConnectionRefusedError("refused")
        self.got.append((ping.url, ping.body))


@pytest.fixture(autouse=True)
def _no_waits(monkeypatch):
    monkeypatch.setattr(pings, "_WAITS", (0.0, 0.0, 0.0))


def told(caplog):
    return [record.getMessage() for record in caplog.records]


def test_pings_arrive_in_order():
    server = Server()
    pinger = Pinger(server.post)
    for number in range(10):
        pinger.send(Ping(f"/{number}", b"body"))
    pinger.close(10)
    assert server.got == [(f"/{number}", b"body") for number in range(10)]


def test_a_ping_is_tried_again():
    server = Server(faults=2)
    pinger = Pinger(server.post)
    pinger.send(Ping("/", b""))
    pinger.close(10)
    assert server.got == [("/", b"")]


def test_a_ping_that_may_be_tried_once_is_not_tried_again():
    server = Server(faults=1)
    pinger = Pinger(server.post)
    pinger.send(Ping("/start", b"", attempts=1))
    pinger.send(Ping("/", b""))
    pinger.close(10)
    assert (server.got, server.tried) == ([("/", b"")], 2)


def test_what_cannot_be_delivered_is_told_once_and_once_when_it_can_again(caplog):
    server = Server(faults=6)
    pinger = Pinger(server.post)
    for number in range(4):
        pinger.send(Ping(f"/{number}", b""))
    with caplog.at_level("WARNING"):
        pinger.close(10)
    assert [url for url, _ in server.got] == ["/2", "/3"]
    assert told(caplog) == [
        "the ping cannot be delivered, the schedule goes on: refused",
        "the ping can be delivered again",
    ]


def test_where_too_many_wait_the_oldest_are_dropped_and_nobody_is_held_up():
    server = Server()
    server.gate.clear()
    pinger = Pinger(server.post)
    pinger.send(Ping("/first", b""))
    server.reached.wait()
    for number in range(50):
        pinger.send(Ping(f"/{number}", b""))
    pinger.close(0)
    server.gate.set()
    pinger.close(10)
    assert [url for url, _ in server.got] == ["/first", *(f"/{number}" for number in range(30, 50))]


def test_a_fault_that_nobody_foresaw_does_not_end_the_pings():
    faults = [ValueError("what is this"), None]
    got = []

    def post(ping):
        if fault := faults.pop(0):
            raise fault
        got.append(ping.url)

    pinger = Pinger(post)
    pinger.send(Ping("/start", b"", attempts=1))
    pinger.send(Ping("/", b""))
    pinger.close(10)
    assert got == ["/"]
