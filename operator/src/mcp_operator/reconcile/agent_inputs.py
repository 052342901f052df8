"""What an agent is made from: the policies that cap it and the servers that it names."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from toolman.manifest import Tool

from mcp_operator import cluster, conditions, layers, names, objects, server_references, status
from mcp_operator.manifests import files
from mcp_operator.manifests.servers import RunningServer
from mcp_operator.manifests.upstreams import Upstream
from mcp_operator.models.server import MCPServerSpec
from mcp_operator.models.source import KeyRef
from mcp_operator.models.status import MCPServerStatus, ToolStatus
from mcp_operator.outcomes import Done, Outcome, Waiting
from mcp_operator.placements import placement
from mcp_operator.reconcile import known_tools, run_settings
from toolman import policy

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from toolman.config import Reach

    from mcp_operator.cluster import Cluster, Manifest
    from mcp_operator.layers import DefaultAccess
    from mcp_operator.models.agent import MCPAgentSpec
    from mcp_operator.models.policy import ToolPolicySpec
    from mcp_operator.models.status import Condition, EndpointStatus
    from mcp_operator.objects import Resource
    from mcp_operator.placements import Placement
    from mcp_operator.reconcile.references import References


@dataclass(frozen=True, kw_only=True)
class Server:
    """One server that an agent names.

    Attributes:
        name: As the agent gives it.
        resource: None when there is no such MCPServer or its spec cannot be read.
        status: Its status; empty when there is none.
        tools: All of its tools in its order; None where not all are known.
        problem: Why no Pod can be made with it; empty when one can.
        missing: A Secret or ConfigMap that it needs and that is not there; ``problem`` says the same.
        settled: Its spec as written is in service or has failed for good; otherwise another image may come any moment.
        verified: What it says of ``run`` was tried out with its image, or is that of Pods of its own.
        inputs: Hexadecimal digits, others whenever what its container gets from Secrets and ConfigMaps is.
        headers: The same for what toolman gets.
    """

    name: str
    resource: Resource[MCPServerSpec] | None = None
    status: MCPServerStatus = field(default_factory=MCPServerStatus)
    tools: tuple[ToolStatus, ...] | None = None
    problem: str = ""
    missing: Waiting | None = None
    settled: bool = False
    verified: bool = True
    inputs: str = ""
    headers: str = ""

    @property
    def placement(self) -> Placement | None:
        """Where it runs; None when that is not known."""
        return placement(self.resource.spec, self.status) if self.resource is not None else None

    @property
    def running(self) -> RunningServer | Upstream | None:
        """How it goes into a Pod, or how toolman reaches it from there; None when neither can be said yet."""
        if self.resource is None:
            return None
        return self._sidecar(self.resource.spec) if self.placement == "Sidecar" else self._upstream(self.resource.spec)

    @property
    def secrets(self) -> frozenset[str]:
        """Names of the Secrets that have to do with it: no agent may have one of them."""
        if self.resource is None:
            return frozenset()
        return server_references.secrets(self.resource.spec) | {names.guard_tls_secret(self.name)}

    @property
    def config_maps(self) -> frozenset[str]:
        """Names of the ConfigMaps that say of it what not every agent may know."""
        return frozenset({names.manifest_config_map(self.name), names.guard(self.name)})

    @property
    def references(self) -> bool:
        """Whether agents' Pods are given Secrets or ConfigMaps for it, which nothing tells of when they change."""
        return self.resource is not None and self.placement != "Shared" and bool(_references(self.resource.spec))

    @property
    def _manifest(self) -> tuple[Tool, ...] | None:
        return None if self.tools is None else tuple(Tool(name=tool.name, hash=tool.hash) for tool in self.tools)

    def _sidecar(self, spec: MCPServerSpec) -> RunningServer | None:
        image = self.status.image
        if image is None:
            return None
        return RunningServer(
            name=self.name,
            image=image.reference,
            command=tuple(image.command),
            working_dir=image.working_dir,
            run=spec.run,
            pull_secrets=tuple(each.name for each in server_references.of_kubelet(spec)),
            inputs=self.inputs,
            manifest=self._manifest,
        )

    def _upstream(self, spec: MCPServerSpec) -> Upstream | None:
        endpoint, remote = self.status.endpoint, spec.source.remote
        if endpoint is None:
            return None
        pinned = endpoint.ca_config_map
        ca = KeyRef(name=pinned, key=names.CA_FILE) if pinned else (remote.ca_ref if remote is not None else None)
        return Upstream(
            name=self.name,
            url=endpoint.url,
            transport=endpoint.transport,
            headers=tuple(remote.headers) if remote is not None else (),
            ca=ca,
            audience=endpoint.audience or "",
            reach=_reach(endpoint) if remote is not None else "any",
            server_requests=tuple(spec.run.server_requests),
            manifest=self._manifest,
        )


def _reach(endpoint: EndpointStatus) -> Reach:
    """Say where a remote server's host may be: what its name leads to can change after the operator has looked."""
    return "elsewhere" if endpoint.inside else "public"


def servers(api: Cluster, agent: Resource[MCPAgentSpec], references: References) -> list[Server]:
    """Look at the servers of an agent, in its order."""
    return [server(api, agent.namespace, named.name, references) for named in agent.spec.servers]


def server(api: Cluster, namespace: str, name: str, references: References) -> Server:
    """Look at a server as its agents do."""
    return _server(api, namespace, name, api.get(cluster.SERVER, namespace, name), references)


def servers_outcome(found: Sequence[Server]) -> Outcome:
    """Say whether a Pod can be made with these servers."""
    problems = [f"{server.name}: {server.problem}" for server in found if server.problem]
    if not problems:
        return Done(conditions.SUCCEEDED)
    missing = [server.missing for server in found if server.missing is not None]
    told = {each.message for each in missing}
    is_all = all(server.problem in told for server in found if server.problem)
    reason = missing[0].reason if missing and is_all else conditions.SERVERS_NOT_READY
    return Waiting(reason, "; ".join(problems), delay=missing[0].delay if missing else None)


def layers_of(
    agent: Resource[MCPAgentSpec],
    found: Sequence[Server],
    namespace_labels: Mapping[str, str],
    policies: Sequence[Resource[ToolPolicySpec]],
    default_access: DefaultAccess = "Allow",
) -> tuple[policy.Layer, ...]:
    """Give the layers of an agent. What is not known of a server denies it: a deleted server takes its rules along."""
    unknown = tuple(
        policy.Layer(source=f"MCPServer/{server.name}", servers=(server.name,), tools=policy.Rules(allow=()))
        for server in found
        if server.problem and server.missing is None
    )
    return (*layers.layers(namespace_labels, agent, readable(found), policies, default_access), *unknown)


def _references(spec: MCPServerSpec) -> list[server_references.Reference]:
    every = (
        server_references.of_container(spec.run),
        server_references.of_toolman(spec),
        server_references.of_kubelet(spec),
    )
    return [reference for some in every for reference in some]


def _server(api: Cluster, namespace: str, name: str, raw: Manifest | None, references: References) -> Server:
    if raw is None:
        text = f"there is no such MCPServer: create it, or name one of kubectl get mcps -n {namespace}"
        return Server(name=name, problem=text)
    current = status.read(MCPServerStatus, raw)
    try:
        resource = objects.parse(MCPServerSpec, raw)
    except objects.InvalidSpecError as error:
        return Server(name=name, status=current, problem=str(error))
    if resource.deleting:
        return Server(name=name, status=current, problem="it is being deleted")
    ready = conditions.find(current.conditions, conditions.READY)
    server = Server(
        name=name,
        resource=resource,
        status=current,
        tools=known_tools.of_server(api, raw, current),
        settled=_is_settled(resource, current),
        verified=placement(resource.spec, current) != "Sidecar"
        or run_settings.are_verified(resource.spec.run, current.image),
    )
    return _with_inputs(server, resource, references, _problem(server, resource.namespace, ready))


def _is_settled(resource: Resource[MCPServerSpec], current: MCPServerStatus) -> bool:
    """Tell whether nothing else is on its way."""
    if current.observed_generation != resource.generation:
        return False
    ready = conditions.find(current.conditions, conditions.READY)
    return conditions.is_true(current.conditions, conditions.STALLED) or (
        ready is not None and ready.status == "True" and ready.reason not in conditions.UNDER_WAY
    )


def _problem(server: Server, namespace: str, ready: Condition | None) -> str:
    """Say why no Pod can be made with a server; empty when one can."""
    if server.running is not None:
        return ""
    seen = f"{ready.reason}, see" if ready is not None else "not looked at yet,"
    state = f"{seen} kubectl describe mcps {server.name} -n {namespace}"
    return f"it has no {'image' if server.placement == 'Sidecar' else 'endpoint'} yet ({state})"


def _with_inputs(server: Server, resource: Resource[MCPServerSpec], references: References, problem: str) -> Server:
    """Add what a server is given: where something of it is missing, no Pod can be made with it."""
    namespace, run = resource.namespace, resource.spec.run
    if server.placement == "Shared":
        return replace(server, problem=problem)  # its own Pods get all that, agents' Pods nothing
    missing = references.missing(namespace, _references(resource.spec))
    too_large = files.size(run) > files.CONTENT_LIMIT
    if too_large:
        text = f"run.files hold more than {files.CONTENT_LIMIT} bytes: put them into ConfigMaps of your own"
        missing = Waiting(conditions.FILES_TOO_LARGE, text, delay=None)
    return replace(
        server,
        problem=missing.message if missing is not None and not problem else problem,
        missing=missing,
        inputs=references.versions(namespace, server_references.of_container(run), tuple(files.contents(run).values())),
        headers=references.versions(namespace, server_references.of_toolman(resource.spec)),
    )


def readable(found: Sequence[Server]) -> list[Resource[MCPServerSpec]]:
    """Give the MCPServers that are there and can be read."""
    return [server.resource for server in found if server.resource is not None]
