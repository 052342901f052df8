"""How a server behind HTTP is spoken with until it forgets it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from toolman.exchange import Era


class Session(NamedTuple):
    """One session, or what stands for it in the modern era, which has none.

    Attributes:
        era: Of the server's protocol.
        version: The revision.
        headers: That every request has, each with its line end.
        has_identifier: Whether the server gave the session an identifier.
    """

    era: Era
    version: str
    headers: bytes
    has_identifier: bool = False
