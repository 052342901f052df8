"""What policies say of a namespace's agents, in their configurations before anything else is done about it.

When a policy or a namespace's labels change, what counts is that no agent goes on under the rules of before. So the
layers in all configurations of a namespace are made those of now, and the Pods told of it; nothing else of a
configuration is touched. Whichever agent that concerns is looked at afterwards, as after any other event: statuses and
Events follow from there, and so does all that is not plain here. What is written is written to the very version that
was read; who has changed it meanwhile has a look ahead of him, too.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

from mcp_operator import cluster, conditions, names, objects, snapshots
from mcp_operator.agent_index import servers_of
from mcp_operator.cluster import AGENT, SERVER
from mcp_operator.manifests import config as configs
from mcp_operator.models.agent import MCPAgentSpec
from mcp_operator.outcomes import Stalled
from mcp_operator.reconcile import agent_config, agent_inputs, injected_pods, pods, policy_reader
from mcp_operator.reconcile.moment import Moment
from mcp_operator.reconcile.references import References
from mcp_operator.workqueue import Key
from toolman import config

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from toolman.policy import Layer

    from mcp_operator.cluster import Manifest
    from mcp_operator.objects import Resource
    from mcp_operator.reconcile.agent_inputs import Server
    from mcp_operator.reconcile.services import Services

HANDS: Final = 8
"""Agents to which is written at a time: each waits for the API server nearly all of that time."""


@dataclass(frozen=True, kw_only=True)
class _Change:
    """What is to be written for an agent.

    Attributes:
        config_map: As it was read.
        data: What is to be in it; None where that is so already.
        pods: Those that are to be told.
        config_hash: What they are told.
    """

    config_map: Manifest
    data: dict[str, str] | None
    pods: Sequence[Manifest]
    config_hash: str


class _UnclearError(Exception):
    """An agent has to be looked at as a whole."""


class Enforcer:
    """Brings layers into the configurations of all agents of a namespace."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._api = services.api
        self._hands = ThreadPoolExecutor(HANDS, thread_name_prefix="enforcement")

    def close(self) -> None:
        """Begin to write nothing more."""
        self._hands.shutdown(wait=False, cancel_futures=True)

    def reconcile(self, _: str, namespace: str) -> float | None:
        """Look at the agents of a namespace."""
        try:
            space = _Space(self._services, namespace)
        except cluster.NotFoundError:
            return None
        concerned = {raw["metadata"]["name"]: change for raw, change in space.examine()}
        try:
            list(self._hands.map(self._carry_out, filter(None, concerned.values())))
        finally:
            for key in space.depending(concerned):
                self._services.wake(key, 0)
        return None

    def _carry_out(self, change: _Change) -> None:
        try:
            if change.data is not None:
                self._api.replace_data(change.config_map, change.data)
            for pod in change.pods:
                self._api.tell_pod(pod, {names.ANNOTATION_CONFIG_HASH: change.config_hash})
        except (cluster.NotFoundError, cluster.ConflictError):
            return  # its agent is looked at as it is by now


class _Space:
    """A namespace as it was read for this look.

    Raises:
        cluster.NotFoundError: It is gone.
    """

    def __init__(self, services: Services, namespace: str) -> None:
        api = services.api
        self._default_access = services.settings.default_access
        self._injects = bool(services.settings.webhook_port)
        self._namespace = namespace
        try:
            self._labels = api.namespace_labels(namespace)
        except cluster.EndingError as ending:  # its Pods may take their time, and are under policies until they end
            self._labels = ending.labels
        # Configurations before policies: whoever writes one meanwhile by policies of before is found out.
        self._config_maps = {raw["metadata"]["name"]: raw for raw in api.agent_config_maps(namespace)}
        with snapshots.since(None):  # nobody else has a use for these
            self._agents = [raw for raw in api.list(AGENT, namespace) if "deletionTimestamp" not in raw["metadata"]]
            self._moment = Moment(api, namespace)
        self._references = References(self._moment)
        self._servers: dict[str, Server] = {}
        self._pods: dict[str, list[Manifest]] = {}
        for pod in api.agent_pods(namespace):
            self._pods.setdefault(pod["metadata"]["labels"][names.LABEL_AGENT], []).append(pod)

    def examine(self) -> Iterator[tuple[Manifest, _Change | None]]:
        """Give the agents that are concerned, each with what is to be written for it, where that is plain."""
        for raw in self._agents:
            try:
                change = self._change(raw)
            except (_UnclearError, Stalled, objects.InvalidSpecError):
                yield raw, None
            else:
                if change is not None:
                    yield raw, change

    def depending(self, agents: Collection[str]) -> Iterator[Key]:
        """Give the keys of agents, and of the servers of theirs whose guards enforce the same layers."""
        for raw in self._agents:
            if raw["metadata"]["name"] in agents:
                yield Key(AGENT.kind, self._namespace, raw["metadata"]["name"])
                shared = filter(self._is_shared, servers_of(raw))
                yield from (Key(SERVER.kind, self._namespace, name) for name in shared)

    def _change(self, raw: Manifest) -> _Change | None:
        """Say what is to be written for an agent; None where all is as it should be.

        Raises:
            _UnclearError: That takes a whole look.
            Stalled: A policy that may concern it cannot be read.
            InvalidSpecError: It cannot be read itself.
        """
        if _is_over(raw):
            return None
        agent = objects.parse(MCPAgentSpec, raw)
        present = self._present(agent)
        current = self._config_maps.get(names.config_map(agent.name))
        written = agent_config.written(current)
        if current is None or written is None or not agent_config.is_kept(current, agent):
            raise _UnclearError
        if not present or not _is_resolved(raw):
            raise _UnclearError
        servers = [self._server(named.name) for named in agent.spec.servers]
        wanted = msgspec.structs.replace(written, layers=self._layers(agent, servers))
        config_hash = configs.config_hash(wanted, agent_config.inputs(servers))
        told = [pod for pod in present if _told(pod) != config_hash]
        if wanted == written and not told:
            return None
        text = config.dumps(wanted).decode()
        if len(text.encode()) > agent_config.SIZE_LIMIT:
            raise _UnclearError
        data = None if wanted == written else {names.CONFIG_FILE: text}
        return _Change(config_map=current, data=data, pods=told, config_hash=config_hash)

    def _is_shared(self, name: str) -> bool:
        status = (self._moment.server(name) or {}).get("status") or {}
        return bool((status.get("endpoint") or {}).get("audience"))

    def _present(self, agent: Resource[MCPAgentSpec]) -> list[Manifest]:
        """Give the Pods that have an agent's toolman."""
        labelled = self._pods.get(agent.name, [])
        if agent.spec.template is None:
            return [pod for pod in labelled if self._injects and injected_pods.is_of(pod, agent.name)]
        return [pod for pod in labelled if pods.is_ours(pod, agent.uid)]

    def _server(self, name: str) -> Server:
        if name not in self._servers:
            self._servers[name] = agent_inputs.server(self._moment.cluster, self._namespace, name, self._references)
        return self._servers[name]

    def _layers(self, agent: Resource[MCPAgentSpec], servers: Sequence[Server]) -> tuple[Layer, ...]:
        readable = agent_inputs.readable(servers)
        ceilings = policy_reader.of_agent(self._moment.cluster, agent, self._labels, readable)
        return agent_inputs.layers_of(agent, servers, self._labels, ceilings, self._default_access)


def _is_over(raw: Manifest) -> bool:
    """Tell whether an agent as it is written has run to completion: no policy is of any consequence for it."""
    status = raw.get("status") or {}
    is_observed = status.get("observedGeneration") == raw["metadata"].get("generation")
    return is_observed and bool((status.get("run") or {}).get("result"))


def _is_resolved(raw: Manifest) -> bool:
    """Tell whether the agent's last look came as far as its layers."""
    listed = (raw.get("status") or {}).get("conditions") or []
    return any(each.get("type") == conditions.POLICY_RESOLVED and each.get("status") == "True" for each in listed)


def _told(pod: Manifest) -> str:
    return str((pod["metadata"].get("annotations") or {}).get(names.ANNOTATION_CONFIG_HASH))
