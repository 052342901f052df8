from typing import Any

import pytest
from wrapper_harness import INITIALIZE, Request, Wrapper, call, handshake, serving, wrapping

URI = "file:///\u00fc"
UPDATED = {"jsonrpc": "2.0", "method": "notifications/resources/updated", "params": {"uri": URI}}


def level(identity: int, value: str) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": identity, "method": "logging/setLevel", "params": {"level": value}}


def subscribe(identity: int, uri: str, verb: str = "subscribe") -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": identity, "method": f"resources/{verb}", "params": {"uri": uri}}


class Forgetful:
    """Knows the session ``now`` alone; in later ones, refuses what ``refused`` names."""

    def __init__(self) -> None:
        self.now = "first"
        self.refused: set[str] = set()
        self.said: dict[str, list[str]] = {}

    def __call__(self, request: Request) -> None:
        session = request.header("Mcp-Session-Id")
        if request.verb == "GET":
            request.answer(405)
        elif request.method != "initialize" and session != self.now:
            request.answer(404)
        elif handshake(request, self.now):
            return
        else:
            self.said.setdefault(self.now, []).append(request.method)
            if request.method in self.refused and self.now != "first":
                request.answer(
                    200, b'{"jsonrpc":"2.0","id":%d,"error":{"code":-32602,"message":"gone"}}' % request.message["id"]
                )
            else:
                request.result({"session": self.now})


def answer_of(wrapper: Wrapper, identity: int) -> tuple[dict[str, Any], list[str]]:
    """Wait for an answer; give what was said before it, too."""
    before = []
    while (message := wrapper.hear()).get("id") != identity:
        before.append(message["method"])
    return message, before


@pytest.mark.requirement("W-04")
def test_log_level_and_subscriptions_are_there_again_before_the_first_call_in_a_new_session() -> None:
    reply = Forgetful()
    with serving(reply) as server, wrapping("--url", server.url) as wrapper:
        wrapper.open_session()
        for message in (level(1, "error"), level(2, "debug"), subscribe(3, URI), subscribe(4, "a:gone")):
            assert "result" in wrapper.ask(message)
        wrapper.ask(subscribe(5, "a:gone", "unsubscribe"))
        reply.now = "second"
        wrapper.say(call(6))
        answer, before = answer_of(wrapper, 6)
        assert answer["result"] == {"session": "second"}
        assert sorted(before) == ["notifications/resources/updated", "notifications/tools/list_changed"]
        assert sorted(reply.said["second"][:2]) == ["logging/setLevel", "resources/subscribe"]
        assert reply.said["second"][2:] == ["tools/call"]
        assert server.wait_for("logging/setLevel", 3).message == level(2, "debug")
        assert server.wait_for("resources/subscribe", 3).message == subscribe(3, URI)


@pytest.mark.requirement("W-04")
def test_what_a_new_session_refuses_is_in_the_log_and_the_calls_go_on() -> None:
    reply = Forgetful()
    reply.refused = {"resources/subscribe"}
    with serving(reply) as server, wrapping("--url", server.url) as wrapper:
        wrapper.open_session()
        wrapper.ask(subscribe(1, URI))
        reply.now = "second"
        wrapper.say(call(2))
        assert answer_of(wrapper, 2)[0]["result"] == {"session": "second"}
        wrapper.end()
        assert "resources/subscribe 1" in wrapper.log


def test_what_failed_in_the_first_session_is_not_asked_for_again() -> None:
    reply = Forgetful()

    def failing(request: Request) -> None:
        if request.method == "logging/setLevel":
            request.answer(200, b'{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"no"}}')
        else:
            reply(request)

    with serving(failing) as server, wrapping("--url", server.url) as wrapper:
        wrapper.open_session()
        wrapper.ask(level(1, "nonsense"))
        reply.now = "second"
        wrapper.say(call(2))
        answer_of(wrapper, 2)
        assert server.asked().count("logging/setLevel") == 1


def test_a_session_that_the_agent_begins_anew_inherits_nothing() -> None:
    reply = Forgetful()
    with serving(reply) as server, wrapping("--url", server.url) as wrapper:
        wrapper.open_session()
        wrapper.ask(level(1, "debug"))
        wrapper.ask({**INITIALIZE, "id": 2})
        reply.now = "second"
        wrapper.say(call(3))
        answer_of(wrapper, 3)
        assert server.asked().count("logging/setLevel") == 1


@pytest.mark.requirement("W-04")
def test_a_new_session_that_is_gone_at_once_is_an_error_for_the_call() -> None:
    reply = Forgetful()

    def worse(request: Request) -> None:
        if request.method == "logging/setLevel" and reply.now == "second":
            request.answer(404)
        else:
            reply(request)

    with serving(worse) as server, wrapping("--url", server.url) as wrapper:
        wrapper.open_session()
        wrapper.ask(level(1, "debug"))
        reply.now = "second"
        wrapper.say(call(2))
        assert "a new one failed" in answer_of(wrapper, 2)[0]["error"]["message"]
