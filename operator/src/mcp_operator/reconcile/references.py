"""Whether the Secrets and ConfigMaps that servers name are there, and in which version. Values are never kept."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

from mcp_operator import conditions
from mcp_operator.manifests.metadata import digest
from mcp_operator.outcomes import Waiting

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mcp_operator.cluster import ReferenceKind
    from mcp_operator.cluster import References as Api
    from mcp_operator.server_references import Reference

RECHECK = 30.0
"""Seconds until Secrets and ConfigMaps are looked at again: they are not watched, so that nobody's are seen."""
REMEMBERED = 4096
"""Objects whose keys are remembered."""
DIGITS = 8
"""Hexadecimal digits that stand for the versions of a server's inputs."""

_CREATE = {"Secret": "kubectl create secret generic", "ConfigMap": "kubectl create configmap"}
_FIELD = {"Secret": "stringData", "ConfigMap": "data"}
"""Where a value is written that is not encoded."""
_REASONS = {"Secret": conditions.SECRET_MISSING, "ConfigMap": conditions.CONFIG_MAP_MISSING}


class References:
    """Looks at references, reading an object's keys once for each of its versions. Thread-safe."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._lock = threading.Lock()
        self._keys: OrderedDict[tuple[str, str, str, str], frozenset[str]] = OrderedDict()

    def missing(self, namespace: str, references: Iterable[Reference]) -> Waiting | None:
        """Say which of these is not there and how to make it; None when all are."""
        lacking: dict[tuple[ReferenceKind, str], list[Reference]] = {}
        absent = set()
        for reference in dict.fromkeys(references):
            place = (reference.kind, reference.name)
            version = self._api.version_of(reference.kind, namespace, reference.name)
            if version is None:
                absent.add(place)
            if version is None or not self._has(namespace, reference, version):
                lacking.setdefault(place, []).append(reference)
        texts = [_advice(namespace, some, is_there=place not in absent) for place, some in lacking.items()]
        return Waiting(_REASONS[next(iter(lacking))[0]], "; ".join(texts), delay=RECHECK) if texts else None

    def versions(self, namespace: str, references: Iterable[Reference], contents: Sequence[str] = ()) -> str:
        """Give hexadecimal digits that are others whenever one of these, or of some texts, is; none for nothing."""
        objects = sorted({(each.kind, each.name) for each in references})
        if not objects and not contents:
            return ""
        found = [self._api.version_of(kind, namespace, name) for kind, name in objects]
        return digest([list(map(list, objects)), found, list(contents)])[:DIGITS]

    def _has(self, namespace: str, reference: Reference, version: str) -> bool:
        if reference.key is None:
            return True
        place = (reference.kind, namespace, reference.name, version)
        with self._lock:
            keys = self._keys.get(place)
        if keys is None:
            keys = self._api.keys_of(reference.kind, namespace, reference.name)
            with self._lock:
                self._keys[place] = keys
                while len(self._keys) > REMEMBERED:
                    self._keys.popitem(last=False)
        return reference.key in keys


class Unasked:
    """Says of all that servers are given that it is there: that decides nothing about layers."""

    def version_of(self, _kind: ReferenceKind, _namespace: str, name: str) -> str | None:
        """See :class:`mcp_operator.cluster.References`."""
        return name

    def keys_of(self, _kind: ReferenceKind, _namespace: str, _name: str) -> frozenset[str]:
        """See :class:`mcp_operator.cluster.References`."""
        return frozenset()


def _advice(namespace: str, lacking: Sequence[Reference], *, is_there: bool) -> str:
    """Say what of one object is missing, and the one command that makes or adds all of it."""
    kind, name, *_ = lacking[0]
    keys = [reference.key for reference in lacking if reference.key is not None]
    if is_there:
        return add_keys(namespace, kind, name, keys)
    if any(reference.pulls for reference in lacking):
        return f"{kind} {name} is not there: {create_pull_secret(namespace, name)}"
    literals = "".join(f" --from-literal={key}=VALUE" for key in keys or ("KEY",))
    return f"{kind} {name} is not there: {_CREATE[kind]} {name} -n {namespace}{literals}"


def create_pull_secret(namespace: str, name: str, registry: str = "REGISTRY") -> str:
    """Give the command that makes a Secret to pull or push images with."""
    who = f"--docker-server={registry} --docker-username=USER --docker-password=PASSWORD"
    return f"kubectl create secret docker-registry {name} -n {namespace} {who}"


def add_keys(namespace: str, kind: ReferenceKind, name: str, keys: Sequence[str]) -> str:
    """Say that keys of an object are missing, and the command that adds them."""
    return f"{kind} {name} has no key {', '.join(keys)}: {set_keys(namespace, kind, name, keys)}"


def set_keys(namespace: str, kind: ReferenceKind, name: str, keys: Sequence[str]) -> str:
    """Give the command that writes keys of an object, with their values as they are."""
    patch = json.dumps({_FIELD[kind]: dict.fromkeys(keys, "VALUE")})
    return f"kubectl patch {kind.lower()} {name} -n {namespace} -p '{patch}'"
