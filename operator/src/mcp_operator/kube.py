"""The Kubernetes API over the ``kubernetes`` package: the only module that knows it.

Requests are made from worker threads, so a slow API server never stops the watching. Objects stay plain JSON: typed
models of the package would drop fields that are newer than it.
"""

from __future__ import annotations

import contextlib
import json
import os
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import urllib3
from kubernetes import client, config

from mcp_operator import cluster, names

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mcp_operator.cluster import Kind, Manifest

CONNECT_TIMEOUT = 5.0
"""Seconds: the API server is near, or it is down."""
READ_TIMEOUT = 30.0
"""Seconds for one answer; longer than an admission webhook may take."""
CONNECTIONS = 32
"""Kept open; at least as many as there are worker threads."""
PAGE = 500
"""Objects in one answer to a list."""

MERGE_PATCH = "application/merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"

_ERRORS: dict[int, type[cluster.ClusterError]] = {
    400: cluster.InvalidError,
    401: cluster.ForbiddenError,
    403: cluster.ForbiddenError,
    404: cluster.NotFoundError,
    409: cluster.ConflictError,
    410: cluster.NotFoundError,
    413: cluster.InvalidError,
    422: cluster.InvalidError,
    429: cluster.UnreachableError,
}


class Kubernetes:
    """Our narrow view of one cluster. Thread-safe."""

    def __init__(self, api: client.ApiClient) -> None:
        self._api = api

    # --- our kinds

    def get(self, kind: Kind, namespace: str, name: str) -> Manifest | None:
        """See :class:`mcp_operator.cluster.Objects`."""
        with _absent_is_none():
            return self._request("GET", _ours(kind, namespace, name))
        return None

    def list(self, kind: Kind, namespace: str = "") -> Sequence[Manifest]:
        """See :class:`mcp_operator.cluster.Objects`."""
        items: list[Manifest] = []
        query = {"limit": str(PAGE)}
        while True:
            page = self._request("GET", _ours(kind, namespace), query=query)
            items += page["items"]
            proceed = page["metadata"].get("continue")
            if not proceed:
                return items
            query["continue"] = proceed

    def patch_status(self, kind: Kind, raw: Manifest, patch: Manifest) -> None:
        """See :class:`mcp_operator.cluster.Objects`."""
        metadata = raw["metadata"]
        path = _ours(kind, metadata.get("namespace", ""), metadata["name"]) + "/status"
        body = {"metadata": {"uid": metadata["uid"]}, "status": patch}
        self._request("PATCH", path, body=body, content_type=MERGE_PATCH)

    # --- core kinds

    def namespace_labels(self, namespace: str) -> Mapping[str, str]:
        """See :class:`mcp_operator.cluster.Objects`."""
        raw = self._request("GET", f"/api/v1/namespaces/{quote(namespace)}")
        return raw["metadata"].get("labels") or {}

    def emit(self, event: Manifest) -> None:
        """See :class:`mcp_operator.cluster.Objects`."""
        namespace = event["metadata"]["namespace"]
        self._request("POST", f"/apis/events.k8s.io/v1/namespaces/{quote(namespace)}/events", body=event)

    def config_map(self, namespace: str, name: str) -> Manifest | None:
        """See :class:`mcp_operator.cluster.Workloads`."""
        with _absent_is_none():
            return self._request("GET", _core(namespace, "configmaps", name))
        return None

    def apply_config_map(self, manifest: Manifest) -> None:
        """See :class:`mcp_operator.cluster.Workloads`."""
        metadata = manifest["metadata"]
        self._request(
            "PATCH",
            _core(metadata["namespace"], "configmaps", metadata["name"]),
            query={"fieldManager": names.FIELD_MANAGER, "force": "true"},
            body=manifest,
            content_type=APPLY_PATCH,
        )

    def pod(self, namespace: str, name: str) -> Manifest | None:
        """See :class:`mcp_operator.cluster.Workloads`."""
        with _absent_is_none():
            return self._request("GET", _core(namespace, "pods", name))
        return None

    def create_pod(self, manifest: Manifest, *, dry_run: bool = False) -> None:
        """See :class:`mcp_operator.cluster.Workloads`."""
        # Strict: a misspelt field of a template would be dropped in silence otherwise.
        query = {"fieldManager": names.FIELD_MANAGER, "fieldValidation": "Strict"}
        if dry_run:
            query["dryRun"] = "All"
        self._request("POST", _core(manifest["metadata"]["namespace"], "pods"), query=query, body=manifest)

    def delete_pod(self, namespace: str, name: str, uid: str) -> None:
        """See :class:`mcp_operator.cluster.Workloads`."""
        body = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": uid}}
        with contextlib.suppress(cluster.NotFoundError, cluster.ConflictError):
            self._request("DELETE", _core(namespace, "pods", name), body=body)

    def annotate_pod(self, namespace: str, name: str, uid: str, annotations: Mapping[str, str]) -> None:
        """See :class:`mcp_operator.cluster.Workloads`."""
        self._request(
            "PATCH",
            _core(namespace, "pods", name),
            query={"fieldManager": names.FIELD_MANAGER},
            body={"metadata": {"uid": uid, "annotations": dict(annotations)}},
            content_type=MERGE_PATCH,
        )

    def identity(self) -> str:
        """Give what tells this cluster from every other one: the UID of a namespace that each has.

        Raises:
            cluster.ClusterError: It cannot be read.
        """
        return str(self._request("GET", "/api/v1/namespaces/kube-system")["metadata"]["uid"])

    # --- leases

    def lease(self, namespace: str, name: str) -> Manifest | None:
        """See :class:`mcp_operator.lease.Leases`."""
        with _absent_is_none():
            return self._request("GET", _leases(namespace, name))
        return None

    def create_lease(self, manifest: Manifest) -> Manifest:
        """See :class:`mcp_operator.lease.Leases`."""
        return self._request("POST", _leases(manifest["metadata"]["namespace"]), body=manifest)

    def replace_lease(self, manifest: Manifest) -> Manifest:
        """See :class:`mcp_operator.lease.Leases`."""
        metadata = manifest["metadata"]
        return self._request("PUT", _leases(metadata["namespace"], metadata["name"]), body=manifest)

    # ---

    def _request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Manifest | None = None,
        content_type: str = "application/json",
    ) -> Manifest:
        request = self._api.param_serialize(
            method,
            path,
            query_params=list((query or {}).items()),
            header_params={"Accept": "application/json", "Content-Type": content_type},
            body=body,
            auth_settings=["BearerToken"],
        )
        try:
            response: Any = self._api.call_api(*request, _request_timeout=(CONNECT_TIMEOUT, READ_TIMEOUT))
            response.read()
        except (urllib3.exceptions.HTTPError, client.ApiException, OSError) as error:
            raise cluster.UnreachableError(f"the Kubernetes API does not answer: {error}") from error
        if response.status not in range(200, 300):
            raise _ERRORS.get(response.status, cluster.UnreachableError)(_message(response.data, response.status))
        answer: Manifest = json.loads(response.data)
        return answer


def connect() -> Kubernetes:
    """Connect by the Pod's service account or, outside a cluster, by the kubeconfig that ``KUBECONFIG`` names.

    Raises:
        cluster.ClusterError: There is neither.
    """
    configuration = client.Configuration()
    loaders: Any = config  # they have no types
    try:
        if os.environ.get("KUBERNETES_SERVICE_HOST"):
            loaders.load_incluster_config(client_configuration=configuration)
        elif os.environ.get("KUBECONFIG"):
            loaders.load_kube_config(client_configuration=configuration)
        else:  # never somebody's ~/.kube/config unasked
            raise cluster.ClusterError("not in a cluster, and KUBECONFIG is not set")
    except (config.ConfigException, OSError) as error:
        raise cluster.ClusterError(f"no Kubernetes cluster is configured: {error}") from error
    configuration.connection_pool_maxsize = CONNECTIONS
    return Kubernetes(client.ApiClient(configuration))


@contextlib.contextmanager
def _absent_is_none() -> Iterator[None]:
    """Leave the block without a value when the object is not there."""
    with contextlib.suppress(cluster.NotFoundError):
        yield


def _message(data: bytes | None, status: int) -> str:
    try:
        parsed: Any = json.loads(data or b"")
        return str(parsed["message"])
    except (ValueError, TypeError, KeyError):
        return f"the Kubernetes API answered with status {status}"


def _ours(kind: Kind, namespace: str, name: str = "") -> str:
    return _path(f"/apis/{names.API_VERSION}", namespace, kind.plural, name)


def _core(namespace: str, plural: str, name: str = "") -> str:
    return _path("/api/v1", namespace, plural, name)


def _leases(namespace: str, name: str = "") -> str:
    return _path("/apis/coordination.k8s.io/v1", namespace, "leases", name)


def _path(api: str, namespace: str, plural: str, name: str) -> str:
    parts = [api]
    if namespace:
        parts.append(f"namespaces/{quote(namespace)}")
    parts.append(plural)
    if name:
        parts.append(quote(name))
    return "/".join(parts)
