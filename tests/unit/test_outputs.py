import logging

import pytest

from sched_runner.output.capture import Piece
from sched_runner.output.outputs import Live, Outputs
from sched_runner.troubles import Trouble


class Shown(Live):
    """In the place of the journal or the terminal."""

    def __init__(self):
        super().__init__()
        self.troubles = [Trouble("the terminal")]
        self.messages = []
        self.lines = []

    def emit(self, record):
        self.messages.append(self.format(record))

    def take(self, run, channel, pieces):
        self.lines += [(run, channel, text) for _, text in pieces]


@pytest.fixture
def root():
    """The root logger, put back afterwards."""
    logger = logging.getLogger()
    handlers, level = logger.handlers[:], logger.level
    yield logger
    logger.handlers[:] = handlers
    logger.setLevel(level)


@pytest.fixture
def outputs(tmp_path, root):
    made = Outputs(tmp_path, Shown())
    made.attach()
    return made


def live(outputs):
    return outputs.sinks[1]


def test_every_record_is_in_the_log_and_live_and_only_errors_in_scheduler_err(outputs, tmp_path):
    logging.getLogger("a").info("all is well")
    logging.getLogger("b").error("something is wrong", extra={"tail": ["last words"]})
    log = [line.split(" ", 1)[1] for line in (tmp_path / "scheduler.log").read_text().splitlines()]
    err = [line.split(" ", 1)[1] for line in (tmp_path / "scheduler.err").read_text().splitlines()]
    assert log == ["INFO all is well", "ERROR something is wrong"]
    assert err == ["ERROR something is wrong", "ERROR   last words"]
    assert live(outputs).messages == ["all is well", "something is wrong"]


def test_lines_of_main_py_are_in_the_log_and_live_but_not_in_scheduler_err(outputs, tmp_path):
    for sink in outputs.sinks:
        sink.take(7, "stderr", [Piece(continued=False, text=b"a")])
    assert (tmp_path / "scheduler.log").read_text().endswith(" stderr run 7 | a\n")
    assert (tmp_path / "scheduler.err").read_text() == ""
    assert live(outputs).lines == [(7, "stderr", b"a")]


def test_a_fault_of_the_scheduler_s_own_has_its_traceback_in_scheduler_err(outputs, tmp_path):
    try:
        _ = 1 / 0
    except ZeroDivisionError:
        logging.getLogger("a").exception("a fault")
    lines = (tmp_path / "scheduler.err").read_text().splitlines()
    assert "Traceback (most recent call last):" in lines[1]
    assert lines[-1].endswith(" ERROR ZeroDivisionError: division by zero")


def test_what_the_sinks_noticed_is_told_once(outputs):
    live(outputs).troubles[0].report("it is gone", lost=1)
    outputs.tell()
    outputs.tell()
    assert live(outputs).messages == ["the terminal cannot be written, lines are lost: it is gone"]


def test_a_skipped_run_is_not_told_in_words_of_apscheduler(outputs):
    logging.getLogger("apscheduler.scheduler").warning("maximum number of running instances reached")
    assert live(outputs).messages == []
