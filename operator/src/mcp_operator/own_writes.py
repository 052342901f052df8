"""What this process has written itself: being told of that is no reason to look again.

Each change of a policy is a ConfigMap, an annotation and a status for each of a thousand agents. All of it comes back
through the watches, and without this an agent would be looked at three times more to find that all is as it was left.
Only a version is passed over that holds what the look had read, changed by what it has written, and nothing besides.
Whoever else has changed something has made a version of his own, of which the watches tell as well.
"""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from mcp_operator.cluster import AGENT, POLICY, merge_patch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from mcp_operator.cluster import Cluster, Kind, Manifest
    from mcp_operator.workqueue import Key

REMEMBERED: Final = 20_000
"""Objects of which the version is known that we have written last."""
_BOOKKEEPING: Final = ("resourceVersion", "managedFields")
_PODS: Final = "pods"
_CONFIG_MAPS: Final = "configmaps"


class Place(NamedTuple):
    """Where an object is: its resource, its namespace and its name."""

    resource: str
    namespace: str
    name: str


class OwnWrites:
    """Tells what others have changed from what was written here. Thread-safe.

    Args:
        put: Has an object looked at.
    """

    def __init__(self, put: Callable[[Key], None]) -> None:
        self._put = put
        self._lock = threading.Lock()
        self._under_way: dict[Place, list[tuple[Key, str]]] = {}
        self._written: OrderedDict[Place, str] = OrderedDict()

    def told(self, key: Key, place: Place, version: str) -> None:
        """Take what a watch tells: have the key looked at, unless this version is of our own making.

        While something is being written there, that cannot be told: the answer may come later than the event.
        """
        with self._lock:
            waiting = self._under_way.get(place)
            if waiting is not None:
                waiting.append((key, version))
                return
            if self._written.get(place) == version:
                return
        self._put(key)

    @contextlib.contextmanager
    def writing(self, place: Place) -> Iterator[Callable[[str], None]]:
        """Write in the block; what is given takes the version that came of it, where nothing unseen is in it."""
        versions: list[str] = []
        with self._lock:
            self._under_way.setdefault(place, [])
        try:
            yield versions.append
        finally:
            with self._lock:
                waiting = self._under_way.pop(place, [])
                if any(versions):
                    self._written[place] = versions[-1]
                    self._written.move_to_end(place)
                while len(self._written) > REMEMBERED:
                    self._written.popitem(last=False)
            for key, version in waiting:
                if version not in versions:
                    self._put(key)


class NotedCluster:
    """A cluster in which what is written for agents and policies is taken note of.

    Args:
        api: The cluster.
        own: Takes note.
    """

    def __init__(self, api: Cluster, own: OwnWrites) -> None:
        self._api = api
        self._own = own
        self._seen = threading.local()
        """The Pod that this worker has read last."""

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the cluster has
        return getattr(self._api, name)

    def patch_status(self, kind: Kind, raw: Manifest, patch: Manifest) -> Manifest | None:
        """See :class:`mcp_operator.cluster.Objects`."""
        if kind not in (AGENT, POLICY):
            return self._api.patch_status(kind, raw, patch)
        metadata = raw["metadata"]
        place = Place(kind.plural, metadata.get("namespace", ""), metadata["name"])
        with self._own.writing(place) as came_to:
            stored = self._api.patch_status(kind, raw, patch)
            if stored is not None and _is_rest_same(raw, stored, besides="status"):
                changed = merge_patch(raw.get("status") or {}, stored.get("status") or {})
                if changed == patch and _is_metadata_same(raw, stored):
                    came_to(_version(stored))
        return stored

    def apply_config_map(self, manifest: Manifest) -> Manifest | None:
        """See :class:`mcp_operator.cluster.Workloads`."""
        metadata = manifest["metadata"]
        with self._own.writing(Place(_CONFIG_MAPS, metadata["namespace"], metadata["name"])) as came_to:
            stored = self._api.apply_config_map(manifest)
            if stored is not None and stored.get("data") == manifest["data"]:
                there = stored["metadata"]
                if all(there.get(field) == metadata.get(field) for field in ("labels", "ownerReferences")):
                    came_to(_version(stored))
        return stored

    def pod(self, namespace: str, name: str) -> Manifest | None:
        """See :class:`mcp_operator.cluster.Workloads`."""
        found = self._seen.pod = self._api.pod(namespace, name)
        return found

    def annotate_pod(self, namespace: str, name: str, uid: str, annotations: Mapping[str, str]) -> Manifest | None:
        """See :class:`mcp_operator.cluster.Workloads`."""
        seen: Manifest | None = getattr(self._seen, "pod", None)
        with self._own.writing(Place(_PODS, namespace, name)) as came_to:
            stored = self._api.annotate_pod(namespace, name, uid, annotations)
            if stored is not None and seen is not None and _is_rest_same(seen, stored):
                there = {**(seen["metadata"].get("annotations") or {}), **annotations}
                expected = {**seen, "metadata": {**seen["metadata"], "annotations": there}}
                if _is_metadata_same(expected, stored):
                    came_to(_version(stored))
        return stored


def _is_rest_same(before: Manifest, after: Manifest, besides: str = "") -> bool:
    """Compare all but the metadata, and one part besides."""
    passed = {"metadata", besides}
    return all(before.get(key) == after.get(key) for key in (before.keys() | after.keys()) - passed)


def _is_metadata_same(before: Manifest, after: Manifest) -> bool:
    one, other = before["metadata"], after["metadata"]
    return all(one.get(key) == other.get(key) for key in (one.keys() | other.keys()) - set(_BOOKKEEPING))


def _version(raw: Manifest) -> str:
    return str(raw["metadata"].get("resourceVersion") or "")
