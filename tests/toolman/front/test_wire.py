from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw
from toolman.front import wire

from toolman import jsonrpc

pytestmark = pytest.mark.requirement("T-05")


def split(response: bytes) -> tuple[list[bytes], bytes]:
    head, _, body = response.partition(b"\r\n\r\n")
    return head.split(b"\r\n"), body


@pytest.mark.parametrize("size", [1, wire.BIG - 100, wire.BIG, wire.BIG * 3])
@pytest.mark.parametrize("is_raw", [True, False])
def test_a_response_has_the_length_that_it_says_and_its_value_untouched(size: int, *, is_raw: bool) -> None:
    value = b'"%b"' % (b"x" * size)
    pieces = wire.json_response(b'"id"', jsonrpc.result(Raw(value) if is_raw else value), b"X: y\r\n", 404)
    lines, body = split(b"".join(pieces))
    assert lines[0] == b"HTTP/1.1 404 Not Found"
    assert b"X: y" in lines
    assert b"Content-Length: %d" % len(body) in lines
    assert body == b'{"jsonrpc":"2.0","id":"id","result":%b}' % value
    assert len(pieces) == (3 if size >= wire.BIG else 1)


def test_a_big_value_is_not_copied() -> None:
    value = b"x" * wire.BIG
    (_, piece, _) = wire.json_response(b"1", jsonrpc.result(value))
    assert isinstance(piece, memoryview)
    assert piece.obj is value


def test_an_array_has_the_length_that_it_says() -> None:
    lines, body = split(wire.json_array([b"{}", b"[]"], b"X: y\r\n"))
    assert body == b"[{},[]]"
    assert lines[-2:] == [b"Content-Length: 7", b"X: y"]


def test_what_has_no_content_has_no_length() -> None:
    assert b"Content-Length" not in wire.empty(204)
    assert b"Content-Length: 0" in wire.empty(202)


def test_a_head_announces_a_body_that_does_not_come() -> None:
    assert split(wire.text(404, b"abc", is_head=True)) == (split(wire.text(404, b"abc"))[0], b"")


@given(st.binary(max_size=200), st.booleans())
def test_a_message_is_one_event_whatever_is_in_it(message: bytes, has_id: bool) -> None:  # noqa: FBT001
    event = wire.event(message, b"7" if has_id else None)
    *lines, end, last = event.split(b"\n")
    assert (end, last) == (b"", b"")
    assert len(lines) == 2 + has_id
    assert b"\r" not in event
    assert lines[-1].removeprefix(b"data: ").replace(b" ", b"") == message.translate(None, b"\r\n ")


@given(st.binary(min_size=1, max_size=5000))
def test_a_chunk_says_its_length(data: bytes) -> None:
    size, _, rest = wire.chunk(data).partition(b"\r\n")
    assert int(size, 16) == len(data)
    assert rest == data + b"\r\n"


def test_an_error_is_a_response_too() -> None:
    (piece,) = wire.json_response(b"null", jsonrpc.error(-1, "no"))
    assert json.loads(split(bytes(piece))[1]) == {"jsonrpc": "2.0", "id": None, "error": {"code": -1, "message": "no"}}
