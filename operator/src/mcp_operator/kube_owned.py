"""What shared servers are made of, and the operator's own Secrets, over the API."""

from __future__ import annotations

import base64
import contextlib
from typing import TYPE_CHECKING, Any

from mcp_operator import access, cluster, names
from mcp_operator.cluster import SecretData
from mcp_operator.kube_calls import Calls, absent_is_none

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mcp_operator.cluster import Manifest, OwnedKind


class OwnedCalls(Calls):
    """See :class:`mcp_operator.cluster.Owned`."""

    def owned(self, kind: OwnedKind, namespace: str, name: str) -> Manifest | None:
        """See :class:`mcp_operator.cluster.Owned`."""
        with absent_is_none():
            return self._request(access.GET_OWNED[kind], namespace, name)
        return None

    def apply_owned(self, manifest: Manifest) -> Manifest:
        """See :class:`mcp_operator.cluster.Owned`."""
        metadata = manifest["metadata"]
        # Strict: a field that this API server does not know would be dropped in silence otherwise.
        query = {"fieldManager": names.FIELD_MANAGER, "force": "true", "fieldValidation": "Strict"}
        right = access.APPLY_OWNED[manifest["kind"]]
        stored = self._request(right, metadata["namespace"], metadata["name"], query=query, body=manifest)
        return {key: value for key, value in stored.items() if key not in {"data", "stringData"}}

    def replace_owned(self, current: Manifest, wanted: Manifest) -> Manifest:
        """See :class:`mcp_operator.cluster.Owned`."""
        before, after = current["metadata"], wanted["metadata"]
        metadata = {
            **after,
            "uid": before["uid"],
            "resourceVersion": before["resourceVersion"],
            # Controllers note things here, and would note them again and again.
            "annotations": {**(before.get("annotations") or {}), **(after.get("annotations") or {})},
        }
        query = {"fieldManager": names.FIELD_MANAGER, "fieldValidation": "Strict"}
        right = access.REPLACE_OWNED[wanted["kind"]]
        return self._request(
            right, after["namespace"], after["name"], query=query, body={**wanted, "metadata": metadata}
        )

    def delete_owned(self, kind: OwnedKind, namespace: str, name: str, uid: str) -> None:
        """See :class:`mcp_operator.cluster.Owned`."""
        body: dict[str, Any] = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": {"uid": uid},
            "propagationPolicy": "Background",
        }
        with contextlib.suppress(cluster.NotFoundError, cluster.ConflictError):
            self._request(access.DELETE_OWNED[kind], namespace, name, body=body)

    def pods_labelled(self, namespace: str, selector: str) -> Sequence[Manifest]:
        """See :class:`mcp_operator.cluster.Owned`."""
        items: list[Manifest] = self._request(access.LIST_PODS, namespace, query={"labelSelector": selector})["items"]
        return items

    def api_server_addresses(self) -> Sequence[tuple[str, int]]:
        """See :class:`mcp_operator.cluster.Owned`."""
        right = access.GET_API_ENDPOINTS
        with absent_is_none():
            found = self._request(right, "default", right.name)
            ports = [int(port["port"]) for port in found.get("ports") or [] if port.get("port")]
            addresses = [address for each in found.get("endpoints") or [] for address in each.get("addresses") or []]
            return [(str(address), port) for address in addresses for port in ports]
        return ()

    def guard_binding(self) -> Manifest | None:
        """See :class:`mcp_operator.cluster.Owned`."""
        with absent_is_none():
            return self._request(access.GET_GUARD_BINDING, name=names.GUARD_ROLE)
        return None

    def patch_guard_binding(self, raw: Manifest, subjects: Sequence[Manifest]) -> None:
        """See :class:`mcp_operator.cluster.Owned`."""
        body = {"metadata": {"resourceVersion": raw["metadata"]["resourceVersion"]}, "subjects": list(subjects)}
        query = {"fieldManager": names.FIELD_MANAGER}
        self._request(access.PATCH_GUARD_BINDING, name=names.GUARD_ROLE, query=query, body=body)

    def own_secret(self, namespace: str, name: str) -> SecretData | None:
        """See :class:`mcp_operator.cluster.Owned`."""
        with absent_is_none():
            found = self._request(access.GET_OWN_SECRETS[name], namespace, name)
            return SecretData({key: base64.b64decode(value) for key, value in (found.get("data") or {}).items()})
        return None

    def create_own_secret(self, namespace: str, name: str, values: Mapping[str, bytes]) -> None:
        """See :class:`mcp_operator.cluster.Owned`."""
        manifest = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": namespace, "labels": {names.MANAGED_BY: names.MANAGER}},
            "data": encoded(values),
        }
        self._request(access.CREATE_OWN_SECRET, namespace, query={"fieldManager": names.FIELD_MANAGER}, body=manifest)

    def replace_own_secret(self, namespace: str, name: str, values: Mapping[str, bytes]) -> None:
        """See :class:`mcp_operator.cluster.Owned`."""
        before = self.own_secret(namespace, name)
        data: dict[str, str | None] = {**dict.fromkeys(before if before is not None else ()), **encoded(values)}
        query = {"fieldManager": names.FIELD_MANAGER}
        self._request(access.PATCH_OWN_SECRETS[name], namespace, name, query=query, body={"data": data})


def encoded(values: Mapping[str, bytes]) -> dict[str, str]:
    """Write values as a Secret has them."""
    return {key: base64.b64encode(value).decode() for key, value in values.items()}
