"""Where everything goes: scheduler.log, scheduler.err, and live to the journal or the terminal."""

import logging
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from sched_runner import records
from sched_runner.capture import Sink
from sched_runner.rotating_file import LineFormatter, RotatingFile

log = logging.getLogger(__name__)


class Live(Sink, Protocol):
    """The journal or the terminal: a sink that is a logging.Handler too."""


class Outputs:
    """The sinks of the lines of main.py, which are also the handlers of the scheduler's own records."""

    def __init__(self, log_dir: Path, make_live: Callable[[deque[str]], logging.Handler]) -> None:
        # Notices are told later, by tell(): a handler that logs would wait for the others' locks.
        self._notices: deque[str] = deque()
        live = make_live(self._notices)
        logfile = RotatingFile(log_dir / "scheduler.log", self._notices)
        logfile.setFormatter(LineFormatter())
        errors = RotatingFile(log_dir / "scheduler.err", self._notices)
        errors.setFormatter(LineFormatter(with_tail=True))
        errors.setLevel(logging.ERROR)
        self._handlers: list[logging.Handler] = [logfile, errors, live]
        self.sinks: list[Sink] = [logfile, live]  # type: ignore[list-item]  # live is both, see its makers

    def attach(self) -> None:
        """From now on every record of this process goes here."""
        root = logging.getLogger()
        root.handlers[:] = self._handlers
        root.setLevel(logging.INFO)
        logging.getLogger("apscheduler").setLevel(logging.ERROR)  # a skipped run is told in our words

    def tell(self) -> None:
        """Log what the sinks noticed about themselves."""
        while self._notices:
            log.warning("%s", self._notices.popleft(), extra=records.fields(records.LINES_LOST))
