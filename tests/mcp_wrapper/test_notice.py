import pytest
from wrapper_harness import Request, handshake, serving, wrapping

NEWS = {"jsonrpc": "2.0", "method": "notifications/roots/list_changed"}


@pytest.mark.requirement("W-01")
def test_a_notification_gets_no_answer_even_if_it_is_refused() -> None:
    def reply(request: Request) -> None:
        if request.method == NEWS["method"]:
            request.answer(400, b'{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"no"}}')
        else:
            handshake(request)

    with serving(reply) as server, wrapping("--url", server.url) as wrapper:
        wrapper.open_session()
        wrapper.say(NEWS)
        server.wait_for(NEWS["method"])
        assert wrapper.end() == []
        assert "refused with HTTP 400" in wrapper.log


def test_a_notification_is_said_again_in_a_new_session_and_an_old_answer_is_not() -> None:
    def reply(request: Request) -> None:
        forgotten = request.header("Mcp-Session-Id") == "s1" and request.method in {NEWS["method"], "answer"}
        if forgotten:
            request.answer(404)
        else:
            handshake(request, f"s{max(1, server.asked().count('initialize'))}")

    with serving(reply) as server, wrapping("--url", server.url) as wrapper:
        wrapper.open_session()
        server.wait_for("GET")
        wrapper.say({"jsonrpc": "2.0", "id": 9, "result": {}})
        server.wait_for("notifications/initialized", 2)
        wrapper.say(NEWS)
        server.wait_for(NEWS["method"])
        wrapper.end()
        assert server.asked().count("answer") == 1


@pytest.mark.requirement("W-02")
def test_the_session_is_closed_at_the_server_when_the_agent_leaves() -> None:
    with serving(handshake) as server, wrapping("--url", server.url) as wrapper:
        wrapper.open_session()
        wrapper.end()
        assert server.wait_for("DELETE").header("Mcp-Session-Id") == "s1"
        assert wrapper.process.returncode == 0
