"""Turns the bytes of main.py's pipes into whole, tagged lines, and gives them to the sinks in batches.

A piece is one or more complete lines, or a part of a line that is too long or too slow for one record. ``+`` marks a
piece that continues a line: the pieces of a line, joined with nothing between them, are the original line.
"""

import codecs
import contextlib
import fcntl
import os
import sys
import termios
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from sched_runner import words

# The size of a pipe: larger reads gain nothing measurable.
_READ_SIZE = 65536
# journald cuts lines at LineMax=48K (journald.conf(5)), and the tag needs some of that.
_LONGEST_PIECE = 32768
# A partial line is shown after this time, in seconds.
_PARTIAL_AFTER = 0.5
_LONGEST_CHARACTER = 4


def _warm_up() -> None:
    """Make malloc keep the blocks that capture frees: free one larger block first.

    Otherwise malloc gives each block back to the kernel, and each new block costs page faults, which take a third of
    the time of capture (mallopt(3), M_MMAP_THRESHOLD).
    """
    bytes(8 * _READ_SIZE)


_warm_up()


class Piece(NamedTuple):
    """One or more lines without the last newline; if ``continued``, the first of them continues the line before."""

    continued: bool
    text: bytes


class Sink(Protocol):
    """Takes the lines of a run."""

    def take(self, run: int, channel: str, pieces: Sequence[Piece]) -> None:
        """Take the pieces; never raises, and never waits for longer than 5 s without progress."""


def tagged(pieces: Sequence[Piece], tag: bytes) -> bytes:
    """Whole lines, each with the tag and ``| `` before it, or ``+ `` if it continues the line before."""
    begin = tag + b"| "
    parts: list[bytes] = []  # joined once: each copy of a block costs page faults
    for continued, text in pieces:
        parts += (tag + b"+ " if continued else begin, text.replace(b"\n", b"\n" + begin), b"\n")
    return b"".join(parts)


def split_long(text: bytes, *, continued: bool) -> list[Piece]:
    """Cut lines that are too long for one record; no cut is inside a character."""
    pieces: list[Piece] = []
    start = position = 0
    while len(text) - position > _LONGEST_PIECE:
        newline = text.rfind(b"\n", position, position + _LONGEST_PIECE + 1)
        if newline >= 0:
            position = newline + 1
            continue
        position = _before_character(text, position + _LONGEST_PIECE)
        pieces.append(Piece(continued, text[start:position]))
        start, continued = position, True
    pieces.append(Piece(continued, text[start:]))
    return pieces


def _before_character(text: bytes, position: int) -> int:
    """The nearest place at or before ``position`` that is not inside a character of UTF-8."""
    for back in range(_LONGEST_CHARACTER):
        if text[position - back] & 0xC0 != 0x80:
            return position - back
    return position


def _unfinished(text: bytes) -> int:
    """How many bytes at the end of the text belong to a character of UTF-8 that is not complete yet."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    decoder.decode(text[-_LONGEST_CHARACTER:])
    return len(decoder.getstate()[0])


class Channel:
    """stdout or stderr of a run: emits the lines that were read, and keeps the unfinished line at the end."""

    def __init__(self, name: str, emit: Callable[[str, Sequence[Piece]], None]) -> None:
        self.name = name
        self._emit = emit
        self._partial = b""
        self._continued = False
        self.since: float | None = None

    def feed(self, data: bytes, now: float) -> None:
        """Take the bytes that were read at ``now`` (seconds of any clock)."""
        end = data.rfind(b"\n")
        if end < 0:
            self._partial += data
        else:
            self._show_lines(b"".join((self._partial, memoryview(data)[:end])))
            self._partial, self.since = data[end + 1 :], None
        if len(self._partial) > _LONGEST_PIECE:
            self._show_partial(self._partial[: len(self._partial) - _unfinished(self._partial)])
        if self._partial and self.since is None:
            self.since = now

    def flush(self) -> None:
        """Write what there is of an unfinished line."""
        if self._partial:
            self._show_partial(self._partial)

    def _show_lines(self, text: bytes) -> None:
        """Write whole lines, given without the last newline."""
        if self._continued:
            # The newline of a line that was already shown as partial.
            if not text:
                self._continued = False
                return
            if text.startswith(b"\n"):
                self._continued, text = False, text[1:]
        self._show(text)
        self._continued = False

    def _show_partial(self, text: bytes) -> None:
        self._partial, self.since = self._partial[len(text) :], None
        self._show(text)
        self._continued = True

    def _show(self, text: bytes) -> None:
        self._emit(self.name, split_long(words.escape(text), continued=self._continued))


def _waiting(descriptor: int) -> int:
    """How many bytes are in the pipe (ioctl_list(2))."""
    return int.from_bytes(fcntl.ioctl(descriptor, termios.FIONREAD, bytes(4)), sys.byteorder)


class Capture:
    """The two channels of one run, and where their lines go."""

    def __init__(self, run: int, sinks: Sequence[Sink], clock: Callable[[], float] = time.monotonic) -> None:
        self._run = run
        self._sinks = sinks
        self._clock = clock
        self._channels: dict[int, Channel] = {}

    def open(self, name: str) -> int:
        """Make a pipe for the channel ``name``; gives the end to write to. Raises OSError."""
        reader, writer = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(reader, False)
        self._channels[reader] = Channel(name, self._deliver)
        return writer

    def descriptors(self) -> list[int]:
        """The ends to read from, of the pipes that have not come to their end yet."""
        return list(self._channels)

    def read(self, descriptor: int) -> None:
        """Read once what is in the pipe; at the end of the pipe close the descriptor."""
        with contextlib.suppress(BlockingIOError):
            if data := os.read(descriptor, _READ_SIZE):
                self._channels[descriptor].feed(data, self._clock())
            else:
                self._finish(descriptor)

    def flush_partial(self) -> float | None:
        """Show lines that have been unfinished for half a second; gives the seconds until the next one, or None."""
        wait: float | None = None
        for channel in self._channels.values():
            if channel.since is not None:
                remaining = channel.since + _PARTIAL_AFTER - self._clock()
                if remaining <= 0:
                    channel.flush()
                else:
                    wait = remaining if wait is None else min(wait, remaining)
        return wait

    def drain(self) -> None:
        """Read all that is in the pipes now, and close them, even if a process still writes or holds them open."""
        for descriptor in self.descriptors():
            for _ in range(0, _waiting(descriptor), _READ_SIZE):
                self.read(descriptor)
        self.close()

    def close(self) -> None:
        """Write unfinished lines, and close the pipes."""
        for descriptor in self.descriptors():
            self._finish(descriptor)

    def _finish(self, descriptor: int) -> None:
        self._channels.pop(descriptor).flush()
        os.close(descriptor)

    def _deliver(self, channel: str, pieces: Sequence[Piece]) -> None:
        for sink in self._sinks:
            sink.take(self._run, channel, pieces)


class Tail:
    """A sink that keeps the end of one channel of a run, or of both."""

    _KEPT = 65536

    def __init__(self, *channels: str) -> None:
        self._channels = channels
        self._last_channel = ""
        self._pieces: deque[bytes] = deque()
        self._size = 0

    def take(self, run: int, channel: str, pieces: Sequence[Piece]) -> None:
        """Keep the last of these pieces."""
        if channel in self._channels:
            for continued, text in pieces:
                if not continued or channel != self._last_channel:
                    self._keep(b"\n")
                self._keep(text)
                self._last_channel = channel

    def _keep(self, text: bytes) -> None:
        self._pieces.append(text)
        self._size += len(text)
        while self._size - len(self._pieces[0]) >= self._KEPT:
            self._size -= len(self._pieces.popleft())

    def last(self, lines: int = 0) -> list[str]:
        """The last ``lines`` lines, 0 for all that were kept; ``…`` begins a line of which only the end was kept."""
        cut, *whole = b"".join(self._pieces)[-self._KEPT :].decode(errors="replace").split("\n")
        return ([f"…{cut}"] * bool(cut) + whole)[-lines:]
