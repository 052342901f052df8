from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from agent_world import World, condition
from fake_cluster import POLICY, SERVER, FakeCluster
from mcp_operator.reconcile.agent import RESYNC
from mcp_operator.workqueue import Key

if TYPE_CHECKING:
    from mcp_operator import cluster


@pytest.fixture
def world() -> World:
    return World()


@pytest.mark.requirement("F-08")
def test_reconciling_again_writes_nothing_and_tells_nothing(world: World) -> None:
    world.running()
    assert world.look(times=3) == RESYNC
    assert world.cluster.writes == []
    assert world.cluster.events == []


@pytest.mark.requirement("F-08")
def test_an_agent_waits_for_its_servers_and_says_which_and_why(world: World) -> None:
    world.agent("files", "nowhere", "building")
    raw = world.cluster.add(SERVER, "building", {"source": {"git": {"url": "https://git.test/b"}}})
    raw["status"] = {"conditions": [condition("Ready", "False", "Building")]}
    world.look()
    assert world.condition("ServersReady") == ("False", "ServersNotReady")
    assert "nowhere: there is no MCPServer of this name" in world.message()
    assert "building: it has no image yet (Building" in world.message()
    assert ("pods", "team", "dev") not in world.cluster.objects


def test_a_change_that_must_wait_for_a_server_is_not_told_as_done(world: World) -> None:
    world.running()
    raw = world.cluster.add(
        SERVER, "files", {"source": {"git": {"url": "https://git.test/files"}}, "run": {"args": ["--new"]}}
    )
    assert raw["status"]["observedGeneration"] == 1
    world.look()
    assert "delete Pod" not in world.cluster.writes
    assert world.condition("Ready") == ("False", "ServersNotReady")
    assert "until these servers are built: files" in world.message()


def test_the_agent_may_not_read_its_servers_secrets(world: World) -> None:
    token = {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "files-token", "key": "k"}}}
    world.server("files", run={"env": [token]})
    stolen = {"name": "agent", "image": "a", "envFrom": [{"secretRef": {"name": "files-token"}}]}
    world.agent(template={"spec": {"containers": [stolen]}})
    world.look()
    assert world.condition("Ready") == ("False", "UnsafeTemplate")


def test_a_policy_that_cannot_be_read_is_no_matter_to_agents_that_it_does_not_target(world: World) -> None:
    target = {"namespaceSelector": {"matchLabels": {"team": "b"}}}
    world.cluster.add(POLICY, "broken", {"target": target, "tools": {"deny": "write"}})
    world.running()
    assert world.condition("Ready")[0] == "True"


@pytest.mark.requirement("F-08")
def test_an_agent_that_was_deleted_in_the_middle_is_not_brought_back(world: World) -> None:
    class Gone(FakeCluster):
        def pod(self, namespace: str, name: str) -> cluster.Manifest | None:
            del self.objects["mcpagents", namespace, name]
            return None

    world.cluster.__class__ = Gone
    world.look()
    assert ("mcpagents", "team", "dev") not in world.cluster.objects
    owner = world.pod["metadata"]["ownerReferences"][0]
    assert (owner["kind"], owner["controller"]) == ("MCPAgent", True)
    assert world.look() is None


def test_an_agent_that_is_being_deleted_is_left_alone(world: World) -> None:
    world.cluster.objects["mcpagents", "team", "dev"]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert world.look() is None
    assert world.cluster.writes == []


def test_policies_are_counted_again_when_agents_come_change_their_labels_and_go(world: World) -> None:
    world.cluster.add(POLICY, "cap", {"tools": {}})
    cap = Key("ToolPolicy", "", "cap")
    world.look()
    assert world.woken == [cap]
    world.look()
    assert world.woken == [cap]
    world.cluster.objects["mcpagents", "team", "dev"]["metadata"]["labels"] = {}
    world.look()
    world.cluster.remove("mcpagents", "dev")
    world.look()
    assert world.woken == [cap] * 3


def test_a_spec_that_does_not_fit_is_told_by_field(world: World) -> None:
    world.agent(colour="blue")
    world.look()
    assert world.condition("Ready") == ("False", "InvalidSpec")
    assert "spec.colour" in world.message()


def test_a_namespace_that_is_going_is_no_error(world: World) -> None:
    world.cluster.namespaces.clear()
    world.look()
    assert world.condition("Ready")[0] == "False"
