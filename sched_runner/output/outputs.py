"""Where everything goes: scheduler.log, scheduler.err, and live to the journal or the terminal."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

from sched_runner.output.capture import Piece, Sink
from sched_runner.output.patient_stream import Patience
from sched_runner.output.rotating_file import LineFormatter, RotatingFile
from sched_runner.record import messages
from sched_runner.troubles import Trouble


class Live(logging.Handler, ABC):
    """A log handler that takes the lines of main.py too, as capture.Sink says.

    ``patience`` says until when it waits for a slow reader, ``troubles`` say if it cannot write.
    """

    troubles: list[Trouble]

    def __init__(self) -> None:
        super().__init__()
        self.patience = Patience()

    @abstractmethod
    def take(self, run: int, channel: str, pieces: Sequence[Piece]) -> None:
        """Write lines of main.py."""


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
        self._handlers: list[logging.Handler] = [logfile, errors, live]
        self._troubles = [logfile.trouble, errors.trouble, *live.troubles]

    def attach(self) -> None:
        """Send every record of this process here from now on."""
        root = logging.getLogger()
        root.handlers[:] = self._handlers
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
        for trouble in self._troubles:
            trouble.tell(messages.fields(messages.LINES_LOST))
