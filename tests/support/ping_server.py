"""A server for pings, with the faults that servers have."""

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

from harness import wait_until


class Received(NamedTuple):
    """A ping as it arrived."""

    path: str
    run_id: str
    body: bytes


class PingServer:
    """Records pings; ``fault`` is called with the number of each, and gives the status of the answer."""

    def __init__(self, fault: Callable[[int], int] = lambda number: 200) -> None:
        self.received: list[Received] = []
        self.released = threading.Event()
        owner, count = self, threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                url = urlsplit(self.path)
                body = self.rfile.read(int(self.headers["Content-Length"]))
                run_id = parse_qs(url.query)["rid"][0]
                with count:
                    owner.received.append(Received(url.path, run_id, body))
                    number = len(owner.received)
                self.send_response(fault(number))
                self.end_headers()

            def log_message(self, *arguments: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    @property
    def url(self) -> str:
        """Where to ping."""
        return f"http://127.0.0.1:{self._server.server_port}/uuid"

    def paths(self) -> list[str]:
        return [ping.path for ping in self.received]

    def await_pings(self, count: int) -> list[Received]:
        return wait_until(lambda: len(self.received) >= count and list(self.received), what=f"{count} pings")

    def hang(self, number: int) -> int:
        """A fault: no answer for as long as the test lasts."""
        self.released.wait()
        return 200

    def close(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
