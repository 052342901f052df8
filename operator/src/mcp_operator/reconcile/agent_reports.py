"""What an agent's toolman reports, in the agent's status; and where it is to be asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mcp_operator import cluster
from mcp_operator.models.status import SeenServer, SeenStatus
from mcp_operator.reconcile import pods
from mcp_operator.reports import Target

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mcp_operator.cluster import Manifest
    from mcp_operator.models.agent import MCPAgentSpec
    from mcp_operator.models.status import MCPAgentStatus
    from mcp_operator.objects import Resource
    from mcp_operator.own_secrets import ReportTokens
    from mcp_operator.reports import Reports

ASKED: Final = 50
"""Pods of one agent that are asked; those of a large Deployment say the same."""


def token_hash(tokens: ReportTokens | None, agent: Resource[MCPAgentSpec]) -> str | None:
    """Give the hash by which an agent's toolman knows who may have its report; None where nobody asks.

    Raises:
        cluster.UnreachableError: The key of the tokens cannot be read now.
    """
    if tokens is None:
        return None
    try:
        return tokens.digest(agent.uid)
    except (cluster.ForbiddenError, cluster.InvalidError):
        return None  # without its Secret the operator still does all but ask


def fill(
    reports: Reports | None, agent: Resource[MCPAgentSpec], present: Iterable[Manifest], after: MCPAgentStatus
) -> None:
    """Write what was reported last, and have the Pods of the moment asked.

    Args:
        reports: What was reported.
        agent: Whose status.
        present: The Pods with its toolman.
        after: Its status.
    """
    if reports is None:
        return
    asked = [place for pod in present if (place := target(agent, pod)) is not None]
    reports.track(agent.namespace, agent.name, asked[:ASKED])
    found = reports.of_agent(agent.namespace, agent.name)
    if not asked:
        after.seen = None
    if found is not None:  # until then, as after a start of the operator, what was reported before counts
        after.seen = SeenStatus(
            visible=found.visible,
            total=found.total,
            servers=[
                SeenServer(name=each.name, running=each.running, problem=each.problem or None)
                for each in found.upstreams
            ],
            problem=found.problem or None,
        )


def target(agent: Resource[MCPAgentSpec], pod: Manifest) -> Target | None:
    """Give where the toolman of a Pod is; None while the Pod does not run."""
    if "deletionTimestamp" in pod["metadata"]:
        return None
    address = str((pod.get("status") or {}).get("podIP") or "")
    if not address or pods.phase(pod) != "Running":
        return None
    return Target(agent.uid, str(pod["metadata"]["uid"]), address)
