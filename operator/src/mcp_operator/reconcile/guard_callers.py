"""Who may call a shared server: the Pods of the agents that name it, each with its agent's layers about it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from mcp_operator import cluster, names, objects, policies
from mcp_operator.manifests import guard_config
from mcp_operator.manifests.metadata import digest
from mcp_operator.models.agent import MCPAgentSpec
from mcp_operator.outcomes import Stalled
from mcp_operator.reconcile import agent_inputs, injected_pods, pods, policy_reader
from mcp_operator.reconcile.moment import Moment
from mcp_operator.reconcile.references import References, Unasked
from mcp_operator.workqueue import Key
from toolman import config

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from toolman.policy import Layer

    from mcp_operator.cluster import Cluster, Manifest
    from mcp_operator.layers import DefaultAccess
    from mcp_operator.models.server import MCPServerSpec
    from mcp_operator.models.status import MCPServerStatus
    from mcp_operator.objects import Resource
    from mcp_operator.reconcile.agent_inputs import Server


def callers(
    api: Cluster,
    server: Resource[MCPServerSpec],
    after: MCPServerStatus,
    default_access: DefaultAccess,
    known: Mapping[str, config.Caller],
    *,
    injects: bool = False,
) -> list[config.Caller]:
    """Give the callers of a server.

    Args:
        api: The cluster.
        server: Which one.
        after: Its status as it will be.
        default_access: What holds where no policy says anything.
        known: The callers so far, by the UIDs of their Pods: where a policy cannot be read, they go on as they are.
        injects: Sidecars are put into Pods of other workloads; without the webhook, anybody could say so of his.
    """
    moment = Moment(api, server.namespace)
    own = moment.server(server.name)
    if own is not None:  # its endpoint is known here before anybody else can know it
        moment.replace({**own, "status": after.model_dump(mode="json", by_alias=True, exclude_none=True)})
    labels = api.namespace_labels(server.namespace)
    present = api.pods_labelled(server.namespace, names.LABEL_AGENT)
    found = []
    for raw in api.list(cluster.AGENT, server.namespace):
        if not _names(raw, server.name):
            continue
        uids = [pod["metadata"]["uid"] for pod in present if _calls(pod, raw, injects=injects)]
        if not uids:
            continue
        about: tuple[Layer, ...] | None = None
        with contextlib.suppress(Stalled, objects.InvalidSpecError):
            about = _layers(moment.cluster, raw, server.name, labels, default_access)
        for uid in uids:
            if about is not None:
                found.append(config.Caller(pod=uid, name=f"MCPAgent/{raw['metadata']['name']}", layers=about))
            elif uid in known:
                found.append(known[uid])
    return found


class News:
    """Has shared servers looked at when something about one of their callers is not as it was.

    Args:
        wake: Has an object looked at.
    """

    def __init__(self, wake: Callable[[Key, float], None]) -> None:
        self._wake = wake
        self._seen: dict[tuple[str, str], dict[str, str]] = {}

    def note(
        self,
        agent: Resource[MCPAgentSpec],
        servers: Iterable[Server],
        layers: Sequence[Layer],
        calling: Iterable[Manifest],
    ) -> None:
        """Take note of an agent as it is now, and of the Pods that call for it."""
        uids = sorted(pod["metadata"]["uid"] for pod in calling if pods.phase(pod) not in policies.ENDED)
        shared = [server.name for server in servers if server.placement == "Shared"]
        now = {
            name: digest([uids, config.dumps(config.Config(layers=guard_config.about(layers, name))).decode()])
            for name in shared
        }
        self._compare((agent.namespace, agent.name), now)

    def forget(self, namespace: str, name: str) -> None:
        """Take note that an agent is gone."""
        self._compare((namespace, name), {})

    def _compare(self, agent: tuple[str, str], now: dict[str, str]) -> None:
        before = self._seen.pop(agent, {})
        if now:
            self._seen[agent] = now
        for name in before.keys() | now.keys():
            if before.get(name) != now.get(name):
                self._wake(Key(cluster.SERVER.kind, agent[0], name), 0)


def _calls(pod: Manifest, agent: Manifest, *, injects: bool) -> bool:
    """Tell whether the toolman of a Pod calls for an agent: in its own Pod, or in one that it was put into."""
    metadata, spec = agent["metadata"], agent.get("spec") or {}
    if pods.phase(pod) in policies.ENDED:
        return False
    if spec.get("template") is None:
        return injects and injected_pods.is_of(pod, metadata["name"])
    return pod["metadata"]["name"] == names.pod(metadata["name"]) and pods.is_ours(pod, metadata["uid"])


def _layers(
    api: Cluster,
    raw: Manifest,
    server: str,
    namespace_labels: Mapping[str, str],
    default_access: DefaultAccess,
) -> tuple[Layer, ...]:
    """Give an agent's layers about a server.

    Raises:
        Stalled: A policy that may concern the agent cannot be read.
        InvalidSpecError: The agent cannot.
    """
    agent = objects.parse(MCPAgentSpec, raw)
    servers = agent_inputs.servers(api, agent, References(Unasked()))
    ceilings = policy_reader.of_agent(api, agent, namespace_labels, agent_inputs.readable(servers))
    layers = agent_inputs.layers_of(agent, servers, namespace_labels, ceilings, default_access)
    return tuple(guard_config.about(layers, server))


def _names(raw: Manifest, server: str) -> bool:
    listed = (raw.get("spec") or {}).get("servers") or []
    return any(isinstance(each, dict) and each.get("name") == server for each in listed)
