"""The webhooks' configurations over the API: read and told whom to trust, by their one name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mcp_operator import access, names
from mcp_operator.kube_calls import Calls, absent_is_none

if TYPE_CHECKING:
    from mcp_operator.cluster import Manifest


class WebhookCalls(Calls):
    """See :class:`mcp_operator.admission.credentials.Configurations`."""

    def webhooks(self, kind: str) -> Manifest | None:
        """See :class:`mcp_operator.admission.credentials.Configurations`."""
        with absent_is_none():
            return self._request(access.GET_WEBHOOKS[kind], name=names.WEBHOOKS)
        return None

    def patch_webhooks(self, kind: str, patch: Manifest) -> None:
        """See :class:`mcp_operator.admission.credentials.Configurations`."""
        query = {"fieldManager": names.FIELD_MANAGER}
        self._request(access.PATCH_WEBHOOKS[kind], name=names.WEBHOOKS, query=query, body=patch)
