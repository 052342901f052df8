"""List the images that this builder made, as a Docker Engine has them, and prune old ones that nothing uses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mcp_operator import names
from mcp_operator.images import cleanup, redact

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from mcp_operator.images.engine import Engine
    from mcp_operator.images.stored import Image

SOURCE = "org.opencontainers.image.source"
REVISION = "org.opencontainers.image.revision"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """An image in one repository.

    Attributes:
        repository: Empty for an image that has lost its name to a newer one.
        tags: In this repository.
        id: ``sha256:...``.
        size: Bytes, uncompressed.
        created: Seconds since the epoch.
        source: Where it was built from, as its labels say.
        revision: The commit or version, as its labels say.
        deployment: The MCPServer for which it was made, as its labels say.
        in_use: A container is made from it, or a resource names it.
    """

    repository: str
    tags: tuple[str, ...]
    id: str
    size: int
    created: float
    source: str
    revision: str
    deployment: str
    in_use: bool


def listed(engine: Engine, used: Callable[[str], bool] | None = None, installation: str | None = None) -> list[Entry]:
    """List the images, newest first within a repository.

    Args:
        engine: Where.
        used: Tells whether a resource names an image; asked with ``repository:tag``, ``repository@sha256:...`` and ID.
        installation: Whose images, if not everybody's; see :class:`~mcp_operator.images.contract.BuildRequest`.

    Raises:
        BuildError: The engine cannot be reached.
    """
    whose = names.LABEL_INSTALLATION if installation is None else f"{names.LABEL_INSTALLATION}={installation}"
    images = engine.images([names.LABEL_UID, f"{names.MANAGED_BY}={names.MANAGER}", whose])
    contained = engine.in_containers()
    entries = [
        _entry(image, repository, in_use=image.id in contained or _named(image, used))
        for image in images
        for repository in _repositories(image)
    ]
    return sorted(entries, key=lambda entry: (entry.repository, -entry.created, entry.id))


def surplus(entries: Iterable[Entry], keep: int, now: float) -> list[Entry]:
    """Give what may go: of every repository all but the newest ``keep``, and none that is in use.

    An image in use counts among the newest. Nameless ones go when they are no build's at work any more.

    Args:
        entries: As :func:`listed` gives.
        keep: At least 0.
        now: Seconds since the epoch.

    Raises:
        ValueError: ``keep`` is negative.
    """
    if keep < 0:
        raise ValueError(f"cannot keep {keep} images")
    seen: dict[str, int] = {}
    going = []
    for entry in sorted(entries, key=lambda entry: -entry.created):
        if entry.repository:
            seen[entry.repository] = seen.get(entry.repository, 0) + 1
            old = seen[entry.repository] > keep
        else:
            old = now - entry.created > cleanup.YOUNG
        if old and not entry.in_use:
            going.append(entry)
    return going


def prune(engine: Engine, going: Iterable[Entry]) -> list[Entry]:
    """Remove images; gives those that went. One that came into use in the meantime stays.

    Args:
        engine: Where.
        going: As :func:`surplus` gives.

    Raises:
        BuildError: The engine cannot be reached.
    """
    removed = []
    for entry in going:
        # By its names, never by force: so what somebody else tagged, or a container uses, stays.
        by = [f"{entry.repository}:{tag}" for tag in entry.tags] if entry.tags else [entry.id]
        unused = entry.id not in engine.in_containers()
        if unused and all(engine.remove_image(name) for name in by):
            removed.append(entry)
    return removed


def _entry(image: Image, repository: str, *, in_use: bool) -> Entry:
    tags = tuple(tag.rpartition(":")[2] for tag in image.tags if tag.rpartition(":")[0] == repository)
    return Entry(
        repository=repository,
        tags=tags,
        id=image.id,
        size=image.size,
        created=image.created,
        # Labels are strangers' words, and this is shown on terminals.
        source=redact.line(image.labels.get(SOURCE, "")),
        revision=redact.line(image.labels.get(REVISION, "")),
        deployment=redact.line(image.labels.get(names.LABEL_DEPLOYMENT, "")),
        in_use=in_use,
    )


def _repositories(image: Image) -> list[str]:
    tagged = {tag.rpartition(":")[0] for tag in image.tags}
    return sorted(tagged) or [""]


def _named(image: Image, used: Callable[[str], bool] | None) -> bool:
    return used is not None and any(used(reference) for reference in image.references)
