from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from toolman.front import requests
from toolman.front.requests import Reader, Request
from toolman.protocol.headers import Refusal

pytestmark = pytest.mark.requirement("T-32")

BODY_LIMIT = 1000


class Reading:
    """A reader, and what it asked."""

    def __init__(self, refusal: Refusal | None = None) -> None:
        self.refusal = refusal
        self.went_on = 0
        self.reader = Reader(self.admit, self.go_on)

    def admit(self, request: Request) -> Refusal | None:
        request.limit = BODY_LIMIT
        return self.refusal

    def go_on(self) -> None:
        self.went_on += 1

    def feed(self, *pieces: bytes) -> list[Request]:
        for piece in pieces:
            self.reader.feed(piece)
        return list(self.reader.ready)


def read(*pieces: bytes) -> list[Request]:
    return Reading().feed(*pieces)


def status(*pieces: bytes) -> int:
    """Give the status that the last request is refused with."""
    refusal = read(*pieces)[-1].refusal
    assert refusal is not None
    return refusal.status


def seen(request: Request) -> tuple[object, ...]:
    return (
        request.method,
        request.target,
        tuple(request.headers.items()),
        request.body,
        request.refusal,
        request.is_last,
        request.is_cut,
        request.repeated,
    )


GET = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST /mcp HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nAccept: b\r\nAccept: c \r\n\r\nabc"
CHUNKED = (
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2;x=1\r\nab\r\n1\r\nc\r\n0\r\nTrailer: t\r\n\r\n"
)
UPGRADE = (
    b"POST /mcp HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
    b"HTTP2-Settings: AAMAAABk\r\nContent-Length: 3\r\n\r\nabc"
)


def test_a_request_is_read() -> None:
    (request,) = read(POST)
    assert (request.method, request.target, request.body) == (b"POST", b"/mcp", b"abc")
    assert request.headers == {b"host": b"a", b"content-length": b"3", b"accept": b"b, c"}
    assert not request.is_last
    assert request.refusal is None


def test_a_chunked_body_is_put_together_and_trailers_are_not_headers() -> None:
    (request,) = read(CHUNKED)
    assert request.body == b"abc"
    assert b"trailer" not in request.headers


def test_a_request_to_upgrade_is_served_as_if_it_had_not_asked() -> None:
    first, second = read(UPGRADE + GET)
    assert (first.method, first.body, first.is_last) == (b"POST", b"abc", False)
    assert second.target == b"/x"
    assert [each.body for each in read(UPGRADE[:-2], UPGRADE[-2:] + GET * 2)] == [b"abc", b"", b""]


def test_many_requests_to_upgrade_at_once_are_read_without_recursion() -> None:
    upgrade = b"GET / HTTP/1.1\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"
    assert len(read(upgrade * 100)) == 100


def test_a_tunnel_is_refused() -> None:
    assert status(b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n") == 400


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: +3\r\n\r\nabc", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 3, 3\r\n\r\nabc", 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\nabc", 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked, identity\r\n\r\nabc", 400),
        (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", 400),
        (b"GET / HTTP/1.1\nHost: a\n\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\0b\r\n\r\n", 400),
        (b"FOO / HTTP/1.1\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\n\r\n", 505),
        (b"GET / HTTP/0.9\r\n\r\n", 505),
        (b"GET /" + b"x" * requests.MAX_TARGET + b" HTTP/1.1\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * (requests.MAX_HEADERS + 1) + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\na: " + b"x" * requests.MAX_HEAD + b"\r\n\r\n", 431),
        (b"POST / HTTP/1.1\r\nContent-Length: 1001\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n" + b"x" * 1001, 413),
        (b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 1001\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\nUpgrade: x\r\nConnection: upgrade\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nUpgrade: x\r\nConnection: upgrade\r\nContent-Length: 1001\r\n\r\n", 413),
    ],
)
def test_what_is_ambiguous_or_too_much_is_refused_and_nothing_behind_it_is_read(data: bytes, expected: int) -> None:
    reading = Reading()
    (request,) = reading.feed(data, GET)
    assert request.refusal is not None
    assert request.refusal.status == expected
    assert request.is_last
    assert reading.reader.is_ended


def test_a_header_that_never_ends_is_refused_before_it_fills_the_memory() -> None:
    reading = Reading()
    pieces = 0
    reading.feed(b"GET / HTTP/1.1\r\na: ")
    while not reading.reader.is_ended:
        reading.feed(b"x" * 1000)
        pieces += 1
    assert pieces <= requests.MAX_HEAD / 1000 + 2


def test_a_long_head_in_many_pieces_is_not_counted_twice() -> None:
    value = b"x" * (requests.MAX_HEAD * 2 // 3)
    data = b"GET / HTTP/1.1\r\na: %b\r\n\r\n" % value
    (request,) = read(*(data[start : start + 100] for start in range(0, len(data), 100)))
    assert request.headers[b"a"] == value


def test_a_head_behind_many_requests_in_one_piece_is_not_taken_for_a_long_one() -> None:
    behind = GET * 20 + b"POST / HTTP/1.1\r\nContent-Length: 990\r\n\r\n" + b"x" * 990
    found = read(behind * 4 + b"GET /last HT", b"TP/1.1\r\n\r\n")
    assert found[-1].target == b"/last"


def test_too_many_requests_ahead_of_their_answers_are_refused() -> None:
    found = read(GET * (requests.MAX_WAITING + 5))
    assert len(found) == requests.MAX_WAITING + 1
    assert found[-1].refusal is not None
    assert found[-1].refusal.status == 429


@pytest.mark.parametrize("name", [b"Host", b"Content-Type", b"Authorization", b"Mcp-Method", b"MCP-Param-X", b"Origin"])
def test_headers_that_matter_must_not_appear_twice(name: bytes) -> None:
    (request,) = read(b"GET / HTTP/1.1\r\n%b: a\r\n%b: b\r\n\r\n" % (name, name.upper()))
    assert request.repeated == name.lower()


@pytest.mark.parametrize(
    ("head", "is_last"),
    [
        (b"GET / HTTP/1.1\r\n", False),
        (b"GET / HTTP/1.1\r\nConnection: close\r\n", True),
        (b"GET / HTTP/1.0\r\n", True),
        (b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n", True),
    ],
)
def test_what_is_said_about_the_connection_is_kept(head: bytes, is_last: bool) -> None:  # noqa: FBT001
    found = read(head + b"\r\n" + GET)
    assert found[0].is_last is is_last
    assert len(found) == (1 if is_last else 2)


def test_a_client_that_waits_is_told_to_go_on() -> None:
    reading = Reading()
    head = b"POST / HTTP/1.1\r\nExpect: 100-Continue\r\nContent-Length: 3\r\n\r\n"
    assert reading.feed(head) == []
    assert reading.went_on == 1
    assert reading.feed(b"abc")[0].body == b"abc"


def test_a_client_that_waits_is_refused_at_once() -> None:
    reading = Reading(Refusal(403, "no"))
    (request,) = reading.feed(b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
    assert request.refusal == Refusal(403, "no")
    assert request.is_cut
    assert reading.went_on == 0


def test_the_body_of_a_refused_request_is_not_kept_and_the_next_request_is_read() -> None:
    first, second = Reading(Refusal(403, "no")).feed(POST + GET)
    assert first.body == b""
    assert not first.is_last
    assert second.target == b"/x"


def test_an_error_of_ours_is_an_answer_and_no_exception(caplog: pytest.LogCaptureFixture) -> None:
    def broken(_: Request) -> Refusal | None:
        raise ZeroDivisionError

    reader = Reader(broken, lambda: None)
    reader.feed(GET)
    assert reader.ready[0].refusal is not None
    assert reader.ready[0].refusal.status == 500
    assert "ZeroDivisionError" in caplog.text


@given(
    st.lists(st.sampled_from([GET, POST, CHUNKED, UPGRADE, b"\r\n"]), min_size=1, max_size=6),
    st.lists(st.integers(0, 900), max_size=8),
)
def test_requests_are_the_same_however_their_bytes_are_split(parts: list[bytes], cuts: list[int]) -> None:
    data = b"".join(parts)
    places = sorted({min(cut, len(data)) for cut in cuts} | {0, len(data)})
    pieces = [data[start:end] for start, end in itertools.pairwise(places)]
    assert [seen(each) for each in read(*pieces)] == [seen(each) for each in read(data)]


@given(st.binary(max_size=300), st.integers(0, 120), st.lists(st.binary(max_size=40), max_size=5))
def test_no_bytes_make_it_raise_and_what_is_refused_is_the_last(noise: bytes, place: int, more: list[bytes]) -> None:
    reading = Reading()
    found = reading.feed(POST[:place] + noise, *more, CHUNKED[place:])
    assert all(request.refusal is None for request in found[:-1])
    if found and found[-1].refusal is not None:
        assert reading.reader.is_ended
