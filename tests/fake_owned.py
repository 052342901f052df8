"""The part of the cluster in memory that shared servers are made of, and the operator's own Secrets."""

from __future__ import annotations

import base64
import copy
import itertools
from typing import TYPE_CHECKING

from mcp_operator import cluster, names
from mcp_operator.cluster import SecretData

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mcp_operator.cluster import Manifest, OwnedKind

PLURALS = {
    "ConfigMap": "configmaps",
    "Deployment": "deployments",
    "NetworkPolicy": "networkpolicies",
    "PodDisruptionBudget": "poddisruptionbudgets",
    "Secret": "secrets",
    "Service": "services",
    "ServiceAccount": "serviceaccounts",
}


class FakeOwned:
    """Of the API server itself there is this: UIDs, generations, versions. Objects are written whole."""

    objects: dict[tuple[str, str, str], Manifest]
    writes: list[str]
    secrets: dict[tuple[str, str], dict[str, bytes]]

    def __init__(self) -> None:
        self.own_secrets: dict[tuple[str, str], dict[str, bytes]] = {}
        self.binding: Manifest | None = {"metadata": {"name": names.GUARD_ROLE, "resourceVersion": "1"}}
        self.api_addresses: Sequence[tuple[str, int]] = (("192.0.2.1", 6443),)
        self._serials = itertools.count(1)

    def owned(self, kind: OwnedKind, namespace: str, name: str) -> Manifest | None:
        found = copy.deepcopy(self.objects.get((PLURALS[kind], namespace, name)))
        if found is not None:
            found.setdefault("kind", kind)
        if found is not None and kind == "Secret":
            found.pop("data", None)
        return found

    def apply_owned(self, manifest: Manifest) -> Manifest:
        self._written(f"apply {manifest['kind']}")
        return self._store(manifest)

    def replace_owned(self, current: Manifest, wanted: Manifest) -> Manifest:
        place = self._place(wanted)
        if self.objects[place]["metadata"]["resourceVersion"] != current["metadata"]["resourceVersion"]:
            raise cluster.ConflictError("changed")
        if self.objects[place]["spec"] != wanted["spec"]:
            self._written(f"replace {wanted['kind']}")
        return self._store(wanted)

    def delete_owned(self, kind: OwnedKind, namespace: str, name: str, uid: str) -> None:
        self._written(f"delete {kind}")
        assert self.objects[PLURALS[kind], namespace, name]["metadata"]["uid"] == uid
        del self.objects[PLURALS[kind], namespace, name]

    def pods_labelled(self, namespace: str, selector: str) -> Sequence[Manifest]:
        key, _, value = selector.partition("=")
        pods = [raw for (plural, where, _), raw in self.objects.items() if (plural, where) == ("pods", namespace)]
        found = [raw for raw in pods if key in (raw["metadata"].get("labels") or {})]
        return copy.deepcopy([raw for raw in found if not value or raw["metadata"]["labels"][key] == value])

    def api_server_addresses(self) -> Sequence[tuple[str, int]]:
        return self.api_addresses

    def guard_binding(self) -> Manifest | None:
        return copy.deepcopy(self.binding)

    def patch_guard_binding(self, raw: Manifest, subjects: Sequence[Manifest]) -> None:
        self._written("patch ClusterRoleBinding")
        assert self.binding is not None
        if raw["metadata"]["resourceVersion"] != self.binding["metadata"]["resourceVersion"]:
            raise cluster.ConflictError("changed")
        self.binding["subjects"] = list(subjects)
        self.binding["metadata"]["resourceVersion"] = str(next(self._serials))

    def own_secret(self, namespace: str, name: str) -> SecretData | None:
        found = self.own_secrets.get((namespace, name))
        return None if found is None else SecretData(found)

    def create_own_secret(self, namespace: str, name: str, values: Mapping[str, bytes]) -> None:
        self._written("create own Secret")
        if (namespace, name) in self.own_secrets:
            raise cluster.ConflictError("there is one")
        self.own_secrets[namespace, name] = dict(values)

    def replace_own_secret(self, namespace: str, name: str, values: Mapping[str, bytes]) -> None:
        self._written("replace own Secret")
        self.own_secrets[namespace, name] = dict(values)

    def _store(self, manifest: Manifest) -> Manifest:
        place = self._place(manifest)
        before = self.objects.get(place)
        stored = copy.deepcopy(manifest)
        metadata = stored["metadata"]
        metadata["uid"] = before["metadata"]["uid"] if before else f"owned-{next(self._serials)}"
        same = before is not None and before.get("spec") == stored.get("spec")
        generation = before["metadata"]["generation"] if before else 0
        metadata["generation"] = generation if same else generation + 1
        if before is not None and "status" in before:
            stored["status"] = before["status"]
        if before is not None and same and before.get("data") == stored.get("data"):
            metadata["resourceVersion"] = before["metadata"]["resourceVersion"]
        else:
            metadata["resourceVersion"] = str(next(self._serials))
        if manifest["kind"] == "Secret":
            values = {key: base64.b64decode(value) for key, value in manifest["data"].items()}
            self.secrets[place[1], place[2]] = values
        self.objects[place] = stored
        return {key: copy.deepcopy(value) for key, value in stored.items() if key != "data"}

    def _place(self, manifest: Manifest) -> tuple[str, str, str]:
        return PLURALS[manifest["kind"]], manifest["metadata"]["namespace"], manifest["metadata"]["name"]

    def _written(self, what: str) -> None:
        raise NotImplementedError
