"""How servers are reached: one module a kind, one narrow interface between it and the rest.

A :class:`Launcher` knows how to start one life of a server and gives back a :class:`Link`, which carries lines in both
directions. :mod:`toolman.upstreams.peer` speaks JSON-RPC over it, :mod:`toolman.upstreams.supervisor` keeps it alive.
"""

from __future__ import annotations

from typing import Protocol


class Failure(Exception):  # noqa: N818 - reads as what it says
    """A server cannot be started or used; the text says what happened and can be shown to an agent.

    Attributes:
        detail: What else an operator may want to know, such as the end of its stderr. For the log, never for agents.
    """

    def __init__(self, text: str, detail: str = "") -> None:
        super().__init__(text)
        self.detail = detail


class Receiver(Protocol):
    """Who listens to a link."""

    def line(self, data: bytes) -> None:
        """Take one line that the server wrote, without its end."""

    def ended(self, how: str) -> None:
        """Learn that this life of the server is over, and how, such as ``exit code 137``. Called once."""


class Link(Protocol):
    """One life of a server."""

    def write(self, line: bytes) -> bool:
        """Send one line, given without its end; False if the server has not read so much that it is refused."""

    async def close(self) -> None:
        """End the server and everything it started, politely first, within a bounded time."""


class Launcher(Protocol):
    """How one server is started."""

    async def launch(self, receiver: Receiver) -> Link:
        """Start a life of the server.

        Raises:
            Failure: It cannot be started.
        """

    async def close(self) -> None:
        """Give back what outlives a single life."""
