"""What kubectl apply prints about an MCPAgent; it is never refused."""

from __future__ import annotations

from typing import Any

import pytest
from agent_world import World
from fake_cluster import POLICY
from mcp_operator import cluster
from mcp_operator.admission.answers import Answer, Request
from mcp_operator.admission.warning import Warnings

pytestmark = pytest.mark.requirement("O-22")


@pytest.fixture
def world() -> World:
    return World()


def _ask(world: World, spec: dict[str, Any], before: dict[str, Any] | None = None) -> Answer:
    written = {"metadata": {"name": "new", "labels": {"tier": "gold"}}, "spec": spec}
    request = Request(uid="1", operation="CREATE", namespace="team", object=written, before=before or {})
    return Warnings(world.cluster, "Allow")(request)


def _spec(*allow: str) -> dict[str, Any]:
    return {"servers": [{"name": "files", "tools": {"allow": list(allow)}}]}


def test_a_glob_that_matches_no_tool_is_told_before_the_agent_is_stored(world: World) -> None:
    assert _ask(world, _spec("raed")).warnings == [
        "servers files: tools.allow 'raed' matches none of the 2 tools of this server"
    ]


def test_what_a_policy_will_not_give_names_the_policy(world: World) -> None:
    world.cluster.add(POLICY, "cap", {"target": {"servers": ["*"]}, "tools": {"deny": ["write"]}})
    (warning,) = _ask(world, _spec("write")).warnings
    assert "ToolPolicy/cap denies write" in warning


def test_nothing_is_said_of_what_is_fine_or_whose_spec_stays(world: World) -> None:
    assert _ask(world, _spec("read")) == Answer(warnings=[])
    assert _ask(world, _spec("raed"), {"spec": _spec("raed")}) == Answer()


@pytest.mark.parametrize("spec", [{}, {"servers": 1}, {"servers": [{"name": "absent"}]}])
def test_what_cannot_be_judged_is_left_to_the_agents_status(world: World, spec: dict[str, Any]) -> None:
    assert not _ask(world, spec).warnings


def test_a_cluster_that_does_not_answer_delays_and_refuses_nobody(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise cluster.UnreachableError("timed out")

    monkeypatch.setattr(world.cluster, "namespace_labels", fail)
    assert _ask(world, _spec("raed")) == Answer()


def test_nothing_is_written_and_no_secret_is_asked_for(world: World) -> None:
    secret = {"secretKeyRef": {"name": "token", "key": "value"}}
    world.cluster.objects["mcpservers", "team", "files"]["spec"]["run"] = {"env": [{"name": "T", "valueFrom": secret}]}
    _ask(world, _spec("raed"))
    assert world.cluster.writes == world.cluster.reads == []
