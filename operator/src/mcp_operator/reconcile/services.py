"""What every reconciler works with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mcp_operator.cluster import AGENT, POLICY
from mcp_operator.workqueue import Key

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from mcp_operator.cluster import Cluster
    from mcp_operator.events import Recorder
    from mcp_operator.settings import Settings

COUNTING_DELAY = 1.0
"""Seconds in which changes of agents are collected before policies are looked at."""


@dataclass(frozen=True, kw_only=True)
class Services:
    """The cluster, the clock (UTC), and how to have another object looked at in some seconds."""

    api: Cluster
    recorder: Recorder
    settings: Settings
    clock: Callable[[], datetime]
    wake: Callable[[Key, float], None]

    def wake_agents(self, namespace: str, *, server: str | None = None) -> None:
        """Have the agents of a namespace (all namespaces when empty) looked at, or those that name a server."""
        for raw in self.api.list(AGENT, namespace):
            listed = (raw.get("spec") or {}).get("servers") or []
            if server is None or any(isinstance(each, dict) and each.get("name") == server for each in listed):
                metadata = raw["metadata"]
                self.wake(Key(AGENT.kind, metadata["namespace"], metadata["name"]), 0)

    def wake_policies(self) -> None:
        """Have all policies looked at, shortly: many agents that come at once are counted once."""
        for raw in self.api.list(POLICY):
            self.wake(Key(POLICY.kind, "", raw["metadata"]["name"]), COUNTING_DELAY)


def sooner(*delays: float | None) -> float | None:
    """Give the smallest of some delays; None is never."""
    return min((delay for delay in delays if delay is not None), default=None)
