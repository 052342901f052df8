"""Pods that are labelled with an MCPAgent: its sidecars are put into them, or the reason why they must not be made.

What is decided here is decided anew for each Pod, from policies, servers and configuration as they are at this moment;
whatever is not there yet refuses the Pod, and the workload that wants it tries again.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from mcp_operator import cluster, names, objects
from mcp_operator.admission.answers import Answer
from mcp_operator.cluster import AGENT
from mcp_operator.manifests import config as configs
from mcp_operator.manifests import injection
from mcp_operator.models.agent import MCPAgentSpec
from mcp_operator.models.base import NAME_LIMIT, NAME_PATTERN
from mcp_operator.outcomes import Stalled
from mcp_operator.reconcile import agent_config, agent_holds, agent_inputs, policy_reader
from mcp_operator.reconcile.references import References

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mcp_operator.admission.answers import Request
    from mcp_operator.cluster import Cluster
    from mcp_operator.manifests.servers import RunningServer
    from mcp_operator.manifests.upstreams import Upstream
    from mcp_operator.objects import Resource
    from mcp_operator.reconcile.agent_inputs import Server
    from mcp_operator.settings import Settings

AGAIN: Final = "A Deployment, StatefulSet, DaemonSet or Job tries again by itself."
KEPT: Final = (
    f"the label {names.LABEL_AGENT}, the annotations below {names.GROUP}/ and the sidecars of a Pod stay as they were "
    "when it was made: write the label into the Pod template of its workload, and make another Pod"
)


_NAME: Final = re.compile(NAME_PATTERN)


class _Refused(Exception):  # noqa: N818 - no failure: what comes of the question
    """The Pod must not be made; the text says what to do."""


class Injecting:
    """Judges the creation of labelled Pods.

    Args:
        api: The cluster.
        settings: Whose images of ours are used, and what holds where no policy says anything.
    """

    def __init__(self, api: Cluster, settings: Settings) -> None:
        self._api = api
        self._settings = settings
        self._references = References(api)

    def __call__(self, request: Request) -> Answer:
        """See :class:`mcp_operator.admission.answers.Judge`."""
        labels = request.object["metadata"].get("labels") or {}
        if names.LABEL_AGENT not in labels:
            return Answer()
        name = str(labels[names.LABEL_AGENT])
        if not name:
            return Answer(denied=f"the label {names.LABEL_AGENT} is empty: give the name of an MCPAgent, or remove it")
        try:
            return self._judge(request, self._agent(request.namespace, name))
        except _Refused as refused:
            return Answer(denied=str(refused))
        except Stalled as problem:
            return Answer(denied=f"MCPAgent {name} cannot be served: {problem.message}")
        except cluster.ClusterError as error:
            return Answer(denied=f"what MCPAgent {name} may use cannot be read now: {error}. {AGAIN}")

    def _agent(self, namespace: str, name: str) -> Resource[MCPAgentSpec]:
        """Find the agent that a Pod is labelled with, if it serves Pods of others."""
        # Nobody has looked at the label yet: the API server asks before it checks what labels are like.
        if len(name) > NAME_LIMIT or not _NAME.fullmatch(name):
            raise _Refused(f"the label {names.LABEL_AGENT} is not the name of an MCPAgent: correct or remove it")
        raw = self._api.get(AGENT, namespace, name)
        who = f"MCPAgent {name} in namespace {namespace}"
        if raw is None:
            raise _Refused(
                f"there is no {who}: create it, without a template, or correct the label {names.LABEL_AGENT}"
            )
        try:
            agent = objects.parse(MCPAgentSpec, raw)
        except objects.InvalidSpecError as error:
            raise _Refused(f"{who} cannot be used: {error}") from error
        if agent.deleting:
            raise _Refused(f"{who} is being deleted: create it again, or remove the label {names.LABEL_AGENT}")
        if agent.spec.template is not None:
            text = "has a template, so the operator makes its only Pod: label yours with an MCPAgent without one"
            raise _Refused(f"{who} {text}")
        if agent.spec.suspend:
            raise _Refused(f"{who} is suspended: set its spec.suspend to false. {AGAIN}")
        return agent

    def _judge(self, request: Request, agent: Resource[MCPAgentSpec]) -> Answer:
        servers = agent_inputs.servers(self._api, agent, self._references)
        running = _running(agent, servers)
        config_hash = self._config_hash(agent, servers, running)
        refused = agent_holds.refused(servers)
        found = injection.inject(dict(request.object), agent, running, config_hash, self._settings, refused)
        return Answer(denied=found.refused, patch=tuple(found.patch))

    def _config_hash(
        self, agent: Resource[MCPAgentSpec], servers: Sequence[Server], running: Sequence[RunningServer | Upstream]
    ) -> str:
        """Hash the configuration that the Pod's toolman will find; it must be that of this very moment."""
        labels = self._api.namespace_labels(agent.namespace)
        ceilings = policy_reader.of_agent(self._api, agent, labels, agent_inputs.readable(servers))
        layers = agent_inputs.layers_of(agent, servers, labels, ceilings, self._settings.default_access)
        current = self._api.config_map(agent.namespace, names.config_map(agent.name))
        written = agent_config.written(current) if agent_config.is_kept(current, agent) else None
        wanted = configs.toolman_config(agent, running, layers)
        if written is None or not (
            agent_config.is_as_good(written, wanted) and agent_config.files_are_written(self._api, servers)
        ):
            text = "is being written: see kubectl describe mcpa"
            raise _Refused(
                f"the configuration of MCPAgent {agent.name} {text} {agent.name} -n {agent.namespace}. {AGAIN}"
            )
        return configs.config_hash(written, agent_config.inputs(servers))


def keeping(request: Request) -> Answer:
    """Judge a change of a labelled Pod that the API server has found to change what is ours: nobody else may.

    Which changes those are is said in the webhook's configuration, so that none passes while no operator answers.
    """
    name = (request.before.get("metadata") or {}).get("name") or ""
    return Answer(denied=f"Pod {name}: {KEPT}")


def _running(agent: Resource[MCPAgentSpec], servers: Sequence[Server]) -> list[RunningServer | Upstream]:
    """Give the servers as they go into the Pod, all of them or none."""
    problems = [f"{server.name}: {server.problem}" for server in servers if server.problem]
    running = [server.running for server in servers]
    if problems or None in running:
        text = "; ".join(problems)
        raise _Refused(f"the MCPServers of MCPAgent {agent.name} are not ready: {text}. {AGAIN}")
    return [each for each in running if each is not None]
