"""What is told to the outside when a run begins or ends: pings, the metrics file, and that an alert is due."""

import threading
import uuid
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from sched_runner.output.capture import Tail
from sched_runner.record import messages
from sched_runner.record.files import read_text, write_atomic
from sched_runner.record.outcome import Outcome
from sched_runner.record.run_record import Run
from sched_runner.record.state import State
from sched_runner.settings.table import Settings, parse_url
from sched_runner.tell import metrics
from sched_runner.tell.pings import BODY_BYTES, Ping, Pinger, address, filled, has_placeholders
from sched_runner.troubles import Trouble, fault_of

_PUBLIC = 0o644  # the node exporter is another user
_ALERT_DUE = "alert_due"


class Monitoring:
    """Tells of the runs of the scheduler called ``name``; never raises, and delays no run."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._pinger = Pinger()
        self._credential = Trouble("the credential ping-url", "used")
        self._files: dict[Path, Trouble] = {}
        self._writes = threading.Lock()
        self._run_id = ""

    def begun(self, settings: Settings, environ: Mapping[str, str], state: State) -> None:
        """A run has begun."""
        url = self._url(settings, environ)
        if url and not has_placeholders(url):
            self._run_id = str(uuid.uuid4())
            # Once: if it is late, its end is more important.
            self._pinger.send(Ping(address(url, "/start", self._run_id), b"", environ, attempts=1))
        self.planned(settings, state)

    def ended(self, settings: Settings, environ: Mapping[str, str], state: State, run: Run, output: Tail) -> None:
        """A run has ended. Of one that was interrupted there is no ping: it neither succeeded nor failed."""
        url = self._url(settings, environ)
        if url and run.outcome is not Outcome.INTERRUPTED:
            self._ping_end(url, environ, run, output, is_retried=state.retry is not None)
        self._run_id = ""
        self.planned(settings, state)

    def _ping_end(self, url: str, environ: Mapping[str, str], run: Run, output: Tail, *, is_retried: bool) -> None:
        """A run that is to be made again has neither succeeded nor failed yet."""
        if has_placeholders(url):
            if not is_retried:
                self._pinger.send(Ping(filled(url, run), None, environ))
            return
        status = 0 if run.outcome is Outcome.SUCCEEDED else run.command_exit_status()
        text = "\n".join([*output.last(), messages.summary(run)]).encode(errors="backslashreplace")
        ending = f"/{status}" if status else ""
        run_id = self._run_id or str(uuid.uuid4())
        self._pinger.send(Ping(address(url, "/log" if is_retried else ending, run_id), text[-BODY_BYTES:], environ))

    def planned(self, settings: Settings, state: State) -> None:
        """The next run is due at another time. The loop and a run may say so at once: they share a new file's name."""
        if file := settings.metrics_file:
            render = partial(metrics.render, self._name, state)
            self._write(file, lambda: write_atomic(file, render(), durable=False, mode=_PUBLIC))

    def alert_is_due(self, environ: Mapping[str, str]) -> None:
        """Start the alert's unit, which takes the file away first: what comes later starts it anew.

        Its path unit asks for the file whenever the unit has ended; of a file that changes it would not learn then
        (systemd.path(5), PathExists= and PathChanged=).
        """
        if directory := environ.get("STATE_DIRECTORY"):
            file = Path(directory.split(":")[0], _ALERT_DUE)
            self._write(file, lambda: write_atomic(file, ""))

    def _write(self, file: Path, attempt: Callable[[], None]) -> None:
        with self._writes:
            trouble = self._files.setdefault(file, Trouble(str(file)))
            trouble.report(fault_of(attempt))
        trouble.tell()

    def close(self, seconds: float) -> None:
        """Wait for the last ping, but no longer than ``seconds``."""
        self._pinger.close(seconds)

    def _url(self, settings: Settings, environ: Mapping[str, str]) -> str:
        """From the settings, or from the credential ``ping-url`` (systemd.exec(5), LoadCredential=)."""
        directory = environ.get("CREDENTIALS_DIRECTORY")
        if settings.ping_url or not directory:
            return settings.ping_url
        url, fault = "", ""
        try:
            url = parse_url(read_text(Path(directory, "ping-url")).strip())
        except FileNotFoundError:
            pass
        except (OSError, ValueError) as error:
            fault = str(error)
        self._credential.report(fault)
        self._credential.tell()
        return url
