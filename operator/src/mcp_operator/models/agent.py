"""MCPAgent: a Pod whose containers reach the allowed tools of some servers at localhost:3000."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from mcp_operator.models.base import Model, ToolRules, cel


class AgentServer(Model):
    """A server of the same namespace, and what this agent uses of it."""

    name: Annotated[str, Field(min_length=1, max_length=50, description="Name of an MCPServer of this namespace")]
    tools: Annotated[ToolRules, Field(description="Narrows further; can never widen")] = ToolRules()


class MCPAgentSpec(Model):
    """An agent and its servers."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            (
                "self.requiredTools.all(t, self.servers.exists(s, t.startsWith(s.name + '/')))",
                "each of requiredTools must be SERVER/TOOL with a SERVER of servers",
            ),
        ),
    )

    servers: Annotated[
        list[AgentServer],
        Field(
            min_length=1,
            max_length=16,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        ),
    ]
    tool_names: Annotated[
        Literal["Prefixed", "Plain"],
        Field(description="How the agent sees a tool: server__tool, or the server's own name"),
    ] = "Prefixed"
    required_tools: Annotated[
        list[Annotated[str, Field(pattern=r"^[^/]+/.+$", max_length=192)]],
        Field(max_length=64, description="SERVER/TOOL names without which the agent's containers are not started"),
    ] = []
    template: Annotated[
        dict[str, Any],
        Field(description="Pod template (metadata and spec) with the agent's own containers"),
    ]
