"""What a server says that it has: its capabilities, read once and without trusting their shape. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from toolman import jsonrpc

if TYPE_CHECKING:
    from toolman.upstreams import ListKind

KINDS: tuple[ListKind, ...] = ("tools", "prompts", "resources")


class Abilities:
    """The capabilities of a server.

    Args:
        capabilities: A raw JSON object, or whatever the server sent in its place.
    """

    def __init__(self, capabilities: bytes) -> None:
        try:
            found = msgspec.json.decode(jsonrpc.repaired(capabilities))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            found = None
        self._found: dict[str, Any] = found if isinstance(found, dict) else {}

    def has(self, name: str) -> bool:
        """Tell whether a capability is declared, such as ``tools`` or ``logging``."""
        return self._found.get(name) is not None

    def says(self, name: str, flag: str) -> bool:
        """Tell whether a capability is declared with a flag, such as ``resources`` with ``subscribe``."""
        declared = self._found.get(name)
        return isinstance(declared, dict) and declared.get(flag) is True
