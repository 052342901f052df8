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
        "properties": {
            "name": {
                "type": "string",
                "minLength": 1,
                "maxLength": 63,
                "description": "Its name; those of the sidecars and of their volumes are reserved.",
            }
        },
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


class Running(Model):
    """How an agent's Pod lives: what :class:`MCPAgentSpec` and :class:`InlineAgent` share."""

    required_tools: Annotated[
        list[Annotated[str, Field(pattern=r"^[^/]+/.+$", max_length=192)]],
        Field(max_length=64, json_schema_extra=unique()),
    ] = []
    """`SERVER/TOOL` names without which the agent's containers are not started."""
    restart_policy: Literal["Always", "OnFailure", "Never"] = "Always"
    """`Always` keeps one Pod; with the others the agent runs to completion, and `status.phase` says how it ended.

    A run that is over is not repeated until the spec asks for another one: until anything but `suspend`,
    `ttlSecondsAfterFinished` and `updateStrategy` changes. Where something outside ends its Pod (an eviction, a drained
    or lost node), `OnFailure` goes on with another Pod and `Never` has failed. A Pod that ended while no operator
    looked tells it as long as it is there; one that is gone by then counts as lost.
    """
    update_strategy: Literal["InPlace", "Recreate", "OnDelete"] = "InPlace"
    """What happens to the Pod that runs when it should be another one.

    `InPlace`: where only servers' images or Secrets changed, those containers alone are started again (by nodes with
    Kubernetes 1.32 or newer; on older ones the Pod is replaced two minutes later); otherwise the Pod is replaced.
    `Recreate`: the Pod is replaced. `OnDelete`: it stays until somebody deletes it.
    Policies and tool lists reach it in every case without that. A run to completion that has begun is never replaced.
    Pods of other workloads are never replaced either: a condition says which were made before a change.
    """
    active_deadline_seconds: Annotated[int, Field(ge=1, le=31_536_000)] | None = None
    """Seconds that the Pod may run altogether; not with `restartPolicy: Always`."""
    ttl_seconds_after_finished: Annotated[int, Field(ge=0, le=31_536_000)] | None = None
    """Seconds after completion until the MCPAgent is deleted; not with `restartPolicy: Always`.

    Of an agent that is written in an MCPServer only the Pod is deleted: it would be made and run again otherwise.
    """
    suspend: bool = False
    """No Pod; one that runs is deleted. A run to completion that is not over begins anew afterwards."""


_COMPLETION_RULES = tuple(
    (
        f"!has(self.{field}) || self.restartPolicy != 'Always'",
        f"{field} needs restartPolicy OnFailure or Never",
    )
    for field in ("activeDeadlineSeconds", "ttlSecondsAfterFinished")
)


class MCPAgentSpec(Running):
    """An agent and its servers."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            (
                "self.requiredTools.all(t, self.servers.exists(s, t.startsWith(s.name + '/')))",
                "each of requiredTools must be SERVER/TOOL with a SERVER of servers",
            ),
            *_COMPLETION_RULES,
            (
                "has(self.template) == has(oldSelf.template)",
                "template cannot be added or removed: its Pods would stay without their agent; make another MCPAgent",
            ),
            (
                "has(self.template) || self.restartPolicy == 'Always'",
                "without template the workloads that carry the agent's label decide how they are restarted",
            ),
            (
                "has(self.template) || self.updateStrategy == 'InPlace'",
                "without template the workloads that carry the agent's label decide when their Pods are replaced",
            ),
        ),
    )

    servers: Annotated[list[AgentServer], Field(min_length=1, max_length=16, json_schema_extra=keyed("name"))]
    """The servers whose tools it gets, each in a container of its own."""
    tool_names: Literal["Prefixed", "Plain"] = "Prefixed"
    """How the agent sees a tool: `server__tool`, or the server's own name."""
    template: Annotated[dict[str, Any], WithJsonSchema(POD_TEMPLATE)] | None = None
    """Pod template with the agent's own containers.

    Hardening is filled in where it is absent: an image that runs as root needs `runAsUser: 0` or
    `runAsNonRoot: false`, and cannot write `/etc/hosts` and `/etc/resolv.conf`, which are the sidecars', too. What
    would go around toolman is refused.
    Without a template no Pod is made: Pods of other workloads in this namespace that are labelled
    `toolman.dev/agent: NAME` get the sidecars, where the installation injects them. With `suspend` no further ones do.
    They are deleted when the MCPAgent is, as a Pod of its own would be.
    """


class InlineAgent(Running):
    """One agent for one server: becomes an MCPAgent of the server's name."""

    model_config = ConfigDict(json_schema_extra=cel(*_COMPLETION_RULES))

    tool_names: Literal["Prefixed", "Plain"] = "Plain"
    """How the agent sees a tool: `server__tool`, or the server's own name."""
    tools: ToolRules = ToolRules()
    """Narrows further what the agent uses; can never widen."""
    template: Annotated[dict[str, Any], WithJsonSchema(POD_TEMPLATE)]
    """Pod template with the agent's own containers, as in an MCPAgent."""
