"""Sends a POST or GET over HTTP to a server that we need not trust: within a time limit, and following no redirect.

urllib and http.client limit only the time of each single read, and read more than we want; both are larger than this.
"""

import re
import socket
import time
from base64 import b64encode
from collections.abc import Mapping
from http import HTTPStatus
from urllib.parse import SplitResult, quote, unquote, urlsplit

from sched_runner import __version__

_LARGEST = 16 * 1024  # bytes of an answer
_PORTS = {"http": 80, "https": 443}
_SAFE = "/?%:@!$&'()*+,;=-._~"  # in a path and a query (RFC 3986)


class RequestError(OSError):
    """The server or the proxy does not take the request. The message has words of ours only, none of the server's."""


def send(url: str, body: bytes | None, environ: Mapping[str, str], seconds: float) -> None:
    """Send ``body`` by POST, or a GET if it is None, to an http or https address, by the proxy that ``environ`` names.

    Raises OSError. It may raise other errors, whose words may repeat the address, which may be a secret.
    """
    deadline = time.monotonic() + seconds
    server = urlsplit(url)
    proxy = proxy_for(server, environ)
    target, headers = quote(f"{server.path or '/'}?{server.query}".removesuffix("?"), safe=_SAFE), _login(server)
    connection = _connect(proxy or server, deadline)
    try:
        if proxy and server.scheme == "http":
            target, headers = f"http://{_authority(server)}{target}", headers + _login(proxy, "Proxy-")
        elif proxy:
            request = _request("CONNECT", f"{_host(server)}:{_port(server)}", server, _login(proxy, "Proxy-"))
            _check("proxy", _answer(connection, request, b"\r\n\r\n", deadline))
        if server.scheme == "https":
            import ssl

            connection.settimeout(_left(deadline))
            connection = ssl.create_default_context().wrap_socket(connection, server_hostname=server.hostname)
        if body is None:
            request = _request("GET", target, server, headers)
        else:
            request = _request("POST", target, server, f"{headers}Content-Length: {len(body)}\r\n") + body
        _check("server", _answer(connection, request, b"\n", deadline))
    finally:
        connection.close()


def proxy_for(server: SplitResult, environ: Mapping[str, str]) -> SplitResult | None:
    """The proxy for this server, or None, by ``https_proxy`` and ``no_proxy`` as curl and urllib understand them.

    Raises RequestError.
    """

    def value(name: str) -> str:
        return environ.get(name) or environ.get(name.upper(), "")

    address = value(f"{server.scheme}_proxy")
    for name in value("no_proxy").lower().split(","):
        ending = "." + name.strip().lstrip(".")
        if ending == ".*" or (ending != "." and f".{_host(server)}".endswith(ending)):
            return None
    if not address:
        return None
    proxy = urlsplit(address if "://" in address else f"http://{address}")
    if proxy.scheme != "http" or not proxy.hostname:
        raise RequestError("a proxy must have an address like http://proxy.example.org:3128")
    return proxy


def _host(server: SplitResult) -> str:
    host = (server.hostname or "").encode("idna").decode()
    return f"[{host}]" if ":" in host else host


def _port(server: SplitResult) -> int:
    return server.port or _PORTS[server.scheme]


def _authority(server: SplitResult) -> str:
    return _host(server) if server.port is None else f"{_host(server)}:{server.port}"


def _login(server: SplitResult, prefix: str = "") -> str:
    """The header with user and password, if the address has them."""
    if server.username is None:
        return ""
    login = f"{unquote(server.username)}:{unquote(server.password or '')}"
    return f"{prefix}Authorization: Basic {b64encode(login.encode()).decode()}\r\n"


def _request(method: str, target: str, server: SplitResult, headers: str) -> bytes:
    begin = f"{method} {target} HTTP/1.1\r\nHost: {_authority(server)}\r\nUser-Agent: main-scheduler/{__version__}\r\n"
    return f"{begin}Connection: close\r\nContent-Type: text/plain; charset=utf-8\r\n{headers}\r\n".encode("ascii")


def _connect(server: SplitResult, deadline: float) -> socket.socket:
    """Connect to the server. Each of its addresses gets a share of the time: the first may never answer."""
    found = socket.getaddrinfo(_host(server).strip("[]"), _port(server), type=socket.SOCK_STREAM)
    fault: OSError = RequestError("the server has no address")
    for rest, (family, kind, protocol, _, address) in zip(range(len(found), 0, -1), found, strict=True):
        connection = socket.socket(family, kind, protocol)
        try:
            connection.settimeout(_left(deadline) / rest)
            connection.connect(address)
        except OSError as error:
            connection.close()
            fault = error
        else:
            return connection
    raise fault


def _answer(connection: socket.socket, request: bytes, end: bytes, deadline: float) -> int:
    """Send the request, and read the answer as far as ``end``; gives its status, or 0 if it is no HTTP."""
    connection.settimeout(_left(deadline))
    connection.sendall(request)
    answer = b""
    while end not in answer and len(answer) < _LARGEST:
        connection.settimeout(_left(deadline))
        more = connection.recv(4096)
        if not more:
            break
        answer += more
    match = re.match(rb"HTTP/1\.[01] (\d{3})\s", answer)
    return int(match[1]) if match else 0


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise RequestError("the server takes too long")
    return left


def _check(who: str, status: int) -> None:
    """Raise RequestError unless the status means that the request was taken."""
    if not status:
        raise RequestError(f"the {who} does not answer in HTTP")
    if 300 <= status < 400:
        raise RequestError(
            f"the {who} answers {status}, a redirect, which is not followed: set the address it leads to"
        )
    if not 200 <= status < 300:
        phrase = next((f" {known.phrase}" for known in HTTPStatus if known == status), "")
        raise RequestError(f"the {who} answers {status}{phrase}")
