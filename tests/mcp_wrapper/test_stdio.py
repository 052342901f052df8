import json

import pytest
from wrapper_harness import INITIALIZE, Request, call, handshake, serving, wrapping

from mcp_wrapper import jsonrpc, stdio


def ordinary(request: Request) -> None:
    if not handshake(request):
        request.result({"text": request.message["params"]["arguments"]})


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"{nonsense", jsonrpc.PARSE_ERROR),
        (b"\xff\xfe", jsonrpc.PARSE_ERROR),
        (b'[{"jsonrpc":"2.0","id":1,"method":"ping"}]', jsonrpc.INVALID_REQUEST),
    ],
)
def test_a_line_that_is_no_message_gets_an_error_and_the_next_an_answer(line: bytes, code: int) -> None:
    with serving(ordinary) as server, wrapping("--url", server.url) as wrapper:
        wrapper.say(b"", b"  \r", line)
        error = wrapper.hear()
        assert (error["id"], error["error"]["code"]) == (None, code)
        assert "result" in wrapper.open_session()


def test_a_line_that_is_too_long_is_skipped_and_the_next_is_read() -> None:
    with serving(ordinary) as server, wrapping("--url", server.url) as wrapper:
        piece = b"x" * (1 << 20)
        for _ in range((stdio.MAX_LINE_BYTES >> 20) + 1):
            wrapper.stdin.write(piece)
        wrapper.say(b"")
        assert "longer than 64 MiB" in wrapper.hear()["error"]["message"]
        assert "result" in wrapper.open_session()


def test_lines_end_at_line_feeds_alone() -> None:
    text = "a\u2028b\u2029c\u0085d\x0be\x0cf"
    with serving(ordinary) as server, wrapping("--url", server.url) as wrapper:
        wrapper.open_session()
        line = json.dumps(call(1, t=text), ensure_ascii=False).replace("\\u000b", "\\u000b").encode()
        wrapper.say(line)
        assert wrapper.hear()["result"] == {"text": {"t": text}}


def test_a_last_line_without_an_end_is_read() -> None:
    with serving(ordinary) as server, wrapping("--url", server.url) as wrapper:
        wrapper.stdin.write(json.dumps(INITIALIZE).encode())
        assert [message["id"] for message in wrapper.end()] == [0]


def test_an_agent_that_does_not_read_for_a_while_loses_nothing() -> None:
    calls, size = 40, 256 * 1024
    with serving(ordinary) as server, wrapping("--url", server.url) as wrapper:
        wrapper.open_session()
        wrapper.say(*(call(number, t="x" * size) for number in range(calls)))
        server.wait_for("tools/call", calls)
        assert sorted(wrapper.hear()["id"] for _ in range(calls)) == list(range(calls))
