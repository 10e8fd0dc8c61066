"""Sends pings in the background: to healthchecks.io or one of its clones, or to any address with placeholders.

https://healthchecks.io/docs/http_api/ and, for instance, the push monitors of https://github.com/louislam/uptime-kuma
"""

import queue
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit, urlunsplit

from sched_runner import words
from sched_runner.record import messages
from sched_runner.record.files import read_text
from sched_runner.record.outcome import Outcome
from sched_runner.record.run_record import Run
from sched_runner.settings.table import PLACEHOLDER, parse_url
from sched_runner.troubles import Trouble, said

# The longest body, in bytes; receivers cut what is longer (healthchecks.io at 100 kB).
BODY_BYTES = 10_000
# Seconds that one attempt may take in all.
_TIMEOUT = 10.0
# Seconds before each attempt.
_WAITS = (0.0, 2.0, 8.0)
_QUEUED = 20
_MESSAGE = 200  # characters


class Ping(NamedTuple):
    """One message, a GET if ``body`` is None; ``attempts`` says how often it is tried at most."""

    url: str
    body: bytes | None
    environ: Mapping[str, str] = {}
    attempts: int = len(_WAITS)


def address(url: str, ending: str, run_id: str) -> str:
    """``url`` with ``ending`` (``/start``, ``/log``, an exit status) and the id that joins start and end of a run."""
    parts = urlsplit(url)
    query = "&".join(filter(None, (parts.query, f"rid={run_id}")))
    return urlunsplit(parts._replace(path=parts.path.rstrip("/") + ending, query=query))


def url_of_credential(environ: Mapping[str, str]) -> tuple[str, str]:
    """Address and fault of the credential ``ping-url`` (systemd.exec(5), LoadCredential=); each may be empty."""
    if directory := environ.get("CREDENTIALS_DIRECTORY"):
        try:
            return parse_url(read_text(Path(directory, "ping-url")).strip()), ""
        except FileNotFoundError:
            pass
        except (OSError, ValueError) as error:
            return "", said(error)
    return "", ""


def has_placeholders(url: str) -> bool:
    """Whether the address has placeholders: then each run sends one GET, at its end, and no ping to healthchecks.io."""
    return PLACEHOLDER.search(url) is not None


def filled(url: str, run: Run) -> str:
    """``url`` with its placeholders filled in; words of main.py are quoted, so that they cannot end a field."""
    values = {
        "status": "up" if run.outcome is Outcome.SUCCEEDED else "down",
        "message": quote(words.printable(messages.headline(run), _MESSAGE), safe=""),
        "duration_ms": f"{(run.duration or 0.0) * 1000:.0f}",
    }
    return PLACEHOLDER.sub(lambda match: values[match[1]], url)


def _request(ping: Ping) -> None:
    """Send one ping. Raises what request.send raises."""
    from sched_runner.tell import request  # only schedulers that ping pay for this import

    request.send(ping.url, ping.body, ping.environ, _TIMEOUT)


class Pinger:
    """Sends pings in order, in a thread of its own; tells once if they cannot be delivered."""

    def __init__(self, request: Callable[[Ping], Any] = _request) -> None:
        self._request = request
        self._queue: queue.Queue[Ping] = queue.Queue(_QUEUED)
        self._thread: threading.Thread | None = None
        self._trouble = Trouble("the ping", "delivered")

    def send(self, ping: Ping) -> None:
        """Queue a ping; returns at once and never raises. If too many pings are waiting, the oldest is dropped."""
        if not self._is_working():
            return
        while True:
            with suppress(queue.Full):
                self._queue.put_nowait(ping)
                return
            with suppress(queue.Empty):
                self._queue.get_nowait()
                self._queue.task_done()

    def close(self, seconds: float) -> None:
        """Wait for the pings that are under way, but no longer than ``seconds``."""
        with self._queue.all_tasks_done:
            self._queue.all_tasks_done.wait_for(lambda: not self._queue.unfinished_tasks, seconds)

    def _is_working(self) -> bool:
        """Start the thread if there is none yet; gives False if the system has no thread left for us."""
        if self._thread is None:
            thread = threading.Thread(target=self._work, name="ping", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:
                self._report(str(error))
                return False
            self._thread = thread
        return True

    def _work(self) -> None:
        while True:
            ping = self._queue.get()
            self._report(self._deliver(ping))
            self._queue.task_done()

    def _report(self, fault: str) -> None:
        self._trouble.report(fault)
        self._trouble.tell()

    def _deliver(self, ping: Ping) -> str:
        """Deliver a ping; gives why that failed, or an empty string."""
        fault = ""
        for wait in _WAITS[: ping.attempts]:
            time.sleep(wait)
            if not (fault := self._attempt(ping)):
                break
        return fault

    def _attempt(self, ping: Ping) -> str:
        """Make one attempt; gives why it failed, or an empty string.

        It has a thread of its own, because nothing else can end the wait for a name server.
        """
        ended: queue.SimpleQueue[str] = queue.SimpleQueue()
        attempt = threading.Thread(target=lambda: ended.put(self._fault_of(ping)), name="ping-attempt", daemon=True)
        try:
            attempt.start()
            return ended.get(timeout=_TIMEOUT)
        except RuntimeError as error:
            return str(error)
        except queue.Empty:
            return f"no answer within {_TIMEOUT:g} s"

    def _fault_of(self, ping: Ping) -> str:
        try:
            self._request(ping)
        except OSError as error:
            return said(error)
        except Exception as error:  # noqa: BLE001 - a fault that nobody foresaw must not end the pings
            return f"{type(error).__name__} (its words may repeat the address, and are left out)"
        return ""
