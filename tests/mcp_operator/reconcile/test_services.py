from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from agent_world import World
from mcp_operator.agent_index import AgentIndex
from mcp_operator.cluster import AGENT, POLICY
from mcp_operator.reconcile import services
from mcp_operator.reconcile.agent import AgentReconciler
from mcp_operator.workqueue import Key

if TYPE_CHECKING:
    from mcp_operator.reconcile.services import Services

pytestmark = [pytest.mark.requirement("O-36")]

DEV = Key(AGENT.kind, "team", "dev")
LAYERS = Key(services.LAYERS, "", "team")


@pytest.fixture
def world() -> World:
    made = World()
    made.cluster.add(POLICY, "cap", {})
    return made


def indexed(world: World) -> Services:
    """Give services with an index that the world's agent is in, since it was looked at."""
    with_index = replace(world.reconciler._services, index=AgentIndex())
    AgentReconciler(with_index).reconcile("team", "dev")
    world.woken.clear()
    return with_index


def test_agents_are_woken_by_the_servers_that_they_name(world: World) -> None:
    for each in (world.reconciler._services, indexed(world)):
        world.woken.clear()
        each.wake_agents("team", server="files")
        assert world.woken == [DEV]
        each.wake_agents("team", server="other")
        each.wake_agents("elsewhere", server="files")
        assert world.woken == [DEV]


def test_policies_are_enforced_where_there_are_agents_and_once_for_all_of_a_namespace(world: World) -> None:
    world.cluster.add(AGENT, "ops", {"servers": []})
    for each in (world.reconciler._services, indexed(world)):
        world.woken.clear()
        each.enforce()
        each.enforce("team")
        each.enforce("elsewhere")
        assert world.woken == [LAYERS, LAYERS]


def test_nothing_is_listed_to_wake_one_of_a_thousand(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    each = indexed(world)
    monkeypatch.setattr(world.cluster, "list", None)
    each.wake_agents("team", server="files")
    each.wake_policies()
    each.enforce()
    assert world.woken == [DEV, services.COUNTING, LAYERS]


def test_an_agent_that_is_gone_is_woken_no_more(world: World) -> None:
    each = indexed(world)
    world.cluster.remove("mcpagents", "dev")
    AgentReconciler(each).reconcile("team", "dev")
    world.woken.clear()
    each.wake_agents("team", server="files")
    each.enforce()
    assert world.woken == []


def test_without_an_index_every_policy_is_woken(world: World) -> None:
    world.reconciler._services.wake_policies()
    assert world.woken == [Key(POLICY.kind, "", "cap")]
