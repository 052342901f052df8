"""Servers that speak the HTTP+SSE transport of 2024-11-05: one stream for all that they say, a POST for each message.

The stream is the server's life. Its first event names the URL for the POSTs, which must be of the same origin: else a
server could have toolman's credentials sent anywhere.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING

from msgspec import UNSET

from toolman import jsonrpc
from toolman.upstreams import Failure, incoming
from toolman.upstreams.inflight import UNAVAILABLE
from toolman.upstreams.web import requests
from toolman.upstreams.web.client import Client
from toolman.upstreams.web.destination import Address, Destination
from toolman.upstreams.web.greeting import describe
from toolman.upstreams.web.messages import OK, Messages
from toolman.upstreams.web.posts import MAYBE
from toolman.upstreams.web.session import Session

if TYPE_CHECKING:
    from toolman.config import Server
    from toolman.upstreams import Receiver
    from toolman.upstreams.web.connection import Broken
    from toolman.upstreams.web.eventstream import Event
    from toolman.upstreams.web.response import Response

log = logging.getLogger(__name__)

MAX_BACKLOG = 16 * 1024 * 1024
"""Bytes on their way to the server. More than that and it is not taking them at all."""

TAKING = 30.0
"""Seconds for the server to take a message. It may still answer on the stream: the call has a timeout of its own."""

_ENDPOINT = b"endpoint"
_ACCEPTED = range(200, 300)
_NONE = Session("legacy", "2024-11-05", b"")


class SseLauncher:
    """Opens streams. Implements :class:`toolman.upstreams.Launcher`.

    Args:
        server: Its part of the configuration, of kind ``sse``.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._destination: Destination | None = None

    async def launch(self, receiver: Receiver) -> SseLink:
        """Open the stream and wait for the server to say where messages go.

        Raises:
            Failure: It cannot be reached, or does not speak this transport.
        """
        if self._destination is None:
            self._destination = Destination(self._server.upstream)
        link = SseLink(self._server, Client(self._destination), receiver)
        try:
            await link.open(self._server.timeouts.start)
        except BaseException:
            await link.close()
            raise
        return link

    async def close(self) -> None:
        """There is nothing that outlives a life."""


class SseLink:
    """One stream and the POSTs beside it. Implements :class:`toolman.upstreams.Link`.

    A POST waits for the notifications before it: they would overtake each other on their connections.

    Args:
        server: Its part of the configuration.
        client: Sends; closed with this.
        receiver: Gets what comes.
    """

    def __init__(self, server: Server, client: Client, receiver: Receiver) -> None:
        self._name = server.name
        self._limit = server.max_message
        self._client = client
        self._receiver = receiver
        self._endpoint: asyncio.Future[Address] = asyncio.get_running_loop().create_future()
        self._stream: _Stream | None = None
        self._queue: deque[bytes] = deque()
        self._size = 0
        self._notices = 0
        self._is_over = False

    async def open(self, limit: float) -> None:
        """Open the stream.

        Raises:
            Failure: It is none.
        """
        self._stream = _Stream(self, requests.stream(self._client.destination, _NONE, b""), self._limit)
        self._client.send(self._stream)
        try:
            async with asyncio.timeout(limit):
                await self._endpoint
        except TimeoutError:
            raise Failure(f"it did not say within {limit:g} s where messages go") from None

    def write(self, line: bytes) -> bool:
        """Send a message; False if too much is on its way."""
        if self._is_over or self._size > MAX_BACKLOG:
            return False
        self._size += len(line)
        self._queue.append(line)
        self._flush()
        return True

    async def close(self) -> None:
        """Close the stream, which ends the server's side of it."""
        self._is_over = True
        if self._stream is not None:
            self._stream.abort()
        await self._client.close()

    def named(self, place: bytes) -> None:
        """Learn where messages go."""
        if self._endpoint.done():
            return
        try:
            address = self._client.destination.beside(place.decode())
        except ValueError as problem:
            self.over(f"it names no usable endpoint: {problem}")
            return
        if address.is_same_origin(self._client.destination.address):
            self._endpoint.set_result(address)
        else:
            self.over(f"its endpoint is elsewhere, at {address.origin}, where nothing is sent to")

    def taken(self, data: bytes) -> None:
        """Take a message."""
        if not self._is_over:
            self._receiver.line(data)

    def over(self, how: str) -> None:
        """Learn that the stream has ended."""
        if self._is_over:
            return
        self._is_over = True
        if self._stream is not None:
            self._stream.abort()
        if self._endpoint.done():
            self._receiver.ended(how)
        else:
            self._endpoint.set_exception(Failure(how))

    def posted(self, post: _Post, problem: str) -> None:
        """Learn what became of a POST: nothing comes on the stream for one that failed."""
        self._size -= len(post.line)
        self._notices -= post.is_notice
        if self._is_over:
            return
        message = incoming.read(post.line) if problem else None
        if message is not None and message.method is not UNSET and message.id is not UNSET:
            outcome = jsonrpc.error(UNAVAILABLE, f"server {self._name!r}: {problem}")
            self._receiver.line(jsonrpc.response(bytes(message.id), outcome))
        elif problem:
            log.info("server %r did not take a message: %s", self._name, problem)
        self._flush()

    def _flush(self) -> None:
        while self._queue and not self._notices and not self._is_over:
            line = self._queue.popleft()
            destination = self._client.destination
            post = _Post(self, line, requests.message(destination, _NONE, line, address=self._endpoint.result()))
            self._notices += post.is_notice
            asyncio.get_running_loop().call_later(TAKING, post.expire)
            try:
                self._client.send(post)
            except Failure as problem:
                self.posted(post, str(problem))


class _Stream(Messages):
    """The stream."""

    __slots__ = ("_link",)

    def __init__(self, link: SseLink, request: bytes, limit: int) -> None:
        super().__init__(request, limit, is_repeatable=True)
        self._link = link

    def begun(self, response: Response) -> None:
        """Take the head."""
        super().begun(response)
        if not self.is_over and self.events is None:
            self.abort()
            hint = "" if response.status == OK else "; if it speaks streamable HTTP, its kind is http"
            self._link.over(f"it opens no stream: {describe(response)}{hint}")

    def event(self, event: Event) -> None:
        """Take the endpoint, or a message."""
        if event.name == _ENDPOINT:
            self._link.named(event.data)
        else:
            super().event(event)

    def taken(self, data: bytes) -> None:
        """Take a message."""
        self._link.taken(data)

    def cut(self, problem: Broken | None) -> None:
        """Learn that it is over."""
        self._link.over(str(problem or "it closed the stream"))


class _Post(Messages):
    """One message."""

    __slots__ = ("_link", "is_notice", "line")

    def __init__(self, link: SseLink, line: bytes, request: bytes) -> None:
        super().__init__(request, MAX_BACKLOG, is_repeatable=False)
        message = incoming.read(line)
        self.is_notice = message is not None and message.id is UNSET
        self.line = line
        self._link = link

    def expire(self) -> None:
        """Wait no longer for it to be taken."""
        if not self.is_over:
            self.abort()
            self._link.posted(self, "")

    def answered(self, body: bytes) -> None:  # noqa: ARG002 - the answer comes on the stream
        """See whether it was taken."""
        is_taken = self.response is None or self.status in _ACCEPTED
        self._link.posted(self, "" if is_taken or self.response is None else describe(self.response))

    def cut(self, problem: Broken | None) -> None:
        """Learn that it may not have arrived."""
        is_sent = problem is not None and problem.is_sent
        self._link.posted(self, "" if problem is None else f"{problem}; {MAYBE}" if is_sent else str(problem))
