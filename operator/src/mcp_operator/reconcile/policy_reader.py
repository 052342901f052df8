"""Reads the ToolPolicies, always anew: what starts next starts under those that are there now.

One that cannot be read stalls whom it may concern, since nobody can tell what it denies. One that is being deleted
counts until it is gone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pydantic import ValidationError

from mcp_operator import ceilings, cluster, conditions, layers, objects
from mcp_operator.models.base import Rules
from mcp_operator.models.policy import Target, ToolPolicySpec
from mcp_operator.objects import Resource
from mcp_operator.outcomes import Stalled

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mcp_operator.cluster import Manifest, Objects
    from mcp_operator.models.agent import MCPAgentSpec
    from mcp_operator.models.server import MCPServerSpec

REMEMBERED: Final = 500
"""Versions of policies: more than a cluster has policies, a few times over."""

_policies: Final = objects.Versions(ToolPolicySpec, REMEMBERED)
"""A version of an object never changes, so whoever reads one first reads it for all."""


def of_agent(
    api: Objects,
    agent: Resource[MCPAgentSpec],
    namespace_labels: Mapping[str, str],
    servers: Sequence[Resource[MCPServerSpec]] = (),
) -> list[Resource[ToolPolicySpec]]:
    """Read all policies, for an agent.

    Args:
        api: The cluster.
        agent: Whom they may cap.
        namespace_labels: Of its namespace.
        servers: Its servers, as far as they can be read.

    Raises:
        Stalled: One that may concern the agent cannot be read.
    """

    def concerns(ceiling: Resource[ToolPolicySpec], raw: Manifest) -> bool:
        if layers.caps(ceiling, namespace_labels, agent, servers):
            return True
        return _has_sources(raw) and ceilings.is_about_namespace(ceiling.spec.target, namespace_labels)

    return _readable(api, concerns, "Nothing changes for this agent until that is repaired")


def of_namespace(api: Objects, namespace_labels: Mapping[str, str]) -> list[Resource[ToolPolicySpec]]:
    """Read all policies, for what a namespace may build from and connect to.

    Raises:
        Stalled: One that may be about sources of the namespace cannot be read.
    """

    def concerns(ceiling: Resource[ToolPolicySpec], raw: Manifest) -> bool:
        return _has_sources(raw) and ceilings.is_about_namespace(ceiling.spec.target, namespace_labels)

    return _readable(api, concerns, "Nothing is fetched or connected to until that is repaired")


def _readable(
    api: Objects,
    concerns: Callable[[Resource[ToolPolicySpec], Manifest], bool],
    consequence: str,
) -> list[Resource[ToolPolicySpec]]:
    readable, broken = [], []
    for raw in api.list(cluster.POLICY):
        try:
            readable.append(_policies.parse(raw))
        except objects.InvalidSpecError as error:
            outline = _outline(raw)
            if outline is None or concerns(outline, raw):
                broken.append(f"ToolPolicy {raw['metadata']['name']}: {error}")
    if broken:
        raise Stalled(conditions.POLICY_INVALID, f"{'; '.join(broken)}. {consequence} (kubectl edit tpol NAME).")
    return readable


def _outline(raw: Manifest) -> Resource[ToolPolicySpec] | None:
    """Read the target alone; None where not even that can be read: then it may concern anybody."""
    spec = raw.get("spec") or {}
    try:
        target = Target.model_validate(spec.get("target") or {})
    except (ValidationError, AttributeError):
        return None
    metadata = raw["metadata"]
    outline = ToolPolicySpec(target=target, tools=Rules())
    return Resource(namespace="", name=metadata["name"], uid=metadata["uid"], generation=1, spec=outline)


def _has_sources(raw: Manifest) -> bool:
    return "sources" in (raw.get("spec") or {})
