from __future__ import annotations

from typing import Any

import pytest
from fake_cluster import AGENT, SERVER, FakeCluster
from mcp_operator import objects
from mcp_operator.models.server import MCPServerSpec
from mcp_operator.outcomes import Done, Outcome, Stalled, Waiting
from mcp_operator.reconcile import inline_agent

pytestmark = pytest.mark.requirement("O-13")

TEMPLATE = {"spec": {"containers": [{"name": "agent", "image": "agent:1"}]}}
WRITTEN: dict[str, Any] = {"template": TEMPLATE, "tools": {"deny": ["push"]}, "restartPolicy": "Never"}


class World:
    def __init__(self) -> None:
        self.api = FakeCluster()

    def apply(self, agent: dict[str, Any] | None = WRITTEN) -> None:
        source = {"source": {"git": {"url": "https://git.test/one"}}}
        self.api.add(SERVER, "one", source if agent is None else {**source, "agent": agent})

    def look(self) -> Outcome | None:
        raw = self.api.get(SERVER, "team", "one")
        assert raw is not None
        return inline_agent.ensure(self.api, objects.parse(MCPServerSpec, raw))

    @property
    def child(self) -> dict[str, Any]:
        return self.api.objects["mcpagents", "team", "one"]


@pytest.fixture
def world() -> World:
    made = World()
    made.apply()
    return made


def test_an_agent_that_is_written_in_a_server_becomes_one_of_its_name_that_goes_with_it(world: World) -> None:
    assert isinstance(world.look(), Done)
    spec = world.child["spec"]
    assert spec["servers"] == [{"name": "one", "tools": {"deny": ["push"]}}]
    assert (spec["toolNames"], spec["restartPolicy"], spec["template"]) == ("Plain", "Never", TEMPLATE)
    (owner,) = world.child["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["controller"]) == ("MCPServer", "one", True)


def test_looking_again_writes_nothing(world: World) -> None:
    world.look()
    world.api.writes.clear()
    assert isinstance(world.look(), Done)
    assert world.api.writes == []


def test_what_the_api_server_fills_in_is_no_difference(world: World) -> None:
    world.look()
    world.child["spec"] |= {"requiredTools": [], "suspend": False, "updateStrategy": "InPlace"}
    world.api.writes.clear()
    world.look()
    assert world.api.writes == []


@pytest.mark.parametrize(
    "edit",
    [
        {"servers": [{"name": "one"}, {"name": "two"}]},
        {"suspend": True},
        {"activeDeadlineSeconds": 5},
        {"template": {"spec": {"containers": [{"name": "agent", "image": "other:1"}], "hostPID": True}}},
        {"colour": "blue"},
    ],
)
def test_what_somebody_edits_is_put_back(world: World, edit: dict[str, Any]) -> None:
    world.look()
    before = {**world.child["spec"]}
    world.child["spec"] |= edit
    world.look()
    assert world.child["spec"] == before


def test_another_spec_of_the_server_reaches_its_agent(world: World) -> None:
    world.look()
    world.apply({"template": TEMPLATE, "requiredTools": ["one/log"]})
    world.look()
    assert world.child["spec"]["requiredTools"] == ["one/log"]
    assert world.child["spec"]["restartPolicy"] == "Always"


def test_an_agent_that_is_not_written_any_more_goes(world: World) -> None:
    world.look()
    world.apply(None)
    assert world.look() is None
    assert ("mcpagents", "team", "one") not in world.api.objects


def test_somebody_elses_agent_is_never_touched(world: World) -> None:
    world.api.add(AGENT, "one", {"servers": [{"name": "one"}], "template": TEMPLATE})
    outcome = world.look()
    assert isinstance(outcome, Stalled)
    assert outcome.reason == "AgentNameTaken"
    world.apply(None)
    assert world.look() is None
    assert ("mcpagents", "team", "one") in world.api.objects
    assert world.api.writes == []


@pytest.mark.parametrize("going", ["of an earlier server", "being deleted"])
def test_an_agent_that_is_going_is_waited_for(world: World, going: str) -> None:
    world.look()
    if going == "being deleted":
        world.child["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    else:
        world.child["metadata"]["ownerReferences"][0]["uid"] = "earlier"
    outcome = world.look()
    assert isinstance(outcome, Waiting)
    assert outcome.reason == "AgentGoing"
