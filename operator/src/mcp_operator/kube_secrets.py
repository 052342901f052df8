"""Secrets over the API: one at a time, by name."""

from __future__ import annotations

import base64
import binascii

from mcp_operator import access
from mcp_operator.cluster import SecretData
from mcp_operator.kube_calls import Calls, absent_is_none


class SecretCalls(Calls):
    """See :class:`mcp_operator.cluster.Secrets`."""

    def secret(self, namespace: str, name: str) -> SecretData | None:
        """See :class:`mcp_operator.cluster.Secrets`."""
        with absent_is_none():
            data = self._request(access.GET_SECRET, namespace, name).get("data") or {}
            return SecretData({key: _decoded(value) for key, value in data.items()})
        return None


def _decoded(value: str) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except binascii.Error:  # the API server lets none through; never show it
        return b""
