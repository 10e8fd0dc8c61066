"""What is told to the outside at the begin and the end of each run: pings and the metrics file. Both are optional."""

import uuid
from collections.abc import Mapping
from pathlib import Path

from sched_runner import metrics, outcome
from sched_runner.capture import Tail
from sched_runner.complaints import Complaints, fault_of
from sched_runner.config import Settings, parse_url
from sched_runner.outcome import Outcome, RunResult
from sched_runner.ping import BODY_BYTES, Ping, Pinger, address
from sched_runner.state import State, write_atomic

_PUBLIC = 0o644  # the node exporter is another user


class Monitoring:
    """Tells of the runs of the scheduler called ``name``; never raises, and delays no run."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._pinger = Pinger()
        self._complaints = Complaints()
        self._run_id = ""

    def begun(self, settings: Settings, environ: Mapping[str, str], state: State) -> None:
        """A run has begun."""
        if url := self._url(settings, environ):
            self._run_id = _new_run_id()
            # Once: where it is late, its end is more important.
            self._pinger.send(Ping(address(url, "/start", self._run_id), b"", attempts=1))
        self._write_metrics(settings, state)

    def ended(
        self, settings: Settings, environ: Mapping[str, str], state: State, result: RunResult, output: Tail
    ) -> None:
        """A run has ended. Of one that was interrupted there is no ping: it neither succeeded nor failed."""
        url = self._url(settings, environ)
        if url and result.outcome is not Outcome.INTERRUPTED:
            status = outcome.exit_status(result)
            text = "\n".join([*output.last(), outcome.summary(result)]).encode()
            ending = f"/{status}" if status else ""
            self._pinger.send(Ping(address(url, ending, self._run_id or _new_run_id()), text[-BODY_BYTES:]))
        self._run_id = ""
        self._write_metrics(settings, state)

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
            url = parse_url(Path(directory, "ping-url").read_text().strip())
        except FileNotFoundError:
            pass
        except (OSError, ValueError) as error:
            fault = str(error)
        self._complaints.tell("the credential ping-url", fault, done="used")
        return url

    def _write_metrics(self, settings: Settings, state: State) -> None:
        file = settings.metrics_file
        if file is None:
            return
        text = metrics.render(self._name, state)
        self._complaints.tell(str(file), fault_of(lambda: write_atomic(file, text, durable=False, mode=_PUBLIC)))


def _new_run_id() -> str:
    return str(uuid.uuid4())
