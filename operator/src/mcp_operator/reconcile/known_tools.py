"""What is known of a server's tools: from its status and, where that has not room for them, from its ConfigMap."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mcp_operator.models.status import ToolStatus
from mcp_operator.reconcile import manifests_store

if TYPE_CHECKING:
    from mcp_operator.cluster import Cluster, Manifest
    from mcp_operator.models.status import MCPServerStatus


def of_server(api: Cluster, raw: Manifest, current: MCPServerStatus) -> tuple[ToolStatus, ...] | None:
    """Give all tools of a server, in its order; None where not all are known.

    Args:
        api: The cluster.
        raw: The MCPServer as stored.
        current: Its status.
    """
    listed = tuple(current.tools or ())
    if current.tool_count is None or len(listed) >= current.tool_count:
        return listed if current.tool_count is not None else None
    metadata = raw["metadata"]
    found = manifests_store.read(api, metadata["namespace"], metadata["name"], current.tools_hash)
    if found is None:
        return None
    return tuple(
        ToolStatus(name=tool.name, hash=tool.hash, tokens=tool.tokens, read_only=tool.read_only) for tool in found
    )
