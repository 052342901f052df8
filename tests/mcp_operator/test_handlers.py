from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from mcp_operator import handlers
from mcp_operator.cluster import AGENT, SERVER
from mcp_operator.workqueue import Key

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

OWNER = {"kind": "MCPAgent", "name": "dev", "controller": True}


def call(handler: Callable[..., Coroutine[object, object, None]], **arguments: object) -> None:
    asyncio.run(handler(**arguments, type="MODIFIED", logger=None))


@pytest.mark.requirement("F-08")
def test_handlers_only_put_keys() -> None:
    keys: list[Key] = []
    call(handlers._ours(SERVER, keys.append), namespace="team", name="one")
    call(handlers._pods(keys.append), body={"metadata": {"ownerReferences": [OWNER]}}, namespace="team")
    call(handlers._namespaces(keys.append), name="team")
    assert keys == [
        Key(SERVER.kind, "team", "one"),
        Key(AGENT.kind, "team", "dev"),
        Key("Namespace", "", "team"),
    ]


def test_a_pod_that_is_no_agents_is_nothing_to_us() -> None:
    keys: list[Key] = []
    call(handlers._pods(keys.append), body={"metadata": {}}, namespace="team")
    assert keys == []


@pytest.mark.requirement("F-08")
def test_kopf_has_no_handler_for_which_it_would_mark_objects() -> None:
    registry = handlers.registry(lambda _: None)
    assert len(registry._watching.get_all_handlers()) == 5
    assert not registry._changing.get_all_handlers()
    assert not registry._spawning.get_all_handlers()
