"""MCPAgent: policies, servers, tools, then the ConfigMap and the Pod.

A Pod that runs is never worse off for a problem elsewhere: it goes on with what it has, and only what narrows its tools
still reaches it.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from mcp_operator import cluster, conditions, events, names, objects, policies, snapshots, status
from mcp_operator.cluster import AGENT, SERVER
from mcp_operator.events import Event
from mcp_operator.models.agent import MCPAgentSpec
from mcp_operator.models.status import MCPAgentStatus
from mcp_operator.outcomes import Done, Outcome, Problem, Stalled, Waiting
from mcp_operator.reconcile import (
    agent_holds,
    agent_inputs,
    agent_reports,
    agent_tools,
    agent_warnings,
    injected_pods,
    pods,
    policy_reader,
    references,
    runs,
)
from mcp_operator.reconcile.agent_config import Plan
from mcp_operator.reconcile.agent_pod import AgentPods
from mcp_operator.reconcile.guard_callers import News
from mcp_operator.reconcile.injected_pods import InjectedPods, Present
from mcp_operator.reconcile.references import References
from mcp_operator.reconcile.services import sooner
from mcp_operator.workqueue import Key

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mcp_operator.cluster import Manifest
    from mcp_operator.models.status import RunStatus
    from mcp_operator.objects import Resource
    from mcp_operator.reconcile.services import Services

RESYNC = 1800.0
"""Seconds until an agent is looked at again even if nothing tells of a change: all that it depends on is watched."""
UNTIL_WRITTEN = 1.0
"""Seconds until an agent whose completion was just written down is looked at again."""


class _Seen(NamedTuple):
    uid: str
    generation: int
    labels: Mapping[str, str]
    server: str

    @staticmethod
    def of(raw: Manifest) -> _Seen:
        """Note an MCPAgent, and the MCPServer in which it is written."""
        metadata, owner = raw["metadata"], cluster.controller(raw)
        server = str(owner.get("name", "")) if owner.get("kind") == SERVER.kind else ""
        return _Seen(metadata["uid"], metadata.get("generation", 1), metadata.get("labels") or {}, server)


class _Look(NamedTuple):
    """What a look at an agent came to, and in how many seconds it is worth another one whatever happens."""

    found: dict[str, Outcome]
    delay: float | None = None


class AgentReconciler:
    """Brings MCPAgents from their spec to a Pod that sees the allowed tools."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._api = services.api
        self._pods = AgentPods(services)
        self._injected = InjectedPods(services)
        self._references = References(services.api)
        self._guards = News(services.wake)
        self._known: dict[tuple[str, str], _Seen] = {}

    def reconcile(self, namespace: str, name: str) -> float | None:
        """Look at one agent; give the seconds until it should be looked at again."""
        raw = self._api.get(AGENT, namespace, name)
        gone = raw is None or "deletionTimestamp" in raw["metadata"]
        self._remember((namespace, name), None if gone else raw)
        if self._services.index is not None:
            self._services.index.note(namespace, name, None if gone else raw)
        if raw is None or gone:
            self._injected.end(namespace, name)
            return None  # its own Pod and ConfigMap go with it: the garbage collector's work
        before = status.read(MCPAgentStatus, raw)
        after = before.model_copy(deep=True)
        notes: list[Event] = []
        found, delay = self._observe(raw, after, notes)
        self._conclude(raw, before, after, found, notes)
        delays = [outcome.delay for outcome in found.values() if isinstance(outcome, Problem)]
        return sooner(RESYNC, delay, *delays)

    def _remember(self, key: tuple[str, str], raw: Manifest | None) -> None:
        """Note which object of this name there is; policies count agents by name and labels."""
        earlier = self._known.pop(key, None)
        seen = None
        if raw is not None:
            self._known[key] = seen = _Seen.of(raw)
        if seen is None:
            self._forget(key)
        if seen == earlier:
            return
        if earlier is not None and (seen is None or earlier.uid != seen.uid):
            self._pods.forget(earlier.uid)
        self._services.wake_policies()
        for server in {each.server for each in (seen, earlier) if each is not None and each.server}:
            self._services.wake(Key(SERVER.kind, key[0], server), 0)  # it puts back what it has written

    def _forget(self, key: tuple[str, str]) -> None:
        """Drop what is kept of an agent that is gone, for whoever asks its toolman or guards servers against it."""
        self._guards.forget(*key)
        if self._services.reports is not None:
            self._services.reports.track(*key, ())

    def _observe(self, raw: Manifest, after: MCPAgentStatus, notes: list[Event]) -> _Look:
        try:
            agent = objects.parse(MCPAgentSpec, raw)
        except objects.InvalidSpecError as error:
            return _Look({conditions.POLICY_RESOLVED: Stalled(conditions.INVALID_SPEC, str(error))})
        pod = self._api.pod(agent.namespace, names.pod(agent.name))
        own = pod if pods.is_ours(pod, agent.uid) else None
        seen = Present(pod, self._injected.of(agent))
        after.injected = injected_pods.summary(seen.injected) if agent.spec.template is None else None
        earlier, after.run = after.run, runs.observe(after.run, own, agent, self._services.clock())
        if after.run is not None and runs.is_over(after.run):
            delay = self._retire(raw, agent, after.run, own, is_recorded=runs.is_over(earlier))
            over = runs.outcome(after.run, agent)
            self._report_pod(agent, seen, after, {conditions.POD_READY: over})
            return _Look(_all(over), delay)
        found: dict[str, Outcome] = {}
        delay = None
        try:
            delay = self._steps(agent, seen, after, found, notes)
        except (Stalled, Waiting) as problem:
            # only the steps at both ends raise: what is between them stops nothing
            last = conditions.POLICY_RESOLVED if conditions.POLICY_RESOLVED not in found else conditions.POD_READY
            found[last] = problem
        except cluster.EndingError:
            raise  # nothing is made any more, and nobody asks how it is
        except cluster.NotFoundError:
            found[conditions.POLICY_RESOLVED] = Waiting(conditions.NOT_REACHED, "the namespace is being deleted")
        self._report_pod(agent, seen, after, found)
        return _Look(found, delay)

    def _steps(
        self,
        agent: Resource[MCPAgentSpec],
        seen: Present,
        after: MCPAgentStatus,
        found: dict[str, Outcome],
        notes: list[Event],
    ) -> float | None:
        servers = agent_inputs.servers(self._api, agent, self._references)
        current = self._api.config_map(agent.namespace, names.config_map(agent.name))
        starts = seen.named is None and agent.spec.template is not None  # and so with the newest
        with snapshots.since(None) if starts else contextlib.nullcontext():
            labels = self._api.namespace_labels(agent.namespace)
            ceilings = policy_reader.of_agent(self._api, agent, labels, agent_inputs.readable(servers))
        found[conditions.SERVERS_READY] = agent_inputs.servers_outcome(servers)
        default_access = self._services.settings.default_access
        layers = agent_inputs.layers_of(agent, servers, labels, ceilings, default_access)
        agent_tools.fill(after, agent_tools.sight(agent, servers, layers))
        agent_warnings.fill(after, agent, servers, layers)
        found[conditions.POLICY_RESOLVED] = Done(conditions.SUCCEEDED, agent_warnings.capped(after))
        found[conditions.TOOLS_READY] = agent_tools.required(agent, servers, layers)
        plan = Plan(
            agent=agent,
            servers=servers,
            layers=layers,
            report_hash=agent_reports.token_hash(self._services.tokens, agent),
            pod=seen.named,
            current=current,
            injected=seen.injected,
            run=runs.wanted(agent, after.run, self._services.clock()),
        )
        self._guards.note(agent, servers, layers, seen.of(agent))
        self._pod_step(plan, found, notes)
        return references.RECHECK if any(server.references for server in servers) else None

    def _pod_step(self, plan: Plan, found: dict[str, Outcome], notes: list[Event]) -> None:
        agent, pod, servers = plan.agent, plan.pod, plan.servers
        if agent.spec.template is None:
            is_complete = isinstance(found[conditions.SERVERS_READY], Done)
            state = self._injected.carry_out(plan, is_complete=is_complete)
            if state is not None:
                found[conditions.POD_READY] = state
            return
        is_ours = pods.is_ours(pod, agent.uid)
        unsafe = agent_holds.unsafe(agent, servers)
        if unsafe is not None and not is_ours:
            raise unsafe
        if agent.spec.suspend:
            raise self._suspended(agent, pod if is_ours else None, notes)
        if pod is None and not isinstance(found[conditions.SERVERS_READY], Done):
            return
        hold = unsafe.message if unsafe is not None else agent_holds.unsettled(pod, servers)
        outcome = self._pods.carry_out(replace(plan, hold=hold), notes)
        found[conditions.POD_READY] = unsafe or outcome

    def _suspended(self, agent: Resource[MCPAgentSpec], pod: Manifest | None, notes: list[Event]) -> Waiting:
        if pod is not None and "deletionTimestamp" not in pod["metadata"]:
            self._pods.remove(agent, pod, "suspended")
            notes.append(Event(events.SUSPENDED, "Deleted the Pod: spec.suspend is set", action="Suspend"))
        return Waiting(conditions.SUSPENDED, "spec.suspend is set: there is no Pod", delay=None)

    def _retire(
        self,
        raw: Manifest,
        agent: Resource[MCPAgentSpec],
        run: RunStatus,
        pod: Manifest | None,
        *,
        is_recorded: bool,
    ) -> float | None:
        """Delete an agent whose time after its completion is over; give the seconds until then.

        The agent that an MCPServer has written in it stays, or it would be made and run again: only its Pod goes. And
        nothing goes before its status says that the run is over.
        """
        left = runs.left(run, agent.spec, self._services.clock())
        if left is None:
            return None
        if left > 0 or not is_recorded:
            return max(left, UNTIL_WRITTEN)
        if not self._known_server(agent):
            self._api.delete_agent(raw)
        elif pod is not None and "deletionTimestamp" not in pod["metadata"]:
            self._pods.remove(agent, pod, "ttlSecondsAfterFinished")
        return None

    def _known_server(self, agent: Resource[MCPAgentSpec]) -> str:
        """Name the MCPServer in which an agent is written; empty for one of its own."""
        seen = self._known.get((agent.namespace, agent.name))
        return seen.server if seen is not None else ""

    def _report_pod(
        self,
        agent: Resource[MCPAgentSpec],
        seen: Present,
        after: MCPAgentStatus,
        found: dict[str, Outcome],
    ) -> None:
        """Say how the Pod is even when the steps did not come that far."""
        agent_reports.fill(self._services.reports, agent, seen.of(agent), after)
        pod = seen.named
        ours = pods.is_ours(pod, agent.uid)
        after.pod_name = names.pod(agent.name) if ours else None
        after.phase = pods.phase(pod) if ours and pod is not None else None
        if after.run is not None and after.run.result is not None:
            after.phase = after.run.result
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
        ready: Outcome | None = None
        done = all(isinstance(found.get(kind), Done) for kind in conditions.AGENT_CONDITIONS)
        if runs.is_over(after.run):
            ready = found[conditions.POD_READY]
        elif done and after.tools is not None:
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
    return "Ready" if ready.status == "True" else status.phrase(ready.reason, ready.message)


def _all(outcome: Outcome) -> dict[str, Outcome]:
    """Give the conditions of a run that is over: nothing that comes after it is looked at."""
    over = Done(conditions.COMPLETED, "the run is over")
    return {**dict.fromkeys(conditions.AGENT_CONDITIONS, over), conditions.POD_READY: outcome}
