"""Which agents there are and which servers they name, so that nobody has to list a thousand to wake one.

An agent is noted when it is looked at, before its servers are. So one that is not here yet, or with servers of before,
has a look ahead of it that will find everything as it is by then.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mcp_operator.cluster import Manifest


class AgentIndex:
    """Agents by namespace and name, each with the names of its servers. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._agents: dict[str, dict[str, frozenset[str]]] = {}

    def note(self, namespace: str, name: str, raw: Manifest | None) -> None:
        """Note an agent as it was just read; None when it is gone."""
        with self._lock:
            agents = self._agents.setdefault(namespace, {})
            if raw is not None:
                agents[name] = servers_of(raw)
                return
            agents.pop(name, None)
            if not agents:
                del self._agents[namespace]

    def __len__(self) -> int:
        with self._lock:
            return sum(map(len, self._agents.values()))

    def find(self, namespace: str, server: str | None = None) -> list[tuple[str, str]]:
        """Give namespace and name of the agents of a namespace (of all when empty), or of those that name a server."""
        with self._lock:
            places = [namespace] if namespace else list(self._agents)
            return [
                (place, name)
                for place in places
                for name, servers in self._agents.get(place, {}).items()
                if server is None or server in servers
            ]


def servers_of(raw: Mapping[str, Any]) -> frozenset[str]:
    """Name the servers of an agent as it is stored, whether or not the rest of it can be read."""
    listed = (raw.get("spec") or {}).get("servers") or []
    return frozenset(str(each["name"]) for each in listed if isinstance(each, dict) and "name" in each)
