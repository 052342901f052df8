"""The Lease over the API."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mcp_operator import access
from mcp_operator.kube_calls import Calls, absent_is_none

if TYPE_CHECKING:
    from mcp_operator.cluster import Manifest


class LeaseCalls(Calls):
    """See :class:`mcp_operator.lease.Leases`."""

    def lease(self, namespace: str, name: str) -> Manifest | None:
        """See :class:`mcp_operator.lease.Leases`."""
        with absent_is_none():
            return self._request(access.GET_LEASE, namespace, name)
        return None

    def create_lease(self, manifest: Manifest) -> Manifest:
        """See :class:`mcp_operator.lease.Leases`."""
        return self._request(access.CREATE_LEASE, manifest["metadata"]["namespace"], body=manifest)

    def replace_lease(self, manifest: Manifest) -> Manifest:
        """See :class:`mcp_operator.lease.Leases`."""
        metadata = manifest["metadata"]
        return self._request(access.REPLACE_LEASE, metadata["namespace"], metadata["name"], body=manifest)
