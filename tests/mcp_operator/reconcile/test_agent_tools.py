from __future__ import annotations

import pytest
from mcp_operator.models.agent import MCPAgentSpec
from mcp_operator.models.status import MCPServerStatus, ToolStatus
from mcp_operator.objects import Resource
from mcp_operator.outcomes import Done
from mcp_operator.reconcile import agent_tools
from mcp_operator.reconcile.agent_inputs import Server
from toolman.policy import Layer, Rules

SILENT = Layer(source="MCPAgent/dev")


def agent(
    naming: str = "Prefixed", required: tuple[str, ...] = (), servers: tuple[str, ...] = ("files",)
) -> Resource[MCPAgentSpec]:
    spec = MCPAgentSpec.model_validate(
        {
            "servers": [{"name": name} for name in servers],
            "toolNames": naming,
            "requiredTools": list(required),
            "template": {"spec": {}},
        },
    )
    return Resource(namespace="team", name="dev", uid="1", generation=1, spec=spec)


def server(name: str, *tools: str, count: int | None = None) -> Server:
    listed = [ToolStatus(name=tool, hash="sha256:0") for tool in tools]
    return Server(name=name, status=MCPServerStatus(tools=listed, tool_count=count or len(tools)))


@pytest.mark.requirement("F-04", "F-08")
def test_what_is_denied_is_listed_with_the_layer_that_denies_it() -> None:
    layers = [
        Layer(source="ToolPolicy/base", tools=Rules(deny=("write*",))),
        Layer(source="MCPAgent/dev", servers=("files",), tools=Rules(allow=("read", "write_all"))),
    ]
    seen = agent_tools.sight(agent(), [server("files", "read", "write_all", "list")], layers)
    assert (seen.tools.visible, seen.tools.total, seen.tools.names) == (1, 3, ["files__read"])
    assert [(each.tool, each.by, each.reason) for each in seen.denied] == [
        ("files/write_all", "ToolPolicy/base", "Denied"),
        ("files/list", "MCPAgent/dev", "NotListed"),
    ]


def test_two_tools_of_one_name_are_both_invisible_as_in_toolman() -> None:
    seen = agent_tools.sight(agent("Plain"), [server("a", "read", "x"), server("b", "read")], [SILENT])
    assert (seen.tools.visible, seen.tools.total, seen.tools.names) == (1, 3, ["x"])


def test_lists_are_bounded_and_counts_are_whole() -> None:
    many = [server(f"s{number}", *(f"t{index}" for index in range(50))) for number in range(3)]
    seen = agent_tools.sight(agent(), many, [SILENT])
    assert (seen.tools.visible, len(seen.tools.names)) == (150, 50)
    denied = agent_tools.sight(agent(), many, [Layer(source="x", tools=Rules(allow=()))])
    assert (denied.denied_count, len(denied.denied)) == (150, 50)


def test_a_tool_beyond_those_that_a_status_lists_may_be_there() -> None:
    outcome = agent_tools.required(agent(required=("files/more",)), [server("files", "read", count=80)], [SILENT])
    assert isinstance(outcome, Done)
