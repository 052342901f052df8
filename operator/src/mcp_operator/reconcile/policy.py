"""ToolPolicy: which agents it caps. What it denies is worked out with each agent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mcp_operator import cluster, conditions, events, layers, objects, policies, status
from mcp_operator.cluster import AGENT, POLICY
from mcp_operator.models.agent import MCPAgentSpec
from mcp_operator.models.policy import ToolPolicySpec
from mcp_operator.models.status import LISTED_TOOLS, ToolPolicyStatus
from mcp_operator.outcomes import Done, Outcome, Stalled

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mcp_operator.objects import Resource
    from mcp_operator.reconcile.services import Services

RESYNC = 600.0
"""Seconds until a policy's count is taken again even if nothing tells of a change."""


class PolicyReconciler:
    """Counts the agents that each ToolPolicy caps."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._api = services.api
        self._generations: dict[str, int] = {}

    def reconcile(self, _: str, name: str) -> float | None:
        """Look at one policy; give the seconds until it should be looked at again."""
        raw = self._api.get(POLICY, "", name)
        generation = raw["metadata"].get("generation", 1) if raw is not None else 0
        if self._generations.get(name) != generation:
            self._services.wake_agents("")
        if raw is None:
            self._generations.pop(name, None)
            return None
        self._generations[name] = generation
        before = status.read(ToolPolicyStatus, raw)
        after = before.model_copy(deep=True)
        outcome: Outcome
        try:
            capped = self._capped(objects.parse(ToolPolicySpec, raw))
        except objects.InvalidSpecError as error:
            outcome = Stalled(conditions.INVALID_SPEC, str(error))
        else:
            after.matched_agents, after.agents = len(capped), capped[:LISTED_TOOLS]
            outcome = Done(conditions.SUCCEEDED, f"caps {len(capped)} agents")
        after.observed_generation = generation
        after.conditions = conditions.summarise(
            before.conditions,
            {},
            order=(),
            generation=generation,
            now=policies.format_time(self._services.clock()),
            ready=outcome,
        )
        if status.write(self._api, POLICY, raw, after):
            self._services.recorder.record(raw, events.of_conditions(before.conditions, after.conditions))
        return RESYNC

    def _capped(self, ceiling: Resource[ToolPolicySpec]) -> list[str]:
        labels: dict[str, Mapping[str, str]] = {}
        capped = []
        for raw in self._api.list(AGENT):
            namespace = raw["metadata"]["namespace"]
            try:
                agent = objects.parse(MCPAgentSpec, raw)
                if namespace not in labels:
                    labels[namespace] = self._api.namespace_labels(namespace)
            except (objects.InvalidSpecError, cluster.NotFoundError):
                continue
            if layers.caps(ceiling, labels[namespace], agent):
                capped.append(f"{namespace}/{agent.name}")
        return sorted(capped)
