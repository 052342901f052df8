from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from fake_builder import FakeClock
from fake_cluster import AGENT, POLICY, SERVER, FakeCluster
from mcp_operator.agent_index import AgentIndex
from mcp_operator.events import Recorder
from mcp_operator.images.contract import Tool
from mcp_operator.reconcile import manifests_store, services
from mcp_operator.reconcile.policy import PolicyReconciler
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
    world.reconciler.reconcile("", "cap")
    status = world.cluster.status(POLICY, "cap")
    assert (status["matchedAgents"], status["agents"]) == (1, ["team/dev"])
    assert world.cluster.condition(POLICY, "cap", "Ready") == ("True", "Succeeded")
    assert world.cluster.reasons == ["Ready"]


def test_a_policy_is_enforced_everywhere_when_it_comes_changes_and_goes_and_only_then(world: World) -> None:
    agents = [Key("Layers", "", "team"), Key("Layers", "", "other")]
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


def _server(world: World, tools: tuple[str, ...], count: int | None = None) -> None:
    raw = world.cluster.add(SERVER, "files", {"source": {"git": {"url": "https://git.test/files"}}})
    listed = [{"name": tool, "hash": "sha256:0"} for tool in tools]
    raw["status"] = {"tools": listed, "toolCount": len(tools) if count is None else count}


@pytest.mark.requirement("O-20")
def test_a_policy_says_what_it_denies_and_to_whom(world: World) -> None:
    _server(world, ("read", "write"))
    world.cluster.add(POLICY, "cap", {"tools": {"deny": ["write"]}})
    world.reconciler.reconcile("", "cap")
    status = world.cluster.status(POLICY, "cap")
    assert (status["matchedServers"], status["servers"]) == (1, ["team/files"])
    assert (status["denied"], status.get("wouldDeny"), status["summary"]) == (1, None, "Ready")
    world.cluster.add(POLICY, "cap", {"enforcement": "Audit", "tools": {"deny": ["write"]}})
    world.reconciler.reconcile("", "cap")
    status = world.cluster.status(POLICY, "cap")
    assert (status.get("denied"), status["wouldDeny"]) == (None, 1)


@pytest.mark.requirement("O-20")
def test_a_misspelt_glob_is_a_warning_while_it_is_there(world: World) -> None:
    _server(world, ("read", "write"))
    world.cluster.add(POLICY, "cap", {"tools": {"deny": ["wirte"]}})
    world.reconciler.reconcile("", "cap")
    assert world.cluster.condition(POLICY, "cap", "MatchesNothing") == ("True", "GlobsMatchNothing")
    assert world.cluster.condition(POLICY, "cap", "Ready") == ("True", "Succeeded")
    assert world.cluster.status(POLICY, "cap")["summary"] == "matches nothing: tools.deny: wirte"
    assert world.cluster.reasons == ["GlobsMatchNothing", "Ready"]
    world.reconciler.reconcile("", "cap")
    assert world.cluster.writes == ["status ToolPolicy"]
    world.cluster.add(POLICY, "cap", {"tools": {"deny": ["write"]}})
    world.reconciler.reconcile("", "cap")
    assert world.cluster.condition(POLICY, "cap", "MatchesNothing") == ("absent", "")
    assert "unmatched" not in world.cluster.status(POLICY, "cap")


@pytest.mark.requirement("O-20")
def test_a_glob_is_not_called_misspelt_while_not_all_tools_are_known(world: World) -> None:
    _server(world, ("read",), count=60)
    world.cluster.add(POLICY, "cap", {"tools": {"deny": ["wirte"]}})
    world.reconciler.reconcile("", "cap")
    assert world.cluster.condition(POLICY, "cap", "MatchesNothing") == ("absent", "")


@pytest.mark.requirement("O-20")
def test_the_tools_that_a_status_has_no_room_for_are_counted_too(world: World) -> None:
    _server(world, ("read",), count=2)
    raw = world.cluster.get(SERVER, "team", "files")
    assert raw is not None
    tools = [Tool(name=name, hash="sha256:0") for name in ("read", "write")]
    manifests_store.write(world.cluster, raw, tools)
    world.cluster.add(POLICY, "cap", {"tools": {"deny": ["write", "wirte"]}})
    world.reconciler.reconcile("", "cap")
    status = world.cluster.status(POLICY, "cap")
    assert (status["denied"], status["unmatched"]) == (1, ["tools.deny: wirte"])


@pytest.mark.requirement("O-20")
def test_servers_are_looked_at_when_a_policy_about_sources_comes_changes_and_goes(world: World) -> None:
    _server(world, ("read",))
    server = Key("MCPServer", "team", "files")
    world.cluster.add(POLICY, "cap", {"sources": {"allow": ["npm:*"]}})
    world.reconciler.reconcile("", "cap")
    assert world.woken.count(server) == 1
    world.cluster.add(POLICY, "cap", {"tools": {}})
    world.reconciler.reconcile("", "cap")
    assert world.woken.count(server) == 2  # it no longer refuses
    world.cluster.add(POLICY, "cap", {"tools": {"deny": ["x"]}})
    world.reconciler.reconcile("", "cap")
    assert world.woken.count(server) == 2
    world.cluster.add(POLICY, "cap", {"sources": {"allow": []}})
    world.reconciler.reconcile("", "cap")
    world.cluster.remove("toolpolicies", "cap", "")
    world.reconciler.reconcile("", "cap")
    assert world.woken.count(server) == 4


@pytest.mark.requirement("O-20")
@pytest.mark.requirement("O-14", "O-36")
def test_a_policy_that_has_changed_reaches_the_agents_before_anybody_is_counted(world: World) -> None:
    index = AgentIndex()
    index.note("team", "dev", world.cluster.get(AGENT, "team", "dev"))
    world.reconciler = PolicyReconciler(replace(world.reconciler._services, index=index))
    world.cluster.add(POLICY, "cap", {"tools": {"deny": ["x"]}})
    assert world.reconciler.reconcile("", "cap") == services.ENFORCING_SHARE
    assert world.woken == [Key("Layers", "", "team")]
    assert world.cluster.writes == []
    assert world.reconciler.reconcile("", "cap") is None
    assert world.cluster.status(POLICY, "cap")["matchedAgents"] == 2
