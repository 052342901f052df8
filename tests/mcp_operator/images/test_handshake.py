from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import pytest
from mcp_operator.images import handshake
from mcp_operator.images.budget import Budget
from mcp_operator.images.handshake import HandshakeError

from toolman import manifest

if TYPE_CHECKING:
    from collections.abc import Callable

INITIALIZED = {
    "protocolVersion": "2025-06-18",
    "capabilities": {"tools": {}},
    "serverInfo": {"name": "demo", "version": "1.0"},
}


class Server:
    """A server in memory: answers each request with what ``answer`` gives for it, as bytes."""

    def __init__(self, answer: Callable[[dict[str, Any]], bytes]) -> None:
        self.heard: list[dict[str, Any]] = []
        self._answer = answer
        self._output = bytearray()

    def write(self, data: bytes, budget: Budget) -> None:
        budget.remaining()
        message = json.loads(data)
        self.heard.append(message)
        self._output += self._answer(message)

    def read(self, budget: Budget) -> bytes:
        budget.remaining()
        if not self._output:
            raise EOFError
        piece = bytes(self._output[:7000])
        del self._output[:7000]
        return piece


def line(value: object) -> bytes:
    return json.dumps(value).encode() + b"\n"


def result(message: dict[str, Any], value: object) -> bytes:
    return line({"jsonrpc": "2.0", "id": message["id"], "result": value})


def listing(*pages: dict[str, Any], hello: dict[str, Any] | None = None) -> Server:
    left = iter(pages)

    def answer(message: dict[str, Any]) -> bytes:
        if message.get("method") == "initialize":
            return result(message, hello or INITIALIZED)
        return result(message, next(left)) if message.get("method") == "tools/list" else b""

    return Server(answer)


def perform(server: Server) -> handshake.Manifest:
    return handshake.perform(handshake.Stdio(server, Budget(60)))


@pytest.mark.requirement("F-05")
@pytest.mark.requirement("B-15")
def test_all_pages_of_tools_are_listed_in_the_servers_order() -> None:
    server = listing(
        {"tools": [{"name": "b"}, {"name": "a"}], "nextCursor": ""},
        {"tools": [{"name": "c"}, {"name": "a", "title": "again"}], "nextCursor": "2"},
        {"tools": []},
    )

    found = perform(server)

    assert [tool.name for tool in found.tools] == ["b", "a", "c"]
    assert found.protocol == "2025-06-18"
    assert found.server == "demo 1.0"
    assert [message.get("params") for message in server.heard if message["method"] == "tools/list"] == [
        {},
        {"cursor": ""},
        {"cursor": "2"},
    ]
    assert [message["method"] for message in server.heard][:2] == ["initialize", "notifications/initialized"]
    assert server.heard[0]["params"]["protocolVersion"] == "2025-11-25"


def test_a_server_without_tools_is_not_asked_for_them() -> None:
    server = listing(hello={**INITIALIZED, "capabilities": {"prompts": {}}})

    assert perform(server).tools == ()
    assert len(server.heard) == 2


def test_what_is_no_message_is_counted_and_skipped() -> None:
    def answer(message: dict[str, Any]) -> bytes:
        noise = b"starting...\n[1, 2]\n\xff\xfe\n" + line({"jsonrpc": "2.0", "method": "notifications/message"})
        if message.get("method") == "initialize":
            return noise + result(message, {**INITIALIZED, "capabilities": {}})
        return b""

    assert perform(Server(answer)).noise == 2


def test_requests_of_the_server_are_answered() -> None:
    def answer(message: dict[str, Any]) -> bytes:
        if message.get("method") == "initialize":
            asked = line({"jsonrpc": "2.0", "id": "p", "method": "ping"})
            asked += line({"jsonrpc": "2.0", "id": 1, "method": "roots/list"})
            asked += line({"jsonrpc": "2.0", "id": {"odd": 1}, "method": "ping"})
            return asked + result(message, {**INITIALIZED, "capabilities": {}})
        return b""

    server = Server(answer)
    perform(server)

    assert {"jsonrpc": "2.0", "id": "p", "result": {}} in server.heard
    assert any(message.get("id") == 1 and message.get("error", {}).get("code") == -32601 for message in server.heard)


@pytest.mark.parametrize(
    ("hello", "said"),
    [
        ({"error": {"code": 1, "message": "no\x1b[31m way"}}, "no way"),
        ({"error": "no"}, "no"),
        ({"result": []}, "has no result"),
        ({"result": {}}, "None, which is not known"),
        ({"result": {"protocolVersion": ["x"]}}, "not known"),
        ({"result": {"protocolVersion": "2026-07-28"}}, "2026-07-28"),
    ],
)
def test_a_wrong_answer_to_initialize_is_said(hello: dict[str, Any], said: str) -> None:
    server = Server(lambda message: line({"jsonrpc": "2.0", "id": message.get("id"), **hello}))

    with pytest.raises(HandshakeError, match=said):
        perform(server)


@pytest.mark.parametrize(
    ("page", "said"),
    [
        ({}, "no list of tools"),
        ({"tools": "x"}, "no list of tools"),
        ({"tools": [{}]}, "no usable name"),
        ({"tools": ["x"]}, "no usable name"),
        ({"tools": [{"name": ""}]}, "no usable name"),
        ({"tools": [{"name": "x" * 300}]}, "no usable name"),
        ({"tools": [{"name": str(number)} for number in range(6000)]}, "more than 5000 tools"),
    ],
)
def test_a_wrong_list_of_tools_is_said(page: dict[str, Any], said: str) -> None:
    with pytest.raises(HandshakeError, match=said):
        perform(listing(page))


def test_a_list_without_end_is_ended() -> None:
    pages = ({"tools": [], "nextCursor": "x"} for _ in range(1000))

    with pytest.raises(HandshakeError, match="pages"):
        perform(listing(*pages))


def test_a_server_that_talks_without_answering_is_ended() -> None:
    with pytest.raises(HandshakeError, match="without answering initialize"):
        perform(Server(lambda _: b"x\n" * 5000))


def test_a_line_without_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handshake, "MAX_LINE", 100_000)

    with pytest.raises(HandshakeError, match="a line of more than"):
        perform(Server(lambda _: b"x" * 200_000))


def test_a_message_nested_without_end_is_noise() -> None:
    def answer(message: dict[str, Any]) -> bytes:
        deep = b"[" * 200_000 + b"\n"
        return deep + (result(message, {**INITIALIZED, "capabilities": {}}) if "id" in message else b"")

    assert perform(Server(answer)).noise == 1


def test_the_end_of_the_channel_is_passed_on() -> None:
    with pytest.raises(EOFError):
        perform(Server(lambda _: b""))


DISCOVERED = {
    "supportedVersions": ["2026-07-28"],
    "capabilities": {"tools": {}},
    "_meta": {"io.modelcontextprotocol/serverInfo": {"name": "new", "version": "2"}},
}


def modern(discovered: object, *pages: dict[str, Any]) -> Server:
    left = iter(pages)
    return Server(lambda message: result(message, discovered if message["method"] == "server/discover" else next(left)))


@pytest.mark.requirement("B-15")
def test_in_the_modern_era_each_request_says_who_asks_and_there_is_no_session() -> None:
    server = modern(DISCOVERED, {"tools": [{"name": "a"}], "nextCursor": "x"}, {"tools": [{"name": "b"}]})

    found = handshake.perform(handshake.Stdio(server, Budget(60)), "modern")

    assert [message["method"] for message in server.heard] == ["server/discover", "tools/list", "tools/list"]
    assert all(message["params"]["_meta"] == handshake.META for message in server.heard)
    assert server.heard[2]["params"]["cursor"] == "x"
    assert (found.era, found.protocol, found.server) == ("modern", "2026-07-28", "new 2")
    assert [tool.name for tool in found.tools] == ["a", "b"]


@pytest.mark.requirement("B-15")
@pytest.mark.parametrize("supported", [None, "2026-07-28", [], ["2027-01-01"]])
def test_a_modern_server_of_an_unknown_revision_is_refused(supported: object) -> None:
    server = modern({**DISCOVERED, "supportedVersions": supported})

    with pytest.raises(HandshakeError, match="not known"):
        handshake.perform(handshake.Stdio(server, Budget(60)), "modern")


@pytest.mark.requirement("B-15")
@pytest.mark.parametrize(
    ("annotations", "claimed"),
    [({"readOnlyHint": True}, True), ({"readOnlyHint": False}, False), ({"readOnlyHint": "yes"}, None), ([], None)],
)
def test_a_tool_has_its_hash_its_cost_and_what_it_claims(annotations: object, *, claimed: bool | None) -> None:
    shown = {"name": "a", "description": "\ud800 \u00e4", "inputSchema": {"type": "object"}, "annotations": annotations}

    (tool,) = perform(listing({"tools": [shown]})).tools

    assert tool.read_only is claimed
    assert tool.hash == manifest.tool_hash(shown)
    assert 20 < tool.tokens < 50


@pytest.mark.requirement("B-15")
@pytest.mark.parametrize("name", ["a\x1b]0;owned\x07", "a\nb", "a\ud800", "a\u202eb", "", "x" * 257, 7, None])
def test_a_tool_whose_name_cannot_be_shown_is_refused(name: object) -> None:
    with pytest.raises(HandshakeError, match="no usable name") as caught:
        perform(listing({"tools": [{"name": name}]}))
    assert str(caught.value).isprintable()


@pytest.mark.requirement("B-15")
def test_a_description_of_ten_megabytes_costs_what_it_says_and_is_kept_nowhere() -> None:
    (tool,) = perform(listing({"tools": [{"name": "wordy", "description": "x" * 10_000_000}]})).tools

    assert tool.tokens > 2_000_000
    assert len(repr(tool)) < 200


@pytest.mark.requirement("B-13")
def test_a_message_that_would_need_many_times_its_size_in_memory_is_refused() -> None:
    many = b"{}," * handshake.MAX_VALUES

    def answer(message: dict[str, Any]) -> bytes:
        if message.get("method") == "tools/list":
            return b'{"jsonrpc":"2.0","id":2,"result":{"tools":[' + many + b"{}]}}\n"
        return result(message, INITIALIZED) if "id" in message else b""

    with pytest.raises(HandshakeError, match="more than 1000000 values"):
        perform(Server(answer))
    with pytest.raises(HandshakeError, match="values"):
        handshake.parsed(many.decode())


@pytest.mark.requirement("B-13")
def test_a_tool_that_is_nested_too_deeply_for_us_is_an_error_of_the_server() -> None:
    depth = 600 if sys.version_info < (3, 12) else 985  # what JSON's parser takes and Python's own stack does not
    nested = b'{"name":"deep","description":"\\ud800","inputSchema":' + b'{"a":' * depth + b"1" + b"}" * depth + b"}"

    def answer(message: dict[str, Any]) -> bytes:
        if message.get("method") == "tools/list":
            return b'{"jsonrpc":"2.0","id":2,"result":{"tools":[' + nested + b"]}}\n"
        return result(message, INITIALIZED) if "id" in message else b""

    with pytest.raises(HandshakeError, match="'deep' is nested too deeply"):
        perform(Server(answer))
