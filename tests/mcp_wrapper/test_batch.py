import json
from typing import Any

import pytest
from wrapper_harness import INITIALIZE, INITIALIZED, Request, Wrapper, call, handshake, serving, wrapping

from mcp_wrapper import jsonrpc

OLD = "2025-03-26"
NEWS = {"jsonrpc": "2.0", "method": "notifications/x"}


class OfVersion:
    """Serves one revision, and refuses arrays as toolman's newer revisions do."""

    def __init__(self, version: str) -> None:
        self.version = version
        self.held: list[Request] = []

    def __call__(self, request: Request) -> None:
        if request.body[:1] == b"[":
            request.answer(400)
        elif request.method == "initialize":
            request.result({"protocolVersion": self.version, "capabilities": {}}, Mcp_Session_Id="s")
        elif not handshake(request):
            if request.message["params"]["name"] == "slow":
                self.held.append(request)
            else:
                request.result({"n": request.message["id"]})


def begin(wrapper: Wrapper, version: str = OLD) -> None:
    wrapper.ask({**INITIALIZE, "params": {**INITIALIZE["params"], "protocolVersion": version}})
    wrapper.say(INITIALIZED)


def answers(wrapper: Wrapper) -> dict[Any, Any]:
    return {answer["id"]: answer for answer in json.loads(wrapper.line())}


@pytest.mark.requirement("W-02")
def test_a_batch_is_sent_one_by_one_and_answered_in_one_line() -> None:
    with serving(OfVersion(OLD)) as server, wrapping("--url", server.url) as wrapper:
        begin(wrapper)
        wrapper.say([call(1), NEWS, call("1"), {"jsonrpc": "2.0", "id": 9, "result": {}}, 5, INITIALIZE])
        found = answers(wrapper)
        assert found.keys() == {1, "1", None, 0}
        assert (found[1]["result"], found["1"]["result"]) == ({"n": 1}, {"n": "1"})
        assert found[None]["error"]["code"] == found[0]["error"]["code"] == jsonrpc.INVALID_REQUEST
        server.wait_for(NEWS["method"])
        server.wait_for("answer")


def test_a_batch_without_requests_has_no_answer() -> None:
    with serving(OfVersion(OLD)) as server, wrapping("--url", server.url) as wrapper:
        begin(wrapper)
        wrapper.say([NEWS, NEWS])
        server.wait_for(NEWS["method"], 2)
        assert wrapper.end() == []


def test_what_was_cancelled_is_missing_from_the_answer() -> None:
    reply = OfVersion(OLD)
    with serving(reply) as server, wrapping("--url", server.url) as wrapper:
        begin(wrapper)
        wrapper.say([call(1, "slow"), call(2)])
        server.wait_for("tools/call", 2)
        wrapper.say({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}})
        assert answers(wrapper).keys() == {2}


def test_an_id_that_is_in_use_is_an_error_in_the_answer() -> None:
    reply = OfVersion(OLD)
    with serving(reply) as server, wrapping("--url", server.url) as wrapper:
        begin(wrapper)
        wrapper.say(call(1, "slow"))
        server.wait_for("tools/call")
        wrapper.say([call(1), call(2)])
        found = answers(wrapper)
        assert found[1]["error"]["code"] == jsonrpc.INVALID_REQUEST
        assert found[2]["result"] == {"n": 2}


@pytest.mark.parametrize(
    ("line", "code"),
    [(b"[]", jsonrpc.INVALID_REQUEST), (b"[1,]", jsonrpc.PARSE_ERROR), (b"[1", jsonrpc.PARSE_ERROR)],
)
def test_what_is_no_batch_is_one_error(line: bytes, code: int) -> None:
    with serving(OfVersion(OLD)) as server, wrapping("--url", server.url) as wrapper:
        begin(wrapper)
        error = wrapper.ask(line)
        assert (error["id"], error["error"]["code"]) == (None, code)


def test_other_revisions_have_no_batches() -> None:
    with serving(OfVersion("2025-06-18")) as server, wrapping("--url", server.url) as wrapper:
        begin(wrapper)
        error = wrapper.ask([call(1), call(2)])
        assert (error["id"], error["error"]["code"]) == (None, jsonrpc.INVALID_REQUEST)
        assert "2025-06-18" in error["error"]["message"]
        assert "tools/call" not in server.asked()


@pytest.mark.requirement("W-02")
def test_a_server_may_answer_with_an_array_as_well() -> None:
    progress = {"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progress": 1}}

    def reply(request: Request) -> None:
        if handshake(request):
            return
        lines = [progress, {"jsonrpc": "2.0", "id": request.message["id"], "result": {}}]
        if request.message["id"] == 1:
            request.answer(200, json.dumps(lines).encode())
        else:
            request.open_stream()
            request.event(lines)
            request.end_stream()

    with serving(reply) as server, wrapping("--url", server.url) as wrapper:
        begin(wrapper)
        for number in (1, 2):
            wrapper.say(call(number))
            assert wrapper.hear() == progress
            assert wrapper.hear()["id"] == number
