"""What servers are given, over the API: whether it is there and whether it has changed. Values go no further."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mcp_operator import access
from mcp_operator.kube_calls import Calls, absent_is_none

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mcp_operator.access import Access
    from mcp_operator.cluster import ReferenceKind

_METADATA: Final[Mapping[ReferenceKind, Access]] = {
    "Secret": access.GET_SECRET_METADATA,
    "ConfigMap": access.GET_CONFIG_MAP_METADATA,
}
_WHOLE: Final[Mapping[ReferenceKind, Access]] = {"Secret": access.GET_SECRET, "ConfigMap": access.GET_CONFIG_MAP}


class ReferenceCalls(Calls):
    """See :class:`mcp_operator.cluster.References`."""

    def version_of(self, kind: ReferenceKind, namespace: str, name: str) -> str | None:
        """See :class:`mcp_operator.cluster.References`."""
        with absent_is_none():
            metadata = self._request(_METADATA[kind], namespace, name)["metadata"]
            return f"{metadata['uid']}/{metadata['resourceVersion']}"
        return None

    def keys_of(self, kind: ReferenceKind, namespace: str, name: str) -> frozenset[str]:
        """See :class:`mcp_operator.cluster.References`."""
        with absent_is_none():
            raw = self._request(_WHOLE[kind], namespace, name)
            return frozenset([*(raw.get("data") or {}), *(raw.get("binaryData") or {})])
        return frozenset()
