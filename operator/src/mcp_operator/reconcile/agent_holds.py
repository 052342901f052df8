"""Why an agent's Pod must not be made, or not be made anew now. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mcp_operator import conditions, status
from mcp_operator.manifests import servers as server_containers
from mcp_operator.manifests import template
from mcp_operator.manifests.servers import RunningServer
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
    """Say why a Pod that runs is not replaced now: one of its servers has no image, or is not verified as written."""
    if pod is None:
        return ""
    waited_for = [server.name for server in servers if server.problem or not server.settled or _is_risky(pod, server)]
    if not waited_for:
        return ""
    why = f"kubectl describe mcps {' '.join(waited_for)} -n {pod['metadata']['namespace']}"
    return f"the Pod stays as it is until these servers are built and verified as written, see {why}"


def _is_risky(pod: Manifest, server: Server) -> bool:
    """Tell whether another Pod would start a server in a way that nobody has tried, and that this one does not."""
    running = server.running
    if server.verified or not isinstance(running, RunningServer):
        return False
    wanted = server_containers.container(running, 0)
    listed = pod["spec"].get("initContainers") or []
    there: Manifest = next((each for each in listed if each["name"] == wanted["name"]), {})
    variables = there.get("env") or []
    return there.get("command") != wanted["command"] or any(each not in variables for each in wanted["env"])
