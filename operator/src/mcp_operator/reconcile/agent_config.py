"""The ConfigMaps of an agent: toolman's configuration, and the files that its servers' owners have written."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import msgspec

from mcp_operator import cluster, conditions, names
from mcp_operator.manifests import config as configs
from mcp_operator.manifests import files, upstreams
from mcp_operator.manifests.servers import RunningServer
from mcp_operator.manifests.upstreams import Upstream
from mcp_operator.models.run import Run
from mcp_operator.outcomes import Stalled, Waiting
from mcp_operator.reconcile import in_place, pods
from toolman import config

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from toolman.config import Config
    from toolman.manifest import Tool
    from toolman.policy import Layer

    from mcp_operator.cluster import Manifest, Workloads
    from mcp_operator.manifests.pod import Run as CompletionRun
    from mcp_operator.models.agent import MCPAgentSpec
    from mcp_operator.models.server import MCPServerSpec
    from mcp_operator.objects import Resource
    from mcp_operator.reconcile.agent_inputs import Server

RECHECK = 30.0
"""Seconds until what has one of our names is looked at again: no event of ours tells."""
SIZE_LIMIT = 1_000_000
"""Bytes of toolman's configuration: an object in the cluster has room for about a megabyte."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What an agent's Pod is to be.

    Attributes:
        agent: Whose.
        servers: In the agent's order.
        layers: Who allows and denies what.
        pod: The Pod of the agent's name as it is now.
        current: The ConfigMap of the agent's name as it was before the policies were read: who has brought newer ones
            into it meanwhile is not overruled.
        hold: Why no other Pod may be made now; empty when one may.
        run: Which run to completion the next Pod would be of; None for an agent that keeps its Pod.
        report_hash: Of the token with which its toolman is asked for reports.
        injected: Pods of other workloads whose toolman reads the same configuration.
    """

    agent: Resource[MCPAgentSpec]
    servers: Sequence[Server]
    layers: Sequence[Layer]
    pod: Manifest | None
    current: Manifest | None = None
    hold: str = ""
    run: CompletionRun | None = None
    report_hash: str | None = None
    injected: Sequence[Manifest] = ()

    @property
    def inputs(self) -> str:
        """See :func:`inputs`."""
        return inputs(self.servers)


def inputs(servers: Sequence[Server]) -> str:
    """Give another text whenever what toolman is given from Secrets and ConfigMaps is."""
    return "".join(server.headers for server in servers)


def configuration(plan: Plan) -> Config:
    """Give what toolman is to read: while there is a Pod, the servers that it can reach from there and no others.

    The users refused as callers are those of every server container that there is, also of servers that the agent no
    longer names: until the Pod is replaced they still run. While a container runs an image that is not the server's
    any more, the tools that it may have are those that are written down for it.
    """
    earlier = written(plan.current)
    recorded = {server.name: server.manifest for server in earlier.servers} if earlier is not None else {}
    there = [pod for pod in (plan.pod, *plan.injected) if pod is not None]
    present = max((len(pods.server_names(pod)) for pod in there), default=0)
    listed = [running for server in plan.servers if (running := _reachable(plan, server, recorded)) is not None]
    sidecars = sum(not isinstance(server.running, Upstream) for server in plan.servers)
    return configs.toolman_config(plan.agent, listed, plan.layers, max(sidecars, present), plan.report_hash)


def write(api: Workloads, plan: Plan, wanted: Config) -> None:
    """Write an agent's ConfigMap where it differs from the current one.

    Raises:
        cluster.ConflictError: It has changed since it was read.
        Stalled: A ConfigMap that is not ours has its name, or the configuration is too large.
        Waiting: That of an earlier agent of this name is still there.
    """
    agent, current = plan.agent, plan.current
    manifest = configs.config_map(agent, wanted)
    size = len(manifest["data"][names.CONFIG_FILE].encode())
    if size > SIZE_LIMIT:
        text = f"toolman's configuration has {size} bytes, more than {SIZE_LIMIT}: use fewer servers or tools"
        raise Stalled(conditions.CONFIG_TOO_LARGE, text)
    if current is not None:
        _check_owner(current, agent.uid, cluster.AGENT.kind, "rename the MCPAgent")
        if current.get("immutable"):
            name = current["metadata"]["name"]
            text = f"ConfigMap {name} is immutable, so that no policy could change it: delete it, it is made anew"
            raise Stalled(conditions.CONFIG_NAME_TAKEN, text, delay=RECHECK)
        if current.get("data") == manifest["data"] and _is_labelled(current):
            return
        manifest["metadata"]["resourceVersion"] = current["metadata"].get("resourceVersion")
    api.apply_config_map(manifest)


def is_kept(current: Manifest | None, agent: Resource[MCPAgentSpec]) -> bool:
    """Tell whether a ConfigMap is the one that :func:`write` keeps as it should be.

    Anybody may make one before the operator does, and say that it is the agent's: without our label neither the watches
    nor the admission policies know it, and what is immutable no policy reaches any more.
    """
    if current is None or current.get("immutable"):
        return False
    return cluster.controller(current).get("uid") == agent.uid and _is_labelled(current)


def _is_labelled(current: Manifest) -> bool:
    return (current["metadata"].get("labels") or {}).get(names.MANAGED_BY) == names.MANAGER


def write_files(api: Workloads, servers: Sequence[Server]) -> None:
    """Write the files that are in the MCPServers themselves, before a container is started that gets them.

    Raises:
        Stalled: A ConfigMap that is not ours has the name.
        Waiting: That of an earlier server of this name is still there.
    """
    for resource, manifest in _files(servers):
        current = api.config_map(resource.namespace, manifest["metadata"]["name"])
        if current is not None:
            _check_owner(current, resource.uid, cluster.SERVER.kind, "rename the MCPServer")
            if current.get("data") == manifest["data"]:
                continue
        api.apply_config_map(manifest)


def files_are_written(api: Workloads, servers: Sequence[Server]) -> bool:
    """Tell whether :func:`write_files` has nothing more to write."""
    found = [(api.config_map(each.namespace, raw["metadata"]["name"]), raw) for each, raw in _files(servers)]
    return all(current is not None and current.get("data") == raw["data"] for current, raw in found)


def _files(servers: Sequence[Server]) -> Iterator[tuple[Resource[MCPServerSpec], Manifest]]:
    for server in servers:
        manifest = files.config_map(server.resource) if server.resource is not None and server.inputs else None
        if manifest is not None and server.resource is not None:
            yield server.resource, manifest


def written(current: Manifest | None) -> Config | None:
    """Give toolman's configuration as it is written now; None where there is none that can be read."""
    text = (current or {}).get("data", {}).get(names.CONFIG_FILE)
    try:
        return config.loads(text) if text else None
    except msgspec.MsgspecError:
        return None  # of another version, or somebody else's: it is written anew


def is_as_good(found: Config, wanted: Config) -> bool:
    """Tell whether a Pod that starts with a configuration starts under the rules of another one.

    It may refuse more users, of containers in other Pods, and hold tools to what those run.
    """
    reached, to_reach = (
        [(each.name, each.upstream, each.server_requests) for each in some.servers] for some in (found, wanted)
    )
    refused, to_refuse = (frozenset(some.listen.refuse_uids) for some in (found, wanted))
    same = (found.layers, found.naming) == (wanted.layers, wanted.naming)
    return same and reached == to_reach and to_refuse <= refused


def _is_current(plan: Plan, running: RunningServer) -> bool:
    """Tell whether a server's container runs its present image, or will in a moment."""
    if (
        plan.injected
    ):  # as soon as one of them does: what of the others is not as verified is hidden until their restart
        told = [in_place.images(pod).get(running.name) for pod in plan.injected]
        return not any(told) or running.reference in told
    if plan.pod is None or (plan.agent.spec.update_strategy == "InPlace" and not plan.hold):
        return True
    return in_place.images(plan.pod).get(running.name, running.reference) == running.reference


def _is_reached(pod: Manifest, running: Upstream) -> bool:
    return running.name in in_place.volumes(pod) or not upstreams.volumes(running)


def _reachable(
    plan: Plan, server: Server, recorded: Mapping[str, tuple[Tool, ...] | None]
) -> RunningServer | Upstream | None:
    """Give a server as toolman reaches it from the Pod that there is, or that would be made; None where it cannot."""
    running, pod = server.running, plan.pod
    if isinstance(running, Upstream):
        return running if pod is None or _is_reached(pod, running) else None
    if pod is not None and server.name not in pods.server_names(pod):
        return None
    if running is None:  # it is closed by a layer, and goes on to run
        nothing = RunningServer(name=server.name, image="", command=(), working_dir="", run=Run())
        return replace(nothing, manifest=recorded.get(server.name))
    return running if _is_current(plan, running) else replace(running, manifest=recorded.get(server.name))


def _check_owner(current: Manifest, uid: str, kind: str, remedy: str) -> None:
    owner = cluster.controller(current)
    if owner.get("uid") == uid:
        return
    name = current["metadata"]["name"]
    if owner.get("kind") == kind:
        text = f"ConfigMap {name} of an earlier {kind} of this name is still being deleted"
        raise Waiting(conditions.POD_TERMINATING, text)
    text = f"ConfigMap {name} exists and is not this {kind}'s: delete it, or {remedy}"
    raise Stalled(conditions.CONFIG_NAME_TAKEN, text, delay=RECHECK)
