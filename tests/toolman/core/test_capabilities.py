from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from gateway_world import EVERYTHING, layer, server
from toolman.core import capabilities
from toolman.core.capabilities import Speaker, read_object

if TYPE_CHECKING:
    from collections.abc import Sequence

    from toolman.exchange import Era
    from toolman.policy import Layer

pytestmark = [pytest.mark.requirement("T-03"), pytest.mark.requirement("T-07")]


def speaker(name: str = "s", era: Era = "legacy", instructions: str | None = None, **having: object) -> Speaker:
    return Speaker(name, era, read_object(json.dumps(having).encode()), instructions)


def told(
    *speakers: Speaker, era: Era = "legacy", layers: Sequence[Layer] = (EVERYTHING,), is_complete: bool = True
) -> dict[str, Any]:
    text = capabilities.advertise(layers, speakers, era, is_complete=is_complete).capabilities
    found: dict[str, Any] = json.loads(text)
    return found


def test_only_what_some_server_has_is_told_and_changes_are_toolmans_to_report() -> None:
    assert told(speaker(tools={})) == {"tools": {"listChanged": True}}
    assert told(speaker(tools={"listChanged": False}), speaker(prompts={}, logging={})) == {
        "tools": {"listChanged": True},
        "prompts": {"listChanged": True},
        "logging": {},
    }


def test_tools_are_always_told_of_because_servers_come_and_go() -> None:
    assert told() == {"tools": {"listChanged": True}}


def test_resources_can_be_followed_if_one_server_lets_them() -> None:
    assert told(speaker(resources={}), speaker(resources={"subscribe": True}))["resources"] == {
        "subscribe": True,
        "listChanged": True,
    }


def test_while_a_server_has_not_spoken_it_may_have_everything() -> None:
    assert told(speaker(tools={}), is_complete=False).keys() == {
        "tools",
        "prompts",
        "resources",
        "completions",
        "logging",
    }


@pytest.mark.parametrize("having", [b"null", b"[]", b'"x"', b"{", b'{"a":1,"a":2}', b"1"])
def test_capabilities_that_are_no_object_are_none(having: bytes) -> None:
    assert read_object(having) == {}


def test_a_capability_that_is_null_is_none() -> None:
    assert told(speaker(prompts=None)) == {"tools": {"listChanged": True}}


def test_tasks_of_the_legacy_era_are_joined_and_told_to_legacy_clients_alone() -> None:
    first = speaker("a", tasks={"list": {}, "requests": {"tools": {"call": {}}}})
    second = speaker("b", tasks={"cancel": {}, "requests": {"x": {}}})
    assert told(first, second)["tasks"] == {"list": {}, "requests": {"tools": {"call": {}}, "x": {}}, "cancel": {}}
    assert "tasks" not in told(first, era="modern")
    assert "tasks" not in told(speaker(era="modern", tasks={"list": {}}))


TASKS = "io.modelcontextprotocol/tasks"


@pytest.mark.parametrize(
    ("era", "servers", "is_told"),
    [("modern", "modern", True), ("legacy", "modern", False), ("modern", "legacy", False)],
)
def test_the_extension_for_tasks_is_for_two_of_the_modern_era(era: Era, servers: Era, is_told: bool) -> None:  # noqa: FBT001
    found = told(speaker(era=servers, extensions={TASKS: {}, "x/y": {"a": 1}}), era=era)
    assert (TASKS in found["extensions"]) is is_told
    assert found["extensions"]["x/y"] == {"a": 1}


def test_an_extension_of_two_servers_is_nobodys() -> None:
    found = told(speaker("a", extensions={"x/y": {}, "x/z": {}}), speaker("b", extensions={"x/y": {}}))
    assert found["extensions"] == {"x/z": {}}


@pytest.mark.requirement("T-10")
def test_a_denied_extension_is_not_there() -> None:
    found = told(speaker(extensions={"x/y": {}}), layers=[layer(extensions={"deny": ["x/*"]})])
    assert "extensions" not in found


def test_instructions_of_several_servers_stand_under_their_names() -> None:
    def said(*speakers: Speaker) -> str | None:
        return capabilities.advertise([EVERYTHING], speakers, "legacy", is_complete=True).instructions

    assert said(speaker()) is None
    assert said(speaker("a", instructions="use me"), speaker("b")) == "use me"
    assert said(speaker("a", instructions="use me"), speaker("b", instructions="not me")) == (
        "## a\n\nuse me\n\n## b\n\nnot me"
    )


def declared(layers: Sequence[Layer], client: bytes | None, **changes: Any) -> dict[str, Any]:  # noqa: ANN401
    found: dict[str, Any] = json.loads(capabilities.declared_to(layers, server(**changes), client))
    return found


def test_a_shared_server_is_told_what_it_may_ask() -> None:
    assert declared([EVERYTHING], None) == {"elicitation": {"form": {}, "url": {}}}
    every = ("elicitation", "sampling", "roots")
    assert declared([EVERYTHING], None, server_requests=every).keys() == set(every)
    narrow = layer(server_requests={"deny": ["sampling"]})
    assert declared([narrow], None, server_requests=every).keys() == {"elicitation", "roots"}
    assert declared([], None) == {}


def test_a_sessions_own_server_is_told_what_its_client_can_and_it_may_ask() -> None:
    client = b'{"roots":{"listChanged":true},"elicitation":{"x":1.0},"sampling":{},"extensions":{"x/y":{},"z/y":{}}}'
    layers = [layer(extensions={"deny": ["x/*"]})]
    assert declared(layers, client, server_requests=("roots", "elicitation")) == {
        "roots": {"listChanged": True},
        "elicitation": {"x": 1.0},
        "extensions": {"z/y": {}},
    }
    assert declared([EVERYTHING], b"{}") == {}
    assert declared([EVERYTHING], b'{"roots":{},"roots":{}}') == {}
