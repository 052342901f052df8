"""What policies do to an agent that runs, and to one that is about to: nothing widens in silence."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from agent_world import World
from fake_cluster import POLICY
from mcp_operator import names

if TYPE_CHECKING:
    from mcp_operator.cluster import Manifest

pytestmark = pytest.mark.requirement("O-20")

NO_WRITING = {"tools": {"deny": ["write"]}}


@pytest.fixture
def world() -> World:
    made = World()
    made.cluster.add(POLICY, "base", NO_WRITING)
    made.running()
    return made


def _notes(world: World) -> dict[str, tuple[str, str]]:
    return {event["reason"]: (event["type"], event["note"]) for event in world.cluster.events}


def test_the_status_names_who_caps_the_agent(world: World) -> None:
    assert world.status["policies"] == [{"name": "base", "enforcement": "Enforce"}]


def test_removing_a_policy_warns_of_what_it_widened(world: World) -> None:
    world.cluster.remove(names.POLICIES, "base", "")
    world.look()
    assert world.status["policies"] == []
    assert _notes(world)["PolicyRemoved"] == (
        "Warning",
        "ToolPolicy/base no longer caps this agent; 1 tools came: files__write",
    )


def test_enforcing_no_more_is_told_the_same(world: World) -> None:
    world.cluster.add(POLICY, "base", {**NO_WRITING, "enforcement": "Audit"})
    world.look()
    assert "PolicyRemoved" in _notes(world)
    assert world.status["policies"] == [{"name": "base", "enforcement": "Audit"}]


def test_a_policy_that_is_gone_and_widened_nothing_is_not_told(world: World) -> None:
    world.cluster.add(POLICY, "other", NO_WRITING)
    world.look()
    world.cluster.events.clear()
    world.cluster.remove(names.POLICIES, "base", "")
    world.look()
    assert "PolicyRemoved" not in _notes(world)


def test_a_policy_that_is_being_deleted_counts_until_it_is_gone(world: World) -> None:
    world.cluster.add(POLICY, "base", NO_WRITING, deletionTimestamp="2026-01-01T00:00:00Z")
    world.look()
    assert world.status["tools"]["visible"] == 1
    assert world.cluster.events == []


def test_a_policy_that_cannot_be_read_leaves_what_runs_as_it_is_and_starts_nothing(world: World) -> None:
    before = world.config
    world.cluster.add(POLICY, "base", {"tools": {"deny": ["write"], "but": 1}})
    world.look()
    assert world.config == before
    assert world.condition("Stalled") == ("True", "PolicyInvalid")
    world.cluster.remove("pods", "dev")
    world.look()
    assert ("pods", "team", "dev") not in world.cluster.objects


def test_nothing_starts_without_a_policy_that_is_there_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The policies are read in the very reconciliation that makes the Pod, and its configuration has them."""
    world = World()
    create = world.cluster.create_pod

    def judged(manifest: Manifest, *, dry_run: bool = False) -> None:
        assert "ToolPolicy/base" in world.sources
        create(manifest, dry_run=dry_run)

    monkeypatch.setattr(world.cluster, "create_pod", judged)
    world.cluster.add(POLICY, "base", NO_WRITING)
    world.look(times=2)
    assert ("pods", "team", "dev") in world.cluster.objects


@pytest.mark.requirement("O-22")
def test_what_is_asked_for_in_vain_is_in_the_status_and_told_once(world: World) -> None:
    world.cluster.add(POLICY, "base", {"tools": {"deny": ["write"]}})
    world.agent()
    raw = world.cluster.objects[names.AGENTS, "team", "dev"]
    raw["spec"]["servers"] = [{"name": "files", "tools": {"allow": ["read", "write"]}}]
    raw["metadata"]["generation"] += 1
    world.look(times=3)
    (warning,) = world.status["warnings"]
    assert warning.endswith("gets nothing of what it asks for: ToolPolicy/base denies write")
    assert [event["note"] for event in world.cluster.events if event["reason"] == "AsksInVain"] == [warning]
    assert json.dumps(world.status)
