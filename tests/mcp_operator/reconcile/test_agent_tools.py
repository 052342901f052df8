from __future__ import annotations

import pytest
from mcp_operator.models.agent import MCPAgentSpec
from mcp_operator.models.status import MCPAgentStatus, MCPServerStatus, ToolStatus
from mcp_operator.objects import Resource
from mcp_operator.outcomes import Done, Stalled, Waiting
from mcp_operator.reconcile import agent_tools
from mcp_operator.reconcile.agent_inputs import Server
from toolman.policy import Layer, Limits, Rules

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


def server(name: str, *tools: str, count: int | None = None, tokens: int = 0, problem: str = "") -> Server:
    listed = [ToolStatus(name=tool, hash="sha256:0", tokens=tokens) for tool in tools]
    status = MCPServerStatus(tools=listed, tool_count=count or len(tools))
    return Server(name=name, status=status, tools=tuple(listed) if count is None else None, problem=problem)


def seen(agent: Resource[MCPAgentSpec], servers: list[Server], layers: list[Layer]) -> MCPAgentStatus:
    status = MCPAgentStatus()
    agent_tools.fill(status, agent_tools.sight(agent, servers, layers))
    return status


def names(status: MCPAgentStatus) -> tuple[int, int, list[str]]:
    assert status.tools is not None
    return status.tools.visible, status.tools.total, status.tools.names


def denied(status: MCPAgentStatus) -> list[tuple[str, str, str]]:
    return [(each.tool, each.by, each.reason) for each in status.denied or ()]


@pytest.mark.requirement("F-04", "F-08", "O-14")
def test_what_is_denied_is_listed_with_the_layer_that_denies_it() -> None:
    layers = [
        Layer(source="ToolPolicy/base", tools=Rules(deny=("write*",))),
        Layer(source="MCPAgent/dev", servers=("files",), tools=Rules(allow=("read", "write_all"))),
    ]
    status = seen(agent(), [server("files", "read", "write_all", "list")], layers)
    assert names(status) == (1, 3, ["files__read"])
    assert denied(status) == [
        ("files/write_all", "ToolPolicy/base", "Denied"),
        ("files/list", "MCPAgent/dev", "NotListed"),
    ]


def test_two_tools_of_one_name_are_both_invisible_as_in_toolman() -> None:
    status = seen(agent("Plain"), [server("a", "read", "x"), server("b", "read")], [SILENT])
    assert names(status) == (1, 3, ["x"])
    assert denied(status) == [("a/read", "MCPAgent/dev", "SameName"), ("b/read", "MCPAgent/dev", "SameName")]


@pytest.mark.requirement("O-14")
def test_lists_are_bounded_and_counts_are_whole() -> None:
    many = [server(f"s{number}", *(f"t{index}" for index in range(50)), tokens=10) for number in range(3)]
    audit = Layer(source="ToolPolicy/next", enforcement="audit", tools=Rules(deny=("*",)))
    status = seen(agent(), many, [SILENT, audit])
    assert names(status)[0] == 150
    assert len(names(status)[2]) == 50
    assert (status.would_deny_count, len(status.would_deny or ())) == (150, 50)
    status = seen(agent(), many, [Layer(source="x", tools=Rules(allow=()))])
    assert (status.denied_count, len(status.denied or ())) == (150, 50)


@pytest.mark.requirement("O-14")
def test_what_audit_would_deny_is_named_and_stays_visible() -> None:
    audit = Layer(source="ToolPolicy/next", enforcement="audit", tools=Rules(deny=("write",)))
    status = seen(agent(), [server("files", "read", "write")], [SILENT, audit])
    assert names(status)[0] == 2
    assert [(each.tool, each.by) for each in status.would_deny or ()] == [("files/write", ["ToolPolicy/next"])]


@pytest.mark.requirement("O-14")
def test_tokens_are_those_of_what_is_visible_and_of_all() -> None:
    status = seen(agent(), [server("files", "a", "b", tokens=7)], [SILENT, Layer(source="x", tools=Rules(deny=("b",)))])
    assert status.tokens is not None
    assert (status.tokens.visible, status.tokens.total) == (7, 14)


@pytest.mark.requirement("O-14")
def test_a_layers_bounds_leave_out_what_does_not_fit_in_order_as_toolman_does() -> None:
    bounded = Layer(source="ToolPolicy/small", limits=Limits(max_tools=2))
    status = seen(agent(servers=("a", "b")), [server("a", "one", "two"), server("b", "three")], [SILENT, bounded])
    assert names(status)[2] == ["a__one", "a__two"]
    assert denied(status) == [("b/three", "ToolPolicy/small", "Limit")]
    tokens = Layer(source="ToolPolicy/short", limits=Limits(max_list_tokens=10))
    huge = server("a", "huge", tokens=11)
    status = seen(agent(servers=("a", "b")), [huge, server("b", "three", tokens=5)], [SILENT, tokens])
    assert names(status)[2] == ["b__three"]


def test_a_tool_beyond_those_that_are_known_may_be_there() -> None:
    outcome = agent_tools.required(agent(required=("files/more",)), [server("files", "read", count=80)], [SILENT])
    assert isinstance(outcome, Done)


@pytest.mark.requirement("O-10")
def test_every_required_tool_that_is_missing_is_named_with_its_own_reason() -> None:
    layers = [SILENT, Layer(source="ToolPolicy/base", tools=Rules(deny=("write",)))]
    wanted = agent(required=("files/fly", "files/write", "files/read", "down/up"), servers=("files", "down"))
    down = server("down", problem="it has no image yet (BuildFailed, see kubectl describe mcps down)", count=1)
    outcome = agent_tools.required(wanted, [server("files", "read", "write"), down], layers)
    assert isinstance(outcome, Stalled)
    assert outcome.message == (
        "required tools: no such tool: files/fly "
        "(kubectl get cm files-manifest -n team -o yaml lists what there is); "
        "denied: files/write (by ToolPolicy/base: Denied); "
        "of a server that is not ready: down/up (it has no image yet (BuildFailed, see kubectl describe mcps down)). "
        "Who says what: kubectl toolman explain mcpagent/dev -n team"
    )


@pytest.mark.requirement("O-10")
def test_tools_of_a_server_that_is_not_ready_are_waited_for() -> None:
    down = server("files", problem="it is being built", count=1)
    outcome = agent_tools.required(agent(required=("files/read",)), [down], [SILENT])
    assert isinstance(outcome, Waiting)
    assert outcome.reason == "ToolsWaiting"
