"""What ``kubectl apply`` prints about an MCPAgent that asks for what it will not get. Nothing is ever refused here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mcp_operator import cluster, objects
from mcp_operator.admission.answers import Answer
from mcp_operator.models.agent import MCPAgentSpec
from mcp_operator.outcomes import Stalled
from mcp_operator.reconcile import agent_inputs, agent_warnings, policy_reader
from mcp_operator.reconcile.references import References, Unasked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mcp_operator.admission.answers import Request
    from mcp_operator.cluster import Cluster
    from mcp_operator.layers import DefaultAccess


class Warnings:
    """Warns of MCPAgents that are created or whose spec is changed.

    Args:
        api: The cluster.
        default_access: What holds where no policy says anything.
    """

    def __init__(self, api: Cluster, default_access: DefaultAccess) -> None:
        self._api = api
        self._default_access = default_access

    def __call__(self, request: Request) -> Answer:
        """See :class:`mcp_operator.admission.answers.Judge`."""
        if request.object.get("spec") == request.before.get("spec"):
            return Answer()
        try:
            return Answer(warnings=self._warnings(request))
        except (objects.InvalidSpecError, Stalled, cluster.ClusterError):
            return Answer()  # the agent's own conditions will say so

    def _warnings(self, request: Request) -> Sequence[str]:
        metadata = {"name": "", "uid": "", **request.object["metadata"], "namespace": request.namespace}
        agent = objects.parse(MCPAgentSpec, {**request.object, "metadata": metadata})
        servers = agent_inputs.servers(self._api, agent, References(Unasked()))
        labels = self._api.namespace_labels(agent.namespace)
        ceilings = policy_reader.of_agent(self._api, agent, labels, agent_inputs.readable(servers))
        layers = agent_inputs.layers_of(agent, servers, labels, ceilings, self._default_access)
        return agent_warnings.warnings(agent, servers, layers)
