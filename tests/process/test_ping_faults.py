"""A server that is pinged can be hostile, broken or behind a proxy: it learns, holds and prints nothing."""

import os
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness import Site, wait_until
from ping_server import PingServer, RawServer, answer, drip, flood, tunnel_to

NEVER = {"SCHED_INTERVAL": "1h"}
IMPATIENT = "import faults; faults.impatient_pings()"
OK = answer(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK")
SECRET = "0b7a6d3c-secret"


@pytest.fixture
def servers() -> Iterator[Callable[..., RawServer]]:
    made: list[RawServer] = []

    def serve(behave: Callable, tls: ssl.SSLContext | None = None) -> RawServer:
        made.append(RawServer(behave, tls))
        return made[-1]

    yield serve
    for server in made:
        server.close()


def told(site: Site) -> str:
    """The one line that the scheduler has about a ping."""
    wait_until(site.own_lines, what="a line about the ping")
    (line,) = site.own_lines()
    return line


def test_no_redirect_is_followed_and_where_it_leads_is_not_printed(site: Site, servers: Callable) -> None:
    inner = PingServer()
    try:
        location = f"Location: {inner.url}\x1b[2Jgreetings\r\n".encode()
        outer = servers(answer(b"HTTP/1.1 307 Follow me\x1b[2J\r\n" + location + b"\r\n"))
        site.shell("exit 0")
        site.start(patch=IMPATIENT, **NEVER, SCHED_PING_URL=f"http://127.0.0.1:{outer.port}/{SECRET}")
        line = told(site)
        assert line.endswith("the server answers 307, a redirect, which is not followed: set the address it leads to")
        wait_until(lambda: len(outer.requests) >= 4, what="every attempt")
        assert inner.received == []
    finally:
        inner.close()


@pytest.mark.parametrize(
    ("behave", "said"),
    [
        (drip, ("timed out", "no answer within 0.5 s", "the server takes too long")),
        (flood, ("the server does not answer in HTTP",)),
        (answer(b""), ("the server does not answer in HTTP",)),
        (answer(b"SSH-2.0-OpenSSH_9.2\r\n"), ("the server does not answer in HTTP",)),
        (answer(f"HTTP/1.1 404 /{SECRET} is\x1b[31m not here\r\n\r\n".encode()), ("the server answers 404 Not Found",)),
        (answer(b"HTTP/1.1 599 " + b"no \xe2\x80\xae" * 10_000 + b"\r\n\r\n"), ("the server answers 599",)),
    ],
    ids=["drips", "floods", "hangs up", "speaks something else", "repeats the address", "is talkative"],
)
def test_a_server_holds_no_ping_and_says_nothing_in_the_log(
    site: Site, servers: Callable, behave: Callable, said: tuple[str, ...]
) -> None:
    server = servers(behave)
    site.shell("exit 0")
    scheduler = site.start(patch=IMPATIENT, SCHED_PING_URL=f"http://127.0.0.1:{server.port}/{SECRET}")
    assert told(site).endswith(tuple(f"the schedule goes on: {text}" for text in said))
    before = len(server.requests)
    wait_until(lambda: len(server.requests) >= before + 4, what="the next pings")
    assert len(os.listdir(f"/proc/{scheduler.pid}/task")) < 8
    assert SECRET.encode() not in site.log()


def test_a_name_server_that_never_answers_holds_no_ping_and_no_run(site: Site) -> None:
    site.shell("exit 0")
    hangs = "faults.wrap('socket:getaddrinfo', lambda *arguments, **options: time.sleep(600))"
    scheduler = site.start(
        patch=f"import faults, time; faults.impatient_pings(); {hangs}", SCHED_PING_URL="http://hc.test/"
    )
    assert told(site).endswith("the ping cannot be delivered, the schedule goes on: no answer within 0.5 s")
    assert {run["outcome"] for run in site.await_runs(3)} == {"succeeded"}
    assert scheduler.stop() == 0


def test_the_proxy_of_the_settings_is_used_with_its_password_and_no_proxy_is_kept(
    site: Site, servers: Callable
) -> None:
    proxy, direct = servers(OK), servers(OK)
    site.shell("exit 0")
    site.path.joinpath("settings").write_text(
        f"SCHED_PING_URL=http://hc.invalid/uuid?a=b\nHTTP_PROXY=http://me:p%40ss@127.0.0.1:{proxy.port}\n"
        "no_proxy=example.org,.test\n"
    )
    site.start("run", "--env-file", "settings", **NEVER)
    wait_until(lambda: len(proxy.requests) >= 2, what="both pings")
    start = proxy.requests[0].decode()
    assert start.startswith("POST http://hc.invalid/uuid/start?a=b&rid=")
    assert "\r\nHost: hc.invalid\r\n" in start
    assert "\r\nProxy-Authorization: Basic bWU6cEBzcw==\r\n" in start
    environ = {
        "SCHED_PING_URL": f"http://127.0.0.1:{direct.port}/uuid",
        "http_proxy": f"http://127.0.0.1:{proxy.port}",
        "NO_PROXY": "localhost, 127.0.0.1",
    }
    wait_until(lambda: site.call("once", **environ).returncode == 0, what="a run of once, after the scheduler's")
    assert (len(proxy.requests), len(direct.requests)) == (2, 2)


def test_a_proxy_that_refuses_is_told_without_its_password(site: Site, servers: Callable) -> None:
    proxy = servers(answer(b"HTTP/1.1 407 who are you, me:hush?\r\n\r\n"))
    site.shell("exit 0")
    environ = {"SCHED_PING_URL": f"https://hc.invalid/{SECRET}", "https_proxy": f"me:hush@127.0.0.1:{proxy.port}"}
    site.start(patch=IMPATIENT, **NEVER, **environ)
    assert told(site).endswith("the proxy answers 407 Proxy Authentication Required")
    assert proxy.requests[0].startswith(b"CONNECT hc.invalid:443 HTTP/1.1\r\n")
    assert SECRET.encode() not in proxy.requests[0]
    assert b"hush" not in site.log()


def test_a_proxy_with_a_faulty_address_is_told_without_its_password(site: Site) -> None:
    site.shell("exit 0")
    site.start(patch=IMPATIENT, **NEVER, SCHED_PING_URL="http://hc.invalid/", http_proxy="http://me:hush/hush@proxy:x")
    assert "hush" not in told(site)


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """One for 127.0.0.1, with its key, that nobody trusts. A bare machine does not know the name localhost."""
    file = tmp_path / "server.pem"
    line = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=here -addext subjectAltName=IP:127.0.0.1"
    subprocess.run(["openssl", *line.split(), "-keyout", file, "-out", file], check=True, capture_output=True)
    return file


@pytest.mark.parametrize("proxied", [False, True])
def test_a_ping_is_encrypted_on_the_way_to_a_server_that_is_trusted(
    site: Site, servers: Callable, certificate: Path, proxied: bool
) -> None:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate)
    server = servers(OK, tls)
    proxy = servers(tunnel_to(server.port))
    site.shell("exit 0")
    environ = {"https_proxy": f"http://127.0.0.1:{proxy.port}"} if proxied else {}
    url = f"https://me:pass@127.0.0.1:{server.port}/uuid"
    site.start(patch=IMPATIENT, **NEVER, **environ, SSL_CERT_FILE=str(certificate), SCHED_PING_URL=url)
    wait_until(lambda: len(server.requests) >= 2, what="both pings")
    assert b"\r\nAuthorization: Basic bWU6cGFzcw==\r\n" in server.requests[1]
    assert len(proxy.requests) == (2 if proxied else 0)
    assert site.own_lines() == []


def test_a_server_that_is_not_trusted_gets_no_ping(site: Site, servers: Callable, certificate: Path) -> None:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate)
    server = servers(OK, tls)
    site.shell("exit 0")
    site.start(patch=IMPATIENT, **NEVER, SCHED_PING_URL=f"https://127.0.0.1:{server.port}/{SECRET}")
    assert "certificate verify failed" in told(site)
    assert server.requests == []


def test_a_name_and_an_output_that_are_not_utf_8_are_pinged(site: Site) -> None:
    server = PingServer()
    try:
        name = os.fsdecode(b"m\xff.sh")
        site.main("printf 'a\\377b\\n'; exit 3", name)
        ended = site.call("once", SCHED_MAIN=name, SCHED_PYTHON="/bin/sh", SCHED_PING_URL=server.url)
        assert ended.returncode == 3, ended.stderr
        assert b"a\\xffb" in server.await_pings(2)[1].body
        missing = site.call("once", SCHED_MAIN=os.fsdecode(b"n\xff.sh"), SCHED_PING_URL=server.url)
        assert missing.returncode == 127
        assert "Traceback" not in missing.stderr + ended.stderr
        assert b"ff.sh: No such file" in server.await_pings(3)[2].body
    finally:
        server.close()


@pytest.mark.parametrize("thread", ["ping", "ping-attempt"])
def test_a_ping_for_which_there_is_no_thread_is_told_and_fails_no_run(site: Site, thread: str) -> None:
    site.shell("exit 0")
    patch = f"import faults; faults.impatient_pings(); faults.no_thread({thread!r})"
    site.start(patch=patch, SCHED_PING_URL="http://127.0.0.1:9/")
    assert {run["outcome"] for run in site.await_runs(3)} == {"succeeded"}
    assert told(site).endswith("the ping cannot be delivered, the schedule goes on: can't start new thread")
