from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from examples import NAMESPACE, agent, ceiling, server
from mcp_operator.reconcile.policy_coverage import Coverage, KnownServer, coverage

if TYPE_CHECKING:
    from mcp_operator.models.policy import ToolPolicySpec
    from mcp_operator.objects import Resource

pytestmark = pytest.mark.requirement("O-20")

TOOLS = ("read", "write", "delete")


def known(name: str = "git", tools: tuple[str, ...] = TOOLS, *, complete: bool = True, **spec: object) -> KnownServer:
    return KnownServer(resource=server(name, **spec), tools=tools, complete=complete)


def found(policy: Resource[ToolPolicySpec], *servers: KnownServer) -> Coverage:
    agents = [agent("git", name="one"), agent("git", "time", name="two"), agent("time", name="three")]
    return coverage(policy, {NAMESPACE: {"env": "prod"}}, agents, servers or [known(), known("time", ("now",))])


def test_what_a_policy_denies_is_counted_for_each_agent() -> None:
    result = found(ceiling(target={"servers": ["git"]}, tools={"deny": ["write", "delete"]}))
    assert result.agents == ["team/one", "team/two"]
    assert result.servers == ["team/git"]
    assert result.denied == 4


def test_what_audit_would_deny_is_counted_the_same() -> None:
    assert found(ceiling(enforcement="Audit", tools={"allow": ["read"]})).denied == 2 + 3 + 1


def test_servers_count_whether_an_agent_uses_them_or_not() -> None:
    assert found(ceiling(tools={"deny": ["x"]}), known("unused")).servers == ["team/unused"]


def test_other_namespaces_and_those_that_are_gone_do_not_count() -> None:
    selector = {"namespaceSelector": {"matchLabels": {"env": "test"}}}
    assert found(ceiling(target=selector, tools={"deny": ["*"]})) == Coverage(
        agents=[], servers=[], denied=0, unmatched=[]
    )
    gone = coverage(ceiling(tools={"deny": ["*"]}), {}, [agent("git")], [known()])
    assert gone == Coverage(agents=[], servers=[], denied=0, unmatched=[])


def test_servers_from_a_source_that_is_not_allowed_are_denied_as_a_whole() -> None:
    policy = ceiling(sources={"allow": ["npm:*"]}, tools={"deny": ["x"]})
    assert found(policy, known(), known("time", ("now",), source={"npm": {"package": "time"}})).denied == 6


@pytest.mark.parametrize(
    ("tools", "unmatched"),
    [
        ({"deny": ["write", "wirte", "*_all"]}, ["tools.deny: wirte", "tools.deny: *_all"]),
        ({"allow": ["reed", "r*"], "deny": ["Write"]}, ["tools.allow: reed", "tools.deny: Write"]),
        ({"allow": []}, []),
    ],
)
def test_globs_that_match_no_tool_are_named(tools: dict[str, Any], unmatched: list[str]) -> None:
    assert found(ceiling(tools=tools)).unmatched == unmatched


def test_nothing_is_called_misspelt_while_tools_are_not_known() -> None:
    policy = ceiling(tools={"deny": ["wirte"]})
    assert found(policy, known(), known("time", complete=False)).unmatched == []
    assert coverage(policy, {NAMESPACE: {}}, [agent("git")], []).unmatched == []
