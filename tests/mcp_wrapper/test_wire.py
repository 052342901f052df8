import pytest
from mcp_wrapper.wire import MalformedResponseError, Response

from mcp_wrapper import wire


class Heard:
    def __init__(self) -> None:
        self.heads: list[int] = []
        self.body = b""

    def head(self, response: Response) -> None:
        self.heads.append(response.status)

    def data(self, piece: bytes) -> None:
        assert piece
        self.body += piece


def fed(stream: bytes, size: int) -> tuple[Response, Heard, bool]:
    response, heard, done = Response(), Heard(), False
    for start in range(0, len(stream), size):
        assert not done
        done = response.feed(stream[start : start + size], heard)
    return response, heard, done


SIZES = pytest.mark.parametrize("size", [1, 2, 5, 1000])


@SIZES
def test_a_body_of_known_length_is_complete_with_its_last_byte(size: int) -> None:
    response, heard, done = fed(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Type: A/B; c=d\r\n\r\nhello", size)
    assert (done, heard.heads, heard.body) == (True, [200], b"hello")
    assert (response.content_type, response.reusable, response.is_success) == (b"a/b", True, True)


@SIZES
def test_chunks_are_put_together(size: int) -> None:
    text = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n5;x=y\r\nhello\r\nA\r\n, 12345678\r\n0\r\nT: r\r\n\r\n"
    )
    _, heard, done = fed(text, size)
    assert (done, heard.body) == (True, b"hello, 12345678")


@SIZES
def test_interim_responses_are_passed_over(size: int) -> None:
    text = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 H\r\nLink: x\r\n\r\nHTTP/1.1 202 OK\r\nContent-Length: 0\r\n\r\n"
    _, heard, done = fed(text, size)
    assert (done, heard.heads, heard.body) == (True, [202], b"")


def test_without_a_length_the_body_ends_with_the_connection() -> None:
    response, heard, done = fed(b"HTTP/1.1 200 OK\r\n\r\nhel", 1000)
    assert not done
    assert not response.feed(b"lo", heard)
    assert response.close()
    assert (heard.body, response.reusable) == (b"hello", False)


def test_a_status_that_has_no_body_is_complete_at_once() -> None:
    assert fed(b"HTTP/1.1 204 No Content\r\n\r\n", 1000)[2]


@pytest.mark.parametrize(
    "stream",
    [
        b"",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    ],
)
def test_a_connection_that_ends_early_leaves_it_incomplete(stream: bytes) -> None:
    response, _, done = fed(stream, 1000)
    assert not done
    assert not response.close()


@pytest.mark.parametrize("head", [b"HTTP/1.0 200 OK\r\n", b"HTTP/1.1 200 OK\r\nConnection: Close\r\n"])
def test_a_connection_that_will_be_closed_is_not_used_again(head: bytes) -> None:
    assert not fed(head + b"Content-Length: 0\r\n\r\n", 1000)[0].reusable


@pytest.mark.parametrize(
    "stream",
    [
        b"SSH-2.0-x\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 2000\r\n\r\n",
        b"HTTP/1.1 x\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nbad name: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9999999999999999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"0" * 5000,
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * wire.MAX_HEAD_BYTES,
    ],
)
def test_what_is_not_one_http_response_is_an_error(stream: bytes) -> None:
    with pytest.raises(MalformedResponseError):
        fed(stream, len(stream))


def test_a_request_says_what_is_needed_and_no_more() -> None:
    assert wire.request_head(b"POST", "/mcp", "h:1", b"A: b\r\n", 7) == (
        b"POST /mcp HTTP/1.1\r\nHost: h:1\r\nA: b\r\nContent-Type: application/json\r\nContent-Length: 7\r\n\r\n"
    )
    assert wire.request_head(b"GET", "/mcp", "h:1", b"", None) == b"GET /mcp HTTP/1.1\r\nHost: h:1\r\n\r\n"
