"""A cluster in memory for what a real one cannot be made to do on demand: failing, changing in the middle of things."""

from __future__ import annotations

import copy
import itertools
from typing import TYPE_CHECKING

from fake_owned import FakeOwned
from mcp_operator import cluster, names
from mcp_operator.cluster import AGENT, POLICY, SERVER, Kind, Manifest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

NAMESPACE = "team"


class FakeCluster(FakeOwned):
    """Objects by plural, namespace and name. ``writes`` names every write in order; ``failures`` are raised once."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str, str], Manifest] = {}
        self.namespaces: dict[str, dict[str, str]] = {NAMESPACE: {"team": "a"}}
        self.ending: set[str] = set()
        self.events: list[Manifest] = []
        self.writes: list[str] = []
        self.failures: dict[str, Exception] = {}
        self.references: dict[tuple[str, str, str], tuple[str, frozenset[str]]] = {}
        self.reads: list[str] = []
        self.secrets: dict[tuple[str, str], dict[str, bytes]] = {}
        self.unreadable: cluster.ClusterError | None = None
        self._uids = itertools.count(1)
        super().__init__()

    # --- for tests

    def add(self, kind: Kind, name: str, spec: Manifest, *, namespace: str = NAMESPACE, **metadata: object) -> Manifest:
        """Put an object there, as kubectl apply would; give it as it is stored."""
        place = (kind.plural, "" if kind is POLICY else namespace, name)
        earlier = self.objects.get(place)
        raw = earlier or {
            "apiVersion": names.API_VERSION,
            "kind": kind.kind,
            "metadata": {"name": name, "uid": f"uid-{next(self._uids)}", "generation": 0},
        }
        if place[1]:
            raw["metadata"]["namespace"] = place[1]
        raw["metadata"] |= {"generation": raw["metadata"]["generation"] + 1, **metadata}
        raw["spec"] = copy.deepcopy(spec)
        self.objects[place] = raw
        return raw

    def status(self, kind: Kind, name: str, namespace: str = NAMESPACE) -> Manifest:
        """Give an object's status."""
        status: Manifest = self.objects[kind.plural, "" if kind is POLICY else namespace, name].get("status", {})
        return status

    def condition(self, kind: Kind, name: str, which: str) -> tuple[str, str]:
        """Give status and reason of a condition."""
        found = next((each for each in self.status(kind, name)["conditions"] if each["type"] == which), None)
        return (found["status"], found["reason"]) if found else ("absent", "")

    def remove(self, plural: str, name: str, namespace: str = NAMESPACE) -> None:
        """Take an object away."""
        del self.objects[plural, namespace, name]

    def give(self, kind: cluster.ReferenceKind, name: str, *keys: str, version: str = "1") -> None:
        """Put a Secret or ConfigMap there that servers name."""
        self.references[kind, NAMESPACE, name] = (version, frozenset(keys))

    @property
    def reasons(self) -> list[str]:
        """Reasons of all Events so far."""
        return [event["reason"] for event in self.events]

    # --- the protocol

    def get(self, kind: Kind, namespace: str, name: str) -> Manifest | None:
        return copy.deepcopy(self.objects.get((kind.plural, namespace, name)))

    def list(self, kind: Kind, namespace: str = "") -> Sequence[Manifest]:
        return [
            copy.deepcopy(raw)
            for (plural, where, _), raw in self.objects.items()
            if plural == kind.plural and namespace in ("", where)
        ]

    def patch_status(self, kind: Kind, raw: Manifest, patch: Manifest) -> Manifest | None:
        self._written(f"status {kind.kind}")
        metadata = raw["metadata"]
        stored = self.objects.get((kind.plural, metadata.get("namespace", ""), metadata["name"]))
        if stored is None:
            raise cluster.NotFoundError("gone")
        if stored["metadata"]["uid"] != metadata["uid"]:
            raise cluster.ConflictError("another one")
        _merge(stored.setdefault("status", {}), patch)
        return copy.deepcopy(stored)

    def namespace_labels(self, namespace: str) -> Mapping[str, str]:
        if namespace not in self.namespaces:
            raise cluster.NotFoundError("no such namespace")
        if namespace in self.ending:
            raise cluster.EndingError("it is being deleted", self.namespaces[namespace])
        return dict(self.namespaces[namespace])

    def emit(self, event: Manifest) -> None:
        self.events.append(event)

    def config_map(self, namespace: str, name: str) -> Manifest | None:
        return copy.deepcopy(self.objects.get(("configmaps", namespace, name)))

    def apply_config_map(self, manifest: Manifest) -> Manifest | None:
        self._written("apply ConfigMap")
        metadata = manifest["metadata"]
        place = ("configmaps", metadata["namespace"], metadata["name"])
        if metadata.get("resourceVersion"):
            self._check_version(place, metadata["resourceVersion"])
        stored = copy.deepcopy(manifest)
        stored["metadata"]["resourceVersion"] = self._next_version()
        self.objects[place] = stored
        return copy.deepcopy(stored)

    def agent_config_maps(self, namespace: str) -> Sequence[Manifest]:
        return [raw for raw in self._labelled("configmaps", namespace) if names.MANAGED_BY in raw["metadata"]["labels"]]

    def replace_data(self, raw: Manifest, data: Mapping[str, str]) -> None:
        self._written("replace data")
        place = ("configmaps", raw["metadata"]["namespace"], raw["metadata"]["name"])
        self._check_version(place, raw["metadata"]["resourceVersion"])
        self.objects[place]["data"] |= data
        self.objects[place]["metadata"]["resourceVersion"] = self._next_version()

    def pod(self, namespace: str, name: str) -> Manifest | None:
        return copy.deepcopy(self.objects.get(("pods", namespace, name)))

    def agent_pods(self, namespace: str) -> Sequence[Manifest]:
        return [{"metadata": raw["metadata"]} for raw in self._labelled("pods", namespace)]

    def tell_pod(self, pod: Manifest, annotations: Mapping[str, str]) -> None:
        metadata = pod["metadata"]
        self.annotate_pod(metadata["namespace"], metadata["name"], metadata["uid"], annotations)

    def create_pod(self, manifest: Manifest, *, dry_run: bool = False) -> None:
        self._written("judge Pod" if dry_run else "create Pod")
        metadata = manifest["metadata"]
        place = ("pods", metadata["namespace"], metadata["name"])
        if place in self.objects:
            raise cluster.ConflictError("there is one")
        if not dry_run:
            stored = copy.deepcopy(manifest)
            stored["metadata"]["uid"] = f"uid-{next(self._uids)}"
            stored["status"] = {"phase": "Pending"}
            self.objects[place] = stored

    def delete_pod(self, namespace: str, name: str, uid: str) -> None:
        self._written("delete Pod")
        pod = self.objects.get(("pods", namespace, name))
        if pod is not None and pod["metadata"]["uid"] == uid:
            del self.objects["pods", namespace, name]

    def annotate_pod(self, namespace: str, name: str, uid: str, annotations: Mapping[str, str]) -> Manifest | None:
        self._written("annotate Pod")
        pod = self.objects.get(("pods", namespace, name))
        if pod is None or pod["metadata"]["uid"] != uid:
            raise cluster.NotFoundError("gone")
        pod["metadata"]["annotations"] |= annotations
        return copy.deepcopy(pod)

    def change_images(self, pod: Manifest, images: Mapping[str, str], annotations: Mapping[str, str]) -> None:
        self._written("change images")
        stored = self.objects.get(("pods", pod["metadata"]["namespace"], pod["metadata"]["name"]))
        if stored is None or stored["metadata"]["uid"] != pod["metadata"]["uid"]:
            raise cluster.NotFoundError("gone")
        stored["metadata"]["annotations"] |= annotations
        for container in stored["spec"]["initContainers"]:
            container["image"] = images.get(container["name"], container["image"])

    def apply_agent(self, manifest: Manifest) -> None:
        self._written("apply MCPAgent")
        metadata = manifest["metadata"]
        extra = {key: value for key, value in metadata.items() if key not in {"name", "namespace"}}
        self.add(AGENT, metadata["name"], manifest["spec"], namespace=metadata["namespace"], **extra)

    def patch_agent(self, raw: Manifest, patch: Manifest) -> None:
        self._written("patch MCPAgent")
        metadata = raw["metadata"]
        _merge(self.objects[AGENT.plural, metadata["namespace"], metadata["name"]], copy.deepcopy(patch))

    def delete_agent(self, raw: Manifest) -> None:
        self._written("delete MCPAgent")
        metadata = raw["metadata"]
        self.objects.pop((AGENT.plural, metadata["namespace"], metadata["name"]), None)

    def version_of(self, kind: cluster.ReferenceKind, namespace: str, name: str) -> str | None:
        found = self.references.get((kind, namespace, name))
        return None if found is None else found[0]

    def keys_of(self, kind: cluster.ReferenceKind, namespace: str, name: str) -> frozenset[str]:
        self.reads.append(f"{kind} {name}")
        return self.references.get((kind, namespace, name), ("", frozenset()))[1]

    def secret(self, namespace: str, name: str) -> cluster.SecretData | None:
        if self.unreadable is not None:
            raise self.unreadable
        found = self.secrets.get((namespace, name))
        return cluster.SecretData(found) if found is not None else None

    def _labelled(self, plural: str, namespace: str) -> Sequence[Manifest]:
        """Give what carries an agent's name."""
        found = [raw for (kind, where, _), raw in self.objects.items() if (kind, where) == (plural, namespace)]
        return copy.deepcopy([raw for raw in found if names.LABEL_AGENT in (raw["metadata"].get("labels") or {})])

    def _check_version(self, place: tuple[str, str, str], version: str) -> None:
        if place not in self.objects:
            raise cluster.NotFoundError("gone")
        if self.objects[place]["metadata"].get("resourceVersion") != version:
            raise cluster.ConflictError("changed")

    def _next_version(self) -> str:
        return str(next(self._serials))

    def _written(self, what: str) -> None:
        self.writes.append(what)
        failure = self.failures.pop(what, None)
        if failure is not None:
            raise failure


def _merge(target: Manifest, patch: Manifest) -> None:
    for key, value in patch.items():
        if value is None:
            target.pop(key, None)
        elif isinstance(value, dict) and isinstance(target.get(key), dict):
            _merge(target[key], value)
        else:
            target[key] = copy.deepcopy(value)


__all__ = ["AGENT", "NAMESPACE", "POLICY", "SERVER", "FakeCluster"]
