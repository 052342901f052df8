"""What an agent's owner hardly means: asking for what no layer gives, or for more than fits. Pure.

For the status, for Events and for whoever answers ``kubectl apply``: nothing here refuses anything.
"""

from __future__ import annotations

from functools import cache, partial
from typing import TYPE_CHECKING

from mcp_operator.layers import POLICY_PREFIX
from mcp_operator.models.status import LISTED_TOOLS, CappingPolicy
from mcp_operator.reconcile import agent_tools
from mcp_operator.status import printable
from toolman import policy

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mcp_operator.models.agent import AgentServer, MCPAgentSpec
    from mcp_operator.models.status import MCPAgentStatus
    from mcp_operator.objects import Resource
    from mcp_operator.reconcile.agent_inputs import Server
    from mcp_operator.reconcile.agent_tools import Verdict

LISTED_WARNINGS = 10
"""More of them would tell nobody more."""
NAMED_TOOLS = 5
"""Of one warning."""


def warnings(
    agent: Resource[MCPAgentSpec],
    servers: Sequence[Server],
    layers: Sequence[policy.Layer],
) -> list[str]:
    """Say what of an agent's spec comes to nothing, a sentence each.

    Args:
        agent: Its spec.
        servers: Those that it names. Of one of which not all tools are known, little is said.
        layers: All that count for it, its own among them.
    """
    known = {server.name: [tool.name for tool in server.tools or ()] for server in servers}
    found = [
        text for server in agent.spec.servers for text in _of_server(agent, server, known.get(server.name, ()), layers)
    ]
    if any(agent_tools.is_bounded(layer) for layer in layers):
        found += _of_budgets(agent_tools.sight(agent, servers, layers)[0])
    return [printable(text) for text in found][:LISTED_WARNINGS]


def fill(
    after: MCPAgentStatus,
    agent: Resource[MCPAgentSpec],
    servers: Sequence[Server],
    layers: Sequence[policy.Layer],
) -> None:
    """Write into a status, which has the agent's tools already, who caps it, and the warnings."""
    ceilings = {layer.source: layer.enforcement for layer in layers if layer.source.startswith(POLICY_PREFIX)}
    after.policies = [
        CappingPolicy(name=source.removeprefix(POLICY_PREFIX), enforcement=enforcement.capitalize())
        for source, enforcement in ceilings.items()
    ][:LISTED_TOOLS]
    found = [*_without_tools(after, agent), *warnings(agent, servers, layers)]
    after.warnings = found[:LISTED_WARNINGS] or None


def capped(after: MCPAgentStatus) -> str:
    """Say which policies cap an agent, from its status."""
    found = [f"ToolPolicy/{each.name}" + " (audit)" * (each.enforcement == "Audit") for each in after.policies or ()]
    return f"capped by {_named(found)}" if found else "no ToolPolicy caps it"


def _without_tools(after: MCPAgentStatus, agent: Resource[MCPAgentSpec]) -> Iterator[str]:
    """Warn of an agent that runs and sees nothing, by others' word: its Pod being ready is not all that is meant."""
    others = sorted({each.by for each in after.denied or ()} - {_own(agent), ""})
    if after.tools is not None and after.tools.total and not after.tools.visible and others:
        question = f"kubectl toolman explain mcpagent/{agent.name} -n {agent.namespace}"
        yield printable(f"none of its {after.tools.total} tools is left to it by {', '.join(others)}: {question}")


def _of_server(
    agent: Resource[MCPAgentSpec],
    server: AgentServer,
    known: Sequence[str],
    layers: Sequence[policy.Layer],
) -> Iterator[str]:
    field = f"servers {server.name}: tools"
    if server.tools.allow == []:
        yield f"{field}.allow is empty, so the agent gets no tool of it; leave allow out for all"
    if agent.spec.tool_names == "Prefixed":
        yield from _prefixed(server)
    if not known:
        return
    decide = cache(partial(policy.decide, layers, server.name, "tools"))  # globs may ask for the same tools
    for glob in server.tools.allow or ():
        asked = [name for name in known if policy.matches([glob], name)]
        if not asked:
            yield f"{field}.allow {glob!r} matches none of the {len(known)} tools of this server"
        elif others := _denying([decide(name) for name in asked], _own(agent)):
            yield f"{field}.allow {glob!r} gets nothing of what it asks for: {', '.join(others)} denies {_named(asked)}"


def _denying(decisions: Sequence[policy.Decision], own: str) -> list[str]:
    """Name the others that leave nothing of some tools; none where something is left."""
    if any(each.allowed for each in decisions):
        return []
    return sorted({each.source for each in decisions if each.source not in ("", own)})


def _prefixed(server: AgentServer) -> Iterator[str]:
    """Warn of globs over what the agent sees, where what the server itself says is matched."""
    prefix = f"{server.name}__"
    for glob in (*(server.tools.allow or ()), *server.tools.deny):
        if glob.startswith(prefix):
            plain = glob.removeprefix(prefix)
            yield f"servers {server.name}: tools {glob!r}: globs match the server's own names, write {plain!r}"


def _of_budgets(verdicts: Sequence[Verdict]) -> Iterator[str]:
    """Warn of tools that are allowed and do not fit, by whose bounds."""
    beyond: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        if verdict.reason == agent_tools.LIMIT:
            beyond.setdefault(verdict.by, []).append(verdict)
    for source, some in beyond.items():
        tokens = sum(verdict.tokens for verdict in some)
        named = _named([f"{verdict.server}/{verdict.tool}" for verdict in some])
        yield (
            f"{len(some)} tools ({tokens} tokens) are beyond the limits of {source} and not shown: {named}; "
            "narrow servers[].tools.allow to choose which"
        )


def _own(agent: Resource[MCPAgentSpec]) -> str:
    return f"MCPAgent/{agent.name}"


def _named(tools: Sequence[str]) -> str:
    more = f" and {len(tools) - NAMED_TOOLS} more" if len(tools) > NAMED_TOOLS else ""
    return ", ".join(tools[:NAMED_TOOLS]) + more
