import pytest
from wrapper_harness import Request, handshake, serving, wrapping

CHANGED = {"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}


@pytest.mark.requirement("W-02")
def test_what_the_server_says_unasked_reaches_the_agent() -> None:
    def reply(request: Request) -> None:
        if request.verb == "GET":
            request.open_stream()
            request.event(CHANGED)
        else:
            handshake(request)

    with serving(reply) as server, wrapping("--url", server.url) as wrapper:
        wrapper.open_session()
        assert wrapper.hear() == CHANGED
        stream = server.wait_for("GET")
        assert stream.header("Accept") == "text/event-stream"
        assert stream.header("Mcp-Session-Id") == "s1"
        assert server.asked()[:2] == ["initialize", "notifications/initialized"]


@pytest.mark.requirement("W-02")
def test_a_stream_that_breaks_is_taken_up_again_after_the_last_event() -> None:
    def reply(request: Request) -> None:
        if request.verb != "GET":
            handshake(request)
        elif request.header("Last-Event-ID") is None:
            request.open_stream()
            request.event(CHANGED, "id: e1\nretry: 1\n")
            request.drop()
        else:
            request.open_stream()
            request.event({**CHANGED, "after": request.header("Last-Event-ID")})

    with serving(reply) as server, wrapping("--url", server.url) as wrapper:
        wrapper.open_session()
        assert wrapper.hear() == CHANGED
        assert wrapper.hear()["after"] == "e1"


def test_a_stream_of_a_forgotten_session_begins_a_new_one_and_says_that_lists_may_differ() -> None:
    def reply(request: Request) -> None:
        if request.verb == "GET" and request.header("Mcp-Session-Id") == "s1":
            request.answer(404)
        elif request.verb == "GET":
            request.open_stream()
        else:
            handshake(request, f"s{server.asked().count('initialize')}")

    with serving(reply) as server, wrapping("--url", server.url) as wrapper:
        wrapper.open_session()
        assert wrapper.hear() == CHANGED
        assert server.wait_for("GET", 2).header("Mcp-Session-Id") == "s2"


def test_answers_on_the_stream_of_notifications_are_dropped() -> None:
    def reply(request: Request) -> None:
        if request.verb == "GET":
            request.open_stream()
            request.event({"jsonrpc": "2.0", "id": 77, "result": {}})
            request.chunk(b"data: not json\n\n")
            request.event(CHANGED)
        else:
            handshake(request)

    with serving(reply) as server, wrapping("--url", server.url) as wrapper:
        wrapper.open_session()
        assert wrapper.hear() == CHANGED
