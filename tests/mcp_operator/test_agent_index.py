from __future__ import annotations

from typing import Any

import pytest
from mcp_operator.agent_index import AgentIndex, servers_of

pytestmark = [pytest.mark.requirement("O-36")]


def agent(*servers: str) -> dict[str, Any]:
    return {"spec": {"servers": [{"name": name} for name in servers]}}


def test_agents_are_found_by_namespace_and_by_the_servers_that_they_name() -> None:
    index = AgentIndex()
    index.note("a", "one", agent("git"))
    index.note("a", "two", agent("git", "time"))
    index.note("b", "one", agent("git"))
    assert index.find("a", "git") == [("a", "one"), ("a", "two")]
    assert index.find("a", "time") == [("a", "two")]
    assert index.find("a") == [("a", "one"), ("a", "two")]
    assert index.find("") == [("a", "one"), ("a", "two"), ("b", "one")]
    assert index.find("c", "git") == []
    assert len(index) == 3


def test_what_an_agent_names_now_counts_and_one_that_is_gone_is_not_found() -> None:
    index = AgentIndex()
    index.note("a", "one", agent("git"))
    index.note("a", "one", agent("time"))
    assert index.find("a", "git") == []
    index.note("a", "one", None)
    index.note("a", "one", None)
    assert index.find("") == []


def test_an_agent_that_cannot_be_read_whole_is_read_as_far_as_it_can() -> None:
    assert servers_of({"spec": {"servers": ["x", {"name": "git"}, {}]}}) == {"git"}
    assert servers_of({"spec": None}) == frozenset()
