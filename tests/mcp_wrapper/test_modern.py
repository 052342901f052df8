import json

import pytest
from wrapper_harness import INITIALIZE, MODERN, Request, call, handshake, modern, serving, wrapping

from mcp_wrapper import jsonrpc

DISCOVER = modern("server-discover-probe-1", "server/discover")
CANCEL = "notifications/cancelled"


def ordinary(request: Request) -> None:
    if not handshake(request):
        request.result({"resultType": "complete"})


@pytest.mark.requirement("W-03")
def test_a_modern_request_stands_alone_with_its_headers() -> None:
    with serving(ordinary) as server, wrapping("--url", server.url) as wrapper:
        wrapper.open_session()
        assert wrapper.ask(DISCOVER)["id"] == "server-discover-probe-1"
        wrapper.ask(modern(1, "tools/call", name="w"))
        for method, name in (("server/discover", None), ("tools/call", "w")):
            asked = server.wait_for(method)
            assert asked.header("MCP-Protocol-Version") == "2026-07-28"
            assert (asked.header("Mcp-Method"), asked.header("Mcp-Name")) == (method, name)
            assert asked.header("Mcp-Session-Id") is None
            assert asked.message["params"]["_meta"] == MODERN


@pytest.mark.requirement("W-03")
def test_a_modern_agent_causes_no_handshake_no_stream_and_no_farewell() -> None:
    with serving(ordinary) as server, wrapping("--url", server.url) as wrapper:
        wrapper.ask(DISCOVER)
        wrapper.end()
        assert server.asked() == ["server/discover"]


@pytest.mark.requirement("W-03")
@pytest.mark.parametrize(
    ("status", "body"),
    [(404, b'{"jsonrpc":"2.0","id":null,"error":{"code":-32601,"message":"no"}}'), (400, b"no session"), (405, b"")],
)
def test_a_probe_that_a_legacy_server_refuses_becomes_an_error_after_which_the_handshake_works(
    status: int, body: bytes
) -> None:
    def reply(request: Request) -> None:
        if request.method == "server/discover":
            request.answer(status, body, "application/json" if body[:1] == b"{" else "text/plain")
        else:
            ordinary(request)

    with serving(reply) as server, wrapping("--url", server.url) as wrapper:
        answer = wrapper.ask(DISCOVER)
        assert answer["id"] == "server-discover-probe-1"
        assert answer["error"]["code"] not in {-32022, None}
        assert "result" in wrapper.open_session()
        assert "result" in wrapper.ask(call(1))


@pytest.mark.requirement("W-03")
@pytest.mark.parametrize(
    ("status", "code"), [(400, -32022), (400, -32021), (404, -32601), (400, -32602), (200, -32603)]
)
def test_an_error_of_any_status_becomes_that_error_with_its_data(status: int, code: int) -> None:
    error = {"code": code, "message": "m", "data": {"supported": ["2026-07-28"], "n": 2**70}}

    def reply(request: Request) -> None:
        request.answer(status, json.dumps({"jsonrpc": "2.0", "id": None, "error": error}).encode())

    with serving(reply) as server, wrapping("--url", server.url) as wrapper:
        assert wrapper.ask(DISCOVER) == {"jsonrpc": "2.0", "id": "server-discover-probe-1", "error": error}


@pytest.mark.requirement("W-03")
def test_cancelling_closes_the_request_and_sends_nothing() -> None:
    held: list[Request] = []

    def reply(request: Request) -> None:
        if request.method == "tools/call":
            held.append(request)
            assert request.sock.recv(1) == b""
            held.append(request)
        else:
            request.result({})

    with serving(reply) as server, wrapping("--url", server.url) as wrapper:
        wrapper.say(modern(1, "tools/call", name="slow"))
        server.wait_for("tools/call")
        wrapper.say({"jsonrpc": "2.0", "method": CANCEL, "params": {"requestId": 1, "_meta": MODERN}})
        assert wrapper.ask(modern(1, "tools/list"))["result"] == {}
        wrapper.say({"jsonrpc": "2.0", "method": CANCEL, "params": {"requestId": 1}})
        assert wrapper.end() == []
        assert server.asked() == ["tools/call", "tools/list"]
    assert len(held) == 2


@pytest.mark.requirement("W-03")
def test_silence_closes_the_request() -> None:
    def reply(request: Request) -> None:
        assert request.sock.recv(1) == b""

    with serving(reply) as server, wrapping("--url", server.url, "--timeout", "0.2") as wrapper:
        assert "silence" in wrapper.ask(modern(1, "tools/call", name="slow"))["error"]["message"]
        wrapper.end()
        assert server.asked() == ["tools/call"]


@pytest.mark.requirement("W-04")
@pytest.mark.parametrize(
    ("message", "times"),
    [
        (modern(1, "tools/call", name="x"), 1),
        (modern(1, "vendor/method"), 1),
        (modern(1, "tasks/update", taskId="t"), 1),
        (modern(1, "resources/read", uri="a:b", requestState="s", inputResponses={}), 1),
        (modern(1, "resources/read", uri="a:b"), 3),
        (modern(1, "tools/list"), 3),
    ],
)
def test_what_may_have_run_is_not_run_again_unless_it_only_reads(message: dict[str, object], times: int) -> None:
    with serving(Request.drop) as server, wrapping("--url", server.url) as wrapper:
        answer = wrapper.ask(message)
        assert answer["error"]["code"] == jsonrpc.BRIDGE_ERROR
        assert "may have been carried out" in answer["error"]["message"]
        assert len(server.requests) == times


def test_modern_requests_do_not_wait_for_a_handshake() -> None:
    def reply(request: Request) -> None:
        if request.method != "initialize":
            request.result({})

    with serving(reply) as server, wrapping("--url", server.url) as wrapper:
        wrapper.say(INITIALIZE)
        server.wait_for("initialize")
        assert wrapper.ask(modern(1, "tools/list"))["result"] == {}


def test_a_modern_notification_carries_its_headers() -> None:
    with serving(handshake) as server, wrapping("--url", server.url) as wrapper:
        wrapper.say({"jsonrpc": "2.0", "method": "notifications/x", "params": {"_meta": MODERN}})
        asked = server.wait_for("notifications/x")
        assert (asked.header("Mcp-Method"), asked.header("MCP-Protocol-Version")) == ("notifications/x", "2026-07-28")


@pytest.mark.requirement("W-03")
def test_notifications_on_a_requests_stream_come_before_its_answer() -> None:
    progress = {"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": 0, "progress": 1}}

    def reply(request: Request) -> None:
        request.open_stream()
        for _ in range(5):
            request.event(progress)
        request.event({"jsonrpc": "2.0", "id": 1, "result": {"resultType": "input_required", "requestState": "\u00fc"}})
        request.end_stream()

    with serving(reply) as server, wrapping("--url", server.url) as wrapper:
        wrapper.say(modern(1, "tools/call", name="x"))
        assert [wrapper.hear() for _ in range(5)] == [progress] * 5
        assert wrapper.hear()["result"] == {"resultType": "input_required", "requestState": "\u00fc"}
