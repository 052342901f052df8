"""MCPAgent: policies, servers, tools, then the ConfigMap and the Pod.

A Pod that runs is never worse off for a problem elsewhere: it goes on with what it has, and only what narrows its tools
still reaches it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mcp_operator import cluster, conditions, events, names, objects, policies, status
from mcp_operator.cluster import AGENT
from mcp_operator.manifests import template
from mcp_operator.models.agent import MCPAgentSpec
from mcp_operator.models.status import MCPAgentStatus
from mcp_operator.outcomes import Done, Outcome, Problem, Stalled, Waiting
from mcp_operator.reconcile import agent_inputs, agent_tools, pods
from mcp_operator.reconcile.agent_pod import AgentPods, Plan
from mcp_operator.reconcile.services import sooner

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mcp_operator.cluster import Manifest
    from mcp_operator.events import Event
    from mcp_operator.objects import Resource
    from mcp_operator.reconcile.agent_inputs import Server
    from mcp_operator.reconcile.services import Services

RESYNC = 600.0
"""Seconds until an agent is looked at again even if nothing tells of a change."""
SUMMARY_LENGTH = 80
"""Characters of the phrase for ``kubectl get``."""


class _Seen(NamedTuple):
    uid: str
    generation: int
    labels: Mapping[str, str]


class AgentReconciler:
    """Brings MCPAgents from their spec to a Pod that sees the allowed tools."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._api = services.api
        self._pods = AgentPods(services)
        self._known: dict[tuple[str, str], _Seen] = {}

    def reconcile(self, namespace: str, name: str) -> float | None:
        """Look at one agent; give the seconds until it should be looked at again."""
        raw = self._api.get(AGENT, namespace, name)
        gone = raw is None or "deletionTimestamp" in raw["metadata"]
        self._remember((namespace, name), None if gone else raw)
        if raw is None or gone:
            return None  # its Pod and ConfigMap go with it: the garbage collector's work
        before = status.read(MCPAgentStatus, raw)
        after = before.model_copy(deep=True)
        notes: list[Event] = []
        found = self._observe(raw, after, notes)
        self._conclude(raw, before, after, found, notes)
        delays = [outcome.delay for outcome in found.values() if isinstance(outcome, Problem)]
        return sooner(RESYNC, *delays)

    def _remember(self, key: tuple[str, str], raw: Manifest | None) -> None:
        """Note which object of this name there is; policies count agents by name and labels."""
        earlier = self._known.pop(key, None)
        seen = None
        if raw is not None:
            metadata = raw["metadata"]
            seen = _Seen(metadata["uid"], metadata.get("generation", 1), metadata.get("labels") or {})
            self._known[key] = seen
        if earlier is not None and (seen is None or earlier.uid != seen.uid):
            self._pods.forget(earlier.uid)
        if seen != earlier:
            self._services.wake_policies()

    def _observe(self, raw: Manifest, after: MCPAgentStatus, notes: list[Event]) -> dict[str, Outcome]:
        try:
            agent = objects.parse(MCPAgentSpec, raw)
        except objects.InvalidSpecError as error:
            return {conditions.POLICY_RESOLVED: Stalled(conditions.INVALID_SPEC, str(error))}
        pod = self._api.pod(agent.namespace, names.pod(agent.name))
        found: dict[str, Outcome] = {}
        try:
            self._steps(agent, pod, after, found, notes)
        except (Stalled, Waiting) as problem:
            # only the steps at both ends raise: what is between them stops nothing
            last = conditions.POLICY_RESOLVED if conditions.POLICY_RESOLVED not in found else conditions.POD_READY
            found[last] = problem
        except cluster.NotFoundError:
            found[conditions.POLICY_RESOLVED] = Waiting(conditions.NOT_REACHED, "the namespace is going")
        self._report_pod(agent, pod, after, found)
        return found

    def _steps(
        self,
        agent: Resource[MCPAgentSpec],
        pod: Manifest | None,
        after: MCPAgentStatus,
        found: dict[str, Outcome],
        notes: list[Event],
    ) -> None:
        labels = self._api.namespace_labels(agent.namespace)
        ceilings = agent_inputs.policies_of(self._api, agent, labels)
        found[conditions.POLICY_RESOLVED] = Done(conditions.SUCCEEDED)
        servers = agent_inputs.servers(self._api, agent)
        found[conditions.SERVERS_READY] = agent_inputs.servers_outcome(servers)
        layers = agent_inputs.layers_of(agent, servers, labels, ceilings)
        seen = agent_tools.sight(agent, servers, layers)
        after.tools, after.denied, after.denied_count = seen.tools, seen.denied, seen.denied_count
        ready = isinstance(found[conditions.SERVERS_READY], Done)
        if ready:
            found[conditions.TOOLS_READY] = agent_tools.required(agent, servers, layers)
        unsafe = _unsafe(agent, servers)
        if unsafe is not None and not pods.is_ours(pod, agent.uid):
            raise unsafe
        if pod is None and not ready:
            return
        hold = unsafe.message if unsafe is not None else _hold(pod, servers)
        plan = Plan(agent=agent, servers=servers, layers=layers, pod=pod, hold=hold)
        outcome = self._pods.carry_out(plan, notes)
        found[conditions.POD_READY] = unsafe or outcome

    def _report_pod(
        self,
        agent: Resource[MCPAgentSpec],
        pod: Manifest | None,
        after: MCPAgentStatus,
        found: dict[str, Outcome],
    ) -> None:
        """Say how the Pod is even when the steps did not come that far."""
        ours = pods.is_ours(pod, agent.uid)
        after.pod_name = names.pod(agent.name) if ours else None
        after.phase = pods.phase(pod) if ours and pod is not None else None
        if ours and pod is not None and conditions.POD_READY not in found:
            found[conditions.POD_READY] = pods.outcome(pod, agent.spec.required_tools, self._services.clock())

    def _conclude(
        self,
        raw: Manifest,
        before: MCPAgentStatus,
        after: MCPAgentStatus,
        found: dict[str, Outcome],
        notes: list[Event],
    ) -> None:
        generation = raw["metadata"].get("generation", 1)
        after.observed_generation = generation
        ready = None
        done = all(isinstance(found.get(kind), Done) for kind in conditions.AGENT_CONDITIONS)
        if done and after.tools is not None:
            ready = Done(conditions.SUCCEEDED, f"{after.tools.visible} of {after.tools.total} tools")
        after.conditions = conditions.summarise(
            before.conditions,
            found,
            order=conditions.AGENT_CONDITIONS,
            generation=generation,
            now=policies.format_time(self._services.clock()),
            ready=ready,
        )
        after.summary = summary(after)
        written = status.write(self._api, AGENT, raw, after)
        changes = events.of_agent(before, after) if written else []
        self._services.recorder.record(raw, [*notes, *changes])


def summary(after: MCPAgentStatus) -> str:
    """Give one phrase for ``kubectl get``."""
    ready = conditions.find(after.conditions, conditions.READY)
    if ready is None:
        return ""
    text = "Ready" if ready.status == "True" else ready.message or ready.reason
    return text if len(text) <= SUMMARY_LENGTH else text[: SUMMARY_LENGTH - 1] + "…"


def _unsafe(agent: Resource[MCPAgentSpec], servers: list[Server]) -> Stalled | None:
    secrets = frozenset[str]().union(*(server.secrets for server in servers))
    findings = template.unsafe(agent.spec.template or {}, secrets)
    if not findings:
        return None
    return Stalled(conditions.UNSAFE_TEMPLATE, status.printable("; ".join(map(str, findings))))


def _hold(pod: Manifest | None, servers: list[Server]) -> str:
    """Say why a Pod that runs is not replaced now: one of its servers has no image, or another one is on its way."""
    if pod is None:
        return ""
    unsettled = [server.name for server in servers if server.problem or not server.settled]
    return f"the Pod stays as it is until these servers are built: {', '.join(unsettled)}" if unsettled else ""
