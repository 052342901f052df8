from __future__ import annotations

import contextlib
import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from toolman.upstreams.web.response import BadResponse, ResponseReader

pytestmark = pytest.mark.requirement("T-32")

HEADS = st.sampled_from([b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 100 X\r\n\r\n", b"HTTP/1.0 404\r\n", b"HTTP/1.1 204 N\r\n"])
HEADERS = st.sampled_from(
    [
        b"Content-Length: 3\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Connection: close\r\n",
        b"X: y\r\n",
        b"\r\n",
        b"Z\r\n",
    ]
)
BODIES = st.sampled_from([b"abc", b"3\r\nabc\r\n", b"0\r\n\r\n", b"", b"5;x=y\r\n", b"\r\n"])
RESPONSES = st.builds(
    lambda parts, body: b"".join((*itertools.chain(*parts), b"\r\n", *body)),
    st.lists(st.tuples(HEADS, HEADERS, HEADERS), min_size=1, max_size=2),
    st.lists(BODIES, max_size=4),
)


def read(*chunks: bytes) -> tuple[object, ...]:
    """Read a response; give all that is known of it at its end, or where it cannot be read any further."""
    reader = ResponseReader()
    body = b""
    with contextlib.suppress(BadResponse):
        for chunk in chunks:
            body += reader.feed(chunk) if chunk and not reader.is_complete else b""
    return reader.response, body, reader.is_complete


@given(RESPONSES, st.lists(st.integers(0, 200), max_size=6))
@example(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", [1, 40])
def test_any_split_of_a_response_reads_the_same(response: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(min(cut, len(response)) for cut in cuts), len(response)]
    found = read(*(response[start:end] for start, end in itertools.pairwise(edges)))
    whole = read(response)
    assert found[0] == whole[0]
    assert found[2] == whole[2]
    if whole[2]:
        assert found[1] == whole[1]


@given(st.binary(max_size=300))
def test_no_bytes_break_it(data: bytes) -> None:
    read(data)
    read(b"HTTP/1.1 200 OK\r\n", data)
    read(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", data)


@pytest.mark.parametrize(("said", "meant"), [(b"timeout=5", 5.0), (b"max=9, timeout=60", 60.0), (b"timeout=x", None)])
def test_how_long_the_server_keeps_the_connection_is_read(said: bytes, meant: float | None) -> None:
    reader = ResponseReader()
    reader.feed(b"HTTP/1.1 204 X\r\nKeep-Alive: " + said + b"\r\n\r\n")
    assert reader.is_complete
    assert reader.keep == meant
