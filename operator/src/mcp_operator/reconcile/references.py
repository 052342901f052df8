"""Whether the Secrets and ConfigMaps that servers name are there, and in which version. Values are never kept."""

from __future__ import annotations

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
_REASONS = {"Secret": conditions.SECRET_MISSING, "ConfigMap": conditions.CONFIG_MAP_MISSING}


class References:
    """Looks at references, reading an object's keys once for each of its versions. Thread-safe."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._lock = threading.Lock()
        self._keys: OrderedDict[tuple[str, str, str, str], frozenset[str]] = OrderedDict()

    def missing(self, namespace: str, references: Iterable[Reference]) -> Waiting | None:
        """Say which of these is not there and how to make it; None when all are."""
        texts, reasons = [], []
        for reference in dict.fromkeys(references):
            version = self._api.version_of(reference.kind, namespace, reference.name)
            if version is None or not self._has(namespace, reference, version):
                texts.append(_advice(namespace, reference, is_there=version is not None))
                reasons.append(_REASONS[reference.kind])
        return Waiting(reasons[0], "; ".join(texts), delay=RECHECK) if texts else None

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


def _advice(namespace: str, reference: Reference, *, is_there: bool) -> str:
    kind, name, key = reference
    if is_there:
        return f"{kind} {name} has no key {key}: kubectl edit {kind.lower()} {name} -n {namespace}"
    literal = f" --from-literal={key or 'KEY'}=VALUE"
    return f"{kind} {name} is not there: {_CREATE[kind]} {name} -n {namespace}{literal}"
