import logging
import os

import pytest

from sched_runner.output.capture import Piece
from sched_runner.output.terminal import Terminal


@pytest.fixture
def shown():
    """What a terminal, made and used by the function that it is given, has shown."""
    reader, writer = os.pipe()

    def show(use, *, coloured):
        terminal = Terminal(writer, coloured=coloured)
        use(terminal)
        return os.read(reader, 65536).decode()

    yield show
    os.close(reader)
    os.close(writer)


def line(terminal):
    terminal.take(7, "stdout", [Piece(continued=False, text=b"a")])


@pytest.fixture(autouse=True)
def _noon(monkeypatch):
    monkeypatch.setattr("sched_runner.output.terminal._time", lambda when: "12:00:00")


def record(level):
    return lambda terminal: terminal.emit(logging.LogRecord("n", level, "", 1, "told", (), None))


@pytest.mark.parametrize(
    ("use", "coloured", "text"),
    [
        (line, False, "12:00:00 stdout run 7 | a\n"),
        (line, True, "\033[2m12:00:00 stdout run 7\033[0m | a\n"),
        (record(logging.ERROR), False, "12:00:00 told\n"),
        (record(logging.INFO), True, "\033[2m12:00:00\033[0m told\n"),
        (record(logging.WARNING), True, "\033[2m12:00:00\033[0m \033[33mtold\033[0m\n"),
        (record(logging.ERROR), True, "\033[2m12:00:00\033[0m \033[31mtold\033[0m\n"),
    ],
)
def test_a_line_is_coloured_only_where_asked_for(shown, use, coloured, text):
    assert shown(use, coloured=coloured) == text


def test_the_shell_s_own_pipe_still_blocks_afterwards():
    reader, writer = os.pipe()
    line(Terminal(writer, coloured=False))
    assert os.get_blocking(writer)
    os.close(reader)
    os.close(writer)
