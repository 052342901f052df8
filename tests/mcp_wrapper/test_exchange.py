import json

import pytest
from wrapper_harness import Request, call, handshake, serving, wrapping

from mcp_wrapper import jsonrpc

LIST = {"jsonrpc": "2.0", "id": "l", "method": "tools/list"}


@pytest.mark.requirement("W-01")
@pytest.mark.parametrize("identity", [1, "1", 2**70, '\u00fc \U0001f600 "q"'])
def test_an_answer_has_the_id_that_was_asked_with_type_and_all(identity: object) -> None:
    def reply(request: Request) -> None:
        if not handshake(request):
            request.result({})

    with serving(reply) as server, wrapping("--url", server.url) as wrapper:
        wrapper.open_session()
        assert wrapper.ask(call(identity))["id"] == identity


def test_bytes_travel_as_they_are_in_both_directions() -> None:
    asked = b'{ "id":7,"x":1e400,\t"method":"x/y","params":{"a":12345678901234567890,"t":"\xe2\x80\xa8\\u0041"}}'
    answered = b'{"x-more": [1.10,  9007199254740993],"id":7,"jsonrpc":"2.0","result":{"z":1,"a":"\xe2\x80\xa8"}}'

    def reply(request: Request) -> None:
        if not handshake(request):
            request.answer(200, answered.replace(b",  ", b",\r\n"))

    with serving(reply) as server, wrapping("--url", server.url) as wrapper:
        wrapper.open_session()
        wrapper.say(asked)
        assert wrapper.line() == answered + b"\n"
        assert server.wait_for("x/y").body == asked


@pytest.mark.requirement("W-01")
def test_a_slow_call_delays_nobody_and_answers_come_in_any_order() -> None:
    slow: list[Request] = []

    def reply(request: Request) -> None:
        if handshake(request):
            return
        slow.append(request)
        if len(slow) > 1:
            request.result({})

    with serving(reply) as server, wrapping("--url", server.url) as wrapper:
        wrapper.open_session()
        wrapper.say(call("slow"))
        server.wait_for("tools/call")
        wrapper.say(*(call(number) for number in range(200)))
        assert sorted(wrapper.hear()["id"] for _ in range(200)) == list(range(200))
        slow[0].result({})
        assert wrapper.hear()["id"] == "slow"


@pytest.mark.requirement("W-02")
def test_progress_and_requests_on_a_calls_stream_reach_the_agent_before_the_answer() -> None:
    def reply(request: Request) -> None:
        if handshake(request):
            return
        request.open_stream()
        request.event({"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progress": 1}})
        request.event({"jsonrpc": "2.0", "id": "s", "method": "elicitation/create", "params": {}})
        server.wait_for("answer")
        request.event({"jsonrpc": "2.0", "id": request.message["id"], "result": {"done": True}})
        request.end_stream()

    with serving(reply) as server, wrapping("--url", server.url) as wrapper:
        wrapper.open_session()
        wrapper.say(call(1))
        assert wrapper.hear()["method"] == "notifications/progress"
        assert wrapper.hear()["id"] == "s"
        wrapper.say({"jsonrpc": "2.0", "id": "s", "result": {"action": "accept"}})
        assert wrapper.hear() == {"jsonrpc": "2.0", "id": 1, "result": {"done": True}}
        assert server.wait_for("answer").message["result"] == {"action": "accept"}


@pytest.mark.requirement("W-04")
@pytest.mark.parametrize("drop", [True, False])
def test_a_call_that_may_have_run_is_not_run_twice_but_answered_with_an_error(drop: bool) -> None:  # noqa: FBT001 - a table
    def reply(request: Request) -> None:
        if handshake(request):
            return
        if drop:
            request.drop()
        else:
            request.open_stream()
            request.end_stream()

    with serving(reply) as server, wrapping("--url", server.url) as wrapper:
        wrapper.open_session()
        error = wrapper.ask(call(1))["error"]
        assert error["code"] == jsonrpc.BRIDGE_ERROR
        assert "may have been carried out" in error["message"]
        assert wrapper.ask({"jsonrpc": "2.0", "id": 2, "method": "ping"}) is not None
        assert server.asked().count("tools/call") == 1


def test_a_request_that_only_reads_is_sent_again_when_its_connection_breaks() -> None:
    def reply(request: Request) -> None:
        if handshake(request):
            return
        if server.asked().count("tools/list") == 1:
            request.drop()
        else:
            request.result({"tools": []})

    with serving(reply) as server, wrapping("--url", server.url) as wrapper:
        wrapper.open_session()
        assert wrapper.ask(LIST)["result"] == {"tools": []}


@pytest.mark.parametrize(
    ("status", "identity"), [(400, "null"), (400, '"l"'), (404, '"l"'), (500, "null"), (200, '"l"'), (200, "null")]
)
def test_a_json_rpc_error_keeps_its_code_whatever_the_status(status: int, identity: str) -> None:
    body = f'{{"jsonrpc":"2.0","id":{identity},"error":{{"code":-32601,"message":"m","data":{{"d":1}}}}}}'

    def reply(request: Request) -> None:
        if not handshake(request):
            request.answer(status, body.encode())

    with serving(reply) as server, wrapping("--url", server.url) as wrapper:
        wrapper.open_session()
        assert wrapper.ask(LIST) == {**json.loads(body), "id": "l"}


@pytest.mark.parametrize(
    ("status", "body", "kind", "said"),
    [
        (401, b"who are\x1b you?", "text/plain", "HTTP 401: who are\\x1b you?"),
        (403, b"<html>", "text/html", "HTTP 403"),
        (502, b"", "application/json", "HTTP 502"),
        (200, b"<html>", "text/html", "Is this the URL of an MCP server?"),
        (200, b"{", "application/json", "JSON-RPC"),
        (200, b'{"jsonrpc":"2.0","id":"other","result":{}}', "application/json", "JSON-RPC"),
        (202, b"", "application/json", "HTTP 202"),
    ],
)
def test_an_answer_that_is_none_becomes_an_error_that_says_what_came(
    status: int, body: bytes, kind: str, said: str
) -> None:
    def reply(request: Request) -> None:
        if not handshake(request):
            request.answer(status, body, kind)

    with serving(reply) as server, wrapping("--url", server.url) as wrapper:
        wrapper.open_session()
        answer = wrapper.ask(LIST)
        assert answer["id"] == "l"
        assert answer["error"]["code"] == jsonrpc.BRIDGE_ERROR
        assert said in answer["error"]["message"]


@pytest.mark.requirement("W-05")
def test_silence_ends_a_call_with_an_error_and_the_server_hears_of_it() -> None:
    def reply(request: Request) -> None:
        handshake(request)

    with serving(reply) as server, wrapping("--url", server.url, MCP_WRAPPER_TIMEOUT="0.2") as wrapper:
        wrapper.open_session()
        assert "silence" in wrapper.ask(call("c"))["error"]["message"]
        assert server.wait_for("notifications/cancelled").message["params"]["requestId"] == "c"


def test_a_cancelled_call_gets_no_answer_and_its_id_can_be_used_again() -> None:
    def reply(request: Request) -> None:
        if not handshake(request) and request.message["params"]["name"] == "quick":
            request.result({})

    with serving(reply) as server, wrapping("--url", server.url) as wrapper:
        wrapper.open_session()
        wrapper.say(call(1, "slow"))
        server.wait_for("tools/call")
        wrapper.say({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}})
        assert wrapper.ask(call(1, "quick"))["result"] == {}
        assert server.wait_for("notifications/cancelled").message["params"] == {"requestId": 1}
        assert wrapper.end() == []


@pytest.mark.parametrize("megabytes", [1, 20])
def test_large_messages_pass_in_both_directions(megabytes: int) -> None:
    size = megabytes << 20

    def reply(request: Request) -> None:
        if not handshake(request):
            request.result({"got": len(request.body), "text": "x" * size})

    with serving(reply) as server, wrapping("--url", server.url) as wrapper:
        wrapper.open_session()
        result = wrapper.ask(call(1, text="y" * size))["result"]
        assert result["got"] > size
        assert len(result["text"]) == size


def test_a_refusal_before_the_whole_body_was_read_is_heard() -> None:
    def reply(request: Request) -> None:
        request.answer(413, b'{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"too large"}}')

    with serving(reply) as server, wrapping("--url", server.url) as wrapper:
        assert wrapper.ask(call(1, text="y" * (8 << 20)))["error"]["message"] == "too large"
