from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from dispatch_world import Modern, dumps, running, standard
from gateway_world import layer, offers, server, settings, until
from toolman.core import lists

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.requirement("T-01")

LISTS = {
    "tools/list": ("tools", "s__t"),
    "prompts/list": ("prompts", "s__p"),
    "resources/list": ("resources", "r://1"),
    "resources/templates/list": ("resourceTemplates", "r://{id}/x"),
}


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "audit"


async def test_lists_are_answered_in_the_form_of_each_era(log: Path) -> None:
    async with running(log) as world:
        session, _ = world.session()
        for method, (member, first) in LISTS.items():
            legacy, modern = world.send(session, method).result, world.send(Modern(), method, {}).result
            assert list(legacy) == [member]
            assert first in legacy[member][0].values()
            assert modern[member] == legacy[member]
            assert modern["resultType"] == "complete"
            assert modern["ttlMs"] >= 0
            assert modern["cacheScope"] in {"public", "private"}
            assert modern["_meta"]["io.modelcontextprotocol/serverInfo"]["name"] == "toolman"
        assert session.listed == world.gateway.view(session).generation


async def test_a_cursor_was_never_given_out(log: Path) -> None:
    async with running(log) as world:
        for method in LISTS:
            assert world.send(Modern(), method, {"cursor": ""}).error["code"] == -32602
            assert "result" not in world.send(Modern(), method, {"cursor": None}).result


async def test_a_list_waits_for_a_server_that_was_never_listed(log: Path) -> None:
    async with running(log, wait=False) as world:
        world.servers["s"].ready.clear()
        session, _ = world.session()
        waiting, unknown = world.send(session, "tools/list"), world.call(session, "nope")
        assert waiting.raw is None
        assert len(session.inflight) == 2
        world.servers["s"].ready.set()
        assert (await unknown.done()).error["message"] == "Unknown tool: nope"
        assert [tool["name"] for tool in (await waiting.done()).result["tools"]] == ["s__t", "s__u"]
        assert session.inflight == {}


async def test_a_greeting_says_what_there_is(log: Path) -> None:
    async with running(log) as world:
        session, _ = world.session()
        outcome = await world.dispatcher.initialize(session)
        assert b'"protocolVersion":"2025-11-25"' in bytes(outcome[1])
        assert b'"logging"' in bytes(outcome[1])
        found = world.send(Modern(), "server/discover", {}).result
        assert found["supportedVersions"] == ["2026-07-28"]
        assert found["resultType"] == "complete"
        assert found["capabilities"]["tools"] == {"listChanged": True}
        assert {"ttlMs", "cacheScope", "_meta"} < set(found)


async def test_a_greeting_waits_only_a_moment_for_a_slow_server(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lists, "MOMENT", 0.01)
    async with running(log, wait=False) as world:
        world.servers["s"].ready.clear()
        found = await world.send(Modern(), "server/discover", {}).done()
        assert "prompts" in found.result["capabilities"]
        outcome = await world.dispatcher.initialize(world.session()[0])
        assert b'"prompts"' in bytes(outcome[1])


@pytest.mark.requirement("T-22")
async def test_where_clients_need_a_session_discover_sends_them_there(log: Path) -> None:
    both = settings(server(sessions="perSession"), "b")
    async with running(log, both, s=standard(), b=standard(), wait=False) as world:
        assert world.send(Modern(), "server/discover", {}).error["code"] == -32601
        assert (await world.send(Modern(server="b"), "server/discover", {}).done()).result["supportedVersions"]


async def test_instructions_are_passed_on(log: Path) -> None:
    offered = offers(["t"], hello={"instructions": "Be \u2028kind."})
    async with running(log, s=offered) as world:
        assert world.send(Modern(), "server/discover", {}).result["instructions"] == "Be \u2028kind."
        outcome = await world.dispatcher.initialize(world.session()[0])
        assert dumps("Be \u2028kind.") in bytes(outcome[1]) or "Be \u2028kind." in bytes(outcome[1]).decode()


@pytest.mark.requirement("T-03")
async def test_completions_name_the_servers_own_prompts_and_hidden_ones_are_unknown(log: Path) -> None:
    async with running(log, settings("s", layers=[layer(prompts={"deny": ["q"]})])) as world:
        session, _ = world.session()

        def complete(kind: str, **ref: str) -> object:
            return {"ref": {"type": kind, "x": 1, **ref}, "argument": {"name": "a", "value": "b"}}

        for caller in (session, Modern()):
            answer = world.send(caller, "completion/complete", complete("ref/prompt", name="s__p"))
            assert world.peer().sent == complete("ref/prompt", name="p")
            world.peer().reply({"completion": {"values": []}})
            assert answer.result["completion"] == {"values": []}
            world.send(caller, "completion/complete", complete("ref/resource", uri="r://{id}/x"))
            assert world.peer().sent == complete("ref/resource", uri="r://{id}/x")
            count = len(world.peer().calls)
            hidden = world.send(caller, "completion/complete", complete("ref/prompt", name="s__q"))
            assert hidden.error == {"code": -32602, "message": "Unknown prompt: s__q"}
            assert world.send(caller, "completion/complete", complete("ref/x", name="s__p")).error["code"] == -32602
            assert world.send(caller, "completion/complete", {}).error["code"] == -32602
            twice = b'{"ref":{"type":"ref/prompt","name":"s__p","Name":"q"}}'
            assert world.send(caller, "completion/complete", twice).error["code"] == -32600
            assert len(world.peer().calls) == count


@pytest.mark.requirement("T-03")
async def test_resources_are_read_from_their_owner_and_what_is_not_there_has_the_callers_code(log: Path) -> None:
    async with running(log) as world:
        session, _ = world.session()
        answer = world.send(session, "resources/read", b'{"uri":"r:\\/\\/1","x":1.0}')
        assert {k: bytes(v) for k, v in world.peer().call.outgoing.params.items()} == {"uri": b'"r://1"', "x": b"1.0"}
        world.peer().reply(b'{"contents":[ ]}')
        assert answer.bytes == b'{"contents":[ ]}'
        answer = world.send(Modern(), "resources/read", {"uri": "r://1"})
        world.peer().reply(b'{"contents":[ ]}')
        assert answer.result["ttlMs"] == 0
        for caller, code in ((session, -32002), (Modern(), -32602)):
            gone = world.send(caller, "resources/read", {"uri": "r://7/x"})
            world.peer().fail(-32002, "there is no 7")
            assert gone.error == {"code": code, "message": "Resource not found", "data": {"uri": "r://7/x"}}
        listed = world.send(session, "resources/read", {"uri": "r://1"})
        world.peer().fail(-32002, "gone fishing")
        assert listed.error["message"] == "gone fishing"
        other = world.send(Modern(), "resources/read", {"uri": "r://1"})
        world.peer().fail(-32603, "broken")
        assert other.error == {"code": -32603, "message": "broken"}


@pytest.mark.requirement("T-03")
async def test_a_prompt_is_got_from_its_server(log: Path) -> None:
    async with running(log, s=standard("modern")) as world:
        answer = world.send(world.session()[0], "prompts/get", {"name": "s__p", "arguments": {"a": "b"}})
        assert world.peer().sent == {"name": "p", "arguments": {"a": "b"}}
        world.peer().reply({"resultType": "complete", "messages": []})
        assert answer.result == {"messages": []}
        assert world.audit()[0]["kind"] == "prompts"


async def test_waiting_requests_are_served_when_their_server_is_there(log: Path) -> None:
    async with running(log, wait=False) as world:
        world.servers["s"].ready.clear()
        session, _ = world.session()
        waiting = [
            world.send(session, "prompts/get", {"name": "s__p"}),
            world.send(session, "resources/read", {"uri": "r://1"}),
            world.send(session, "completion/complete", {"ref": {"type": "ref/prompt", "name": "s__p"}}),
        ]
        following = world.send(session, "resources/subscribe", {"uri": "r://1"})
        assert len(session.inflight) == 4
        world.servers["s"].ready.set()
        assert (await following.done()).result == {}
        await until(lambda: len(world.peer().calls) == 3)
        for call in tuple(world.peer().calls):
            world.peer().calls = [call]
            world.peer().reply({})
        assert [each.result for each in waiting] == [{}, {}, {}]
        assert session.inflight == {}
