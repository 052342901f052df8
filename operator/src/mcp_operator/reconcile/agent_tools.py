"""What an agent sees and what it does not, and by whose word: the same decision that toolman makes in its Pod. Pure."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal

from mcp_operator import conditions, names
from mcp_operator.models.status import LISTED_TOOLS, AgentTokens, AgentTools, AuditedTool, DeniedTool
from mcp_operator.outcomes import Done, Outcome, Stalled, Waiting
from toolman import naming, policy

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from toolman.config import Naming

    from mcp_operator.models.agent import MCPAgentSpec
    from mcp_operator.models.status import MCPAgentStatus
    from mcp_operator.objects import Resource
    from mcp_operator.reconcile.agent_inputs import Server

LIMIT: Final = "Limit"
"""Reason of a tool that is beyond a layer's bounds."""
SAME_NAME: Final = "SameName"
"""Reason of tools of which an agent would see two under one name: toolman shows neither."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What an agent gets of one tool, and why.

    Attributes:
        tool: ``server/tool``.
        name: What the agent would see.
        tokens: What a model reads for it.
        by: Who denies it; empty when nobody does.
        reason: Why; empty when it is visible.
        would_deny: Who would deny it, in audit mode.
    """

    server: str
    tool: str
    name: str
    tokens: int
    by: str = ""
    reason: str = ""
    would_deny: tuple[str, ...] = ()

    @property
    def is_visible(self) -> bool:
        """Whether the agent gets it."""
        return not self.reason


def sight(
    agent: Resource[MCPAgentSpec], servers: Sequence[Server], layers: Sequence[policy.Layer]
) -> tuple[list[Verdict], int]:
    """Decide on every tool that is known of the servers; give the verdicts, and how many tools the servers have."""
    style: Naming = "plain" if agent.spec.tool_names == "Plain" else "prefixed"
    verdicts = list(_decided(style, servers, layers))
    for layer in layers:
        if is_bounded(layer):
            verdicts = _within(layer, verdicts)
    seen = Counter(verdict.name for verdict in verdicts if verdict.is_visible)
    verdicts = [
        replace(verdict, by=f"MCPAgent/{agent.name}", reason=SAME_NAME)
        if verdict.is_visible and seen[verdict.name] > 1
        else verdict
        for verdict in verdicts
    ]
    return verdicts, sum(server.status.tool_count or 0 for server in servers)


def fill(after: MCPAgentStatus, found: tuple[Sequence[Verdict], int]) -> None:
    """Write verdicts into a status: the lists bounded, the counts whole."""
    verdicts, total = found
    visible = [verdict for verdict in verdicts if verdict.is_visible]
    denied = [verdict for verdict in verdicts if not verdict.is_visible]
    audited = [verdict for verdict in visible if verdict.would_deny]
    after.tools = AgentTools(
        visible=len(visible), total=total, names=[verdict.name for verdict in visible[:LISTED_TOOLS]]
    )
    after.denied = [
        DeniedTool(tool=f"{each.server}/{each.tool}", by=each.by, reason=each.reason) for each in denied[:LISTED_TOOLS]
    ]
    after.denied_count = len(denied)
    after.would_deny = [
        AuditedTool(tool=f"{each.server}/{each.tool}", by=list(each.would_deny)) for each in audited[:LISTED_TOOLS]
    ]
    after.would_deny_count = len(audited)
    after.tokens = AgentTokens(
        visible=sum(verdict.tokens for verdict in visible), total=sum(verdict.tokens for verdict in verdicts)
    )


def required(
    agent: Resource[MCPAgentSpec],
    servers: Sequence[Server],
    layers: Sequence[policy.Layer],
) -> Outcome:
    """Say of every required tool that is not there why: no such tool, denied by whom, or its server is not ready."""
    if not agent.spec.required_tools:
        return Done(conditions.SUCCEEDED)
    by_name = {server.name: server for server in servers}
    found: dict[_Kind, list[str]] = {"unknown": [], "denied": [], "waiting": []}
    visible = {(each.server, each.tool): each for each in sight(agent, servers, layers)[0]}
    for wanted in agent.spec.required_tools:
        server_name, _, tool = wanted.partition("/")
        server = by_name.get(server_name)
        decided = visible.get((server_name, tool))
        trouble = _lacking(agent, server, decided, policy.decide(layers, server_name, "tools", tool))
        if trouble is not None:
            found[trouble[0]].append(f"{wanted} ({trouble[1]})")
    texts = [f"{_WORDS[kind]}: {', '.join(tools)}" for kind, tools in found.items() if tools]
    if not texts:
        return Done(conditions.SUCCEEDED)
    text = f"required tools: {'; '.join(texts)}."
    if found["denied"]:
        text += f" Who says what: kubectl toolman explain mcpagent/{agent.name} -n {agent.namespace}"
    if found["unknown"]:
        return Stalled(conditions.TOOLS_UNKNOWN, text)
    if found["denied"]:
        return Stalled(conditions.TOOLS_DENIED, text)
    return Waiting(conditions.TOOLS_WAITING, text, delay=None)


_Kind = Literal["unknown", "denied", "waiting"]
_WORDS: Final[dict[_Kind, str]] = {
    "unknown": "no such tool",
    "denied": "denied",
    "waiting": "of a server that is not ready",
}


def _lacking(
    agent: Resource[MCPAgentSpec], server: Server | None, verdict: Verdict | None, decision: policy.Decision
) -> tuple[_Kind, str] | None:
    if server is None:
        return "unknown", "no such server"
    if server.tools is not None and verdict is None:
        listed = f"kubectl get cm {names.manifest_config_map(server.name)}"
        return "unknown", f"{listed} -n {agent.namespace} -o yaml lists what there is"
    if server.problem:
        return "waiting", server.problem
    if verdict is not None:
        return None if verdict.is_visible else ("denied", _denial(verdict.by, verdict.reason))
    return None if decision.allowed else ("denied", _denial(decision.source, decision.reason))


def _denial(source: str, reason: str) -> str:
    return f"by {source or 'nobody: no layer allows it'}: {reason}"


def _decided(style: Naming, servers: Sequence[Server], layers: Sequence[policy.Layer]) -> Iterator[Verdict]:
    for server in servers:
        for tool in server.tools or server.status.tools or ():
            decision = policy.decide(layers, server.name, "tools", tool.name)
            yield Verdict(
                server=server.name,
                tool=tool.name,
                name=naming.expose(style, server.name, tool.name),
                tokens=tool.tokens,
                by=decision.source,
                reason="" if decision.allowed else decision.reason,
                would_deny=decision.would_deny,
            )


def is_bounded(layer: policy.Layer) -> bool:
    """Tell whether a layer leaves room for some tools only."""
    return layer.limits.max_tools is not None or layer.limits.max_list_tokens is not None


def _within(layer: policy.Layer, verdicts: list[Verdict]) -> list[Verdict]:
    """Leave out what is beyond a layer's bounds, as toolman does: in order, and what does not fit is passed over."""
    room = _Room(layer.limits)
    return [
        _beyond(layer, verdict)
        if verdict.is_visible and policy.matches(layer.servers, verdict.server) and not room.takes(verdict)
        else verdict
        for verdict in verdicts
    ]


class _Room:
    """What a layer leaves for tools."""

    def __init__(self, limits: policy.Limits) -> None:
        self._tools = math.inf if limits.max_tools is None else limits.max_tools
        self._tokens = math.inf if limits.max_list_tokens is None else limits.max_list_tokens

    def takes(self, verdict: Verdict) -> bool:
        """Take the room that a tool needs, if it is there."""
        if self._tools == 0 or verdict.tokens > self._tokens:
            return False
        self._tools -= 1
        self._tokens -= verdict.tokens
        return True


def _beyond(layer: policy.Layer, verdict: Verdict) -> Verdict:
    if layer.enforcement == "audit":
        return replace(verdict, would_deny=(*verdict.would_deny, layer.source))
    return replace(verdict, by=layer.source, reason=LIMIT)
