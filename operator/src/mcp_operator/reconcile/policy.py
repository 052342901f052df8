"""ToolPolicy: which agents it caps and what it denies them. What all layers together deny is worked out per agent."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mcp_operator import cluster, conditions, events, objects, policies, snapshots, status
from mcp_operator.cluster import AGENT, POLICY, SERVER
from mcp_operator.models.agent import MCPAgentSpec
from mcp_operator.models.policy import ToolPolicySpec
from mcp_operator.models.server import MCPServerSpec
from mcp_operator.models.status import LISTED_TOOLS, MCPServerStatus, ToolPolicyStatus
from mcp_operator.outcomes import Done, Outcome, Stalled
from mcp_operator.reconcile import known_tools
from mcp_operator.reconcile.policy_coverage import Coverage, KnownServer, coverage

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mcp_operator.cluster import Manifest
    from mcp_operator.models.status import Condition
    from mcp_operator.objects import Resource
    from mcp_operator.reconcile.services import Services

NAMED_GLOBS = 5
"""Globs that a message names; the status lists more of them."""


class _Estate(NamedTuple):
    """All that policies can be about, and the labels of its namespaces."""

    labels: Mapping[str, Mapping[str, str]]
    agents: Sequence[Resource[MCPAgentSpec]]
    servers: Sequence[KnownServer]


class PolicyReconciler:
    """Says of each ToolPolicy whom it caps and what that comes to."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._api = services.api
        self._generations: dict[str, int] = {}
        self._about_sources: set[str] = set()

    def reconcile(self, _: str, name: str) -> float | None:
        """Look at one policy; give the seconds until it should be looked at again."""
        raw = self._api.get(POLICY, "", name)
        generation = raw["metadata"].get("generation", 1) if raw is not None else 0
        # What an earlier operator had seen already is read by every agent's first look in this one.
        observed = (raw.get("status") or {}).get("observedGeneration") if raw is not None else None
        is_news = self._generations.get(name, observed) != generation
        self._wake(name, raw, is_news=is_news)
        if raw is None:
            self._generations.pop(name, None)
            return None
        self._generations[name] = generation
        if is_news and self._services.enforcing_time:
            return self._services.enforcing_time
        before = status.read(ToolPolicyStatus, raw)
        after = before.model_copy(deep=True)
        outcome: Outcome
        try:
            ceiling = objects.parse(ToolPolicySpec, raw)
        except objects.InvalidSpecError as error:
            outcome = Stalled(
                conditions.INVALID_SPEC,
                f"{error}. Nothing new starts for whom it may concern. Correct it: kubectl edit tpol {name}",
            )
        else:
            found = coverage(ceiling, *snapshots.shared(self._api, "estate", self._estate))
            fill(after, ceiling.spec, found)
            outcome = Done(conditions.SUCCEEDED, _verdict(ceiling.spec, found))
        after.observed_generation = generation
        now = policies.format_time(self._services.clock())
        after.conditions = [
            *conditions.summarise(before.conditions, {}, order=(), generation=generation, now=now, ready=outcome),
            *_warning(after, before.conditions, generation, now),
        ]
        after.summary = summary(after, outcome)
        if status.write(self._api, POLICY, raw, after):
            self._services.recorder.record(raw, events.of_policy(before.conditions, after.conditions))
        return None  # all policies are counted again together: see COUNTING

    def _wake(self, name: str, raw: Manifest | None, *, is_news: bool) -> None:
        """Have all told whom a policy may concern, as it is now or as it was.

        Have servers looked at, too, where it may no longer allow to make them from what they are, or allows it again.
        """
        was_about = name in self._about_sources
        is_about = raw is not None and "sources" in (raw.get("spec") or {})
        (self._about_sources.add if is_about else self._about_sources.discard)(name)
        if is_news:
            self._services.enforce()
            if was_about or is_about:
                self._services.wake_servers()

    def _estate(self) -> _Estate:
        agents, servers = list(self._agents()), list(self._servers())
        labels: dict[str, Mapping[str, str]] = {}
        for namespace in {*(each.namespace for each in agents), *(each.resource.namespace for each in servers)}:
            try:
                labels[namespace] = self._api.namespace_labels(namespace)
            except cluster.NotFoundError:
                continue  # it is going, with all that is in it
        return _Estate(labels, agents, servers)

    def _agents(self) -> Iterator[Resource[MCPAgentSpec]]:
        for raw in self._api.list(AGENT):
            try:
                yield objects.parse(MCPAgentSpec, raw)
            except objects.InvalidSpecError:
                continue  # it says so itself

    def _servers(self) -> Iterator[KnownServer]:
        for raw in self._api.list(SERVER):
            try:
                resource = objects.parse(MCPServerSpec, raw)
            except objects.InvalidSpecError:
                continue  # it says so itself
            current = status.read(MCPServerStatus, raw)
            every = known_tools.of_server(self._api, raw, current)
            listed = (current.tools or ()) if every is None else every
            yield KnownServer(resource=resource, tools=[tool.name for tool in listed], complete=every is not None)


def fill(after: ToolPolicyStatus, spec: ToolPolicySpec, found: Coverage) -> None:
    """Write what was found into a status."""
    after.matched_agents, after.agents = len(found.agents), found.agents[:LISTED_TOOLS]
    after.matched_servers, after.servers = len(found.servers), found.servers[:LISTED_TOOLS]
    enforced = spec.enforcement == "Enforce"
    after.denied = found.denied if enforced else None
    after.would_deny = None if enforced else found.denied
    after.unmatched = found.unmatched[:LISTED_TOOLS] or None


def summary(after: ToolPolicyStatus, outcome: Outcome) -> str:
    """Give one phrase for ``kubectl get``."""
    if not isinstance(outcome, Done):
        return status.phrase(outcome.reason, outcome.message)
    if after.unmatched:
        return status.phrase("matches nothing", ", ".join(after.unmatched))
    return "Ready"


def _verdict(spec: ToolPolicySpec, found: Coverage) -> str:
    verb = "denies" if spec.enforcement == "Enforce" else "would deny"
    agents = "1 agent" if len(found.agents) == 1 else f"{len(found.agents)} agents"
    return f"caps {agents}, {verb} {found.denied} of their tools"


def _warning(
    after: ToolPolicyStatus,
    previous: list[Condition],
    generation: int,
    now: str,
) -> Iterator[Condition]:
    if not after.unmatched:
        return
    named = ", ".join(after.unmatched[:NAMED_GLOBS])
    more = f" and {len(after.unmatched) - NAMED_GLOBS} more" if len(after.unmatched) > NAMED_GLOBS else ""
    text = status.printable(f"no tool of its servers is matched by {named}{more}; is that spelt as the server has it?")
    note = Done(conditions.GLOBS_MATCH_NOTHING, text)
    yield conditions.noted(previous, conditions.MATCHES_NOTHING, note, generation=generation, now=now)
