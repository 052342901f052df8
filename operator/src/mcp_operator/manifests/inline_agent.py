"""The MCPAgent that an MCPServer has written in it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mcp_operator import names
from mcp_operator.manifests.metadata import of_server
from mcp_operator.models.agent import MCPAgentSpec

if TYPE_CHECKING:
    from mcp_operator.models.server import MCPServerSpec
    from mcp_operator.objects import Resource


def spec(server: Resource[MCPServerSpec]) -> MCPAgentSpec | None:
    """Give the spec of a server's own agent; None where it has none."""
    written = server.spec.agent
    if written is None:
        return None
    given = written.model_dump(by_alias=True, exclude={"tools"})
    tools = written.tools.model_dump(by_alias=True, exclude_none=True)
    return MCPAgentSpec.model_validate({**given, "servers": [{"name": server.name, "tools": tools}]})


def manifest(server: Resource[MCPServerSpec]) -> dict[str, Any] | None:
    """Give the MCPAgent of a server's name, which goes when the server goes; None where it has none."""
    wanted = spec(server)
    if wanted is None:
        return None
    return {
        "apiVersion": names.API_VERSION,
        "kind": "MCPAgent",
        "metadata": {
            "name": server.name,
            "namespace": server.namespace,
            "labels": {names.MANAGED_BY: names.MANAGER},
            "ownerReferences": [of_server(server.name, server.uid)],
        },
        "spec": wanted.model_dump(mode="json", by_alias=True, exclude_none=True),
    }
