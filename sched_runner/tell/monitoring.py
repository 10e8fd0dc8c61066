"""Tells others that a run begins or ends: by pings, by the metrics file, and by a file that says an alert is due."""

import threading
import uuid
from collections.abc import Mapping
from pathlib import Path

from sched_runner.output.capture import Tail
from sched_runner.record import messages
from sched_runner.record.files import write_atomic
from sched_runner.record.outcome import Outcome
from sched_runner.record.run_record import Run
from sched_runner.record.state import State
from sched_runner.settings.table import Settings
from sched_runner.tell import metrics
from sched_runner.tell.pings import BODY_BYTES, Ping, Pinger, address, filled, has_placeholders, url_of_credential
from sched_runner.troubles import Trouble, fault_of

_PUBLIC = 0o644  # the node exporter is another user


class Monitoring:
    """Tells of the runs of the scheduler called ``name``; never raises, and delays no run."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._pinger = Pinger()
        self._credential = Trouble("the credential ping-url", "used")
        self._metrics: dict[Path, Trouble] = {}
        self._writes = threading.Lock()
        self._run_id = ""

    def begun(self, settings: Settings, environ: Mapping[str, str], state: State) -> None:
        """Tell that a run has begun."""
        url = self._url(settings, environ)
        if url and not has_placeholders(url):
            self._run_id = str(uuid.uuid4())
            # One attempt: if this ping is late, the ping for the end of the run is more important.
            self._pinger.send(Ping(address(url, "/start", self._run_id), b"", environ, attempts=1))
        self.planned(settings, state)

    def ended(self, settings: Settings, environ: Mapping[str, str], state: State, run: Run, output: Tail) -> None:
        """Tell that a run has ended; an interrupted run sends no ping, because it neither succeeded nor failed."""
        url = self._url(settings, environ)
        if url and run.outcome is not Outcome.INTERRUPTED:
            self._ping_end(url, environ, run, output, is_retried=state.retry is not None)
        self._run_id = ""
        self.planned(settings, state)

    def _ping_end(self, url: str, environ: Mapping[str, str], run: Run, output: Tail, *, is_retried: bool) -> None:
        """Ping for the end of a run; if the run will be retried, tell neither a success nor a failure."""
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
        """Write the metrics file, because a run has begun or ended, or the next run is due at another time."""
        file = settings.metrics_file
        if file is None:
            return
        with self._writes:  # the loop and a run may write at once, and would use the same name for the new file
            text = metrics.render(self._name, state)
            trouble = self._metrics.setdefault(file, Trouble(str(file)))
            trouble.report(fault_of(lambda: write_atomic(file, text, durable=False, mode=_PUBLIC)))
        trouble.tell()

    def close(self, seconds: float) -> None:
        """Wait for the last ping, but no longer than ``seconds``."""
        self._pinger.close(seconds)

    def _url(self, settings: Settings, environ: Mapping[str, str]) -> str:
        """The address for pings: the setting, or else the credential; empty if there is none."""
        if settings.ping_url:
            return settings.ping_url
        url, fault = url_of_credential(environ)
        self._credential.report(fault)
        self._credential.tell()
        return url
