"""Our own kinds, namespaces and Events over the API."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

from mcp_operator import access, cluster, names
from mcp_operator.kube_calls import Calls, absent_is_none

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mcp_operator.cluster import Kind, Manifest

PAGE: Final = 500
"""Objects in one answer to a list."""


class ObjectCalls(Calls):
    """See :class:`mcp_operator.cluster.Objects`."""

    def served(self) -> frozenset[str]:
        """Give the plurals of our kinds that the API server tells of."""
        with absent_is_none():
            return frozenset(each["name"] for each in self._request(access.DISCOVER_OURS)["resources"])
        return frozenset()

    def get(self, kind: Kind, namespace: str, name: str) -> Manifest | None:
        """See :class:`mcp_operator.cluster.Objects`."""
        with absent_is_none():
            return self._request(access.GET_OURS[kind.plural], namespace, name)
        return None

    def list(self, kind: Kind, namespace: str = "") -> Sequence[Manifest]:
        """See :class:`mcp_operator.cluster.Objects`."""
        right = access.LIST_OURS[kind.plural]
        every = (namespace,) if namespace or right.scope is access.Scope.CLUSTER else self._namespaces or ("",)
        return [raw for each in every for raw in self._pages(right, each)]

    def patch_status(self, kind: Kind, raw: Manifest, patch: Manifest) -> Manifest | None:
        """See :class:`mcp_operator.cluster.Objects`."""
        metadata = raw["metadata"]
        right = access.PATCH_STATUS[kind.plural]
        body = {"metadata": {"uid": metadata["uid"]}, "status": patch}
        return self._request(right, metadata.get("namespace", ""), metadata["name"], body=body)

    def apply_agent(self, manifest: Manifest) -> None:
        """See :class:`mcp_operator.cluster.Objects`."""
        metadata = manifest["metadata"]
        query = {"fieldManager": names.FIELD_MANAGER, "force": "true"}
        self._request(access.APPLY_AGENT, metadata["namespace"], metadata["name"], query=query, body=manifest)

    def patch_agent(self, raw: Manifest, patch: Manifest) -> None:
        """See :class:`mcp_operator.cluster.Objects`."""
        metadata = raw["metadata"]
        very = {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]}
        body = {**patch, "metadata": {**(patch.get("metadata") or {}), **very}}
        query = {"fieldManager": names.FIELD_MANAGER}
        self._request(access.PATCH_AGENT, metadata["namespace"], metadata["name"], query=query, body=body)

    def delete_agent(self, raw: Manifest) -> None:
        """See :class:`mcp_operator.cluster.Objects`."""
        metadata = raw["metadata"]
        body = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": metadata["uid"]}}
        with contextlib.suppress(cluster.NotFoundError, cluster.ConflictError):
            self._request(access.DELETE_AGENT, metadata["namespace"], metadata["name"], body=body)

    def namespace_labels(self, namespace: str) -> Mapping[str, str]:
        """See :class:`mcp_operator.cluster.Objects`."""
        metadata = self._request(access.GET_NAMESPACE, name=namespace)["metadata"]
        labels: Mapping[str, str] = metadata.get("labels") or {}
        if "deletionTimestamp" in metadata:
            raise cluster.EndingError(f"namespace {namespace} is being deleted", labels)
        return labels

    def emit(self, event: Manifest) -> None:
        """See :class:`mcp_operator.cluster.Objects`."""
        about = event.get("regarding") or {}
        right = access.CREATE_EVENT if about.get("namespace") else access.CREATE_CLUSTER_EVENT
        self._request(right, event["metadata"]["namespace"], body=event)

    def identity(self) -> str:
        """Give what tells this cluster from every other one: the UID of a namespace that each has.

        Raises:
            cluster.ClusterError: It cannot be read.
        """
        return str(self._request(access.GET_NAMESPACE, name="kube-system")["metadata"]["uid"])

    def _pages(self, right: access.Access, namespace: str) -> Iterator[Manifest]:
        query = {"limit": str(PAGE)}
        while True:
            page = self._request(right, namespace, query=query)
            for raw in page["items"]:
                raw.get("metadata", {}).pop("managedFields", None)  # a third of each, and thousands are listed
                yield raw
            proceed = page["metadata"].get("continue")
            if not proceed:
                return
            query["continue"] = proceed
