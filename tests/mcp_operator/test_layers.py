"""Which layers an agent gets, and that nobody below a policy can widen what it leaves."""

from __future__ import annotations

import itertools

import pytest
from examples import agent, policy, server
from mcp_operator import layers
from toolman.policy import decide

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
