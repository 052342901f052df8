"""What every reconciler works with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from mcp_operator.agent_index import servers_of
from mcp_operator.cluster import AGENT, POLICY, SERVER
from mcp_operator.workqueue import Key

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from mcp_operator.agent_index import AgentIndex
    from mcp_operator.cluster import Cluster
    from mcp_operator.events import Recorder
    from mcp_operator.own_secrets import ReportTokens
    from mcp_operator.reports import Reports
    from mcp_operator.settings import Settings

COUNTING_DELAY = 2.0
"""Seconds in which changes of agents are collected before policies are looked at."""
COUNTING_SHARE = 0.02
"""Seconds besides, for each agent: counting a thousand takes some time, which those who want something come before."""
COUNTING_RESYNC = 600.0
"""Seconds until all policies are counted again even if nothing tells of a change."""
ENFORCING_SHARE = 0.015
"""Seconds for each agent in which a policy that has changed should reach them, before anything is counted."""
LAYERS: Final = "Layers"
"""Kind of a key that stands for the layers of all agents of a namespace."""
COUNTING: Final = Key("Policies", "", "")
"""Stands for all policies, which are to be looked at: many changes of agents are one such look."""


@dataclass(frozen=True, kw_only=True)
class Services:
    """The cluster, the clock (UTC), and how to have another object looked at in some seconds.

    Where there is an index, whom to wake is taken from it, and :data:`COUNTING` is somebody's to reconcile; without one
    the cluster is asked each time.
    """

    api: Cluster
    recorder: Recorder
    settings: Settings
    clock: Callable[[], datetime]
    wake: Callable[[Key, float], None]
    index: AgentIndex | None = None
    # --- what comes back from toolmans
    tokens: ReportTokens | None = None
    reports: Reports | None = None

    def wake_agents(self, namespace: str, *, server: str) -> None:
        """Have the agents of a namespace looked at that name a server."""
        for place in self._agents(namespace, server):
            self.wake(Key(AGENT.kind, *place), 0)

    def enforce(self, namespace: str = "") -> None:
        """Have the layers of the agents of a namespace (all namespaces when empty) brought into their configurations.

        Agents that are not there yet, or not looked at, will find the policies of then.
        """
        for where in dict.fromkeys(place for place, _ in self._agents(namespace)):
            self.wake(Key(LAYERS, "", where), 0)

    def wake_servers(self, namespace: str = "") -> None:
        """Have the MCPServers of a namespace (all namespaces when empty) looked at."""
        for raw in self.api.list(SERVER, namespace):
            metadata = raw["metadata"]
            self.wake(Key(SERVER.kind, metadata["namespace"], metadata["name"]), 0)

    @property
    def enforcing_time(self) -> float:
        """The seconds in which a policy that has changed should have reached all agents."""
        return ENFORCING_SHARE * len(self.index) if self.index is not None else 0.0

    def _agents(self, namespace: str, server: str | None = None) -> list[tuple[str, str]]:
        if self.index is not None:
            return self.index.find(namespace, server)
        naming = [
            raw["metadata"] for raw in self.api.list(AGENT, namespace) if server is None or server in servers_of(raw)
        ]
        return [(metadata["namespace"], metadata["name"]) for metadata in naming]

    def wake_policies(self) -> None:
        """Have all policies looked at, shortly: many agents that come at once are counted once."""
        if self.index is not None:
            self.wake(COUNTING, COUNTING_DELAY + COUNTING_SHARE * len(self.index))
            return
        for raw in self.api.list(POLICY):
            self.wake(Key(POLICY.kind, "", raw["metadata"]["name"]), COUNTING_DELAY)


def sooner(*delays: float | None) -> float | None:
    """Give the smallest of some delays; None is never."""
    return min((delay for delay in delays if delay is not None), default=None)
