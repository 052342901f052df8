from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from dispatch_world import Modern, running, standard
from gateway_world import item, layer, offers, settings
from toolman.policy import Layer, Limits

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "audit"


@pytest.mark.requirement("T-10")
async def test_hidden_and_unknown_get_the_same_answer_byte_for_byte(log: Path) -> None:
    chosen = settings(
        "s", layers=[layer(tools={"deny": ["t"]}, prompts={"deny": ["p"]}, resources={"deny": ["r://*"]})]
    )
    async with running(log, chosen, s=standard()) as world:
        for caller in (world.session()[0], Modern()):
            hidden, unknown = world.call(caller, "s__t"), world.call(caller, "s__n")
            assert hidden.bytes.replace(b"s__t", b"s__n") == unknown.bytes
            assert hidden.error == {"code": -32602, "message": "Unknown tool: s__t"}
            hidden, unknown = (world.send(caller, "prompts/get", {"name": name}) for name in ("s__p", "s__q"))
            assert hidden.bytes.replace(b"s__p", b"s__q") == unknown.bytes
            hidden, unknown = (world.send(caller, "resources/read", {"uri": f"{uri}://1"}) for uri in "rr")
            assert hidden.error["code"] == (-32002 if caller.era == "legacy" else -32602)
            assert hidden.error["data"] == {"uri": "r://1"}
        assert world.peer().calls == []


@pytest.mark.requirement("T-05")
@pytest.mark.parametrize(
    "params",
    [
        b'{"name":"s__t","name":"s__u"}',
        b'{"name":"s__t","Name":"s__u"}',
        b'{"name":"s__t","name\\u0000x":"s__u"}',
        b'{"name":"s__t","arguments":{},"arguments":{}}',
        b'{"name":"s__t","_meta":{},"_Meta":{}}',
        b'{"name":"s__t","_meta":{"progressToken":1,"progressToken":2}}',
        b'{"name":"s__t","requeststate":"x"}',
    ],
)
async def test_keys_that_could_be_read_in_two_ways_are_refused(log: Path, params: bytes) -> None:
    async with running(log) as world:
        answer = world.send(world.session()[0], "tools/call", params)
        assert answer.error["code"] == -32600
        assert world.peer().calls == []
        assert world.audit() == []


@pytest.mark.requirement("T-12")
async def test_a_call_beyond_a_limit_is_refused_with_its_name_and_when_to_try_again(log: Path) -> None:
    chosen = settings("s", layers=[Layer(source="A", limits=Limits(max_concurrent_calls=1, max_result_bytes=20))])
    async with running(log, chosen) as world:
        world.gateway.limiter.apply(chosen.layers)
        first, second = world.call(Modern()), world.call(Modern())
        assert second.error["data"]["limit"] == "maxConcurrentCalls"
        assert world.audit()[0]["reason"] == "Limit"
        world.peer().reply({"content": ["x" * 30]})
        assert "maxResultBytes" in first.error["message"]
        world.call(Modern(), _meta={"progressToken": []})
        third = world.call(Modern())
        world.peer().reply({})
        assert third.result["resultType"] == "complete"


@pytest.mark.requirement("T-05")
async def test_an_extensions_method_goes_to_the_only_server_that_has_one(log: Path) -> None:
    extended: dict[str, object] = {"tools": {}, "extensions": {"io.example/skills": {}}}
    async with running(log, a=standard(capabilities=extended), b=standard()) as world:
        answer = world.send(Modern(), "skills/list", b'{"x":1e2,"_meta":{"k":1}}')
        assert {key: bytes(value) for key, value in world.peer("a").call.outgoing.params.items()} == {"x": b"1e2"}
        world.peer("a").reply({"skills": []})
        assert answer.result["skills"] == []
        assert world.audit()[0]["kind"] == "extensions"
    experimental: dict[str, object] = {"tools": {}, "experimental": {"x": {}}}
    async with running(log, a=standard(capabilities=experimental)) as world:
        answer = world.send(world.session()[0], "x/y")
        world.peer("a").reply(b'{"z":1.0}')
        assert answer.bytes == b'{"z":1.0}'
    denied = settings("a", layers=[layer(extensions={"deny": ["*"]})])
    async with running(log, denied, a=standard(capabilities=extended)) as world:
        assert world.send(Modern(), "skills/list", {}).error["code"] == -32601
    hidden = settings("a", layers=[layer(resources={"deny": ["r://*"]})])
    async with running(log, hidden, a=standard(capabilities=extended)) as world:
        answer = world.send(Modern(), "resources/directory/read", {"uri": "r://1"})
        assert answer.error["data"] == {"uri": "r://1"}
    async with running(log, a=standard(capabilities=extended), b=standard(capabilities=extended)) as world:
        assert world.send(Modern(), "skills/list", {}).error["code"] == -32601


@pytest.mark.requirement("T-05")
async def test_arguments_that_headers_mirror_must_agree_with_them(log: Path) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string", "x-mcp-header": "A"}}}
    offered = offers([item("t", inputSchema=schema)], hello={"era": "modern", "version": "2026-07-28"})
    async with running(log, s=offered) as world:
        assert world.call(Modern(), arguments={"a": "x"}).error["code"] == -32020
        assert world.call(Modern(mirrored={"a": b"y"}), arguments={"a": "x"}).error["code"] == -32020
        twice = b'{"name":"s__t","arguments":{"a":"y","a":"x"}}'
        assert world.send(Modern(mirrored={"a": b"x"}), "tools/call", twice).error["code"] == -32600
        world.call(Modern(mirrored={"a": b"x"}), arguments={"a": "x"})
        world.call(world.session()[0], arguments={"a": "z"})
        assert [call.outgoing.mirrored for call in world.peer().calls] == [
            (("Mcp-Param-A", "x"),),
            (("Mcp-Param-A", "z"),),
        ]


@pytest.mark.requirement("T-10")
async def test_a_state_that_nobody_gave_out_is_refused_for_prompts_and_resources_too(log: Path) -> None:
    async with running(log) as world:
        for method, named in (("prompts/get", {"name": "s__p"}), ("resources/read", {"uri": "r://1"})):
            assert world.send(Modern(), method, {"requestState": "x", **named}).error["code"] == -32602
            assert world.send(Modern(), method, {"requestState": 1, **named}).error["code"] == -32602
        assert world.peer().calls == []


@pytest.mark.requirement("T-10")
async def test_completions_of_what_may_not_be_read_are_those_of_what_is_not_there(log: Path) -> None:
    chosen = settings("s", "o", layers=[layer(resources={"deny": ["r://*"]})])
    async with running(log, chosen, s=standard(), o=standard()) as world:
        for uri in ("r://1", "r://{id}/x", "nope://1"):
            ref = {"type": "ref/resource", "uri": uri}
            answer = world.send(Modern(), "completion/complete", {"ref": ref, "argument": {}})
            assert answer.error == {"code": -32602, "message": "Resource not found", "data": {"uri": uri}}


@pytest.mark.requirement("T-05")
async def test_arguments_deep_down_are_mirrored_and_compared_as_well(log: Path) -> None:
    inner = {"type": "object", "properties": {"b": {"type": "integer", "x-mcp-header": "B"}}}
    schema = {"type": "object", "properties": {"a": inner}}
    offered = offers([item("t", inputSchema=schema)], hello={"era": "modern", "version": "2026-07-28"})
    async with running(log, s=offered) as world:
        twice = b'{"name":"s__t","arguments":{"a":{"b":1,"b":2}}}'
        assert world.send(Modern(mirrored={"b": b"2"}), "tools/call", twice).error["code"] == -32600
        cases: list[dict[str, object]] = [{"a": 1}, {}, {"a": {}}]
        for arguments in cases:
            assert world.call(Modern(), arguments=arguments).raw is None
        assert world.call(Modern(mirrored={"b": b"2"}), arguments={"a": {"b": 2}}).raw is None
