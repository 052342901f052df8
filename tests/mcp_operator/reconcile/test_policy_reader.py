"""A policy that cannot be read, or that is going, never widens anything."""

from __future__ import annotations

from typing import Any

import pytest
from examples import agent, server
from fake_cluster import POLICY, FakeCluster
from mcp_operator.outcomes import Stalled
from mcp_operator.reconcile import policy_reader

pytestmark = pytest.mark.requirement("O-20")

BOT = agent("git", labels={"kind": "bot"})
GIT = server("git", source={"git": {"url": "https://github.com/acme/tools"}})
PROD = {"env": "prod"}


def _read(spec: Any, *, deleting: bool = False) -> list[str]:  # noqa: ANN401 - what a cluster may hold
    api = FakeCluster()
    raw = api.add(POLICY, "base", spec)
    if deleting:
        raw["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    return [each.name for each in policy_reader.of_agent(api, BOT, PROD, [GIT])]


def test_a_policy_counts_until_it_is_gone() -> None:
    assert _read({"tools": {"deny": ["x"]}}, deleting=True) == ["base"]


@pytest.mark.parametrize(
    "spec",
    [
        {"tools": {"deny": "x"}},
        {"tools": {"deny": ["x"]}, "newRules": {}},
        {"tools": {"deny": ["x"]}, "enforcement": "Block"},
        {"target": {"clusterSelector": {}}, "tools": {}},
        {"target": "everything"},
        "nothing",
        {"target": {"servers": ["git"]}, "tools": {"but": 1}},
        {"target": {"sources": {"git": ["https://github.com/ACME/*"]}}, "tools": {"but": 1}},
        {"target": {"servers": ["other"]}, "sources": {"allow": [], "but": 1}},
    ],
)
def test_one_that_cannot_be_read_stalls_whom_it_may_concern(spec: object) -> None:
    with pytest.raises(Stalled, match=r"PolicyInvalid: ToolPolicy base: .* Nothing changes for this agent until"):
        _read(spec)


@pytest.mark.parametrize(
    "target",
    [
        {"servers": ["other"]},
        {"agentSelector": {"matchLabels": {"kind": "person"}}},
        {"namespaceSelector": {"matchLabels": {"env": "test"}}},
        {"sources": {"npm": ["*"]}},
    ],
)
def test_one_that_cannot_be_read_and_is_about_others_stalls_nobody_else(target: dict[str, Any]) -> None:
    assert _read({"target": target, "tools": {"but": 1}}) == []


def test_nothing_is_fetched_while_a_policy_about_the_sources_of_a_namespace_cannot_be_read() -> None:
    api = FakeCluster()
    api.add(POLICY, "tools", {"tools": {"but": 1}})
    api.add(POLICY, "good", {"sources": {"allow": ["git:*"]}})
    assert [each.name for each in policy_reader.of_namespace(api, PROD)] == ["good"]
    api.add(POLICY, "base", {"sources": {"allow": [1]}, "target": {"namespaceSelector": {"matchLabels": PROD}}})
    with pytest.raises(Stalled, match="Nothing is fetched or connected to until that is repaired"):
        policy_reader.of_namespace(api, PROD)
    assert policy_reader.of_namespace(api, {"env": "test"})
