"""Reads what explains an agent, with the rights of whoever asks: often those of a tenant, who sees no ToolPolicy."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import msgspec

from mcp_operator import cluster, names, objects
from mcp_operator.models.agent import MCPAgentSpec
from mcp_operator.outcomes import Stalled
from mcp_operator.reconcile import agent_inputs, policy_reader
from mcp_operator.reconcile.references import References
from toolman import config

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from toolman.policy import Layer

    from mcp_operator.cluster import Cluster
    from mcp_operator.layers import DefaultAccess
    from mcp_operator.objects import Resource
    from mcp_operator.outcomes import Waiting
    from mcp_operator.reconcile.agent_inputs import Server

_PENDING: Final = "toolman's configuration is not yet as the policies and lists are now: the operator is applying them"
_WITHOUT_POLICIES: Final = "the layers are those that toolman has now, read from its configuration, because"


class ExplainError(Exception):
    """There is nothing to explain; the text says why and what to do."""


@dataclass(frozen=True, kw_only=True)
class Gathered:
    """What explains an agent.

    Attributes:
        agent: Its spec.
        servers: Those that it names.
        layers: All that count, in the order in which they are named.
        notes: What is to be known of where this comes from.
    """

    agent: Resource[MCPAgentSpec]
    servers: Sequence[Server]
    layers: tuple[Layer, ...]
    notes: list[str] = field(default_factory=list)


class _Unasked(References):
    """Nobody who asks for tools needs to be allowed to look at Secrets."""

    def missing(self, *_: object) -> Waiting | None:
        """Take all to be there."""

    def versions(self, *_: object, **__: object) -> str:
        """Give nothing."""
        return ""


def agent(api: Cluster, namespace: str, name: str) -> Gathered:
    """Read what explains an agent.

    Raises:
        ExplainError: There is no such agent, or nothing that tells its layers.
        cluster.ClusterError: The API server did not answer, or these rights do not suffice.
    """
    raw = api.get(cluster.AGENT, namespace, name)
    if raw is None:
        raise ExplainError(f"no MCPAgent {name} in namespace {namespace}; kubectl get mcpa -n {namespace} lists them")
    try:
        found = objects.parse(MCPAgentSpec, raw)
    except objects.InvalidSpecError as error:
        raise ExplainError(f"MCPAgent {name} cannot be read: {error}") from error
    servers = agent_inputs.servers(api, found, _Unasked(api))
    in_effect = _in_effect(api, found)
    try:
        layers = _of_policies(api, found, servers, in_effect)
    except (cluster.ForbiddenError, Stalled) as problem:
        why = problem.message if isinstance(problem, Stalled) else f"{problem}"
        if in_effect is None:
            raise ExplainError(f"the ToolPolicies cannot be read and toolman has no configuration yet: {why}") from None
        return Gathered(agent=found, servers=servers, layers=in_effect, notes=[f"{_WITHOUT_POLICIES} {why}"])
    pending = in_effect is not None and in_effect != layers
    return Gathered(agent=found, servers=servers, layers=layers, notes=[_PENDING] if pending else [])


def _of_policies(
    api: Cluster,
    found: Resource[MCPAgentSpec],
    servers: Sequence[Server],
    in_effect: tuple[Layer, ...] | None,
) -> tuple[Layer, ...]:
    labels: Mapping[str, str] = api.namespace_labels(found.namespace)
    policies = policy_reader.of_agent(api, found, labels, agent_inputs.readable(servers))
    return agent_inputs.layers_of(found, servers, labels, policies, _default_access(in_effect))


def _default_access(in_effect: tuple[Layer, ...] | None) -> DefaultAccess:
    """Tell the installation's setting, which only the operator knows, from what it wrote."""
    denies = any(layer.source == names.DEFAULT_ACCESS_LAYER for layer in in_effect or ())
    return "Deny" if denies else "Allow"


def _in_effect(api: Cluster, found: Resource[MCPAgentSpec]) -> tuple[Layer, ...] | None:
    """Give the layers of toolman's configuration; None where there is none that can be read."""
    try:
        stored = api.config_map(found.namespace, names.config_map(found.name))
    except cluster.ForbiddenError:
        return None
    if stored is None or cluster.controller(stored).get("uid") != found.uid:
        return None
    try:
        text = (stored.get("data") or {}).get(names.CONFIG_FILE, "")
        return config.loads(text).layers
    except msgspec.DecodeError:
        return None  # written by another version
