"""Namespace: its labels decide which policies are about its agents and servers: other labels mean another look."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mcp_operator import cluster

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mcp_operator.reconcile.services import Services

KIND = "Namespace"


class NamespaceReconciler:
    """Has agents, servers and policies looked at when a namespace's labels change."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._labels: dict[str, Mapping[str, str]] = {}

    def reconcile(self, _: str, name: str) -> float | None:
        """Look at one namespace."""
        try:
            labels = self._services.api.namespace_labels(name)
        except cluster.NotFoundError:
            self._labels.pop(name, None)
            return None
        if self._labels.get(name) != labels:
            self._services.enforce(name)
            self._services.wake_servers(name)
            self._services.wake_policies()
            self._labels[name] = labels
        return None
