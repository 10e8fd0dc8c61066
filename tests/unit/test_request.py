"""Which proxy a ping takes, and what is said of an answer. Real servers are in tests/process/test_ping_faults.py."""

from urllib.parse import urlsplit

import pytest

from sched_runner.tell import request
from sched_runner.tell.request import RequestError

PROXY = "http://proxy.example.org:3128"


@pytest.mark.parametrize(
    ("url", "environ", "wanted"),
    [
        ("https://hc-ping.com/a", {}, None),
        ("https://hc-ping.com/a", {"https_proxy": PROXY}, PROXY),
        ("https://hc-ping.com/a", {"HTTPS_PROXY": PROXY}, PROXY),
        ("https://hc-ping.com/a", {"https_proxy": PROXY, "HTTPS_PROXY": "http://other"}, PROXY),
        ("https://hc-ping.com/a", {"HTTP_PROXY": PROXY}, None),
        ("http://hc-ping.com/a", {"HTTP_PROXY": PROXY}, PROXY),
        ("http://hc-ping.com/a", {"http_proxy": "proxy.example.org:3128"}, PROXY),
        ("http://hc-ping.com/a", {"http_proxy": PROXY, "no_proxy": "*"}, None),
        ("http://hc-ping.com/a", {"http_proxy": PROXY, "no_proxy": "example.org, HC-Ping.com"}, None),
        ("http://HC-PING.com/a", {"http_proxy": PROXY, "NO_PROXY": ".com"}, None),
        ("http://hc-ping.com/a", {"http_proxy": PROXY, "no_proxy": "ping.com"}, PROXY),
        ("http://hc-ping.com/a", {"http_proxy": PROXY, "no_proxy": ", ,."}, PROXY),
        ("http://[::1]:8000/a", {"http_proxy": PROXY, "no_proxy": "[::1]"}, None),
        ("http://127.0.0.1:8000/a", {"http_proxy": PROXY, "no_proxy": "127.0.0.1"}, None),
    ],
)
def test_the_proxy_is_that_of_the_settings_but_for_those_that_need_none(url, environ, wanted):
    found = request.proxy_for(urlsplit(url), environ)
    assert (found and found.geturl()) == wanted


@pytest.mark.parametrize("proxy", ["socks5://proxy:1080", "https://proxy", "http://"])
def test_a_proxy_of_another_kind_is_refused_in_words_without_its_address(proxy):
    with pytest.raises(RequestError, match=r"^a proxy must have an address like http://proxy.example.org:3128$"):
        request.proxy_for(urlsplit("http://hc-ping.com"), {"http_proxy": proxy})


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_what_means_success_is_one(status):
    request._check("server", status)


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (0, "the server does not answer in HTTP"),
        (100, "the server answers 100 Continue"),
        (302, "the server answers 302, a redirect, which is not followed: set the address it leads to"),
        (404, "the server answers 404 Not Found"),
        (799, "the server answers 799"),
    ],
)
def test_what_does_not_is_told_by_its_number(status, said):
    with pytest.raises(RequestError) as told:
        request._check("server", status)
    assert str(told.value) == said
