"""Whose token it is and what somebody may do, over the API: it decides, we only ask."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mcp_operator import access
from mcp_operator.kube_calls import Calls

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mcp_operator.cluster import Kind, Manifest


class ReviewCalls(Calls):
    """See :class:`mcp_operator.readapi.callers.Reviews` and :class:`mcp_operator.readapi.app.Objects`."""

    def token_review(self, token: str) -> Mapping[str, Any]:
        """See :class:`mcp_operator.readapi.callers.Reviews`."""
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}}
        status: Mapping[str, Any] = self._request(access.CREATE_TOKEN_REVIEW, body=body).get("status") or {}
        return status

    def access_review(self, spec: Mapping[str, Any]) -> bool:
        """See :class:`mcp_operator.readapi.callers.Reviews`."""
        body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": dict(spec)}
        status = self._request(access.CREATE_ACCESS_REVIEW, body=body).get("status") or {}
        return status.get("allowed") is True and status.get("denied") is not True

    def page(self, kind: Kind, namespace: str, limit: int, proceed: str) -> tuple[Sequence[Manifest], str]:
        """See :class:`mcp_operator.readapi.app.Objects`."""
        query = {"limit": str(limit)} | ({"continue": proceed} if proceed else {})
        answer = self._request(access.LIST_OURS[kind.plural], namespace, query=query)
        return answer["items"], str(answer["metadata"].get("continue") or "")
