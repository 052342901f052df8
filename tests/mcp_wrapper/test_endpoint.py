import socket

import pytest
from mcp_wrapper.endpoint import Endpoint, EndpointError


@pytest.mark.parametrize(
    ("url", "host", "port", "authority", "target"),
    [
        ("http://localhost:3000/mcp", "localhost", 3000, "localhost:3000", "/mcp"),
        ("HTTP://LocalHost", "localhost", 80, "LocalHost", "/"),
        ("http://[::1]:3000/mcp", "::1", 3000, "[::1]:3000", "/mcp"),
        ("http://toolman.default.svc:8080?x=1", "toolman.default.svc", 8080, "toolman.default.svc:8080", "/?x=1"),
        ("http://127.0.0.1:1/a/b?c=http://d", "127.0.0.1", 1, "127.0.0.1:1", "/a/b?c=http://d"),
    ],
)
def test_a_url_is_taken_apart(url: str, host: str, port: int, authority: str, target: str) -> None:
    endpoint = Endpoint(url)
    found = (endpoint.host, endpoint.port, endpoint.authority, endpoint.target)
    assert found == (host, port, authority, target)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:3000",
        "ftp://localhost/mcp",
        "http://",
        "http:///mcp",
        "http://a b/mcp",
        "http://host/mcp#part",
        "http://host/\r\nX-Evil: 1",
        "http://h\u00f6st/mcp",
        "http://host:0/mcp",
        "http://host:65536/mcp",
        "http://host:-1/mcp",
        "http://host:3000x/mcp",
        "http://[::1/mcp",
        "http://[localhost]/mcp",
        "http://[::1]3000/mcp",
        "http://ho|st/mcp",
    ],
)
def test_what_is_not_a_plain_http_url_is_refused(url: str) -> None:
    with pytest.raises(EndpointError):
        Endpoint(url)


@pytest.mark.parametrize(
    ("url", "port", "secure"),
    [("https://host/mcp", 443, True), ("HTTPS://host:1/", 1, True), ("http://host", 80, False)],
)
def test_https_has_a_port_of_its_own(url: str, port: int, secure: bool) -> None:  # noqa: FBT001 - a table's column
    endpoint = Endpoint(url)
    assert (endpoint.port, endpoint.is_secure) == (port, secure)


def test_a_password_in_the_url_is_refused_and_not_repeated() -> None:
    with pytest.raises(EndpointError) as caught:
        Endpoint("http://user:secret@host/mcp")
    assert "secret" not in str(caught.value)


def test_localhost_is_tried_at_127_0_0_1_first_without_being_looked_up() -> None:
    assert Endpoint("http://localhost:3000/mcp").addresses() == [
        (socket.AF_INET, ("127.0.0.1", 3000)),
        (socket.AF_INET6, ("::1", 3000, 0, 0)),
    ]


def test_an_address_is_its_own_address() -> None:
    assert Endpoint("http://[::1]:80/").addresses() == [(socket.AF_INET6, ("::1", 80, 0, 0))]
    assert Endpoint("http://127.0.0.2:80/").addresses() == [(socket.AF_INET, ("127.0.0.2", 80))]


@pytest.mark.parametrize(
    ("url", "loopback"), [("http://[::1]/", True), ("http://localhost/", True), ("http://h/", False)]
)
def test_loopback_is_known_from_its_name(url: str, loopback: bool) -> None:  # noqa: FBT001 - a table's column
    assert Endpoint(url).is_loopback is loopback
