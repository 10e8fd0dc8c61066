"""A server for pings, with the faults that servers have."""

import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

from harness import wait_until


class Received(NamedTuple):
    """A ping as it arrived; a GET has no body."""

    path: str
    run_id: str
    body: bytes | None
    query: dict[str, list[str]]


class PingServer:
    """Records pings; ``fault`` is called with the number of each, and gives the status of the answer."""

    def __init__(self, fault: Callable[[int], int] = lambda number: 200) -> None:
        self.received: list[Received] = []
        self.released = threading.Event()
        owner, count = self, threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.take(self.rfile.read(int(self.headers["Content-Length"])))

            def do_GET(self) -> None:
                self.take(None)

            def take(self, body: bytes | None) -> None:
                url = urlsplit(self.path)
                query = parse_qs(url.query)
                with count:
                    owner.received.append(Received(url.path, query.get("rid", [""])[0], body, query))
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


class RawServer:
    """Takes connections, keeps what came in, and does what ``behave`` does with each connection."""

    def __init__(self, behave: Callable[[socket.socket], None], tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[bytes] = []
        self._behave = behave
        self._tls = tls
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._connections: list[socket.socket] = []
        self.port = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                self._connections.append(connection)
                threading.Thread(target=self._handle, args=(connection,), daemon=True).start()

    def _handle(self, connection: socket.socket) -> None:
        with suppress(OSError):
            if self._tls:
                connection = self._tls.wrap_socket(connection, server_side=True)
            with connection:
                self.requests.append(connection.recv(65536))
                self._behave(connection)

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for connection in self._connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._thread.join()


def answer(text: bytes) -> Callable[[socket.socket], None]:
    """Send this and close."""
    return lambda connection: connection.sendall(text)


def drip(connection: socket.socket) -> None:
    """An answer that never comes to its end, while no single wait is long."""
    for byte in b"HTTP/1.1 200 " + b"O" * 10_000:
        connection.sendall(bytes([byte]))
        time.sleep(0.1)


def flood(connection: socket.socket) -> None:
    """A line without an end."""
    while True:
        connection.sendall(b"x" * 65536)


def tunnel_to(port: int) -> Callable[[socket.socket], None]:
    """What a proxy does after CONNECT."""

    def pump(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)

    def behave(connection: socket.socket) -> None:
        with socket.create_connection(("127.0.0.1", port)) as server:
            connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            threading.Thread(target=pump, args=(connection, server), daemon=True).start()
            pump(server, connection)

    return behave
