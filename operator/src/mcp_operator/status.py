"""Reading and writing a resource's status: only what changed is written, and only to the very object that was read."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, TypeVar

from pydantic import ValidationError

from mcp_operator import cluster
from mcp_operator.models.status import LOG_TAIL_BYTES, Status

if TYPE_CHECKING:
    from mcp_operator.cluster import Kind, Manifest, Objects

StatusT = TypeVar("StatusT", bound=Status)

SUMMARY_LENGTH = 80
"""Characters of the phrase for ``kubectl get``."""
MESSAGE_LENGTH = 1000
"""Characters of a condition's message or a hint: they may quote what a stranger's server said."""

logger = logging.getLogger(__name__)


def read(model: type[StatusT], raw: Manifest) -> StatusT:
    """Read a status; one that does not fit (another version wrote it) counts as none, and everything is found anew."""
    try:
        return model.model_validate(raw.get("status") or {})
    except ValidationError as error:
        logger.warning("status of %s not understood, starting afresh: %s", raw["metadata"]["name"], error)
        return model()


def write(objects: Objects, kind: Kind, raw: Manifest, status: Status) -> bool:
    """Write a status if it differs from what ``raw`` has.

    Returns:
        False when there was nothing to write, or nothing to write to: the object is gone or another one of that name.
    """
    after = status.model_dump(mode="json", by_alias=True, exclude_none=True)
    patch = cluster.merge_patch(raw.get("status") or {}, after)
    if not patch:
        return False
    try:
        objects.patch_status(kind, raw, patch)
    except (cluster.NotFoundError, cluster.ConflictError):
        return False
    return True


def printable(text: str, limit: int = MESSAGE_LENGTH) -> str:
    """Make text of a stranger fit for a terminal and a status: one line, no control characters, bounded."""
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def phrase(reason: str, message: str) -> str:
    """Give what a column of ``kubectl get`` has room for: the word to look up, and how the message begins."""
    return printable(f"{reason}: {message}" if message else reason, SUMMARY_LENGTH)


def tail(text: str) -> str:
    """Give the end of a log: printable lines, at most ``LOG_TAIL_BYTES`` in UTF-8."""
    lines = ["".join(char for char in line if char.isprintable() or char == "\t") for line in text.splitlines()]
    return "\n".join(lines).encode()[-LOG_TAIL_BYTES:].decode(errors="ignore").strip()
