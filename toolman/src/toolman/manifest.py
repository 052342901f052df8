"""What a server's tools are, in a form that can be compared: canonical hashes, and how many tokens they cost.

The builder records these when it has verified an image; toolman compares what a running server lists. Needs msgspec
alone, so that both use the same function.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

HASHED = ("name", "description", "inputSchema", "outputSchema", "annotations")
"""What a model reads of a tool: a change of any of these is another tool."""

BYTES_PER_TOKEN = 4
"""JSON in English takes about four bytes a token with today's tokenisers: an estimate, not a bill."""


class Tool(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A tool as it was when its server was verified.

    Attributes:
        name: The server's own name for it.
        hash: ``sha256:<hex>``, as :func:`tool_hash` gives it.
    """

    name: str
    hash: str


def tool_hash(tool: Mapping[str, Any]) -> str:
    """Hash what a model reads of a tool: ``sha256:<hex>`` over canonical JSON (sorted keys, no blanks).

    Reordered keys and whitespace are no difference; neither is a member that is absent or null.

    Args:
        tool: As decoded from ``tools/list``.
    """
    seen: Any = {key: tool[key] for key in HASHED if tool.get(key) is not None}
    try:
        canonical = msgspec.json.encode(seen, order="sorted")
    except UnicodeEncodeError:
        canonical = msgspec.json.encode(_in_utf8(seen), order="sorted")
    return f"sha256:{hashlib.sha256(canonical).hexdigest()}"


def tokens(size: int) -> int:
    """Estimate how many tokens a model reads for so many bytes of a tool's JSON."""
    return -(-size // BYTES_PER_TOKEN)


def _in_utf8(value: Any) -> Any:  # noqa: ANN401 - whatever JSON holds
    """Replace lone surrogates, which JSON can say and UTF-8 cannot, by U+FFFD."""
    match value:
        case str():
            return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        case dict():
            return {_in_utf8(key): _in_utf8(item) for key, item in value.items()}
        case list():
            return [_in_utf8(item) for item in value]
        case _:
            return value
