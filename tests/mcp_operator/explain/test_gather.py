from __future__ import annotations

import pytest
from fake_cluster import AGENT, POLICY
from mcp_operator import names
from mcp_operator.explain import gather
from plugin_world import AskingWorld

pytestmark = pytest.mark.requirement("O-21")


@pytest.fixture
def world() -> AskingWorld:
    return AskingWorld()


def _sources(found: gather.Gathered) -> list[str]:
    return [layer.source for layer in found.layers]


def test_the_layers_are_those_of_policies_servers_and_agent(world: AskingWorld) -> None:
    world.policy("base", tools={"deny": ["write"]})
    found = gather.agent(world.asked, "team", "dev")
    assert _sources(found) == ["ToolPolicy/base", "MCPAgent/dev"]
    assert found.notes == []


def test_what_is_not_in_effect_yet_is_pointed_out(world: AskingWorld) -> None:
    world.look(times=2)
    world.cluster.add(POLICY, "base", {"tools": {"deny": ["write"]}})
    (note,) = gather.agent(world.asked, "team", "dev").notes
    assert "the operator is applying them" in note


def test_who_may_not_read_policies_is_told_by_toolmans_configuration(world: AskingWorld) -> None:
    world.policy("base", tools={"deny": ["write"]})
    world.asked.hidden.add(names.POLICIES)
    found = gather.agent(world.asked, "team", "dev")
    assert _sources(found) == ["ToolPolicy/base", "MCPAgent/dev"]
    assert found.notes == [
        (
            "the layers are those that toolman has now, read from its configuration, because "
            'toolpolicies is forbidden: User "tenant" cannot list it'
        )
    ]


def test_a_policy_that_cannot_be_read_leaves_what_is_in_effect(world: AskingWorld) -> None:
    world.policy("base", tools={"deny": ["write"]})
    world.cluster.add(POLICY, "base", {"tools": {"but": 1}})
    found = gather.agent(world.asked, "team", "dev")
    assert _sources(found) == ["ToolPolicy/base", "MCPAgent/dev"]
    assert "ToolPolicy base" in found.notes[0]


def test_without_policies_and_configuration_nothing_is_guessed(world: AskingWorld) -> None:
    world.asked.hidden.add(names.POLICIES)
    with pytest.raises(gather.ExplainError, match="toolman has no configuration yet"):
        gather.agent(world.asked, "team", "dev")


def test_a_configuration_of_somebody_elses_is_not_believed(world: AskingWorld) -> None:
    world.look(times=2)
    world.cluster.objects["configmaps", "team", names.config_map("dev")]["metadata"]["ownerReferences"][0]["uid"] = "x"
    world.asked.hidden.add(names.POLICIES)
    with pytest.raises(gather.ExplainError, match="toolman has no configuration yet"):
        gather.agent(world.asked, "team", "dev")


def test_nobody_needs_to_be_allowed_to_read_secrets(world: AskingWorld) -> None:
    secret = {"secretKeyRef": {"name": "token", "key": "token"}}
    world.server("files", run={"env": [{"name": "TOKEN", "valueFrom": secret}]})
    found = gather.agent(world.asked, "team", "dev")
    assert found.servers[0].problem == ""
    assert world.cluster.reads == []


def test_servers_that_give_nothing_are_closed(world: AskingWorld) -> None:
    world.cluster.remove(names.SERVERS, "files")
    found = gather.agent(world.asked, "team", "dev")
    assert found.servers[0].problem
    assert _sources(found) == ["MCPAgent/dev", "MCPServer/files"]


@pytest.mark.parametrize(("name", "text"), [("nobody", "kubectl get mcpa -n team"), ("odd", "cannot be read")])
def test_an_agent_that_is_not_there_or_cannot_be_read_is_an_error(world: AskingWorld, name: str, text: str) -> None:
    world.cluster.add(AGENT, "odd", {"colour": 1})
    with pytest.raises(gather.ExplainError, match=text):
        gather.agent(world.asked, "team", name)


def test_denying_by_default_is_known_from_what_is_in_effect(world: AskingWorld) -> None:
    world.look(times=2)
    stored = world.cluster.objects["configmaps", "team", names.config_map("dev")]
    layer = f'{{"source": "{names.DEFAULT_ACCESS_LAYER}", "servers": ["files"]}}, '
    stored["data"][names.CONFIG_FILE] = stored["data"][names.CONFIG_FILE].replace('"layers": [', f'"layers": [{layer}')
    assert names.DEFAULT_ACCESS_LAYER in _sources(gather.agent(world.asked, "team", "dev"))
