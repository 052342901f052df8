"""Ask a registry what it has: the digest behind a name, and the labels of an image, by the distribution protocol."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from mcp_operator.images import credentials, reference, registry_errors
from mcp_operator.images.contract import BuildError, Step
from mcp_operator.images.registry_http import Access, Answer, Connection

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mcp_operator.images.budget import Budget
    from mcp_operator.images.contract import RegistryAuth

INDEXES = ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")
MANIFESTS = ("application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json")
ACCEPT = ", ".join((*INDEXES, *MANIFESTS))
"""All of them: a registry that is not told converts, or says that there is nothing."""
MAX_DOCUMENT = 4 * 1024 * 1024
"""Bytes of a manifest or configuration; registries themselves allow no more."""
_OK, _NOT_FOUND = 200, 404
_NO_METHOD = 405


@dataclass(frozen=True, kw_only=True)
class Remote:
    """An image as a registry has it.

    Attributes:
        digest: ``sha256:...`` of what was asked for: an image, or an index of images of several platforms.
        labels: Of its configuration; of the first image of an index.
        created: RFC 3339, as the image says.
        compressed: Bytes of its layers.
        platforms: ``linux/amd64`` each.
    """

    digest: str
    labels: Mapping[str, str] = field(default_factory=dict)
    created: str = ""
    compressed: int = 0
    platforms: tuple[str, ...] = ()


def find(
    name: str, auth: RegistryAuth | None, budget: Budget, access: Access | None = None, step: Step = Step.PUSH
) -> str | None:
    """Give the digest behind a name, ``sha256:...``; None if the registry has no such image.

    Args:
        name: ``repository:tag`` or ``repository@sha256:...``.
        auth: Without, what Docker's configuration has.
        budget: When to stop.
        access: How registries are reached.
        step: For errors.

    Raises:
        BuildError: The registry cannot be reached, or refuses.
        BuildCancelled: As the budget says.
    """
    with Registry(name, auth, budget, access or Access(), step) as registry:
        return registry.digest()


def describe(
    name: str, auth: RegistryAuth | None, budget: Budget, access: Access | None = None, step: Step = Step.PUSH
) -> Remote | None:
    """Give what a registry tells of an image, labels before all; None if it has no such image. As :func:`find`."""
    with Registry(name, auth, budget, access or Access(), step) as registry:
        return registry.describe()


def verify_digest(
    name: str, digest: str, auth: RegistryAuth | None, budget: Budget, access: Access | None = None
) -> None:
    """See to it that a registry has what was pushed.

    Raises:
        BuildError: It has something else under this name, or nothing.
        BuildCancelled: As the budget says.
    """
    found = find(name, auth, budget, access)
    if found != digest:
        raise registry_errors.other_digest(name, digest, found)


class Registry:
    """One repository, asked about one image."""

    def __init__(
        self, name: str, auth: RegistryAuth | None, budget: Budget, access: Access, step: Step = Step.PUSH
    ) -> None:
        try:
            self._name = reference.parse(name)
        except ValueError as error:
            raise registry_errors.explain(f"name invalid: {error}", name, step) from error
        self._step = step
        auth = auth or credentials.find(name)
        self._connection = Connection(self._name, auth, access, budget, step)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def digest(self) -> str | None:
        """Ask for the digest alone, without the manifest where that is possible."""
        answer = self._connection.ask("HEAD", f"manifests/{self._name.version}", accept=ACCEPT)
        if answer.status == _NOT_FOUND:
            return None
        if answer.status == _OK and (digest := answer.headers.get("Docker-Content-Digest")):
            return digest
        if answer.status not in (_OK, _NO_METHOD):
            raise self._refused(answer)
        manifest = self._manifest(self._name.version)
        return manifest[0] if manifest else None

    def describe(self) -> Remote | None:
        """Read manifest and configuration."""
        found = self._manifest(self._name.version)
        if found is None:
            return None
        digest, manifest = found
        platforms: tuple[str, ...] = ()
        if "manifests" in manifest:
            entries = [entry for entry in manifest["manifests"] if _platform(entry)]
            platforms = tuple(_platform(entry) for entry in entries)
            inner = self._manifest(entries[0]["digest"]) if entries else None
            if inner is None:
                return Remote(digest=digest, platforms=platforms)
            manifest = inner[1]
        config = self._config(manifest["config"]["digest"])
        return Remote(
            digest=digest,
            labels=dict((config.get("config") or {}).get("Labels") or {}),
            created=str(config.get("created", "")),
            compressed=sum(int(layer.get("size", 0)) for layer in manifest.get("layers", ())),
            platforms=platforms or (f"{config.get('os')}/{config.get('architecture')}",),
        )

    def _manifest(self, version: str) -> tuple[str, dict[str, Any]] | None:
        """Give digest and content of a manifest; None if there is none."""
        answer = self._connection.ask("GET", f"manifests/{version}", accept=ACCEPT, limit=MAX_DOCUMENT)
        if answer.status == _NOT_FOUND:
            return None
        digest = self._checked(answer, version if ":" in version else "")
        return digest, self._document(answer)

    def _config(self, digest: str) -> dict[str, Any]:
        answer = self._connection.ask("GET", f"blobs/{digest}", limit=MAX_DOCUMENT)
        self._checked(answer, digest)
        return self._document(answer)

    def _checked(self, answer: Answer, wanted: str) -> str:
        """Give the digest of an answer's body, which no registry can pretend."""
        if answer.status != _OK:
            raise self._refused(answer)
        digest = f"sha256:{hashlib.sha256(answer.body).hexdigest()}"
        if wanted and digest != wanted:
            raise registry_errors.explain(f"asked for {wanted}, it gave {digest}", str(self._name), self._step)
        return digest

    def _document(self, answer: Answer) -> dict[str, Any]:
        try:
            document = json.loads(answer.body)
        except (ValueError, RecursionError) as error:
            raise registry_errors.explain("it answered what is not JSON", str(self._name), self._step) from error
        if not isinstance(document, dict):
            raise registry_errors.explain("it answered JSON that is no object", str(self._name), self._step)
        return document

    def _refused(self, answer: Answer) -> BuildError:
        return registry_errors.explain(answer.said, str(self._name), self._step)


def _platform(entry: Mapping[str, Any]) -> str:
    """Name an entry's platform; empty for what is no image, such as attestations."""
    platform = entry.get("platform") or {}
    named = f"{platform.get('os', 'unknown')}/{platform.get('architecture', 'unknown')}"
    return "" if "unknown" in named else named
