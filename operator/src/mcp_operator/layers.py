"""Which opinions count for an agent, and in which order: the policies, then each server, then the agent itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mcp_operator import label_selectors
from mcp_operator.models.base import ToolRules
from toolman import policy

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mcp_operator.models.agent import MCPAgentSpec
    from mcp_operator.models.policy import ToolPolicySpec
    from mcp_operator.models.server import MCPServerSpec
    from mcp_operator.objects import Resource


def caps(
    ceiling: Resource[ToolPolicySpec],
    namespace_labels: Mapping[str, str],
    agent: Resource[MCPAgentSpec],
) -> bool:
    """Tell whether a policy is about an agent and at least one of its servers."""
    target = ceiling.spec.target
    return (
        label_selectors.matches(target.namespace_selector, namespace_labels)
        and label_selectors.matches(target.agent_selector, agent.labels)
        and any(policy.matches(target.servers, server.name) for server in agent.spec.servers)
    )


def layers(
    namespace_labels: Mapping[str, str],
    agent: Resource[MCPAgentSpec],
    servers: Sequence[Resource[MCPServerSpec]],
    policies: Sequence[Resource[ToolPolicySpec]],
) -> tuple[policy.Layer, ...]:
    """Give the layers of an agent, in the order in which they are to be named when they object.

    Args:
        namespace_labels: Of the agent's namespace.
        agent: Its name, labels and servers.
        servers: The MCPServers of its namespace; those that it does not use say nothing.
        policies: All that there are, being deleted or not: a ceiling holds until it is gone.
    """
    used = {server.name for server in agent.spec.servers}
    ceilings = sorted((each for each in policies if caps(each, namespace_labels, agent)), key=lambda each: each.name)
    owners = sorted((each for each in servers if each.name in used), key=lambda each: each.name)
    return (
        *(
            _layer(f"ToolPolicy/{each.name}", each.spec.target.servers, each.spec.tools or ToolRules())
            for each in ceilings
        ),
        # A server's name is a DNS label: as a glob it matches itself and nothing else.
        *(
            _layer(f"MCPServer/{each.name}", [each.name], each.spec.tools)
            for each in owners
            if each.spec.tools != ToolRules()
        ),
        # Always there, even without an opinion: where no layer speaks about a server, nothing of it is allowed.
        *(_layer(f"MCPAgent/{agent.name}", [each.name], each.tools) for each in agent.spec.servers),
    )


def _layer(source: str, servers: Sequence[str], rules: ToolRules) -> policy.Layer:
    allow = None if rules.allow is None else tuple(rules.allow)
    return policy.Layer(
        source=source,
        servers=tuple(servers),
        tools=policy.Rules(allow=allow, deny=tuple(rules.deny)),
    )
