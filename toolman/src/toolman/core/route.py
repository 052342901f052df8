"""Where a visible thing is: its server, its own name, and what its calls need. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from toolman.protocol import mirror

if TYPE_CHECKING:
    from msgspec import Raw

    from toolman.policy import Decision


class Route:
    """Where a call goes.

    Attributes:
        server: The server.
        name: The thing's own name, or its URI.
        wire: The same as the server wrote it, raw JSON.
        decision: Why it may be used, and which layers in audit mode object.
    """

    __slots__ = ("_mirrored", "_schema", "decision", "name", "server", "wire")

    def __init__(self, server: str, name: str, wire: bytes, decision: Decision, schema: Raw | None = None) -> None:
        self.server = server
        self.name = name
        self.wire = wire
        self.decision = decision
        self._schema = schema
        self._mirrored: tuple[mirror.Mirrored, ...] | None = None

    @property
    def mirrored(self) -> tuple[mirror.Mirrored, ...]:
        """The arguments of a tool that headers mirror; none if its annotations are not valid."""
        if self._mirrored is None:
            try:
                self._mirrored = mirror.find(self._schema)
            except mirror.InvalidAnnotationError:
                self._mirrored = ()
        return self._mirrored
