"""Images of a running Pod's servers, changed in place: what to say to the API server, and whether it came about. Pure.

The kubelet starts a native sidecar again when its image's reference changes, and nothing else of the Pod; before
Kubernetes 1.32 it does not, and there the Pod is replaced after :data:`DUE`. Which container ran before is kept in an
annotation, so that it can be told from the one that follows.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from mcp_operator import names, policies

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from mcp_operator.cluster import Manifest
    from mcp_operator.policies import Difference

DUE: Final = 120.0
"""Seconds within which a kubelet must have ended the earlier containers: one that has not never will."""


class Change(NamedTuple):
    """What is to be changed of a Pod: images by container, and annotations."""

    images: dict[str, str]
    annotations: dict[str, str]


def difference(pod: Manifest | None, wanted: Manifest | None) -> Difference:
    """Say how a Pod differs from the one that would now be made; a volume too many is no difference."""
    if pod is None or wanted is None:
        return "none"
    was, will = _annotations(pod), _annotations(wanted)
    if was.get(names.ANNOTATION_POD_HASH) != will[names.ANNOTATION_POD_HASH]:
        return "pod"
    if not volumes(wanted).items() <= volumes(pod).items():
        return "pod"
    told = was.get(names.ANNOTATION_SERVER_IMAGES) == will[names.ANNOTATION_SERVER_IMAGES]
    return "none" if told and not _others(pod, wanted) else "images"


def change(pod: Manifest, wanted: Manifest, now: datetime) -> Change:
    """Give what makes a Pod's servers those of the wanted one."""
    will, before, after = _annotations(wanted), images(pod), images(wanted)
    differing = {server: image for server, image in after.items() if before.get(server) != image}
    containers = {names.server_container(server): image for server, image in differing.items()} | _others(pod, wanted)
    annotations = {name: will[name] for name in (names.ANNOTATION_SERVER_IMAGES, names.ANNOTATION_CONFIG_HASH)}
    if (
        differing
    ):  # what is only put back leaves no trace: whoever insists on another image would make us write for ever
        ids = {name: _container_id(pod, name) for name in containers}
        note = {"at": policies.format_time(now), "before": ids}
        annotations[names.ANNOTATION_IN_PLACE] = json.dumps(note, sort_keys=True)
    return Change(containers, annotations)


def images(pod: Manifest) -> dict[str, str]:
    """Give the images that a Pod's servers were last given, by server."""
    return _read(pod, names.ANNOTATION_SERVER_IMAGES)


def volumes(pod: Manifest) -> dict[str, str]:
    """Give the hashes of a Pod's volumes for servers outside of it, by server."""
    return _read(pod, names.ANNOTATION_UPSTREAMS)


def unfinished(pod: Manifest) -> list[str]:
    """Name the containers whose image was changed and that still run as they were before."""
    before = _read(pod, names.ANNOTATION_IN_PLACE).get("before")
    if not isinstance(before, dict):
        return []
    return [name for name, told in before.items() if told and told == _container_id(pod, name)]


def is_overdue(pod: Manifest | None, now: datetime) -> bool:
    """Tell whether the kubelet has had its time to start the changed containers again."""
    if pod is None or not unfinished(pod):
        return False
    try:
        changed = policies.parse_time(str(_read(pod, names.ANNOTATION_IN_PLACE).get("at")))
    except ValueError:
        return True
    return (now - changed).total_seconds() > DUE


def _others(pod: Manifest, wanted: Manifest) -> dict[str, str]:
    """Give the images of our containers that somebody else has changed; another registry for the same one is none."""
    present = {each["name"]: str(each.get("image")) for each in pod["spec"].get("initContainers") or []}
    ours = {each["name"]: str(each["image"]) for each in wanted["spec"]["initContainers"] if _is_ours(each["name"])}
    return {name: image for name, image in ours.items() if name in present and not _is_same(present[name], image)}


def _is_ours(container: str) -> bool:
    return container in names.RESERVED_CONTAINER_NAMES or container.startswith(names.SERVER_CONTAINER_PREFIX)


def _is_same(present: str, asked: str) -> bool:
    """Tell whether a reference may stand for another: from a mirror, or with the digest that a webhook has added."""
    (name, _, digest), (wanted, _, exact) = present.partition("@"), asked.partition("@")
    if exact:
        return digest == exact
    last, other = name.rpartition("/")[2], wanted.rpartition("/")[2]
    return last == other or (bool(digest) and last.partition(":")[0] == other.partition(":")[0])


def _container_id(pod: Manifest, name: str) -> str:
    """Give the ID of a container while it runs; empty while it does not."""
    statuses: list[dict[str, Any]] = (pod.get("status") or {}).get("initContainerStatuses") or []
    found = next((each for each in statuses if each.get("name") == name), {})
    return str(found.get("containerID") or "") if "running" in (found.get("state") or {}) else ""


def _annotations(pod: Manifest) -> Mapping[str, str]:
    return pod["metadata"].get("annotations") or {}


def _read(pod: Manifest, name: str) -> dict[str, Any]:
    try:
        value = json.loads(_annotations(pod).get(name) or "{}")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
