"""Where everything goes: scheduler.log, scheduler.err, and live to the journal or the terminal."""

import logging
from pathlib import Path
from typing import Protocol

from sched_runner.output.capture import Sink
from sched_runner.output.patient_stream import Patience
from sched_runner.output.rotating_file import LineFormatter, RotatingFile
from sched_runner.record import messages
from sched_runner.troubles import Trouble


class Output(Sink, Protocol):
    """A log handler that takes the lines of main.py too; its ``troubles`` say if it cannot write them."""

    troubles: list[Trouble]

    def handle(self, record: logging.LogRecord) -> bool:
        """Take a record of the scheduler's own."""


class Live(Output, Protocol):
    """The live output; ``patience`` says until when it waits for a slow reader."""

    patience: Patience


class Outputs:
    """The sinks of the lines of main.py, which are also the handlers of the scheduler's own records."""

    def __init__(self, log_dir: Path, live: Live) -> None:
        self._patience = live.patience
        logfile = RotatingFile(log_dir / "scheduler.log")
        logfile.setFormatter(LineFormatter())
        errors = RotatingFile(log_dir / "scheduler.err")
        errors.setFormatter(LineFormatter(with_tail=True))
        errors.setLevel(logging.ERROR)
        errors.append(b"")  # makes the file now, so that somebody can follow it from the start
        self.sinks: list[Sink] = [logfile, live]
        self._outputs: list[Output] = [logfile, errors, live]

    def attach(self) -> None:
        """Send every record of this process here from now on."""
        root = logging.getLogger()
        root.handlers[:] = [output for output in self._outputs if isinstance(output, logging.Handler)]
        root.setLevel(logging.INFO)
        logging.getLogger("apscheduler").setLevel(logging.ERROR)  # a skipped run is told in our words

    def wait_until(self, deadline: float) -> None:
        """Stop waiting for slow readers shortly after ``deadline``, a run's time-out on the monotonic clock."""
        self._patience.end_at(deadline)

    def hurry(self) -> None:
        """The scheduler is being stopped: wait for slow readers only a little longer. Safe in a signal handler."""
        self._patience.end_now()

    def tell(self) -> None:
        """Log the troubles of the outputs: a handler that logged its own would wait for the locks of the others."""
        for output in self._outputs:
            for trouble in output.troubles:
                trouble.tell(messages.fields(messages.LINES_LOST))
