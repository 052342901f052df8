"""What an agent is made from: the policies that cap it and the servers that it names."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pydantic import ValidationError

from mcp_operator import cluster, conditions, layers, objects, status
from mcp_operator.manifests.servers import RunningServer
from mcp_operator.models.base import Rules
from mcp_operator.models.policy import Target, ToolPolicySpec
from mcp_operator.models.server import MCPServerSpec
from mcp_operator.models.status import MCPServerStatus
from mcp_operator.objects import Resource
from mcp_operator.outcomes import Done, Outcome, Stalled, Waiting
from toolman import policy

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mcp_operator.cluster import Manifest, Objects
    from mcp_operator.models.agent import MCPAgentSpec


@dataclass(frozen=True, kw_only=True)
class Server:
    """One server that an agent names.

    Attributes:
        name: As the agent gives it.
        resource: None when there is no such MCPServer or its spec cannot be read.
        status: Its status; empty when there is none.
        problem: Why no Pod can be made with it; empty when one can.
        settled: Its spec as written is in service or has failed for good; otherwise another image may come any moment.
    """

    name: str
    resource: Resource[MCPServerSpec] | None = None
    status: MCPServerStatus = field(default_factory=MCPServerStatus)
    problem: str = ""
    settled: bool = False

    @property
    def running(self) -> RunningServer | None:
        """How it goes into a Pod; None when it cannot."""
        if self.resource is None or self.status.image is None:
            return None
        image = self.status.image
        return RunningServer(
            name=self.name,
            image=image.reference,
            command=tuple(image.command),
            working_dir=image.working_dir,
            run=self.resource.spec.run,
        )

    @property
    def secrets(self) -> frozenset[str]:
        """Names of the Secrets that its container gets."""
        if self.resource is None:
            return frozenset()
        sources = (variable.value_from for variable in self.resource.spec.run.env)
        return frozenset(each.secret_key_ref.name for each in sources if each is not None and each.secret_key_ref)


def servers(api: Objects, agent: Resource[MCPAgentSpec]) -> list[Server]:
    """Look at the servers of an agent, in its order."""
    return [_server(named.name, api.get(cluster.SERVER, agent.namespace, named.name)) for named in agent.spec.servers]


def servers_outcome(found: Sequence[Server]) -> Outcome:
    """Say whether a Pod can be made with these servers."""
    problems = [f"{server.name}: {server.problem}" for server in found if server.problem]
    if problems:
        return Waiting(conditions.SERVERS_NOT_READY, "; ".join(problems), delay=None)
    return Done(conditions.SUCCEEDED)


def layers_of(
    agent: Resource[MCPAgentSpec],
    found: Sequence[Server],
    namespace_labels: Mapping[str, str],
    policies: Sequence[Resource[ToolPolicySpec]],
) -> tuple[policy.Layer, ...]:
    """Give the layers of an agent. What is not known of a server denies it: a deleted server takes its rules along."""
    known = [server.resource for server in found if server.resource is not None]
    unknown = tuple(
        policy.Layer(source=f"MCPServer/{server.name}", servers=(server.name,), tools=policy.Rules(allow=()))
        for server in found
        if server.problem
    )
    return (*layers.layers(namespace_labels, agent, known, policies), *unknown)


def policies_of(
    api: Objects,
    agent: Resource[MCPAgentSpec],
    namespace_labels: Mapping[str, str],
) -> list[Resource[ToolPolicySpec]]:
    """Read all policies.

    Raises:
        Stalled: One that may concern the agent cannot be read: nobody can tell what it denies.
    """
    readable, broken = [], []
    for raw in api.list(cluster.POLICY):
        try:
            readable.append(objects.parse(ToolPolicySpec, raw))
        except objects.InvalidSpecError as error:
            if _may_concern(raw, agent, namespace_labels):
                broken.append(f"ToolPolicy {raw['metadata']['name']}: {error}")
    if broken:
        text = "; ".join(broken)
        raise Stalled(conditions.POLICY_INVALID, f"{text}. Nothing changes for this agent until that is repaired.")
    return readable


def _may_concern(raw: Manifest, agent: Resource[MCPAgentSpec], namespace_labels: Mapping[str, str]) -> bool:
    """Tell by the target alone, where that much can be read; otherwise it may."""
    try:
        target = Target.model_validate((raw.get("spec") or {}).get("target") or {})
    except ValidationError:
        return True
    metadata = raw["metadata"]
    spec = ToolPolicySpec(target=target, tools=Rules())
    ceiling = Resource(namespace="", name=metadata["name"], uid=metadata["uid"], generation=1, spec=spec)
    return layers.caps(ceiling, namespace_labels, agent)


def _server(name: str, raw: Manifest | None) -> Server:
    if raw is None:
        return Server(name=name, problem="there is no MCPServer of this name in this namespace")
    current = status.read(MCPServerStatus, raw)
    try:
        resource = objects.parse(MCPServerSpec, raw)
    except objects.InvalidSpecError as error:
        return Server(name=name, status=current, problem=str(error))
    if resource.deleting:
        return Server(name=name, status=current, problem="it is being deleted")
    ready = conditions.find(current.conditions, conditions.READY)
    stalled = conditions.is_true(current.conditions, conditions.STALLED)
    observed = current.observed_generation == resource.generation
    settled = observed and ((ready is not None and ready.status == "True") or stalled)
    problem = ""
    if current.image is None:
        why = f"{ready.reason}, see kubectl describe mcps {name}" if ready is not None else "not looked at yet"
        problem = f"it has no image yet ({why})"
    return Server(name=name, resource=resource, status=current, problem=problem, settled=settled)
