"""The MCPAgent that an MCPServer has written in it: made, put back where somebody edits it, removed when unwritten."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from pydantic import ValidationError

from mcp_operator import cluster, conditions
from mcp_operator.manifests import inline_agent
from mcp_operator.models.agent import MCPAgentSpec
from mcp_operator.outcomes import Done, Outcome, Stalled, Waiting

if TYPE_CHECKING:
    from mcp_operator.cluster import Manifest, Objects
    from mcp_operator.models.server import MCPServerSpec
    from mcp_operator.objects import Resource

RECHECK = 30.0
"""Seconds until an MCPAgent of somebody else's is looked at again."""

logger = logging.getLogger(__name__)


def ensure(api: Objects, server: Resource[MCPServerSpec]) -> Outcome | None:
    """Bring the agent of a server's name to what the server says.

    Returns:
        How it is; None for a server that has no agent of its own.

    Raises:
        cluster.ClusterError: The API server refuses it.
    """
    wanted = inline_agent.manifest(server)
    current = api.get(cluster.AGENT, server.namespace, server.name)
    if wanted is None:
        _remove(api, server, current)
        return None
    if current is None:
        api.apply_agent(wanted)
        return Done(conditions.SUCCEEDED)
    if not _is_ours(server, current):
        return _taken(server, current)
    if "deletionTimestamp" in current["metadata"]:
        return Waiting(conditions.AGENT_GOING, f"MCPAgent {server.name} is being deleted; another one follows", delay=2)
    patch = _patch(current, wanted)
    if patch:
        api.patch_agent(current, patch)
        logger.info("MCPServer/%s/%s: its agent is again as written", server.namespace, server.name)
    return Done(conditions.SUCCEEDED)


def _is_ours(server: Resource[MCPServerSpec], current: Manifest) -> bool:
    return cluster.controller(current).get("uid") == server.uid


def _remove(api: Objects, server: Resource[MCPServerSpec], current: Manifest | None) -> None:
    if current is None or not _is_ours(server, current) or "deletionTimestamp" in current["metadata"]:
        return
    api.delete_agent(current)
    logger.info("MCPServer/%s/%s: its agent is not written any more", server.namespace, server.name)


def _taken(server: Resource[MCPServerSpec], current: Manifest) -> Outcome:
    if cluster.controller(current).get("kind") == cluster.SERVER.kind:
        text = f"MCPAgent {server.name} of an earlier MCPServer of this name is still being deleted"
        return Waiting(conditions.AGENT_GOING, text, delay=2)
    text = f"MCPAgent {server.name} exists and is not this MCPServer's: delete it, or leave out spec.agent"
    return Stalled(conditions.AGENT_NAME_TAKEN, text, delay=RECHECK)


def _patch(current: Manifest, wanted: Manifest) -> Manifest:
    """Give what makes the stored agent the wanted one; what the API server fills in is no difference."""
    patch: Manifest = {}
    if not _is_same(current.get("spec") or {}, wanted["spec"]):
        patch["spec"] = cluster.merge_patch(current.get("spec") or {}, wanted["spec"])
    labels = current["metadata"].get("labels") or {}
    missing = {key: value for key, value in wanted["metadata"]["labels"].items() if labels.get(key) != value}
    if missing:
        patch["metadata"] = {"labels": missing}
    return patch


def _is_same(stored: Manifest, wanted: Manifest) -> bool:
    try:
        return MCPAgentSpec.model_validate(stored) == MCPAgentSpec.model_validate(wanted)
    except ValidationError:
        return False
