import fcntl
import os
import re
from unittest import mock

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sched_runner.output import capture
from sched_runner.output.capture import Capture, Channel, Piece, Tail, split_long, tagged
from sched_runner.words import escape

LONGEST = 32768


class Recorder:
    """A sink that keeps what it is given."""

    def __init__(self):
        self.pieces = {"stdout": [], "stderr": []}
        self.runs = set()

    def take(self, run, channel, pieces):
        self.runs.add(run)
        self.pieces[channel] += pieces

    def text(self, channel="stdout"):
        return joined(self.pieces[channel])


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def joined(pieces):
    """The lines that pieces are parts of, without the last newline; None where there are none."""
    parts = [text if continued else b"\n" + text for continued, text in pieces]
    return b"".join(parts)[1:] if parts else None


def joined_from_log(log, tag):
    """The same from tagged lines, as a reader of the log would do it."""
    lines = log.removesuffix(b"\n").split(b"\n")
    assert all(line.startswith((tag + b"| ", tag + b"+ ")) for line in lines)
    marks = [(line[len(tag) : len(tag) + 2] == b"+ ", line[len(tag) + 2 :]) for line in lines]
    return joined(marks)


def fed(*steps):
    """The pieces of a channel that was fed bytes, was flushed at each None, and has ended."""
    pieces = []
    channel = Channel("stdout", lambda _, more: pieces.extend(more))
    for data in steps:
        if data is None:
            channel.flush()
        else:
            channel.feed(data, 0.0)
    channel.flush()
    return pieces


# escape


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (b"plain\ttext\nnext", b"plain\ttext\nnext"),
        ("grün 日本 🎉".encode(), "grün 日本 🎉".encode()),
        ("£ © NBSP\xa0".encode(), "£ © NBSP\xa0".encode()),
        (b"\x1b[31mred", rb"\x1b[31mred"),
        (b"\0", rb"\x00"),
        (b"nul \0 bell \a del \x7f", rb"nul \x00 bell \x07 del \x7f"),
        (b"50 %\r100 %", rb"50 %\r100 %"),
        (b"\v\f", rb"\x0b\x0c"),
        ("csi \x9b31m".encode(), rb"csi \xc2\x9b31m"),
        (b"latin gr\xfcn", rb"latin gr\xfcn"),
        (b"cut \xe6\x97", rb"cut \xe6\x97"),
        (b"lone \x80 and \xff", rb"lone \x80 and \xff"),
        (b"surrogate \xed\xa0\x80", rb"surrogate \xed\xa0\x80"),
        (b"overlong \xc0\x80", rb"overlong \xc0\x80"),
        (b"grand total \xe2\x82\xac 5, broken \xe2\x82", b"grand total \xe2\x82\xac 5, broken \\xe2\\x82"),
    ],
)
def test_what_is_no_text_is_shown_as_its_bytes(text, shown):
    assert escape(text) == shown


def unescaped(text):
    text = text.replace(rb"\r", b"\r")
    return re.sub(rb"\\x([0-9a-f]{2})", lambda match: bytes.fromhex(match[1].decode()), text)


_OUTPUT = st.binary(max_size=60) | st.lists(
    st.sampled_from(
        [b"\n", b"a", b"\0", "é".encode(), "日".encode(), "🎉".encode(), b"\xc2", b"\xe2\x82", b"\xf0", b"\r"]
    )
).map(b"".join)
_NO_BACKSLASH = _OUTPUT.map(lambda data: data.replace(b"\\", b"/"))


@given(_NO_BACKSLASH)
@example("\x9b".encode())
def test_what_is_shown_of_any_bytes_is_clean_text_and_tells_them_all(data):
    shown = escape(data)
    assert all(char in "\n\t" or not 0 <= ord(char) - 0x80 * (ord(char) > 0x7E) < 0x20 for char in shown.decode())
    assert unescaped(shown) == data


# split_long


def test_lines_that_fit_stay_together():
    text = b"\n".join([b"x" * 1000] * 100)
    assert split_long(text, continued=False) == [Piece(continued=False, text=text)]


@pytest.mark.parametrize("length", [LONGEST, LONGEST - 1])
def test_a_line_of_the_longest_length_stays_whole(length):
    text = b"\n".join([b"a" * length, b"b" * length, b"c" * length])
    assert split_long(text, continued=False) == [Piece(continued=False, text=text)]


def test_a_line_one_byte_too_long_is_cut_in_two():
    pieces = split_long(b"before\n" + b"x" * (LONGEST + 1) + b"\nafter", continued=False)
    assert pieces == [(False, b"before\n" + b"x" * LONGEST), (True, b"x\nafter")]


def test_a_long_line_is_cut_between_characters():
    pieces = split_long("日".encode() * 30000, continued=False)
    assert [len(text) for _, text in pieces] == [32766, 32766, 24468]
    assert all(text.decode() for _, text in pieces)


def test_a_line_too_long_for_a_record_joins_back_to_the_original():
    line = b"0123456789" * 10000
    pieces = split_long(b"a\n" + line + b"\nb", continued=True)
    assert [continued for continued, _ in pieces] == [True, True, True, True]
    assert joined([Piece(continued=False, text=b""), *pieces]) == b"a\n" + line + b"\nb"


@given(st.lists(st.text(alphabet="aé日🎉", max_size=30), max_size=8), st.integers(4, 12), st.booleans())
def test_any_lines_split_at_any_length_join_back(lines, longest, continued):
    text = "\n".join(lines).encode()
    with mock.patch.object(capture, "_LONGEST_PIECE", longest):
        pieces = split_long(text, continued=continued)
    assert pieces[0].continued is continued
    assert joined([Piece(continued=False, text=pieces[0].text), *pieces[1:]]) == text
    assert all(len(line.encode()) <= longest for _, piece in pieces for line in piece.decode().split("\n"))


# tagged


def test_each_line_bears_the_tag_and_whether_it_continues():
    pieces = [
        Piece(continued=False, text=b"a\n\nb"),
        Piece(continued=True, text=b"c\nd"),
        Piece(continued=False, text=b""),
    ]
    assert tagged(pieces, b"run 1 ") == b"run 1 | a\nrun 1 | \nrun 1 | b\nrun 1 + c\nrun 1 | d\nrun 1 | \n"


def test_the_longest_line_fits_into_a_record_of_the_journal_with_its_tag():
    pieces = fed(b"\0" * 100_000, b"\n")
    longest = max(map(len, tagged(pieces, b"2026-01-01T00:00:00.000+00:00 stdout run 1000000000 ").split(b"\n")))
    assert LONGEST < longest < 48 * 1024


# Channel


@pytest.mark.parametrize(
    ("chunks", "pieces"),
    [
        ([], []),
        ([b"a\n"], [(False, b"a")]),
        ([b"a\nb\n"], [(False, b"a\nb")]),
        ([b"a", b"b\nc", b"d\n"], [(False, b"ab"), (False, b"cd")]),
        ([b"\n"], [(False, b"")]),
        ([b"\n\n"], [(False, b"\n")]),
        ([b"no newline"], [(False, b"no newline")]),
        ([b"pass", None, b"word\nok\n"], [(False, b"pass"), (True, b"word\nok")]),
        ([b"prompt: ", None, b"\n"], [(False, b"prompt: ")]),
        ([b"prompt: ", None, b"\nok\n"], [(False, b"prompt: "), (False, b"ok")]),
        ([b"prompt: ", None, b"\n\n"], [(False, b"prompt: "), (False, b"")]),
        ([b"a", None, b"b", None, b"c\n"], [(False, b"a"), (True, b"b"), (True, b"c")]),
        ([None, b"a\n", None], [(False, b"a")]),
        (["日".encode()[:2], "日".encode()[2:] + b"\n"], [(False, "日".encode())]),
        ([b"\xe6\x97\n"], [(False, rb"\xe6\x97")]),
    ],
)
def test_chunks_come_out_as_lines(chunks, pieces):
    assert fed(*chunks) == pieces


def test_a_line_that_never_ends_is_written_as_it_comes():
    pieces = []
    channel = Channel("stdout", lambda _, more: pieces.extend(more))
    channel.feed(b"x" * 65536, 0.0)
    assert joined(pieces) == b"x" * 65536


def test_a_character_cut_by_the_longest_piece_stays_whole():
    text = ("x" + "日" * 30000).encode()
    pieces = fed(*(text[start : start + 1000] for start in range(0, len(text), 1000)))
    assert joined(pieces) == text
    assert all(piece.decode() for _, piece in pieces)


def test_what_is_held_back_of_a_cut_character_is_shown_in_time_as_well():
    channel = Channel("stdout", lambda *_: None)
    channel.feed(b"x" * 40000 + b"\xe6\x97", 5.0)
    assert channel.since == 5.0


@given(st.lists(_OUTPUT, max_size=12), st.integers(4, 40))
@example([b"\xe2", b"\x82\xac\n"], 4)
def test_whatever_comes_in_whatever_chunks_comes_out_once_and_in_order(chunks, longest):
    with mock.patch.object(capture, "_LONGEST_PIECE", longest):
        pieces = fed(*chunks)
    whole = b"".join(chunks)
    assert joined(pieces) == (escape(whole.removesuffix(b"\n")) if whole else None)


@given(st.lists(st.none() | _NO_BACKSLASH, max_size=12), st.integers(4, 40))
def test_whatever_is_shown_early_can_be_joined_back_from_the_log(steps, longest):
    with mock.patch.object(capture, "_LONGEST_PIECE", longest):
        pieces = fed(*steps)
    whole = b"".join(data for data in steps if data)
    if whole:
        log = tagged(pieces, b"12:00 stdout run 1 ")
        assert unescaped(joined_from_log(log, b"12:00 stdout run 1 ")) == whole.removesuffix(b"\n")
    else:
        assert pieces == []


# Capture


@pytest.fixture
def recorder():
    return Recorder()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def captured(recorder, clock):
    made = Capture(7, [recorder], clock)
    yield made
    made.close()


def test_the_channels_stay_apart(captured, recorder):
    out, err = captured.open("stdout"), captured.open("stderr")
    os.write(out, b"o\n")
    os.write(err, b"e\n")
    os.close(out)
    os.close(err)
    captured.drain()
    assert (recorder.text("stdout"), recorder.text("stderr")) == (b"o", b"e")
    assert recorder.runs == {7}


def test_every_sink_gets_every_line(clock):
    sinks = [Recorder(), Recorder()]
    captured = Capture(7, sinks, clock)
    writer = captured.open("stdout")
    os.write(writer, b"a\nb")
    os.close(writer)
    captured.drain()
    assert [sink.text() for sink in sinks] == [b"a\nb", b"a\nb"]


def test_a_partial_line_is_shown_after_half_a_second(captured, recorder, clock):
    writer = captured.open("stdout")
    os.write(writer, b"working")
    captured.read(captured.descriptors()[0])
    assert captured.flush_partial() == 0.5
    clock.now += 0.4
    assert captured.flush_partial() == pytest.approx(0.1)
    assert recorder.text() is None
    clock.now += 0.2
    assert captured.flush_partial() is None
    assert recorder.text() == b"working"
    os.close(writer)


def test_more_of_a_partial_line_does_not_put_off_its_time(captured, recorder, clock):
    writer = captured.open("stdout")
    for _ in range(6):
        os.write(writer, b".")
        captured.read(captured.descriptors()[0])
        captured.flush_partial()
        clock.now += 0.1
    captured.flush_partial()
    assert recorder.text() == b"......"
    os.close(writer)


def test_of_two_partial_lines_the_wait_is_for_the_older(captured, clock):
    writers = captured.open("stdout"), captured.open("stderr")
    for writer, descriptor in zip(writers, captured.descriptors(), strict=True):
        os.write(writer, b"x")
        captured.read(descriptor)
        clock.now += 0.2
    assert captured.flush_partial() == pytest.approx(0.1)
    for writer in writers:
        os.close(writer)


def test_there_is_nothing_to_wait_for_without_a_partial_line(captured):
    writer = captured.open("stdout")
    os.write(writer, b"whole\n")
    captured.read(captured.descriptors()[0])
    assert captured.flush_partial() is None
    os.close(writer)


def test_nothing_to_read_is_no_end(captured):
    writer = captured.open("stdout")
    (descriptor,) = captured.descriptors()
    captured.read(descriptor)
    assert captured.descriptors() == [descriptor]
    os.close(writer)


def test_a_channel_that_all_have_closed_is_gone(captured, recorder):
    writer = captured.open("stdout")
    os.write(writer, b"last words")
    os.close(writer)
    (descriptor,) = captured.descriptors()
    captured.read(descriptor)
    captured.read(descriptor)
    assert captured.descriptors() == []
    assert recorder.text() == b"last words"
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_draining_ends_where_a_leftover_holds_the_pipe_open(captured, recorder):
    writer = captured.open("stdout")
    os.write(writer, b"a\nb")
    captured.drain()
    assert recorder.text() == b"a\nb"
    assert captured.descriptors() == []
    os.close(writer)


def test_draining_reads_all_that_is_there_and_not_what_a_leftover_goes_on_to_write():
    class Leftover(Recorder):
        def take(self, run, channel, pieces):
            os.write(writer, b"more\n")
            super().take(run, channel, pieces)

    recorder = Leftover()
    captured = Capture(7, [recorder], Clock())
    writer = captured.open("stdout")
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 1024 * 1024)
    lines = b"".join(b"line %06d\n" % number for number in range(50_000))
    os.write(writer, lines)
    captured.drain()
    text = recorder.text() + b"\n"
    assert text.startswith(lines)
    assert len(text) < len(lines) + 1000
    assert captured.descriptors() == []
    os.close(writer)


# Tail


def tail_of(*pieces):
    tail = Tail("stderr")
    for continued, text in pieces:
        tail.take(1, "stderr", [Piece(continued, text)])
    return tail


def test_a_tail_is_the_last_lines_of_its_channel():
    tail = tail_of((False, b"a\nb"), (False, b"c"), (True, b"d\ne"))
    tail.take(1, "stdout", [Piece(continued=False, text=b"other")])
    assert tail.last(2) == ["cd", "e"]
    assert tail.last(20) == ["a", "b", "cd", "e"]


def test_a_channel_that_was_silent_has_no_tail():
    assert tail_of().last(20) == []


def test_an_empty_line_is_a_line_of_the_tail():
    assert tail_of((False, b""), (False, b"a\n")).last(20) == ["", "a", ""]


def test_of_a_line_longer_than_all_that_is_kept_the_tail_is_the_marked_end():
    (line,) = tail_of((False, b"x" * 50000), (True, b"y" * 50000)).last(20)
    assert line == "…" + "x" * 15536 + "y" * 50000


def test_a_tail_stays_small():
    tail = tail_of(*[(False, b"line\n" * 5000)] * 20)
    assert sum(map(len, tail.last(1_000_000))) <= 65536
