"""What is made of agents and servers, over the API."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from mcp_operator import access, cluster, names
from mcp_operator.kube_calls import Calls, absent_is_none

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mcp_operator.cluster import Manifest


class WorkloadCalls(Calls):
    """See :class:`mcp_operator.cluster.Workloads`."""

    def config_map(self, namespace: str, name: str) -> Manifest | None:
        """See :class:`mcp_operator.cluster.Workloads`."""
        with absent_is_none():
            return self._request(access.GET_CONFIG_MAP, namespace, name)
        return None

    def apply_config_map(self, manifest: Manifest) -> Manifest | None:
        """See :class:`mcp_operator.cluster.Workloads`."""
        return self._apply(access.APPLY_CONFIG_MAP, manifest)

    def agent_config_maps(self, namespace: str) -> Sequence[Manifest]:
        """See :class:`mcp_operator.cluster.Workloads`."""
        query = {"labelSelector": f"{names.MANAGED_BY}={names.MANAGER},{names.LABEL_AGENT}"}
        items: list[Manifest] = self._request(access.LIST_AGENT_CONFIG_MAPS, namespace, query=query)["items"]
        return items

    def replace_data(self, raw: Manifest, data: Mapping[str, str]) -> None:
        """See :class:`mcp_operator.cluster.Workloads`."""
        metadata = raw["metadata"]
        body = {"metadata": {"resourceVersion": metadata["resourceVersion"]}, "data": dict(data)}
        query = {"fieldManager": names.FIELD_MANAGER}
        self._request(access.PATCH_CONFIG_MAP, metadata["namespace"], metadata["name"], query=query, body=body)

    def pod(self, namespace: str, name: str) -> Manifest | None:
        """See :class:`mcp_operator.cluster.Workloads`."""
        with absent_is_none():
            return self._request(access.GET_POD, namespace, name)
        return None

    def agent_pods(self, namespace: str) -> Sequence[Manifest]:
        """See :class:`mcp_operator.cluster.Workloads`."""
        query = {"labelSelector": names.LABEL_AGENT}
        items: list[Manifest] | None = self._request(access.LIST_PODS_METADATA, namespace, query=query)["items"]
        return items or []

    def create_pod(self, manifest: Manifest, *, dry_run: bool = False) -> None:
        """See :class:`mcp_operator.cluster.Workloads`."""
        # Strict: a misspelt field of a template would be dropped in silence otherwise.
        query = {"fieldManager": names.FIELD_MANAGER, "fieldValidation": "Strict"}
        if dry_run:
            query["dryRun"] = "All"
        self._request(access.CREATE_POD, manifest["metadata"]["namespace"], query=query, body=manifest)

    def delete_pod(self, namespace: str, name: str, uid: str) -> None:
        """See :class:`mcp_operator.cluster.Workloads`."""
        body = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": uid}}
        with contextlib.suppress(cluster.NotFoundError, cluster.ConflictError):
            self._request(access.DELETE_POD, namespace, name, body=body)

    def annotate_pod(self, namespace: str, name: str, uid: str, annotations: Mapping[str, str]) -> Manifest | None:
        """See :class:`mcp_operator.cluster.Workloads`."""
        return self._annotate(access.PATCH_POD, namespace, name, uid, annotations)

    def tell_pod(self, pod: Manifest, annotations: Mapping[str, str]) -> None:
        """See :class:`mcp_operator.cluster.Workloads`."""
        metadata = pod["metadata"]
        self._annotate(access.TELL_POD, metadata["namespace"], metadata["name"], metadata["uid"], annotations)

    def change_images(self, pod: Manifest, images: Mapping[str, str], annotations: Mapping[str, str]) -> None:
        """See :class:`mcp_operator.cluster.Workloads`."""
        metadata = pod["metadata"]
        listed = pod["spec"].get("initContainers") or []
        spec = {
            # Told explicitly, since the order is that of the start.
            "$setElementOrder/initContainers": [{"name": each["name"]} for each in listed],
            # In the same order: the API server refuses a list in another one.
            "initContainers": [
                {"name": each["name"], "image": images[each["name"]]} for each in listed if each["name"] in images
            ],
        }
        with _another_is_conflict():
            self._request(
                access.CHANGE_IMAGES,
                metadata["namespace"],
                metadata["name"],
                query={"fieldManager": names.FIELD_MANAGER},
                body={"metadata": {"uid": metadata["uid"], "annotations": dict(annotations)}, "spec": spec},
            )

    def _annotate(
        self, right: access.Access, namespace: str, name: str, uid: str, annotations: Mapping[str, str]
    ) -> Manifest:
        query = {"fieldManager": names.FIELD_MANAGER}
        body = {"metadata": {"uid": uid, "annotations": dict(annotations)}}
        with _another_is_conflict():
            return self._request(right, namespace, name, query=query, body=body)

    def _apply(self, right: access.Access, manifest: Manifest) -> Manifest:
        """Apply an object as our field manager: what it names is ours, what others have set besides stays."""
        metadata = manifest["metadata"]
        query = {"fieldManager": names.FIELD_MANAGER, "force": "true"}
        place = (metadata.get("namespace", ""), metadata["name"])
        return self._request(right, *place, query=query, body=manifest)


@contextlib.contextmanager
def _another_is_conflict() -> Iterator[None]:
    """A patch of another Pod of that name is refused as a change of its UID, which cannot be changed."""
    try:
        yield
    except cluster.InvalidError as error:
        if "metadata.uid" in str(error):
            raise cluster.ConflictError(str(error)) from error
        raise
