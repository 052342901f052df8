from __future__ import annotations

import pytest
from toolman.protocol import headers
from toolman.protocol.headers import Rules

pytestmark = pytest.mark.requirement("T-32")


@pytest.mark.parametrize(
    ("host", "address", "is_served"),
    [
        (b"localhost", "10.0.0.1", True),
        (b"LOCALHOST:80", "10.0.0.1", True),
        (b"10.0.0.1:3000", "10.0.0.1", True),
        (b"10.0.0.2", "10.0.0.1", False),
        (b"[::1]", "10.0.0.1", True),
        (b"[::1", "10.0.0.1", False),
        (b"mcp.example.com:3000", "10.0.0.1", True),
        (b"exact.example.com:7", "10.0.0.1", True),
        (b"exact.example.com:8", "10.0.0.1", False),
        (b"a.mcp.example.com", "10.0.0.1", False),
        (b"localhost/x", "10.0.0.1", False),
        (b"localhost@evil.example.com", "10.0.0.1", False),
        (b"", "10.0.0.1", False),
        (None, "10.0.0.1", False),
        (b"\xff", "10.0.0.1", False),
        (b"localhost:" + b"0" * 2000, "10.0.0.1", True),
    ],
)
def test_a_host_must_be_this_machine_or_named(host: bytes | None, address: str, *, is_served: bool) -> None:
    rules = Rules(("mcp.example.com", "exact.example.com:7"), ())
    assert (rules.caller(host, None, address) is None) is is_served


@pytest.mark.parametrize(
    ("origin", "is_served"),
    [
        (b"http://localhost", True),
        (b"https://127.0.0.1:8443", True),
        (b"http://[::1]:1", True),
        (b"https://app.example.com", True),
        (b"https://app.example.com:8443", False),
        (b"http://app.example.com", False),
        (b"http://localhost.evil.example.com", False),
        (b"http://[", False),
        (b"file://localhost", False),
        (b"null", False),
        (b"", False),
        (b"http://localhost/" + b"x" * 2000, True),
    ],
)
def test_a_page_must_be_of_this_machine_or_named(origin: bytes, *, is_served: bool) -> None:
    rules = Rules((), ("https://app.example.com",))
    assert (rules.caller(b"localhost", origin, "127.0.0.1") is None) is is_served


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, (True, True)),
        (b"application/json, text/event-stream", (True, True)),
        (b"*/*", (True, True)),
        (b"application/*", (True, False)),
        (b"text/event-stream", (False, True)),
        (b"Application/JSON; q=0.5 , text/event-stream;q=0", (True, False)),
        (b"text/html", (False, False)),
        (b"", (False, False)),
        (b"application/json," + b"x/y," * 500, (True, False)),
    ],
)
def test_what_a_client_takes_is_what_it_says(accept: bytes | None, expected: tuple[bool, bool]) -> None:
    assert headers.media(accept) == expected


def test_headers_of_any_length_are_not_remembered_for_ever() -> None:
    rules = Rules((), ())
    before = headers._media.cache_info().currsize
    for number in range(100):
        headers.media(b"application/json," + b"x" * headers.LONG + b"%d" % number)
        rules.caller(b"x" * headers.LONG + b"%d" % number, None, "127.0.0.1")
        rules.caller(b"localhost", b"x" * headers.LONG + b"%d" % number, "127.0.0.1")
    assert headers._media.cache_info().currsize == before
    assert rules._verdict.cache_info().currsize == 0


@pytest.mark.parametrize(
    ("name", "is_single"),
    [
        (b"host", True),
        (b"mcp-param-x", True),
        (b"last-event-id", True),
        (b"accept", False),
        (b"x-forwarded-for", False),
    ],
)
def test_headers_that_decide_may_appear_once(name: bytes, *, is_single: bool) -> None:
    assert headers.is_single(name) is is_single
