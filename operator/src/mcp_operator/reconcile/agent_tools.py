"""What an agent sees and what it does not, and by whose word: the same decision that toolman makes in its Pod. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mcp_operator import conditions
from mcp_operator.models.status import LISTED_TOOLS, AgentTools, DeniedTool
from mcp_operator.outcomes import Done, Outcome, Stalled
from toolman import naming, policy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from toolman.config import Naming

    from mcp_operator.models.agent import MCPAgentSpec
    from mcp_operator.objects import Resource
    from mcp_operator.reconcile.agent_inputs import Server


@dataclass(frozen=True, kw_only=True)
class Sight:
    """What an agent sees of all tools. ``denied_count`` is whole, the lists are not."""

    tools: AgentTools
    denied: list[DeniedTool]
    denied_count: int


def sight(agent: Resource[MCPAgentSpec], servers: Sequence[Server], layers: Sequence[policy.Layer]) -> Sight:
    """Decide on every tool that the servers' status lists."""
    style: Naming = "plain" if agent.spec.tool_names == "Plain" else "prefixed"
    names: list[str] = []
    denied: list[DeniedTool] = []
    total = 0
    for server in servers:
        listed = server.status.tools or []
        total += server.status.tool_count or 0
        for tool in listed:
            decision = policy.decide(layers, server.name, "tools", tool.name)
            if decision.allowed:
                names.append(naming.expose(style, server.name, tool.name))
            else:
                denied.append(
                    DeniedTool(tool=f"{server.name}/{tool.name}", by=decision.source, reason=decision.reason),
                )
    clashes = {name for name, count in Counter(names).items() if count > 1}  # toolman shows neither
    visible = [name for name in names if name not in clashes]
    return Sight(
        tools=AgentTools(visible=len(visible), total=total, names=visible[:LISTED_TOOLS]),
        denied=denied[:LISTED_TOOLS],
        denied_count=len(denied),
    )


def required(
    agent: Resource[MCPAgentSpec],
    servers: Sequence[Server],
    layers: Sequence[policy.Layer],
) -> Outcome:
    """Say whether every required tool exists and is allowed."""
    by_name = {server.name: server for server in servers}
    unknown, denied = [], []
    for wanted in agent.spec.required_tools:
        server_name, _, tool = wanted.partition("/")
        server = by_name.get(server_name)
        if server is None or not _may_have(server, tool):
            unknown.append(wanted)
            continue
        decision = policy.decide(layers, server_name, "tools", tool)
        if not decision.allowed:
            denied.append(f"{wanted} ({decision.source}: {decision.reason})")
    if unknown:
        text = f"no such tool: {', '.join(unknown)}. The MCPServer's status.tools lists what there is."
        return Stalled(conditions.TOOLS_UNKNOWN, text)
    if denied:
        return Stalled(conditions.TOOLS_DENIED, f"denied: {', '.join(denied)}.")
    return Done(conditions.SUCCEEDED)


def _may_have(server: Server, tool: str) -> bool:
    """Tell whether a server has a tool; one that has more than its status lists may."""
    listed = server.status.tools or []
    return any(each.name == tool for each in listed) or (server.status.tool_count or 0) > len(listed)
