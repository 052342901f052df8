"""What Docker Engine tells of an image in its store, as one shape. Pure."""

from __future__ import annotations

import dataclasses
import datetime as dt
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_NAMELESS = ("<none>:<none>", "<none>@<none>")


@dataclass(frozen=True, kw_only=True)
class Image:
    """An image in the engine's store.

    Attributes:
        id: ``sha256:...``.
        size: Bytes, uncompressed.
        tags: ``repository:tag`` each.
        labels: Of its configuration.
        digests: ``repository@sha256:...`` each: where it was pushed to or pulled from.
        created: Seconds since the epoch.
        command: Entry point and command. Known of inspected ones.
        working_dir: Folder in which it starts. Known of inspected ones.
        triggers: It has instructions that run in whatever is built from it. Known of inspected ones.
        env: Its environment. Known of inspected ones.
    """

    id: str
    size: int
    tags: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    digests: tuple[str, ...] = ()
    created: float = 0
    command: tuple[str, ...] = ()
    working_dir: str = ""
    triggers: bool = False
    env: Mapping[str, str] = field(default_factory=dict)

    @property
    def references(self) -> tuple[str, ...]:
        """Everything by which somebody may name it."""
        return (self.id, *self.tags, *self.digests)


def inspected(found: Mapping[str, Any]) -> Image:
    """Read the answer to inspecting one image."""
    config = found.get("Config") or {}
    return dataclasses.replace(
        _image(found, config.get("Labels"), _epoch(str(found.get("Created", "")))),
        command=(*(config.get("Entrypoint") or ()), *(config.get("Cmd") or ())),
        working_dir=config.get("WorkingDir") or "",
        triggers=bool(config.get("OnBuild")),
        env=dict(variable.partition("=")[::2] for variable in config.get("Env") or ()),
    )


def listed(found: Mapping[str, Any]) -> Image:
    """Read one entry of the list of images."""
    return _image(found, found.get("Labels"), float(found.get("Created") or 0))


def _image(found: Mapping[str, Any], labels: Mapping[str, str] | None, created: float) -> Image:
    return Image(
        id=found["Id"],
        size=found["Size"],
        tags=_named(found.get("RepoTags")),
        labels=labels or {},
        digests=_named(found.get("RepoDigests")),
        created=created,
    )


def _named(names: list[str] | None) -> tuple[str, ...]:
    return tuple(name for name in names or () if name not in _NAMELESS)


def _epoch(text: str) -> float:
    """Read RFC 3339 with nanoseconds; images that were made reproducibly say year 1 or nothing."""
    try:
        return max(0.0, dt.datetime.fromisoformat(f"{text[:19]}+00:00").timestamp())
    except (ValueError, OverflowError):
        return 0
