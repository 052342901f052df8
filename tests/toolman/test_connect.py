from __future__ import annotations

import asyncio
import contextlib
import json
import shlex
from typing import TYPE_CHECKING, Any

import pytest
from toolman.upstreams import Failure, connect
from toolman.upstreams.kinds import Connectors
from toolman_harness import LIMIT
from upstream_harness import ERAS, Events, eventually, process, tool_call

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from toolman.upstreams import Connector, Link, Peer, Receiver

pytestmark = pytest.mark.requirement("T-02")


@contextlib.asynccontextmanager
async def connected(connector: Connector) -> AsyncIterator[Peer]:
    """Live one life of a server."""
    async with asyncio.timeout(LIMIT):
        peer = await connector.connect(Events(), b'{"roots":{}}')
    try:
        yield peer
    finally:
        await peer.close()
        await connector.close()


async def seen(peer: Peer) -> list[dict[str, Any]]:
    """Ask the server what it was sent."""
    call = tool_call("seen")
    peer.send(call)
    found: list[dict[str, Any]] = json.loads((await call.answer())["result"]["content"][0]["text"])
    return found


@pytest.mark.parametrize(
    ("habits", "era"),
    [
        ("legacy", "legacy"),
        ("modern", "modern"),
        ("legacy modern", "modern"),
        ("legacy modern lock", "modern"),
        ("legacy mute", "legacy"),
        ("legacy shy", "legacy"),
    ],
)
async def test_the_era_of_a_server_is_found_out(habits: str, era: str) -> None:
    async with connected(Connectors()(process(*ERAS, *habits.split()))) as peer:
        assert peer.hello.era == era
        assert peer.hello.version == {"legacy": "2025-11-25", "modern": "2026-07-28"}[era]
        assert json.loads(peer.hello.server_info)["name"] == "eras"
        assert json.loads(peer.hello.capabilities)["logging"] == {}
        assert peer.hello.instructions == ("be kind" if era == "legacy" else None)
        call = tool_call("log", {"data": "x"})
        peer.send(call)
        assert "result" in await call.answer()


async def test_a_legacy_server_is_told_what_clients_can_do_and_that_the_handshake_is_over() -> None:
    async with connected(Connectors()(process(*ERAS, "legacy"))) as peer:
        discover, initialize, initialized, *_ = await seen(peer)
    assert discover["method"] == "server/discover"
    assert discover["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"] == "2026-07-28"
    assert initialize["params"]["protocolVersion"] == "2025-11-25"
    assert initialize["params"]["capabilities"] == {"roots": {}}
    assert initialized == {"jsonrpc": "2.0", "method": "notifications/initialized"}


async def test_a_server_that_takes_long_to_start_and_ends_at_a_modern_request_is_started_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connect, "SILENCE", 0.05)  # both requests wait for it before it reads the first
    async with connected(Connectors()(process(*ERAS, "legacy", "shy", "slow"))) as peer:
        assert peer.hello.era == "legacy"


@pytest.mark.parametrize(("era", "first"), [("legacy", "initialize"), ("modern", "server/discover")])
async def test_the_era_is_remembered_for_the_next_life(era: str, first: str) -> None:
    connector = Connectors()(process(*ERAS, era))
    async with connected(connector):
        pass
    async with connected(connector) as peer:
        methods = [message["method"] for message in await seen(peer)]
    assert methods[0] == first
    assert methods.count("initialize") == (era == "legacy")


@pytest.mark.parametrize(("before", "after"), [("legacy", "modern"), ("modern", "legacy"), ("modern", "legacy shy")])
async def test_a_server_that_changes_its_era_is_found_again(before: str, after: str, tmp_path: Path) -> None:
    habits = tmp_path / "habits"
    habits.write_text(before)
    connector = Connectors()(process("sh", "-c", f"exec {shlex.join(ERAS)} $(cat {habits})"))
    async with connected(connector) as peer:
        assert peer.hello.era == before
    habits.write_text(after)
    if "shy" in after:  # it ends at once, which says nothing of its era
        with pytest.raises(Failure, match="while starting"):
            await connector.connect(Events(), b"{}")
    async with connected(connector) as peer:
        assert peer.hello.era == after.removesuffix(" shy")


async def test_a_crash_while_starting_is_told_at_once_with_its_stderr_for_the_operator_alone() -> None:
    with pytest.raises(Failure) as caught:
        await Connectors()(process("sh", "-c", "echo the token is s3cret >&2; exit 3")).connect(Events(), b"{}")
    assert str(caught.value) == "it stopped (exit code 3) while starting"
    assert "the token is s3cret" in caught.value.detail


async def test_a_cancelled_start_leaves_nothing_behind() -> None:
    events = Events()
    connector = Connectors()(process("sleep", "1000"))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await connector.connect(events, b"{}")
    await connector.close()
    assert events.told == []


class Scripted:
    """A launcher, and its link: answers by a table of methods, remembers what was sent."""

    def __init__(self, **answers: dict[str, Any]) -> None:
        self.answers = answers
        self.methods: list[str] = []
        self.receiver: Receiver | None = None

    async def launch(self, receiver: Receiver) -> Link:
        self.receiver = receiver
        return self

    def write(self, line: bytes) -> bool:
        message = json.loads(line)
        self.methods.append(message["method"])
        answer = self.answers.get(message["method"].rpartition("/")[2])
        if answer is not None:
            body = {"jsonrpc": "2.0", "id": message["id"]} | answer
            asyncio.get_running_loop().call_soon(self.say, body)
        return True

    def say(self, body: dict[str, Any]) -> None:
        assert self.receiver is not None
        self.receiver.line(json.dumps(body).encode())

    async def close(self) -> None:
        pass


def error(code: int, **data: object) -> dict[str, Any]:
    return {"error": {"code": code, "message": "no"} | ({"data": data} if data else {})}


INITIALIZED: dict[str, Any] = {
    "result": {"protocolVersion": "2025-06-18", "capabilities": None, "serverInfo": 5, "instructions": {}}
}


@pytest.mark.parametrize(
    "discover",
    [
        error(-32601),
        error(-32602),
        error(-32022, supported=["2025-11-25"]),
        {"error": "what"},
        {"result": {"supportedVersions": ["2025-11-25"]}},
        {"result": {"supportedVersions": 5}},
        {"result": []},
        {},
    ],
)
async def test_whatever_else_is_answered_to_the_probe_means_an_older_server(discover: dict[str, Any]) -> None:
    launcher = Scripted(discover=discover, initialize=INITIALIZED)
    peer = await connect.LineConnector("git", launcher).connect(Events(), b"{}")
    assert (peer.hello.version, peer.hello.capabilities, peer.hello.server_info) == ("2025-06-18", b"{}", b"{}")
    assert peer.hello.instructions is None


@pytest.mark.parametrize(
    ("answers", "text"),
    [
        ({"discover": error(-32022, supported=["2030-01-01"])}, "it speaks MCP '2030-01-01'; toolman speaks"),
        ({"discover": error(-32022)}, "revisions that it does not name"),
        ({"discover": {"result": {"supportedVersions": ["x"]}}}, "it speaks MCP 'x'"),
        ({"discover": error(-1), "initialize": error(-2)}, "it answered initialize with the error"),
        ({"discover": error(-1), "initialize": {"result": {}}}, "must have a protocolVersion"),
        ({"discover": error(-1), "initialize": {"result": {"protocolVersion": "1.0"}}}, "it speaks MCP '1.0'"),
    ],
)
async def test_a_server_that_cannot_be_spoken_with_is_refused_with_the_reason(
    answers: dict[str, dict[str, Any]], text: str
) -> None:
    with pytest.raises(Failure, match=text):
        await connect.LineConnector("git", Scripted(**answers)).connect(Events(), b"{}")


async def test_a_slow_modern_server_is_not_taken_for_a_legacy_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connect, "SILENCE", 0.01)
    launcher = Scripted(initialize=error(-32022))
    connecting = asyncio.create_task(connect.LineConnector("git", launcher).connect(Events(), b"{}"))
    await eventually(lambda: "initialize" in launcher.methods)
    async with asyncio.timeout(LIMIT):
        launcher.say({"jsonrpc": "2.0", "id": 1, "result": {"supportedVersions": ["2026-07-28"]}})
        assert (await connecting).hello.era == "modern"


async def test_a_transport_of_the_legacy_era_alone_is_not_probed() -> None:
    launcher = Scripted(initialize=INITIALIZED)
    await connect.LineConnector("git", launcher, is_legacy=True).connect(Events(), b"{}")
    assert launcher.methods == ["initialize", "notifications/initialized"]
