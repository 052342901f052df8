"""Where an MCP server runs: in each agent's Pod, in Pods of its own, or elsewhere. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from mcp_operator.models.server import MCPServerSpec
    from mcp_operator.models.status import MCPServerStatus

Placement = Literal["Sidecar", "Shared", "Remote"]

STDIO: Final = "stdio"
"""The one transport that is joined to toolman by pipes: no port that could be called around it."""


def placement(spec: MCPServerSpec, status: MCPServerStatus) -> Placement:
    """Say where a server runs.

    Args:
        spec: What its owner wants. A server that speaks HTTP is shared even where he says ``Sidecar``.
        status: For the transport that the handshake found, where the spec names none.
    """
    if spec.source.remote is not None:
        return "Remote"
    if spec.run.placement == "Shared":
        return "Shared"
    found = status.protocol.transport if status.protocol is not None else STDIO
    return "Sidecar" if (spec.run.transport or found) == STDIO else "Shared"
