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

    def wake_agents(self, namespace: str, *, server: str | None = None) -> None:
        """Have the agents of a namespace (all namespaces when empty) looked at, or those that name a server."""
        if self.index is not None:
            found = self.index.find(namespace, server)
        else:
            listed = self.api.list(AGENT, namespace)
            naming = [raw["metadata"] for raw in listed if server is None or server in servers_of(raw)]
            found = [(metadata["namespace"], metadata["name"]) for metadata in naming]
        for place in found:
            self.wake(Key(AGENT.kind, *place), 0)

    def wake_servers(self, namespace: str, *, shared_only: bool = False) -> None:
        """Have the MCPServers of a namespace (all namespaces when empty) looked at, or those with Pods of their own."""
        for raw in self.api.list(SERVER, namespace):
            endpoint = (raw.get("status") or {}).get("endpoint") or {}
            if not shared_only or endpoint.get("audience"):
                metadata = raw["metadata"]
                self.wake(Key(SERVER.kind, metadata["namespace"], metadata["name"]), 0)

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
