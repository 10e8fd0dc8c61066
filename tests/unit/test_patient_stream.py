import contextlib
import fcntl
import os
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sched_runner.output.patient_stream import Patience, PatientStream

PIPE = 4096  # the smallest that the kernel makes


class Reader:
    """The other end of a stream: each connection is a new pipe."""

    def __init__(self):
        self.connections = []
        self.refuse = False

    def stream(self, kind=PatientStream, patience=0.0):
        """A stream to it; without patience, so that no test waits."""
        made = kind("the journal", self.connect, Patience(patience))
        self.trouble = made.trouble
        return made

    @property
    def notices(self):
        """What the stream has noticed, and nobody has told yet."""
        return list(self.trouble._untold)

    def connect(self):
        if self.refuse:
            raise ConnectionRefusedError
        reader, writer = os.pipe2(os.O_NONBLOCK)
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, PIPE)
        self.connections.append(reader)
        return writer

    def read(self):
        """All that has arrived at the latest connection."""
        found = b""
        with contextlib.suppress(BlockingIOError):
            while chunk := os.read(self.connections[-1], 65536):
                found += chunk
        return found

    def hang_up(self):
        os.close(self.connections.pop())


@pytest.fixture
def reader():
    return Reader()


@pytest.fixture
def stream(reader):
    return reader.stream()


LOSING = "the journal cannot be written, lines are lost: nobody reads them; scheduler.log has all of them"


def recovered(lost):
    return f"the journal can be written again; {lost} lost"


def test_lines_arrive_as_they_were_written(stream, reader):
    stream.write(b"a\n")
    stream.write(b"b\nc\n")
    assert reader.read() == b"a\nb\nc\n"
    assert not reader.notices


def test_nothing_connects_before_there_is_a_line(stream, reader):
    assert reader.connections == []


def test_a_slow_reader_gets_every_line(reader):
    batch = b"".join(b"line %d\n" % number for number in range(20000))
    received = []

    def read_slowly():
        size = 0
        while size < len(batch):
            with contextlib.suppress(BlockingIOError):
                received.append(os.read(reader.connections[0], 1000))
                size += len(received[-1])

    stream = reader.stream(patience=5.0)
    stream.write(b"begin\n")
    thread = threading.Thread(target=read_slowly)
    thread.start()
    stream.write(batch)
    thread.join()
    assert b"".join(received) + reader.read() == b"begin\n" + batch
    assert not reader.notices


def test_a_reader_that_takes_nothing_loses_lines_which_are_counted_and_told(stream, reader):
    stream.write(b"x" * (PIPE - 1) + b"\n")
    stream.write(b"lost\nlost\n")
    stream.write(b"lost\n")
    assert reader.notices == [LOSING]
    assert reader.read() == b"x" * (PIPE - 1) + b"\n"
    stream.write(b"found\n")
    assert reader.read() == b"found\n"
    assert reader.notices == [LOSING, recovered("3 lines")]


def test_a_torn_line_is_ended_before_the_next(stream, reader):
    stream.write(b"a" * 3000 + b"\n" + b"b" * 3000 + b"\n")
    assert reader.read() == b"a" * 3000 + b"\n" + b"b" * 1095
    stream.write(b"c\n")
    assert reader.read() == b"\nc\n"
    assert reader.notices[-1] == recovered("1 line")


def test_a_batch_cut_between_two_lines_tears_none(stream, reader):
    stream.write(b"a" * (PIPE - 1) + b"\n" + b"b\n")
    assert reader.read() == b"a" * (PIPE - 1) + b"\n"
    stream.write(b"c\n")
    assert reader.read() == b"c\n"


def test_lines_lost_behind_a_torn_one_are_counted_once_each(stream, reader):
    stream.write(b"a" * PIPE + b"\n")
    for _ in range(5):
        stream.write(b"b\n")
    reader.read()
    stream.write(b"c\n")
    assert reader.notices[-1] == recovered("6 lines")


def test_a_reader_that_is_gone_is_connected_anew(stream, reader):
    stream.write(b"a\n")
    reader.hang_up()
    stream.write(b"b\n")
    assert reader.read() == b"b\n"
    assert not reader.notices


def test_connecting_anew_leaves_no_descriptor_behind(stream, reader):
    stream.write(b"a\n")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        reader.hang_up()
        stream.write(b"a\n")
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_reader_that_does_not_come_back_loses_lines_until_it_does(stream, reader):
    reader.refuse = True
    stream.write(b"a\n")
    stream.write(b"b\n")
    assert reader.notices == [LOSING]
    reader.refuse = False
    stream.write(b"c\n")
    assert reader.read() == b"c\n"
    assert reader.notices == [LOSING, recovered("2 lines")]


def test_each_loss_is_told_anew(stream, reader):
    for _ in range(2):
        stream.write(b"x" * (PIPE - 1) + b"\n")
        stream.write(b"lost\n")
        reader.read()
        stream.write(b"found\n")
        reader.read()
    assert reader.notices == [LOSING, recovered("1 line")] * 2


class Counting(PatientStream):
    waited = 0

    def _has_room(self, wait_ms):
        self.waited += wait_ms > 0
        return super()._has_room(wait_ms)


def test_a_reader_that_takes_nothing_is_waited_for_once_and_not_at_each_line(reader):
    stream = reader.stream(Counting, patience=0.05)
    stream.write(b"x" * (PIPE - 1) + b"\n")
    stream.write(b"lost\n")
    waited = stream.waited
    assert waited > 0
    for _ in range(5):
        stream.write(b"lost\n")
    assert stream.waited == waited
    reader.read()
    stream.write(b"x" * (PIPE - 1) + b"\n")
    stream.write(b"lost\n")
    assert stream.waited > waited


def test_a_short_line_that_would_find_room_does_not_make_the_next_one_wait(reader):
    stream = reader.stream(Counting, patience=0.05)
    stream.write(b"a" * 2000 + b"\n")
    stream.write(b"b" * 3000 + b"\n")  # more than there is room for, and less than a pipe would take in part
    waited = stream.waited
    assert waited > 0
    stream.write(b"short\n")
    stream.write(b"b" * 3000 + b"\n")
    assert stream.waited == waited
    assert reader.read() == b"a" * 2000 + b"\n"
    stream.write(b"found\n")
    assert reader.read() == b"found\n"
    assert reader.notices == [LOSING, recovered("3 lines")]


@settings(max_examples=50)
@given(st.lists(st.tuples(st.booleans(), st.lists(st.integers(0, 3000), min_size=1, max_size=4)), max_size=12))
def test_whenever_the_reader_reads_what_did_not_arrive_is_counted(steps):
    reader = Reader()
    stream = reader.stream()
    written, arrived = [], b""
    for reads, sizes in steps:
        lines = [b"<%d%s>" % (len(written) + place, b"x" * size) for place, size in enumerate(sizes)]
        written += lines
        stream.write(b"\n".join(lines) + b"\n")
        if reads:
            arrived += reader.read()
    arrived += reader.read() if steps else b""
    stream.write(b"last\n")
    *found, last = (arrived + reader.read()).splitlines()
    whole = [line for line in found if line.endswith(b">")]
    lost = sum(int(notice.split("; ")[1].split()[0]) for notice in reader.notices if "again" in notice)
    assert last == b"last"
    assert whole == [line for line in written if line in whole]
    assert len(written) - len(whole) <= lost <= len(written) - len(whole) + len(steps)
    stream._disconnect()
    reader.hang_up()
