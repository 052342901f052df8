from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import kopf
import pytest
from mcp_operator import handlers
from mcp_operator.cluster import AGENT, SERVER
from mcp_operator.metrics import Metrics
from mcp_operator.own_writes import OwnWrites, Place
from mcp_operator.workqueue import Key

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

READY = {"status": {"conditions": [{"type": "Ready", "status": "True", "reason": "Succeeded"}]}}


def call(handler: Callable[..., Coroutine[object, object, None]], **arguments: object) -> None:
    asyncio.run(handler(**{"type": "MODIFIED", "logger": None, **arguments}))


@pytest.mark.requirement("F-08")
def test_handlers_only_put_keys() -> None:
    keys: list[Key] = []
    call(handlers._ours(SERVER, keys.append, Metrics(), OwnWrites(keys.append)), body={}, namespace="team", name="one")
    call(handlers._namespaces(keys.append, ()), name="team")
    assert keys == [Key(SERVER.kind, "team", "one"), Key("Namespace", "", "team")]


@pytest.mark.requirement("O-34")
def test_namespaces_that_are_not_served_are_nothing_to_us() -> None:
    keys: list[Key] = []
    for name in ("team", "other"):
        call(handlers._namespaces(keys.append, ("team",)), name=name)
    assert keys == [Key("Namespace", "", "team")]


@pytest.mark.requirement("O-36")
def test_what_the_operator_has_written_itself_wakes_nobody_unless_it_is_listed_or_gone() -> None:
    keys: list[Key] = []
    own = OwnWrites(keys.append)
    with own.writing(Place(AGENT.plural, "team", "dev")) as came_to:
        came_to("7")
    handler = handlers._ours(AGENT, keys.append, Metrics(), own)
    body = {"metadata": {"resourceVersion": "7"}}
    call(handler, body=body, namespace="team", name="dev")
    assert keys == []
    for kind in (None, "ADDED", "DELETED"):
        call(handler, body=body, namespace="team", name="dev", type=kind)
    call(handler, body={"metadata": {"resourceVersion": "8"}}, namespace="team", name="dev")
    assert keys == [Key(AGENT.kind, "team", "dev")] * 4


@pytest.mark.requirement("O-35")
def test_conditions_are_counted_while_their_object_is_there() -> None:
    metrics = Metrics()
    handler = handlers._ours(SERVER, lambda _: None, metrics, OwnWrites(lambda _: None))
    call(handler, body=READY, namespace="team", name="one")
    assert 'conditions{kind="MCPServer",type="Ready",status="True",reason="Succeeded"} 1' in metrics.text()
    call(handler, body=READY, namespace="team", name="one", type="DELETED")
    assert "conditions{" not in metrics.text()


@pytest.mark.requirement("F-08")
@pytest.mark.requirement("O-32")
def test_kopf_has_no_handler_for_which_it_would_mark_objects() -> None:
    registry = handlers.registry(lambda _: None, Metrics())
    assert len(registry._watching.get_all_handlers()) == 4
    assert not registry._changing.get_all_handlers()
    assert not registry._spawning.get_all_handlers()


@pytest.mark.requirement("O-36")
def test_kopf_keeps_and_compares_nothing_of_an_object() -> None:
    settings = kopf.OperatorSettings()
    asyncio.run(handlers._configure(settings))
    kept = settings.persistence.diffbase_storage
    body = kopf.Body({"metadata": {"name": "one"}, "spec": {"a": 1}})
    assert dict(kept.build(body=body)) == {}
    assert kept.fetch(body=body) is None
