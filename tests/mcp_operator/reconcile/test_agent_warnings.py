from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from examples import agent, ceiling, server
from mcp_operator import layers
from mcp_operator.models.status import CappingPolicy, MCPAgentStatus, MCPServerStatus, ToolStatus
from mcp_operator.reconcile import agent_tools, agent_warnings
from mcp_operator.reconcile.agent_inputs import Server

from toolman import policy

pytestmark = pytest.mark.requirement("O-22")

TOOLS = tuple(ToolStatus(name=name, hash="", tokens=100) for name in ("read", "write", "push"))
GIT = Server(name="git", resource=server("git"), tools=TOOLS)


def warnings(tools: dict[str, Any], *policies: Any, **spec: Any) -> list[str]:  # noqa: ANN401 - of a spec
    bot = agent({"name": "git", "tools": tools}, **spec)
    return agent_warnings.warnings(bot, [GIT], layers.layers({}, bot, [server("git")], policies))


def test_an_agent_that_asks_for_what_it_gets_is_not_warned() -> None:
    policy = ceiling(tools={"allow": ["*"], "deny": ["push"]}, limits={"maxTools": 3, "maxListTokens": 300})
    assert warnings({}) == []
    assert warnings({"allow": ["r*", "write"], "deny": ["push"]}, policy) == []


def test_it_is_told_which_policy_denies_all_that_it_asks_for() -> None:
    policies = [ceiling("base", tools={"deny": ["push"]}), ceiling("other", tools={"deny": ["read"]})]
    assert warnings({"allow": ["pus*", "*"]}, *policies) == [
        "servers git: tools.allow 'pus*' gets nothing of what it asks for: ToolPolicy/base denies push"
    ]


@pytest.mark.requirement("O-30")
def test_however_many_globs_ask_for_a_tool_it_is_decided_on_once(monkeypatch: pytest.MonkeyPatch) -> None:
    # A tenant chooses both: 128 globs for 3,000 tools would otherwise keep a worker for hours.
    decided: list[str] = []

    def decide(layers: Any, server: str, kind: Any, name: str) -> policy.Decision:  # noqa: ANN401 - as the real one
        decided.append(name)
        return real(layers, server, kind, name)

    real = policy.decide
    monkeypatch.setattr(policy, "decide", decide)
    warnings({"allow": ["*", "**", "*?", "?*", "[a-z]*"]}, ceiling(tools={"deny": ["x"]}))
    assert sorted(decided) == ["push", "read", "write"]


@pytest.mark.requirement("O-02")
def test_who_caps_an_agent_is_said_in_a_few_words() -> None:
    def said(*enforcements: str) -> str:
        named = [CappingPolicy(name=f"p{number}", enforcement=each) for number, each in enumerate(enforcements)]
        return agent_warnings.capped(MCPAgentStatus(policies=named))

    assert said() == "no ToolPolicy caps it"
    assert said("Enforce", "Audit") == "capped by ToolPolicy/p0, ToolPolicy/p1 (audit)"
    assert said(*["Enforce"] * 7).endswith("ToolPolicy/p4 and 2 more")


@pytest.mark.requirement("O-20")
def test_an_agent_that_is_left_no_tool_by_others_is_told_who_and_how_to_learn_more() -> None:
    def told(tools: dict[str, Any], default: layers.DefaultAccess = "Deny") -> list[str]:
        bot, counted = agent({"name": "git", "tools": tools}), replace(GIT, status=MCPServerStatus(tool_count=3))
        found, after = layers.layers({}, bot, [server("git")], [], default), MCPAgentStatus()
        agent_tools.fill(after, agent_tools.sight(bot, [counted], found))
        agent_warnings.fill(after, bot, [counted], found)
        return after.warnings or []

    assert told({}) == [
        "none of its 3 tools is left to it by Installation/defaultAccess: kubectl toolman explain mcpagent/dev -n team"
    ]
    assert told({}, "Allow") == []
    assert told({"deny": ["*"]}, "Allow") == [], "its owner's own doing"


def test_its_own_deny_list_is_its_own_business() -> None:
    assert warnings({"allow": ["push", "*"], "deny": ["push"]}) == []


def test_a_glob_that_matches_no_tool_is_named_once_the_tools_are_known() -> None:
    assert warnings({"allow": ["raed"]}) == [
        "servers git: tools.allow 'raed' matches none of the 3 tools of this server"
    ]
    bot = agent({"name": "git", "tools": {"allow": ["raed"]}})
    assert agent_warnings.warnings(bot, [Server(name="git")], layers.layers({}, bot, [], [])) == []


def test_an_empty_allow_list_is_pointed_out() -> None:
    (text,) = warnings({"allow": []})
    assert "the agent gets no tool of it; leave allow out for all" in text


def test_globs_over_prefixed_names_are_pointed_out() -> None:
    text = "servers git: tools 'git__push': globs match the server's own names, write 'push'"
    assert text in warnings({"deny": ["git__push"]})
    assert text not in warnings({"deny": ["git__push"]}, toolNames="Plain")


def test_more_tools_or_tokens_than_the_budget_are_pointed_out_with_who_sets_it() -> None:
    tail = "; narrow servers[].tools.allow to choose which"
    assert warnings({}, ceiling("a", limits={"maxTools": 1})) == [
        f"2 tools (200 tokens) are beyond the limits of ToolPolicy/a and not shown: git/write, git/push{tail}"
    ]
    budget = ceiling("b", limits={"maxListTokens": 250})
    assert warnings({}, budget) == [
        f"1 tools (100 tokens) are beyond the limits of ToolPolicy/b and not shown: git/push{tail}"
    ]
    assert warnings({"deny": ["push"]}, budget) == []


def test_warnings_are_bounded_in_number_and_fit_for_a_terminal() -> None:
    found = warnings({"allow": [f"bad{number}\x1b[31m" for number in range(50)]})
    assert len(found) == agent_warnings.LISTED_WARNINGS
    assert all(text.isprintable() for text in found)


@pytest.mark.requirement("O-20")
def test_the_status_names_the_policies_that_cap_an_agent() -> None:
    bot = agent("git")
    policies = [ceiling("trial", enforcement="Audit", tools={}), ceiling("base", tools={"deny": ["push"]})]
    status = MCPAgentStatus()
    agent_warnings.fill(status, bot, [GIT], layers.layers({}, bot, [server("git")], policies, "Deny"))
    assert status.policies == [
        CappingPolicy(name="base", enforcement="Enforce"),
        CappingPolicy(name="trial", enforcement="Audit"),
    ]
    assert status.warnings is None
