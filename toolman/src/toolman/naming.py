"""How agents see a tool. Needs msgspec alone, so that the operator can name tools as toolman does."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from toolman.config import Naming

MAX_LENGTH = 64
"""What the model APIs accept for the name of a tool, together with letters, digits, ``_`` and ``-``."""

SEPARATOR = "__"
"""A server's name has no underscore, so the first one in an exposed name ends it."""

_DIGEST_LENGTH = 8
_FORBIDDEN = re.compile(r"[^A-Za-z0-9_-]")


def expose(naming: Naming, server: str, tool: str) -> str:
    """Give the name under which agents see a tool.

    ``plain`` is the server's own name, unchanged. ``prefixed`` is ``server__tool`` with other characters replaced by
    ``_``; one that is too long ends in a digest of the whole instead, so the same tool always gets the same name.
    Two tools may end up with one name: the catalog then shows neither and says so.
    """
    if naming == "plain":
        return tool
    name = _FORBIDDEN.sub("_", f"{server}{SEPARATOR}{tool}")
    if len(name) <= MAX_LENGTH:
        return name
    digest = hashlib.sha256(f"{server}/{tool}".encode()).hexdigest()[:_DIGEST_LENGTH]
    return f"{name[: MAX_LENGTH - _DIGEST_LENGTH - 1]}_{digest}"
