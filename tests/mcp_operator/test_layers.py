"""Which layers an agent gets, and that nobody below a policy can widen what it leaves."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any, get_args

import pytest
from examples import agent, ceiling, policy, server
from mcp_operator import layers
from toolman.policy import Decision, Kind, Limits, decide, tightest

pytestmark = pytest.mark.requirement("F-04")

NAMESPACE = {"kubernetes.io/metadata.name": "team", "env": "prod"}


def test_layers_are_policies_by_name_then_servers_then_the_agent() -> None:
    result = layers.layers(
        NAMESPACE,
        agent({"name": "time", "tools": {"deny": ["t"]}}, {"name": "git", "tools": {"allow": ["a", "b"]}}),
        [server("time", tools={"deny": ["x"]}), server("git", tools={"allow": ["a"]})],
        [policy("zeta", deny=["z"]), policy("alpha", allow=["a"], target={"servers": ["g*"]})],
    )
    assert [(layer.source, layer.servers) for layer in result] == [
        ("ToolPolicy/alpha", ("g*",)),
        ("ToolPolicy/zeta", ("*",)),
        ("MCPServer/git", ("git",)),
        ("MCPServer/time", ("time",)),
        ("MCPAgent/dev", ("time",)),
        ("MCPAgent/dev", ("git",)),
    ]
    assert result[0].tools.allow == ("a",)
    assert result[1].tools.deny == ("z",)


def test_an_agent_always_has_a_layer_for_each_of_its_servers_and_a_server_only_if_it_says_something() -> None:
    result = layers.layers(NAMESPACE, agent("git", "time"), [server("git"), server("time")], [])
    assert [(layer.source, layer.servers) for layer in result] == [
        ("MCPAgent/dev", ("git",)),
        ("MCPAgent/dev", ("time",)),
    ]
    assert decide(result, "git", "tools", "anything").allowed


def test_an_empty_allow_list_is_an_opinion() -> None:
    result = layers.layers(NAMESPACE, agent("git"), [server("git", tools={"allow": []})], [])
    assert result[0].tools.allow == ()
    assert not decide(result, "git", "tools", "anything").allowed


def test_servers_that_the_agent_does_not_use_say_nothing() -> None:
    result = layers.layers(NAMESPACE, agent("git"), [server("other", tools={"deny": ["*"]})], [])
    assert [layer.source for layer in result] == ["MCPAgent/dev"]


@pytest.mark.parametrize(
    ("target", "capped"),
    [
        ({}, True),
        ({"namespaceSelector": {"matchLabels": {"env": "prod"}}}, True),
        ({"namespaceSelector": {"matchLabels": {"env": "test"}}}, False),
        ({"agentSelector": {"matchLabels": {"kind": "bot"}}}, True),
        ({"agentSelector": {"matchExpressions": [{"key": "kind", "operator": "DoesNotExist"}]}}, False),
        ({"servers": ["g?t"]}, True),
        ({"servers": ["time"]}, False),
    ],
)
def test_a_policy_caps_what_matches_all_of_its_target(target: dict[str, object], capped: bool) -> None:  # noqa: FBT001 - a table
    ceiling, bot = policy(deny=["*"], target=target), agent("git", labels={"kind": "bot"})
    assert layers.caps(ceiling, NAMESPACE, bot) is capped
    assert (len(layers.layers(NAMESPACE, bot, [], [ceiling])) == 2) is capped


def test_owners_can_only_narrow_what_the_policies_leave() -> None:
    ceiling = policy(allow=["read_*", "list"], deny=["read_secret"])
    tools = ("read_file", "read_secret", "list", "write")
    rules: tuple[dict[str, list[str]], ...] = (
        {},
        {"allow": ["*"]},
        {"allow": ["write", "list"]},
        {"deny": ["list"]},
        {"allow": ["read_secret"]},
    )
    for of_server, of_agent in itertools.product(rules, rules):
        result = layers.layers(
            NAMESPACE,
            agent({"name": "git", "tools": of_agent}),
            [server("git", tools=of_server)],
            [ceiling],
        )
        allowed = {tool for tool in tools if decide(result, "git", "tools", tool).allowed}
        assert allowed <= {"read_file", "list"}


def _decide(result: Any, name: str, kind: Kind = "tools", server_name: str = "git") -> Decision:  # noqa: ANN401 - layers
    return decide(result, server_name, kind, name)


@pytest.mark.requirement("O-20")
def test_a_policy_speaks_about_every_kind_of_thing() -> None:
    rules = {"allow": ["a*"], "deny": ["ab"]}
    ceilings = ceiling(
        tools=rules, prompts=rules, resources=rules, extensions=rules, serverRequests={"allow": ["roots"]}
    )
    result = layers.layers(NAMESPACE, agent("git"), [server("git")], [ceilings])
    kinds: tuple[Kind, ...] = ("tools", "prompts", "resources", "extensions")
    for kind in kinds:
        allowed = [name for name in ("a", "ab", "b") if _decide(result, name, kind).allowed]
        assert (kind, allowed) == (kind, ["a"])
    asked = [name for name in ("elicitation", "sampling", "roots") if _decide(result, name, "server_requests").allowed]
    assert asked == ["roots"]


@pytest.mark.requirement("O-20")
def test_the_tightest_limit_of_all_policies_wins_and_is_in_seconds() -> None:
    policies = [
        ceiling("a", limits={"callTimeout": "1m30s", "callsPerMinute": 10, "maxTools": 5}),
        ceiling("b", limits={"callTimeout": "500ms", "callsPerMinute": 20, "maxListTokens": 1000}),
        ceiling("c", limits={"callTimeout": "1h", "maxConcurrentCalls": 2, "maxResultBytes": 4096}),
        ceiling("trial", enforcement="Audit", limits={"callsPerMinute": 1}),
    ]
    result = layers.layers(NAMESPACE, agent("git"), [server("git")], policies)
    assert result[0].limits == Limits(call_timeout=90.0, calls_per_minute=10, max_tools=5)
    assert tightest(result, "git") == {
        "calls_per_minute": (10, "ToolPolicy/a"),
        "max_concurrent_calls": (2, "ToolPolicy/c"),
        "max_tools": (5, "ToolPolicy/a"),
        "max_list_tokens": (1000, "ToolPolicy/b"),
        "call_timeout": (0.5, "ToolPolicy/b"),
        "max_result_bytes": (4096, "ToolPolicy/c"),
    }


@pytest.mark.requirement("O-20")
def test_a_policy_in_audit_blocks_nothing_grants_nothing_and_says_what_it_would() -> None:
    trial = ceiling("trial", enforcement="Audit", tools={"allow": ["read"]})
    result = layers.layers(NAMESPACE, agent("git"), [server("git")], [policy(deny=["read"]), trial])
    assert _decide(result, "write") == Decision(allowed=True, reason="Allowed", would_deny=("ToolPolicy/trial",))
    assert not _decide(result, "read").allowed


@pytest.mark.requirement("O-20")
def test_a_policy_over_sources_caps_the_servers_from_there_whatever_they_are_called() -> None:
    cap = ceiling(target={"sources": {"git": ["https://github.com/acme/*"]}}, tools={"allow": []})
    acme = server("harmless", source={"git": {"url": "https://GITHUB.com/Acme/tools.git"}})
    result = layers.layers(NAMESPACE, agent("harmless", "git"), [acme, server("git")], [cap])
    assert result[0].servers == ("harmless",)
    assert not _decide(result, "x", server_name="harmless").allowed
    assert _decide(result, "x").allowed
    assert layers.caps(cap, NAMESPACE, agent("harmless"), [acme])
    assert not layers.caps(cap, NAMESPACE, agent("git"), [server("git")])


@pytest.mark.requirement("O-20")
def test_a_server_that_moves_stays_capped_while_its_old_source_is_in_service() -> None:
    cap = ceiling(target={"sources": {"npm": ["@acme/*"]}}, tools={"allow": []})
    moved = dataclasses.replace(server("git"), status={"source": {"name": "npm:@acme/tools"}})
    assert not _decide(layers.layers(NAMESPACE, agent("git"), [moved], [cap]), "x").allowed


@pytest.mark.requirement("O-20")
def test_a_server_from_a_source_that_is_no_longer_allowed_is_closed_at_once() -> None:
    cap = ceiling(target={"servers": ["other"]}, sources={"allow": ["npm:*"]})
    allowed = server("time", source={"npm": {"package": "time"}})
    result = layers.layers(NAMESPACE, agent("git", "time"), [server("git"), allowed], [cap])
    for kind in get_args(Kind):
        assert _decide(result, "x", kind) == Decision(allowed=False, reason="NotListed", source="ToolPolicy/base")
        assert _decide(result, "x", kind, "time").allowed
    trial = ceiling(enforcement="Audit", sources={"allow": []})
    assert _decide(layers.layers(NAMESPACE, agent("git"), [server("git")], [trial]), "x").would_deny


@pytest.mark.requirement("O-20")
def test_where_access_is_denied_by_default_an_enforced_policy_must_allow_each_thing_by_name() -> None:
    policies = [
        ceiling("a", target={"servers": ["git"]}, tools={"allow": ["read_*"]}),
        ceiling("b", tools={"deny": ["read_secret"]}),
        ceiling("c", enforcement="Audit", tools={"allow": ["*"]}, prompts={"allow": ["*"]}),
    ]
    servers = [server("git"), server("time")]
    result = layers.layers(NAMESPACE, agent("git", "time"), servers, policies, "Deny")
    allowed = [name for name in ("read_file", "read_secret", "write") if _decide(result, name).allowed]
    assert allowed == ["read_file"]
    closed = Decision(allowed=False, reason="NotListed", source="Installation/defaultAccess")
    assert _decide(result, "read_file", server_name="time") == closed
    for kind in ("prompts", "resources", "extensions", "server_requests"):
        assert not _decide(result, "elicitation", kind).allowed
    assert not decide(layers.layers(NAMESPACE, agent("git"), servers, [], "Deny"), "git", "tools", "x").allowed


@pytest.mark.requirement("O-20")
def test_denying_by_default_never_allows_what_would_be_denied_otherwise() -> None:
    some = [policy("a", allow=["read_*", "list"]), policy("b", deny=["read_secret"]), policy("c", allow=["read_*"])]
    for count in range(4):
        for policies in itertools.combinations(some, count):
            usual = layers.layers(NAMESPACE, agent("git"), [server("git")], policies)
            closed = layers.layers(NAMESPACE, agent("git"), [server("git")], policies, "Deny")
            for tool in ("read_file", "read_secret", "list", "write"):
                named = any(each.spec.tools and each.spec.tools.allow is not None for each in policies)
                assert _decide(closed, tool).allowed is (_decide(usual, tool).allowed and named)


@pytest.mark.requirement("O-20")
def test_wanting_a_source_that_is_not_allowed_closes_nothing_that_is_in_service() -> None:
    cap = ceiling(sources={"allow": ["npm:*"]})
    moving = dataclasses.replace(server("git"), status={"source": {"name": "npm:tools"}})
    assert _decide(layers.layers(NAMESPACE, agent("git"), [moving], [cap]), "x").allowed
    fled = server("git", source={"npm": {"package": "tools"}})
    in_service = dataclasses.replace(fled, status={"source": {"name": "git:https://evil.example/x"}})
    assert not _decide(layers.layers(NAMESPACE, agent("git"), [in_service], [cap]), "x").allowed
