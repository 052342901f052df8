"""Beginning a life of a server that speaks streamable HTTP, in whichever era it does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from toolman.upstreams.web.client import Client
from toolman.upstreams.web.destination import Destination
from toolman.upstreams.web.greeting import Greeter
from toolman.upstreams.web.peer import HttpPeer

if TYPE_CHECKING:
    from toolman.config import Server
    from toolman.exchange import Era
    from toolman.upstreams import Events


class HttpConnector:
    """How one server is reached over HTTP. Implements :class:`toolman.upstreams.Connector`.

    May have several lives at a time, one for each session of a client.

    Args:
        server: Its part of the configuration, of kind ``http``.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._era: Era | None = None
        self._destination: Destination | None = None

    async def connect(self, events: Events, capabilities: bytes) -> HttpPeer:
        """Begin a life: find out the era, or try the one that was found the last time.

        Raises:
            Failure: The server cannot be reached, refuses, or speaks no revision that toolman does.
        """
        era, self._era = self._era, None  # forgotten unless it works
        if self._destination is None:
            self._destination = Destination(self._server.upstream)
        client = Client(self._destination)
        greeter = Greeter(self._server, client, capabilities, era)
        try:
            greeting = await greeter.greet()
        except BaseException:
            await client.close()
            raise
        self._era = greeting.hello.era
        return HttpPeer(self._server, client, greeter, greeting, events, capabilities)

    async def close(self) -> None:
        """There is nothing that outlives a life."""
