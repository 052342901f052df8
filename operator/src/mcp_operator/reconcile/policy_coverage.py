"""Whom a ToolPolicy is about, what it denies them, and which of its globs match nothing. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from mcp_operator import ceilings, layers
from toolman import policy

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from mcp_operator.models.agent import MCPAgentSpec
    from mcp_operator.models.base import Rules
    from mcp_operator.models.policy import ToolPolicySpec
    from mcp_operator.models.server import MCPServerSpec
    from mcp_operator.objects import Resource


@dataclass(frozen=True, kw_only=True)
class KnownServer:
    """An MCPServer and what is known of its tools.

    Attributes:
        resource: The MCPServer.
        tools: Names of its tools, as far as they are known.
        complete: Whether these are all.
    """

    resource: Resource[MCPServerSpec]
    tools: Sequence[str] = ()
    complete: bool = False

    @property
    def full_name(self) -> str:
        """``namespace/name``."""
        return f"{self.resource.namespace}/{self.resource.name}"


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """What a policy comes to.

    Attributes:
        agents: ``namespace/name`` of the agents that it caps.
        servers: The same of the servers that it is about.
        denied: How many tools it denies, or would, counted for each agent.
        unmatched: Its globs over tools that match no tool of any of its servers, each behind its field.
    """

    agents: list[str]
    servers: list[str]
    denied: int
    unmatched: list[str]


def coverage(
    ceiling: Resource[ToolPolicySpec],
    labels: Mapping[str, Mapping[str, str]],
    agents: Iterable[Resource[MCPAgentSpec]],
    servers: Iterable[KnownServer],
) -> Coverage:
    """Work out what a policy comes to.

    Args:
        ceiling: The policy.
        labels: Of each namespace; what is in others is not counted.
        agents: All that there are.
        servers: All that there are.
    """
    about = {name: ceilings.is_about_namespace(ceiling.spec.target, labels[name]) for name in labels}
    near = [server for server in servers if about.get(server.resource.namespace)]
    matched = [server for server in near if _is_about(ceiling, server)]
    by_namespace: dict[str, list[KnownServer]] = {}
    for server in near:
        by_namespace.setdefault(server.resource.namespace, []).append(server)
    capped, denied = [], 0
    for agent in agents:
        if not about.get(agent.namespace):
            continue
        its = [each for each in by_namespace.get(agent.namespace, ()) if _uses(agent, each)]
        own = layers.of_policy(ceiling, labels[agent.namespace], agent, [each.resource for each in its])
        if own:
            capped.append(f"{agent.namespace}/{agent.name}")
            denied += _denied(own, its)
    return Coverage(
        agents=sorted(capped),
        servers=sorted(server.full_name for server in matched),
        denied=denied,
        unmatched=_unmatched(ceiling.spec, matched),
    )


def _is_about(ceiling: Resource[ToolPolicySpec], server: KnownServer) -> bool:
    return ceilings.is_about_server(ceiling.spec.target, server.resource.name, ceilings.sources_of(server.resource))


def _uses(agent: Resource[MCPAgentSpec], server: KnownServer) -> bool:
    return any(named.name == server.resource.name for named in agent.spec.servers)


def _denied(own: Iterable[policy.Layer], servers: Iterable[KnownServer]) -> int:
    """Count the tools that a policy's own layers deny, as if they were enforced, which is what audit asks."""
    enforced = [msgspec.structs.replace(layer, enforcement="enforce") for layer in own]
    enforced.append(policy.Layer(source=""))  # so that what it says nothing about is not denied for want of a layer
    return sum(
        not policy.decide(enforced, server.resource.name, "tools", tool).allowed
        for server in servers
        for tool in server.tools
    )


def _unmatched(spec: ToolPolicySpec, servers: Sequence[KnownServer]) -> list[str]:
    """Give the globs that match nothing; none as long as not all tools of the servers are known."""
    if spec.tools is None or not servers or not all(server.complete for server in servers):
        return []
    tools = {tool for server in servers for tool in server.tools}
    return [
        f"tools.{place}" for place, glob in _globs(spec.tools) if not any(map(partial(policy.matches, [glob]), tools))
    ]


def _globs(rules: Rules) -> Iterator[tuple[str, str]]:
    """Give globs, each behind where it stands."""
    for field, globs in (("allow", rules.allow or ()), ("deny", rules.deny)):
        yield from ((f"{field}: {glob}", glob) for glob in globs)
