import contextlib
import json
import os
import select
import subprocess
import sys
import threading

import ports
import pytest
from wrapper_harness import (
    BOUND,
    INITIALIZE,
    INITIALIZED,
    SOURCE,
    Request,
    call,
    handshake,
    serving,
    wrapping,
)

from mcp_wrapper import jsonrpc, stdio


def ordinary(request: Request) -> None:
    if not handshake(request):
        request.result({"text": request.message["params"]["arguments"]})


@pytest.mark.requirement("W-06")
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


@pytest.mark.requirement("W-06")
def test_a_line_that_is_too_long_is_skipped_and_the_next_is_read() -> None:
    with serving(ordinary) as server, wrapping("--url", server.url) as wrapper:
        piece = b"x" * (1 << 20)
        for _ in range((stdio.MAX_LINE_BYTES >> 20) + 1):
            wrapper.stdin.write(piece)
        wrapper.say(b"")
        assert "longer than 64 MiB" in wrapper.hear()["error"]["message"]
        assert "result" in wrapper.open_session()


@pytest.mark.requirement("W-06")
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


@pytest.mark.requirement("W-06")
def test_nothing_more_is_taken_from_toolman_while_the_agent_does_not_read() -> None:
    news = {"jsonrpc": "2.0", "method": "notifications/message", "params": {"data": "x" * (1 << 20)}}
    offered, sent = 100, []

    def reply(request: Request) -> None:
        if request.verb != "GET":
            handshake(request)
            return
        request.open_stream()
        request.sock.settimeout(2)
        with contextlib.suppress(TimeoutError):
            for number in range(offered):
                line = json.dumps({**news, "n": number}).encode()
                request.sock.sendall(b"%x\r\ndata: %b\n\n\r\n" % (len(line) + 8, line))
                sent.append(number)
        full.set()

    full = threading.Event()
    with serving(reply) as server:
        command = [sys.executable, "-I", "-S", str(SOURCE), "--url", server.url]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(json.dumps(INITIALIZE).encode() + b"\n" + json.dumps(INITIALIZED).encode() + b"\n")
            process.stdin.flush()
            assert full.wait(BOUND)
            assert 0 < len(sent) < 30
            assert json.loads(process.stdout.readline())["id"] == 0
            assert [json.loads(process.stdout.readline())["n"] for _ in sent] == sent
            process.kill()


@pytest.mark.requirement("W-06")
def test_no_more_lines_are_read_while_those_before_cannot_be_sent() -> None:
    port, size, offered = ports.free(), 2 << 20, 120
    with wrapping("--url", f"http://127.0.0.1:{port}/mcp") as wrapper:
        fd = wrapper.stdin.fileno()
        os.set_blocking(fd, False)
        lines = b"".join(json.dumps(call(number, t="x" * size)).encode() + b"\n" for number in range(offered))
        left = memoryview(lines)
        while left and select.select([], [fd], [], 2)[1]:
            left = left[os.write(fd, left) :]
        assert size < len(left) < len(lines) - stdio.MAX_LINE_BYTES
        os.set_blocking(fd, True)
        with serving(lambda request: request.result({}), port):
            wrapper.stdin.write(left)
            wrapper.stdin.flush()
            assert sorted(wrapper.hear()["id"] for _ in range(offered)) == list(range(offered))


@pytest.mark.requirement("W-06")
@pytest.mark.parametrize("megabytes", [1, 60])
def test_lines_of_any_length_pass_to_and_fro_unchanged(megabytes: int) -> None:
    def reply(request: Request) -> None:
        request.answer(200, request.body.replace(b'"method":"echo","params"', b'"result"'))

    text = b'\\u2028\\u00e9\\ud83d\\ude00\\n\\"' * (megabytes * 35_000)
    with serving(reply) as server, wrapping("--url", server.url) as wrapper:
        wrapper.say(b'{"jsonrpc":"2.0","id":1,"method":"echo","params":{"t":"%b","n":1.10}}' % text)
        assert wrapper.line() == b'{"jsonrpc":"2.0","id":1,"result":{"t":"%b","n":1.10}}\n' % text


@pytest.mark.requirement("W-06")
def test_a_long_line_that_is_no_json_gets_an_error_and_the_bridge_goes_on() -> None:
    with serving(ordinary) as server, wrapping("--url", server.url) as wrapper:
        assert wrapper.ask(b'{"id":1,"method":"m","params":["' + b"x" * (1 << 20))["error"]["code"] == -32700
        assert "result" in wrapper.open_session()
