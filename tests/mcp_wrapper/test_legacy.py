import pytest
from wrapper_harness import INITIALIZE, INITIALIZED, Request, call, handshake, serving, wrapping

from mcp_wrapper import jsonrpc

LIST = {"jsonrpc": "2.0", "id": "l", "method": "tools/list"}


@pytest.mark.requirement("W-02")
def test_a_stream_that_ends_early_is_resumed_after_the_last_event() -> None:
    def reply(request: Request) -> None:
        if request.header("Last-Event-ID") == "e1":
            request.open_stream()
            request.event({"jsonrpc": "2.0", "id": 1, "result": {"resumed": True}})
            request.end_stream()
        elif not handshake(request):
            request.open_stream()
            request.chunk(b"id: e1\nretry: 10\ndata:\n\n")
            request.end_stream()

    with serving(reply) as server, wrapping("--url", server.url) as wrapper:
        wrapper.open_session()
        assert wrapper.ask(call(1))["result"] == {"resumed": True}
        wrapper.end()
        assert wrapper.log == "", "an event without data is no message, and nothing to talk about"


@pytest.mark.requirement("W-04")
def test_a_call_whose_stream_broke_and_cannot_be_resumed_may_have_run() -> None:
    def reply(request: Request) -> None:
        if request.header("Last-Event-ID"):
            request.answer(400)
        elif not handshake(request):
            request.open_stream()
            request.chunk(b"id: e1\nretry: 1\ndata:\n\n")
            request.drop()

    with serving(reply) as server, wrapping("--url", server.url) as wrapper:
        wrapper.open_session()
        assert "HTTP 400" in wrapper.ask(call(1))["error"]["message"]
        assert server.asked().count("tools/call") == 1


@pytest.mark.requirement("W-04")
def test_a_call_whose_stream_broke_when_toolman_went_away_for_good_may_have_run() -> None:
    def reply(request: Request) -> None:
        if not handshake(request):
            request.open_stream()
            request.chunk(b"id: e1\nretry: 1\ndata:\n\n")

    with serving(reply) as server, wrapping("--url", server.url, MCP_WRAPPER_CONNECT_TIMEOUT="0.1") as wrapper:
        wrapper.open_session()
        wrapper.say(call(1))
        server.wait_for("tools/call")
        server.close()
        error = wrapper.hear()["error"]
        assert error["code"] == jsonrpc.BRIDGE_ERROR
        assert "may have been carried out" in error["message"]


def test_an_initialize_is_not_cancelled_since_everything_waits_for_it() -> None:
    held: list[Request] = []

    def reply(request: Request) -> None:
        if request.method == "initialize" and not held:
            held.append(request)
        elif not handshake(request):
            request.result({})

    with serving(reply) as server, wrapping("--url", server.url) as wrapper:
        wrapper.say(INITIALIZE)
        server.wait_for("initialize")
        wrapper.say({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 0}})
        wrapper.say(INITIALIZED, LIST)
        handshake(held[0])
        assert [wrapper.hear()["id"], wrapper.hear()["id"]] == [0, "l"]
        assert "notifications/cancelled" not in server.asked()


def test_an_initialize_that_is_not_answered_in_time_makes_room_for_another() -> None:
    def reply(request: Request) -> None:
        if len(server.requests) > 1:
            handshake(request)

    with serving(reply) as server, wrapping("--url", server.url, "--timeout", "0.2") as wrapper:
        assert "silence" in wrapper.ask(INITIALIZE)["error"]["message"]
        assert "result" in wrapper.ask(INITIALIZE)
        assert server.asked() == ["initialize", "initialize"]
