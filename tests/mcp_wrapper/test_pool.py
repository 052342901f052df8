import resource

import ports
import pytest
from mcp_wrapper.endpoint import Endpoint
from mcp_wrapper.log import Log
from mcp_wrapper.loop import Loop
from wrapper_harness import BOUND, INITIALIZE, Request, call, handshake, serving, wrapping

from mcp_wrapper import pool, wire

CALLS = 300


def ordinary(request: Request) -> None:
    if not handshake(request):
        request.result({})


@pytest.mark.requirement("W-04")
def test_a_toolman_that_is_not_up_yet_is_waited_for() -> None:
    port = ports.free()
    with wrapping("--url", f"http://localhost:{port}/mcp", MCP_WRAPPER_DEBUG="1") as wrapper:
        wrapper.say(INITIALIZE)
        while "connection refused" not in wrapper.log:
            assert wrapper.process.poll() is None
        with serving(ordinary, port):
            assert wrapper.hear()["result"]["protocolVersion"] == "2025-06-18"


@pytest.mark.requirement("W-04")
def test_waiting_ends_with_an_error_that_says_where_and_why() -> None:
    url = f"http://localhost:{ports.free()}/mcp"
    with wrapping("--url", url, MCP_WRAPPER_CONNECT_TIMEOUT="0.2") as wrapper:
        message = wrapper.ask(INITIALIZE)["error"]["message"]
        assert url in message
        assert "connection refused" in message


@pytest.mark.requirement("W-04")
def test_a_toolman_that_is_not_ready_is_asked_again() -> None:
    def reply(request: Request) -> None:
        if len(server.requests) < 4:
            request.answer(503, b"starting", "text/plain", Connection="close")
        else:
            ordinary(request)

    with serving(reply) as server, wrapping("--url", server.url) as wrapper:
        assert "result" in wrapper.open_session()
        assert wrapper.ask(call(1))["result"] == {}


def test_a_connection_is_used_again() -> None:
    peers = set()

    def reply(request: Request) -> None:
        peers.add(request.sock)
        ordinary(request)

    with serving(reply) as server, wrapping("--url", server.url) as wrapper:
        wrapper.open_session()
        server.wait_for("GET")
        for number in range(20):
            wrapper.ask(call(number))
        assert len(peers) <= 2


@pytest.mark.requirement("W-01")
def test_more_calls_than_files_may_be_open_are_all_answered() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with serving(ordinary) as server:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        with wrapping("--url", server.url) as wrapper:
            resource.prlimit(wrapper.process.pid, resource.RLIMIT_NOFILE, (64, 64))
            wrapper.open_session()
            wrapper.say(*(call(number) for number in range(CALLS)))
            assert sorted(wrapper.hear()["id"] for _ in range(CALLS)) == list(range(CALLS))


def test_a_call_that_was_cancelled_while_toolman_was_away_never_runs() -> None:
    port = ports.free()
    cancel = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}
    with wrapping("--url", f"http://127.0.0.1:{port}/mcp", MCP_WRAPPER_DEBUG="1") as wrapper:
        wrapper.say(call(1), cancel, call(2))
        while "connection refused" not in wrapper.log:
            assert wrapper.process.poll() is None
        with serving(ordinary, port) as server:
            assert wrapper.hear()["id"] == 2
            assert [request.message["id"] for request in server.requests if request.method == "tools/call"] == [2]


class Plain:
    """A call that only wants to be answered."""

    is_settled = is_patient = is_urgent = False

    def __init__(self) -> None:
        self.status = 0
        self.done = False

    def request(self) -> tuple[bytes, bytes]:
        return b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n", b"{}"

    def head(self, response: wire.Response) -> None:
        self.status = response.status

    def data(self, piece: bytes) -> None:
        raise AssertionError(piece)

    def end(self) -> None:
        self.done = True

    def failed(self, reason: str, *, delivered: bool) -> None:
        raise AssertionError(reason, delivered)


def test_connections_that_nobody_needs_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "IDLE_SECONDS", 0.05)
    waiting = Loop()
    with serving(lambda request: request.answer(202)) as server:
        kept = pool.Pool(waiting, Endpoint(server.url), Log(), limit=10, patience=1)
        calls = [Plain() for _ in range(5)]
        for each in calls:
            kept.send(each)

        def look() -> None:
            if server.requests and not server._open:
                waiting.stop()
            else:
                waiting.after(0.01, look)

        waiting.after(0.01, look)
        waiting.after(BOUND, waiting.stop)
        waiting.run()
        assert all(each.done and each.status == 202 for each in calls)
        assert not server._open
        kept.close()
