"""MCPAgent: a Pod whose containers reach the allowed tools of some servers at 127.0.0.1:3000."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, WithJsonSchema

from mcp_operator.models.base import Model, ObjectName, ToolRules, cel, keyed, unique

_STRINGS = {"type": "object", "additionalProperties": {"type": "string"}}
_NAMED = {
    "type": "array",
    "maxItems": 64,
    "items": {
        "type": "object",
        "required": ["name"],
        "properties": {"name": {"type": "string", "minLength": 1, "maxLength": 63}},
        "x-kubernetes-preserve-unknown-fields": True,
    },
    **keyed("name"),
}
POD_TEMPLATE: dict[str, Any] = {
    "type": "object",
    "required": ["spec"],
    "properties": {
        "metadata": {
            "type": "object",
            "description": "Labels and annotations of the Pod.",
            "properties": {
                "labels": _STRINGS | {"description": "Labels of the Pod."},
                "annotations": _STRINGS | {"description": "Annotations of the Pod."},
            },
        },
        "spec": {
            "type": "object",
            "description": "As in a Pod; the API server checks it when the Pod is made.",
            "required": ["containers"],
            "properties": {
                "containers": _NAMED | {"minItems": 1, "description": "The agent's own containers, as in a Pod."},
                "initContainers": _NAMED | {"description": "Run after the tools are there, as in a Pod."},
                "volumes": _NAMED | {"description": "Volumes, as in a Pod."},
            },
            "x-kubernetes-preserve-unknown-fields": True,
        },
    },
}
"""Only the outline: the API server checks the rest, and ``manifests.template`` what would go around toolman."""


class AgentServer(Model):
    """A server of the same namespace, and what this agent uses of it."""

    name: ObjectName
    """Name of an MCPServer of this namespace."""
    tools: ToolRules = ToolRules()
    """Narrows further; can never widen."""


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

    servers: Annotated[list[AgentServer], Field(min_length=1, max_length=16, json_schema_extra=keyed("name"))]
    """The servers whose tools it gets, each in a container of its own."""
    tool_names: Literal["Prefixed", "Plain"] = "Prefixed"
    """How the agent sees a tool: `server__tool`, or the server's own name."""
    required_tools: Annotated[
        list[Annotated[str, Field(pattern=r"^[^/]+/.+$", max_length=192)]],
        Field(max_length=64, json_schema_extra=unique()),
    ] = []
    """`SERVER/TOOL` names without which the agent's containers are not started."""
    template: Annotated[dict[str, Any], WithJsonSchema(POD_TEMPLATE)]
    """Pod template with the agent's own containers.

    Hardening is filled in where it is absent: an image that runs as root needs `runAsUser: 0` or
    `runAsNonRoot: false`. What would go around toolman is refused.
    """
