"""Why an agent's Pod must not be made, or not be made anew now. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mcp_operator import conditions, status
from mcp_operator.manifests import template
from mcp_operator.manifests.template import Refused
from mcp_operator.outcomes import Stalled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mcp_operator.cluster import Manifest
    from mcp_operator.models.agent import MCPAgentSpec
    from mcp_operator.objects import Resource
    from mcp_operator.reconcile.agent_inputs import Server


def unsafe(agent: Resource[MCPAgentSpec], servers: Sequence[Server]) -> Stalled | None:
    """Say what in an agent's template would go around toolman; None where nothing does."""
    secrets, hidden = refused(servers)
    findings = template.unsafe(agent.spec.template or {}, secrets, agent.spec.restart_policy, hidden)
    if not findings:
        return None
    return Stalled(conditions.UNSAFE_TEMPLATE, status.printable("; ".join(map(str, findings))))


def refused(servers: Sequence[Server]) -> Refused:
    """Give what of these servers the agent's own containers may not have."""
    secrets = frozenset[str]().union(*(server.secrets for server in servers))
    return Refused(secrets, frozenset[str]().union(*(server.config_maps for server in servers)))


def unsettled(pod: Manifest | None, servers: Sequence[Server]) -> str:
    """Say why a Pod that runs is not replaced now: one of its servers has no image, or another one is on its way."""
    if pod is None:
        return ""
    waited_for = [server.name for server in servers if server.problem or not server.settled]
    return f"the Pod stays as it is until these servers are built: {', '.join(waited_for)}" if waited_for else ""
