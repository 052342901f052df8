"""What the reconcilers ask of a Kubernetes API, and what can go wrong. :mod:`mcp_operator.kube` is the real one.

There is no way here to read a Secret, and there must not be one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from mcp_operator import names

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Manifest = dict[str, Any]
"""An object as JSON has it."""


@dataclass(frozen=True)
class Kind:
    """One of our kinds: its name and the plural in its URL."""

    kind: str
    plural: str


SERVER = Kind("MCPServer", names.SERVERS)
AGENT = Kind("MCPAgent", names.AGENTS)
POLICY = Kind("ToolPolicy", names.POLICIES)


class ClusterError(Exception):
    """The API server did not do what was asked; the text is its own."""


class UnreachableError(ClusterError):
    """No answer, or one that says to come back later."""


class NotFoundError(ClusterError):
    """The object, or its namespace, is not there (any more)."""


class ConflictError(ClusterError):
    """The object has changed, is another one of that name, or exists already."""


class ForbiddenError(ClusterError):
    """Our rights, a quota, an admission rule, or a namespace that is ending."""


class InvalidError(ClusterError):
    """The object is not valid."""


class Objects(Protocol):
    """Our own kinds. ``namespace`` is empty for cluster-scoped kinds, and for lists over all namespaces."""

    def get(self, kind: Kind, namespace: str, name: str) -> Manifest | None:
        """Read an object; None when it is not there."""

    def list(self, kind: Kind, namespace: str = "") -> Sequence[Manifest]:
        """Read all objects of a kind."""

    def patch_status(self, kind: Kind, raw: Manifest, patch: Manifest) -> None:
        """Merge-patch the status of the very object ``raw``.

        Raises:
            NotFoundError: It is gone.
            ConflictError: It is another object of that name.
        """

    def namespace_labels(self, namespace: str) -> Mapping[str, str]:
        """Read a namespace's labels.

        Raises:
            NotFoundError: It is gone.
        """

    def emit(self, event: Manifest) -> None:
        """Create an Event."""


class Workloads(Protocol):
    """What the operator makes of agents."""

    def config_map(self, namespace: str, name: str) -> Manifest | None:
        """Read a ConfigMap; None when it is not there."""

    def apply_config_map(self, manifest: Manifest) -> None:
        """Apply a ConfigMap as our field manager."""

    def pod(self, namespace: str, name: str) -> Manifest | None:
        """Read a Pod; None when it is not there."""

    def create_pod(self, manifest: Manifest, *, dry_run: bool = False) -> None:
        """Create a Pod, or only let the API server judge it.

        Raises:
            ConflictError: There is one of that name. It is judged valid before that.
            InvalidError: The API server refuses it as it is.
            ForbiddenError: Quota, Pod Security Standard, rights.
        """

    def delete_pod(self, namespace: str, name: str, uid: str) -> None:
        """Delete this very Pod; nothing happens when it is gone already."""

    def annotate_pod(self, namespace: str, name: str, uid: str, annotations: Mapping[str, str]) -> None:
        """Set annotations of this very Pod.

        Raises:
            NotFoundError: It is gone.
            ConflictError: It is another Pod of that name.
        """


class Cluster(Objects, Workloads, Protocol):
    """All of it."""


def controller(raw: Manifest) -> Mapping[str, Any]:
    """Give the owner reference of an object's controller; empty when it has none."""
    references: list[dict[str, Any]] = raw["metadata"].get("ownerReferences") or []
    return next((reference for reference in references if reference.get("controller")), {})


def merge_patch(before: Manifest, after: Manifest) -> Manifest:
    """Give the JSON merge patch (RFC 7386) that makes ``after`` of ``before``; empty when there is nothing to do."""
    patch: Manifest = {key: None for key in before if key not in after}
    for key, value in after.items():
        old = before.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            inner = merge_patch(old, value)
            if inner:
                patch[key] = inner
        elif key not in before or old != value:
            patch[key] = value
    return patch
