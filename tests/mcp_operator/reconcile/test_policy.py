from __future__ import annotations

from typing import Any

import pytest
from fake_builder import FakeClock
from fake_cluster import AGENT, POLICY, FakeCluster
from mcp_operator.events import Recorder
from mcp_operator.reconcile.policy import RESYNC, PolicyReconciler
from mcp_operator.reconcile.services import Services
from mcp_operator.settings import Settings
from mcp_operator.workqueue import Key

AGENT_SPEC: dict[str, Any] = {"servers": [{"name": "files"}], "template": {"spec": {}}}


class World:
    def __init__(self) -> None:
        self.cluster = FakeCluster()
        self.woken: list[Key] = []
        clock = FakeClock()
        services = Services(
            api=self.cluster,
            recorder=Recorder(self.cluster, clock),
            settings=Settings(registry="r", image_toolman="t", image_wrapper="w"),
            clock=clock,
            wake=lambda key, _: self.woken.append(key),
        )
        self.reconciler = PolicyReconciler(services)
        self.cluster.namespaces["other"] = {"team": "b"}
        self.cluster.add(AGENT, "dev", AGENT_SPEC)
        self.cluster.add(AGENT, "ops", AGENT_SPEC, namespace="other")


@pytest.fixture
def world() -> World:
    return World()


@pytest.mark.requirement("F-04", "F-08")
def test_a_policy_says_which_agents_it_caps(world: World) -> None:
    world.cluster.add(POLICY, "cap", {"target": {"namespaceSelector": {"matchLabels": {"team": "a"}}}, "tools": {}})
    assert world.reconciler.reconcile("", "cap") == RESYNC
    status = world.cluster.status(POLICY, "cap")
    assert (status["matchedAgents"], status["agents"]) == (1, ["team/dev"])
    assert world.cluster.condition(POLICY, "cap", "Ready") == ("True", "Succeeded")
    assert world.cluster.reasons == ["Ready"]


def test_all_agents_are_looked_at_when_a_policy_comes_changes_and_goes_and_only_then(world: World) -> None:
    agents = [Key("MCPAgent", "team", "dev"), Key("MCPAgent", "other", "ops")]
    world.cluster.add(POLICY, "cap", {"tools": {}})
    world.reconciler.reconcile("", "cap")
    assert world.woken == agents
    world.reconciler.reconcile("", "cap")
    assert world.woken == agents
    world.cluster.add(POLICY, "cap", {"tools": {"deny": ["x"]}})
    world.reconciler.reconcile("", "cap")
    world.cluster.remove("toolpolicies", "cap", "")
    assert world.reconciler.reconcile("", "cap") is None
    assert world.woken == agents * 3


def test_reconciling_again_writes_nothing(world: World) -> None:
    world.cluster.add(POLICY, "cap", {"tools": {}})
    for _ in range(3):
        world.reconciler.reconcile("", "cap")
    assert world.cluster.writes == ["status ToolPolicy"]


def test_a_policy_that_cannot_be_read_says_so(world: World) -> None:
    world.cluster.add(POLICY, "cap", {"tools": {"deny": "x"}})
    world.reconciler.reconcile("", "cap")
    assert world.cluster.condition(POLICY, "cap", "Stalled") == ("True", "InvalidSpec")


def test_an_agent_that_cannot_be_read_and_a_namespace_that_is_going_are_not_counted(world: World) -> None:
    world.cluster.add(AGENT, "odd", {"colour": 1})
    del world.cluster.namespaces["other"]
    world.cluster.add(POLICY, "cap", {"tools": {}})
    world.reconciler.reconcile("", "cap")
    assert world.cluster.status(POLICY, "cap")["agents"] == ["team/dev"]
