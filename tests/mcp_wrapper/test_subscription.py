import json

import ports
import pytest
from wrapper_harness import Request, modern, serving, wrapping

ASKED = {"toolsListChanged": True, "promptsListChanged": False, "resourceSubscriptions": ["a:\u00e9"]}
LISTEN = modern("listen:0", "subscriptions/listen", notifications=ASKED)
META = {"io.modelcontextprotocol/subscriptionId": "listen:0"}
ACKNOWLEDGED = {
    "jsonrpc": "2.0",
    "method": "notifications/subscriptions/acknowledged",
    "params": {"notifications": ASKED, "_meta": META},
}
ENDED = {"jsonrpc": "2.0", "id": "listen:0", "result": {"resultType": "complete", "_meta": META}}
CHANGED = {"jsonrpc": "2.0", "method": "notifications/tools/list_changed", "params": {"_meta": META}}
UPDATED = {"jsonrpc": "2.0", "method": "notifications/resources/updated", "params": {"uri": "a:\u00e9", "_meta": META}}


def listening(request: Request) -> None:
    if request.method == "subscriptions/listen":
        request.open_stream()
        request.event(ACKNOWLEDGED)
    else:
        request.result({})


@pytest.mark.requirement("W-03")
def test_a_subscription_stays_open_however_long_nothing_is_said() -> None:
    with serving(listening) as server, wrapping("--url", server.url, "--timeout", "0.1") as wrapper:
        wrapper.say(LISTEN)
        assert wrapper.hear() == ACKNOWLEDGED
        for number in range(20):
            assert wrapper.ask(modern(number, "tools/list"))["result"] == {}
        listen = server.wait_for("subscriptions/listen")
        listen.event(CHANGED)
        assert wrapper.hear() == CHANGED


@pytest.mark.requirement("W-04")
def test_a_subscription_outlives_a_restart_and_the_agent_is_told_to_look_again() -> None:
    port = ports.free()
    with wrapping("--url", f"http://127.0.0.1:{port}/mcp", "--debug") as wrapper:
        with serving(listening, port):
            wrapper.say(LISTEN)
            assert wrapper.hear() == ACKNOWLEDGED
        with serving(listening, port) as server:
            assert [wrapper.hear(), wrapper.hear()] == [CHANGED, UPDATED]
            again = server.wait_for("subscriptions/listen")
            assert again.message == LISTEN
            again.event(CHANGED)
            assert wrapper.hear() == CHANGED


@pytest.mark.requirement("W-04")
def test_a_server_that_ends_a_subscription_in_order_is_listened_to_again() -> None:
    def reply(request: Request) -> None:
        request.open_stream()
        request.event(ACKNOWLEDGED)
        if len(server.requests) == 1:
            request.event(ENDED)

    with serving(reply) as server, wrapping("--url", server.url) as wrapper:
        wrapper.say(LISTEN)
        assert [wrapper.hear() for _ in range(3)] == [ACKNOWLEDGED, CHANGED, UPDATED]
        server.wait_for("subscriptions/listen", 2).event(CHANGED)
        assert wrapper.hear() == CHANGED


@pytest.mark.requirement("W-03")
def test_a_server_that_ends_a_subscription_again_and_again_is_believed() -> None:
    def reply(request: Request) -> None:
        if len(server.requests) == 2:
            request.answer(200, json.dumps(ENDED).encode())
            return
        request.open_stream()
        request.event(ACKNOWLEDGED)
        request.event(ENDED)
        request.end_stream()

    with serving(reply) as server, wrapping("--url", server.url) as wrapper:
        assert wrapper.ask(LISTEN) == ENDED
        assert len(server.requests) == 4


def test_a_server_that_honours_less_after_its_restart_is_heard() -> None:
    less = {**ACKNOWLEDGED, "params": {"notifications": {}, "_meta": META}}

    def reply(request: Request) -> None:
        request.open_stream()
        if len(server.requests) == 1:
            request.event(ACKNOWLEDGED)
            request.drop()
        else:
            request.event(less)

    with serving(reply) as server, wrapping("--url", server.url) as wrapper:
        wrapper.say(LISTEN)
        assert [wrapper.hear(), wrapper.hear()] == [ACKNOWLEDGED, less]


@pytest.mark.requirement("W-03")
def test_a_server_that_does_not_take_the_subscription_up_again_ends_it() -> None:
    def reply(request: Request) -> None:
        if len(server.requests) == 1:
            request.open_stream()
            request.event(ACKNOWLEDGED)
            request.end_stream()
        elif len(server.requests) == 2:
            request.answer(502, b"<html>", "text/html")
            request.closed = True
        else:
            request.answer(404, b'{"jsonrpc":"2.0","id":null,"error":{"code":-32601,"message":"no"}}')

    with serving(reply) as server, wrapping("--url", server.url) as wrapper:
        wrapper.say(LISTEN)
        assert wrapper.hear() == ACKNOWLEDGED
        ended = wrapper.hear()
        assert (ended["id"], ended["error"]["code"]) == ("listen:0", -32601)


def test_a_subscription_that_never_begins_is_an_error() -> None:
    with serving(Request.drop) as server, wrapping("--url", server.url) as wrapper:
        assert "lost" in wrapper.ask(LISTEN)["error"]["message"]
        assert len(server.requests) == 3


@pytest.mark.requirement("W-03")
def test_cancelling_a_subscription_closes_it_for_good() -> None:
    def reply(request: Request) -> None:
        listening(request)
        if request.method == "subscriptions/listen":
            assert request.sock.recv(1) == b""

    with serving(reply) as server, wrapping("--url", server.url) as wrapper:
        wrapper.say(LISTEN)
        wrapper.hear()
        wrapper.say({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": "listen:0"}})
        wrapper.ask(modern(1, "tools/list"))
        assert wrapper.end() == []
        assert server.asked() == ["subscriptions/listen", "tools/list"]


@pytest.mark.requirement("W-06")
def test_a_subscription_does_not_keep_the_process_when_stdin_ended() -> None:
    held: list[Request] = []

    def reply(request: Request) -> None:
        if request.method == "tools/call":
            held.append(request)
        else:
            listening(request)

    with serving(reply) as server, wrapping("--url", server.url) as wrapper:
        wrapper.say(LISTEN, modern(1, "tools/call", name="x"))
        wrapper.hear()
        server.wait_for("tools/call")
        wrapper.stdin.close()
        held[0].result({})
        answers = {message["id"]: message for message in wrapper.end()}
        assert answers[1]["result"] == {}
        assert answers["listen:0"]["error"]["code"] == -32000
