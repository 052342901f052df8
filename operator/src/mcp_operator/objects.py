"""A resource as the API server gave it, with its spec parsed. The only place that reads raw objects of our kinds."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pydantic import ValidationError

from mcp_operator.models.base import Model

if TYPE_CHECKING:
    from collections.abc import Mapping

SpecT = TypeVar("SpecT", bound=Model)


class InvalidSpecError(Exception):
    """The stored object does not fit the model (an older CRD let it through); the text names the field."""


@dataclass(frozen=True, kw_only=True)
class Resource(Generic[SpecT]):
    """One object of ours. ``status`` is raw, as stored; ``namespace`` is empty for cluster-scoped kinds."""

    namespace: str
    name: str
    uid: str
    generation: int
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    deleting: bool = False
    spec: SpecT
    status: Mapping[str, Any] = field(default_factory=dict)


def parse(model: type[SpecT], raw: Mapping[str, Any]) -> Resource[SpecT]:
    """Read an object.

    Raises:
        InvalidSpecError: The spec does not fit the model.
    """
    metadata = raw["metadata"]
    try:
        spec = model.model_validate(raw.get("spec", {}))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in ("spec", *first["loc"]))
        raise InvalidSpecError(f"{where}: {first['msg']}") from error
    return Resource(
        namespace=metadata.get("namespace", ""),
        name=metadata["name"],
        uid=metadata["uid"],
        generation=metadata.get("generation", 1),
        labels=metadata.get("labels") or {},
        annotations=metadata.get("annotations") or {},
        deleting="deletionTimestamp" in metadata,
        spec=spec,
        status=raw.get("status") or {},
    )


class Versions(Generic[SpecT]):
    """Reads each version of an object once, of those that are looked at again and again. Thread-safe.

    Args:
        model: Of their spec.
        limit: Versions that are kept.
    """

    def __init__(self, model: type[SpecT], limit: int) -> None:
        self._model = model
        self._limit = limit
        self._lock = threading.Lock()
        self._read: OrderedDict[tuple[str, str], Resource[SpecT]] = OrderedDict()

    def parse(self, raw: Mapping[str, Any]) -> Resource[SpecT]:
        """Read an object; see :func:`parse`.

        Raises:
            InvalidSpecError: The spec does not fit the model.
        """
        metadata = raw["metadata"]
        version = (str(metadata["uid"]), str(metadata.get("resourceVersion") or ""))
        with self._lock:
            found = self._read.get(version)
        if found is not None:
            return found
        found = parse(self._model, raw)
        if version[1]:
            with self._lock:
                self._read[version] = found
                while len(self._read) > self._limit:
                    self._read.popitem(last=False)
        return found
