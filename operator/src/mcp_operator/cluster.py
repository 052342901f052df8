"""What the reconcilers ask of a Kubernetes API, and what can go wrong. :mod:`mcp_operator.kube` is the real one.

Secrets are read one at a time, by name, and only where the operator itself has to use what is in them: to fetch from a
private source, to push, to greet a remote server. There is no way here to list them, and there must not be one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from mcp_operator import names

if TYPE_CHECKING:
    from collections.abc import Sequence

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
    """No answer, or one that says to come back later: after ``retry_after`` seconds, if it says when."""

    retry_after: float | None = None


class NotFoundError(ClusterError):
    """The object, or its namespace, is not there (any more)."""


class ExpiredError(NotFoundError):
    """A list or a watch cannot be gone on with from there: it is to be begun anew."""


class EndingError(NotFoundError):
    """The namespace is being deleted: nothing can be made in it any more, and what is in it goes.

    Attributes:
        labels: Its labels, where it was itself that was read.
    """

    def __init__(self, message: str, labels: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.labels = labels or {}


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

    def patch_status(self, kind: Kind, raw: Manifest, patch: Manifest) -> Manifest | None:
        """Merge-patch the status of the very object ``raw``; give the object as it is stored, where that is known.

        Raises:
            NotFoundError: It is gone.
            ConflictError: It is another object of that name.
        """

    def apply_agent(self, manifest: Manifest) -> None:
        """Apply an MCPAgent as our field manager."""

    def patch_agent(self, raw: Manifest, patch: Manifest) -> None:
        """Merge-patch the very MCPAgent ``raw`` as it was read.

        Raises:
            NotFoundError: It is gone.
            ConflictError: It is another one of that name, or has changed since.
        """

    def delete_agent(self, raw: Manifest) -> None:
        """Delete the very MCPAgent ``raw``; nothing happens when it is gone already."""

    def namespace_labels(self, namespace: str) -> Mapping[str, str]:
        """Read a namespace's labels.

        Raises:
            NotFoundError: It is gone.
            EndingError: It is being deleted.
        """

    def emit(self, event: Manifest) -> None:
        """Create an Event."""


class Workloads(Protocol):
    """What the operator makes of agents."""

    def config_map(self, namespace: str, name: str) -> Manifest | None:
        """Read a ConfigMap; None when it is not there."""

    def apply_config_map(self, manifest: Manifest) -> Manifest | None:
        """Apply a ConfigMap as our field manager; give it as it is stored, where that is known.

        Raises:
            ConflictError: It has changed since the version that the manifest gives, if it gives one.
        """

    def agent_config_maps(self, namespace: str) -> Sequence[Manifest]:
        """Read the ConfigMaps of a namespace's agents."""

    def replace_data(self, raw: Manifest, data: Mapping[str, str]) -> None:
        """Set data of the very ConfigMap ``raw`` as it was read.

        Raises:
            NotFoundError: It is gone.
            ConflictError: It has changed since.
        """

    def pod(self, namespace: str, name: str) -> Manifest | None:
        """Read a Pod; None when it is not there."""

    def agent_pods(self, namespace: str) -> Sequence[Manifest]:
        """Read the metadata of the Pods of a namespace that carry an agent's name."""

    def create_pod(self, manifest: Manifest, *, dry_run: bool = False) -> None:
        """Create a Pod, or only let the API server judge it.

        Raises:
            ConflictError: There is one of that name. It is judged valid before that.
            InvalidError: The API server refuses it as it is.
            ForbiddenError: Quota, Pod Security Standard, rights.
        """

    def delete_pod(self, namespace: str, name: str, uid: str) -> None:
        """Delete this very Pod; nothing happens when it is gone already."""

    def annotate_pod(self, namespace: str, name: str, uid: str, annotations: Mapping[str, str]) -> Manifest | None:
        """Set annotations of this very Pod; give it as it is stored, where that is known.

        Raises:
            NotFoundError: It is gone.
            ConflictError: It is another Pod of that name.
        """

    def tell_pod(self, pod: Manifest, annotations: Mapping[str, str]) -> None:
        """Set annotations of this very Pod, of which no more than the metadata is known.

        Raises:
            NotFoundError: It is gone.
            ConflictError: It is another Pod of that name.
        """

    def change_images(self, pod: Manifest, images: Mapping[str, str], annotations: Mapping[str, str]) -> None:
        """Change images of init containers, by their names, and annotations of this very Pod.

        Raises:
            NotFoundError: It is gone.
            ConflictError: It is another Pod of that name.
            InvalidError: The API server refuses it as it is.
        """


OwnedKind = Literal[
    "ConfigMap", "Deployment", "NetworkPolicy", "PodDisruptionBudget", "Secret", "Service", "ServiceAccount"
]
"""What a shared server is made of."""


class Owned(Protocol):
    """What the operator makes of shared servers, and what it keeps in its own namespace."""

    def owned(self, kind: OwnedKind, namespace: str, name: str) -> Manifest | None:
        """Read an object, of a Secret the metadata alone; None when it is not there."""

    def apply_owned(self, manifest: Manifest) -> Manifest:
        """Apply an object of these kinds as our field manager; give it as it is stored, without a Secret's values."""

    def replace_owned(self, current: Manifest, wanted: Manifest) -> Manifest:
        """Make the very object ``current``, a Deployment or NetworkPolicy, what is wanted and nothing besides.

        Raises:
            ConflictError: It has changed since.
        """

    def delete_owned(self, kind: OwnedKind, namespace: str, name: str, uid: str) -> None:
        """Delete this very object; nothing happens when it is gone already."""

    def pods_labelled(self, namespace: str, selector: str) -> Sequence[Manifest]:
        """Read the Pods of a namespace by their labels."""

    def api_server_addresses(self) -> Sequence[tuple[str, int]]:
        """Give addresses and ports of the API server itself."""

    def guard_binding(self) -> Manifest | None:
        """Read who may ask whose a token is; None when an admin has not installed that."""

    def patch_guard_binding(self, raw: Manifest, subjects: Sequence[Manifest]) -> None:
        """Change who may, in the very binding ``raw`` as it was read.

        Raises:
            ConflictError: It has changed since.
        """

    def own_secret(self, namespace: str, name: str) -> SecretData | None:
        """Read a Secret of the operator's own; None when it is not there."""

    def create_own_secret(self, namespace: str, name: str, values: Mapping[str, bytes]) -> None:
        """Create a Secret of the operator's own.

        Raises:
            ConflictError: There is one.
        """

    def replace_own_secret(self, namespace: str, name: str, values: Mapping[str, bytes]) -> None:
        """Replace what is in a Secret of the operator's own."""


ReferenceKind = Literal["Secret", "ConfigMap"]


class References(Protocol):
    """What servers are given besides their image. What is in it is never kept."""

    def version_of(self, kind: ReferenceKind, namespace: str, name: str) -> str | None:
        """Give a text that is another whenever an object is; None when it is not there. Reads metadata alone."""

    def keys_of(self, kind: ReferenceKind, namespace: str, name: str) -> frozenset[str]:
        """Name the keys of an object; none when it is not there."""


class SecretData(Mapping[str, bytes]):
    """What is in a Secret. Shows its keys and never a value, wherever it is printed."""

    def __init__(self, values: Mapping[str, bytes]) -> None:
        self._values = dict(values)

    def __getitem__(self, key: str) -> bytes:
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"SecretData({', '.join(sorted(self._values))})"


class Secrets(Protocol):
    """Secrets that the operator itself has to use. By name only."""

    def secret(self, namespace: str, name: str) -> SecretData | None:
        """Read a Secret; None when it is not there."""


class Cluster(Objects, Workloads, Owned, References, Secrets, Protocol):
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
