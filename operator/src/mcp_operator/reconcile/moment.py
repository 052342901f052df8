"""A namespace as far as the layers of its agents depend on it, each part of it read once for all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar, cast

from mcp_operator import cluster

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mcp_operator.cluster import Cluster, Kind, Manifest, ReferenceKind

T = TypeVar("T")


class Moment:
    """What has been read. For one worker, and for as long as one look takes.

    Args:
        api: The cluster.
        namespace: Whose MCPServers are read at once.
    """

    def __init__(self, api: Cluster, namespace: str) -> None:
        self._api = api
        self._namespace = namespace
        self._servers = {raw["metadata"]["name"]: raw for raw in api.list(cluster.SERVER, namespace)}
        self._read: dict[tuple[str, ...], object] = {}

    def server(self, name: str) -> Manifest | None:
        """Give one of the MCPServers."""
        return self._servers.get(name)

    def replace(self, raw: Manifest) -> None:
        """Take an MCPServer to be as given."""
        self._servers[raw["metadata"]["name"]] = raw

    @property
    def cluster(self) -> Cluster:
        """What is asked of it where layers are found is what it has, and nothing more."""
        return cast("Cluster", self)

    def get(self, kind: Kind, namespace: str, name: str) -> Manifest | None:
        """See :class:`mcp_operator.cluster.Objects`."""
        if kind is cluster.SERVER and namespace == self._namespace:
            return self._servers.get(name)
        return self._api.get(kind, namespace, name)

    def list(self, kind: Kind, namespace: str = "") -> Sequence[Manifest]:
        """See :class:`mcp_operator.cluster.Objects`."""
        return self._once((kind.plural, namespace), lambda: self._api.list(kind, namespace))

    def config_map(self, namespace: str, name: str) -> Manifest | None:
        """See :class:`mcp_operator.cluster.Workloads`."""
        return self._once(("config_map", namespace, name), lambda: self._api.config_map(namespace, name))

    def version_of(self, kind: ReferenceKind, namespace: str, name: str) -> str | None:
        """See :class:`mcp_operator.cluster.References`."""
        return self._once((kind, namespace, name), lambda: self._api.version_of(kind, namespace, name))

    def keys_of(self, kind: ReferenceKind, namespace: str, name: str) -> frozenset[str]:
        """See :class:`mcp_operator.cluster.References`."""
        return self._once((kind, namespace, name, "keys"), lambda: self._api.keys_of(kind, namespace, name))

    def _once(self, what: tuple[str, ...], read: Callable[[], T]) -> T:
        if what not in self._read:
            self._read[what] = read()
        return cast("T", self._read[what])
