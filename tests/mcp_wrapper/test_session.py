import ports
import pytest
from wrapper_harness import INITIALIZE, INITIALIZED, Request, call, handshake, serving, wrapping

from mcp_wrapper import jsonrpc

LIST = {"jsonrpc": "2.0", "id": "l", "method": "tools/list"}
RESTORED = "notifications/tools/list_changed"


def ordinary(request: Request) -> None:
    if not handshake(request):
        request.result({"n": request.message["id"]})


@pytest.mark.requirement("W-02")
def test_requests_carry_the_session_and_the_negotiated_version_and_initialize_neither() -> None:
    with serving(ordinary) as server, wrapping("--url", server.url) as wrapper:
        wrapper.open_session()
        wrapper.ask(LIST)
        first, *others = server.requests
        assert (first.header("Mcp-Session-Id"), first.header("MCP-Protocol-Version")) == (None, None)
        for request in others:
            assert (request.header("Mcp-Session-Id"), request.header("MCP-Protocol-Version")) == ("s1", "2025-06-18")
            assert "text/event-stream" in (request.header("Accept") or "")


def test_what_is_said_before_the_handshake_is_over_waits_in_its_order() -> None:
    with serving(ordinary) as server, wrapping("--url", server.url) as wrapper:
        wrapper.say(INITIALIZE, INITIALIZED, LIST, call(1))
        first, *_ = [wrapper.hear()["id"] for _ in range(3)]
        assert first == 0
        asked = [method for method in server.asked() if method != "GET"]
        assert asked[:2] == ["initialize", "notifications/initialized"]
        assert sorted(asked[2:]) == ["tools/call", "tools/list"]


class Restarted:
    """A server that knows the session ``now`` alone."""

    def __init__(self) -> None:
        self.now = "first"

    def __call__(self, request: Request) -> None:
        known = request.method == "initialize" or request.header("Mcp-Session-Id") == self.now
        if request.verb == "GET":
            request.answer(405)
        elif not known:
            request.answer(404, b'{"jsonrpc":"2.0","id":null,"error":{"code":-32001,"message":"Session not found"}}')
        elif not handshake(request, self.now):
            request.result({"session": self.now})


@pytest.mark.requirement("W-04")
def test_a_forgotten_session_is_begun_again_and_the_call_goes_on() -> None:
    reply = Restarted()
    with serving(reply) as server, wrapping("--url", server.url) as wrapper:
        wrapper.open_session()
        assert wrapper.ask(call(1))["result"] == {"session": "first"}
        reply.now = "second"
        wrapper.say(call(2))
        heard = [wrapper.hear(), wrapper.hear()]
        assert [message["result"] for message in heard if "id" in message] == [{"session": "second"}]
        assert [message["method"] for message in heard if "id" not in message] == [RESTORED]
        assert server.wait_for("initialize", 2).body == server.requests[0].body
        assert server.wait_for("notifications/initialized", 2).header("Mcp-Session-Id") == "second"


def test_many_calls_that_find_the_session_gone_begin_one_new_one() -> None:
    reply = Restarted()
    with serving(reply) as server, wrapping("--url", server.url) as wrapper:
        wrapper.open_session()
        wrapper.ask(LIST)
        reply.now = "second"
        wrapper.say(*(call(number) for number in range(50)))
        answered = [message for message in (wrapper.hear() for _ in range(51)) if "id" in message]
        assert [message["result"] for message in answered] == [{"session": "second"}] * 50
        assert server.asked().count("initialize") == 2


@pytest.mark.requirement("W-04")
def test_a_server_that_forgets_every_session_is_not_asked_for_ever() -> None:
    def reply(request: Request) -> None:
        if request.method == "tools/call":
            request.answer(404)
        else:
            handshake(request)

    with serving(reply) as server, wrapping("--url", server.url) as wrapper:
        wrapper.open_session()
        wrapper.say(call(1))
        heard = wrapper.hear()
        while "id" not in heard:
            heard = wrapper.hear()
        assert heard["error"]["code"] == jsonrpc.BRIDGE_ERROR
        assert server.asked().count("initialize") < 5


@pytest.mark.requirement("W-04")
def test_a_restarted_toolman_is_not_noticed() -> None:
    port = ports.free()
    reply = Restarted()
    with wrapping("--url", f"http://127.0.0.1:{port}/mcp") as wrapper:
        with serving(reply, port):
            wrapper.open_session()
            wrapper.ask(call(1))
        reply.now = "second"
        wrapper.say(call(2), call(3))
        with serving(reply, port):
            answers = [message for message in (wrapper.hear() for _ in range(3)) if "id" in message]
            assert [message["result"] for message in answers] == [{"session": "second"}] * 2


def test_a_new_session_that_is_refused_is_an_error_for_the_call_that_needed_it() -> None:
    refused = b'{"jsonrpc":"2.0","id":0,"error":{"code":-32603,"message":"no"}}'

    def reply(request: Request) -> None:
        if request.method == "tools/call":
            request.answer(404)
        elif request.method == "initialize" and server.asked().count("initialize") > 1:
            request.answer(200, refused)
        else:
            handshake(request)

    with serving(reply) as server, wrapping("--url", server.url) as wrapper:
        wrapper.open_session()
        assert "a new one failed" in wrapper.ask(call(1))["error"]["message"]


def test_a_failed_initialize_answers_what_waited_for_it() -> None:
    def reply(request: Request) -> None:
        request.answer(200, b'{"jsonrpc":"2.0","id":0,"error":{"code":-32602,"message":"version"}}')

    with serving(reply) as server, wrapping("--url", server.url) as wrapper:
        wrapper.say(INITIALIZE, LIST)
        assert wrapper.hear()["error"]["message"] == "version"
        assert wrapper.hear()["id"] == "l"


@pytest.mark.parametrize("version", ["2025\\r\\nX-Evil: 1", "", 5])
def test_a_version_that_is_no_version_never_becomes_a_header(version: object) -> None:
    text = f'"{version}"' if isinstance(version, str) else str(version)

    def reply(request: Request) -> None:
        if request.method == "initialize":
            request.answer(200, b'{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":%b}}' % text.encode())
        else:
            ordinary(request)

    with serving(reply) as server, wrapping("--url", server.url) as wrapper:
        wrapper.open_session()
        wrapper.ask(LIST)
        assert server.wait_for("tools/list").header("MCP-Protocol-Version") is None


@pytest.mark.parametrize("identity", ["a\nX-Evil: 1", "two words", "\x01", "\u00fc"])
def test_a_session_whose_name_is_not_visible_ascii_is_not_named(identity: str) -> None:
    def reply(request: Request) -> None:
        if request.method == "initialize":
            body = b'{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-06-18"}}'
            head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n" % len(body)
            request.raw(head + b"Mcp-Session-Id: %b\r\n\r\n%b" % (identity.encode(), body))
        else:
            ordinary(request)

    with serving(reply) as server, wrapping("--url", server.url) as wrapper:
        wrapper.open_session()
        wrapper.ask(LIST)
        asked = server.wait_for("tools/list")
        assert (asked.header("Mcp-Session-Id"), asked.header("X-Evil")) == (None, None)
