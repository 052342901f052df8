"""The stream on which a legacy server sends what belongs to no call: a GET that is opened again whenever it ends."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Protocol

from toolman.upstreams import Failure
from toolman.upstreams.web import requests
from toolman.upstreams.web.greeting import NOT_FOUND, TOO_MANY, is_redirect
from toolman.upstreams.web.messages import EVENTS, OK, Messages

if TYPE_CHECKING:
    from toolman.upstreams.web.client import Client
    from toolman.upstreams.web.connection import Broken
    from toolman.upstreams.web.response import Response
    from toolman.upstreams.web.session import Session

log = logging.getLogger(__name__)

FIRST_PAUSE = 1.0
MAX_PAUSE = 30.0
"""Seconds before it is opened again, longer each time in a row unless the server says how long."""

_CONFLICT = 409
_SERVER_ERROR = 500


class Holder(Protocol):
    """What is needed of a peer."""

    def take(self, data: bytes) -> None:
        """Take a message."""

    def missed(self) -> None:
        """Learn that changes may have gone unheard."""

    def lost(self, session: Session) -> None:
        """Learn that the server has forgotten the session."""

    def suspect(self) -> None:
        """Learn that the server may be gone."""


class Standing:
    """Keeps the stream of one session open.

    Args:
        holder: Whose it is.
        client: Sends.
        session: The session.
        limit: Bytes of one message.
    """

    def __init__(self, holder: Holder, client: Client, session: Session, limit: int) -> None:
        self._holder = holder
        self._client = client
        self._session = session
        self._limit = limit
        self._stream: _Stream | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._pause = FIRST_PAUSE
        self._last = b""
        self._was_open = False

    def open(self) -> None:
        """Open it, behind the last event if there was one."""
        self._timer = None
        request = requests.stream(self._client.destination, self._session, self._last)
        self._stream = _Stream(self, request, self._limit)
        try:
            self._client.send(self._stream)
        except Failure as problem:
            log.debug("the stream is not opened: %s", problem)
            self._wait(None)

    def close(self) -> None:
        """Close it for good."""
        if self._timer is not None:
            self._timer.cancel()
        if self._stream is not None:
            self._stream.abort()

    def begun(self) -> None:
        """Learn that it is open."""
        self._pause = FIRST_PAUSE
        if self._was_open and not self._last:
            self._holder.missed()
        self._was_open = True

    def taken(self, data: bytes) -> None:
        """Take a message."""
        self._holder.take(data)

    def refused(self, status: int) -> None:
        """Learn that the server gives no stream now, or none at all."""
        if status == NOT_FOUND and self._session.has_identifier:
            self._holder.lost(self._session)
        elif status >= _SERVER_ERROR or status in {_CONFLICT, TOO_MANY}:
            self._wait(None)
        elif is_redirect(status):
            log.info("the stream of news is redirected, which is not followed")

    def over(self, stream: _Stream, problem: Broken | None) -> None:
        """Learn that it has ended."""
        retry = None
        if stream.events is not None:
            self._last = stream.events.last or self._last
            retry = stream.events.retry
        if problem is not None and problem.is_lost:
            self._holder.suspect()
        self._wait(retry)

    def _wait(self, retry: int | None) -> None:
        pause = self._pause if retry is None else max(retry / 1000, 0.05)
        self._pause = min(MAX_PAUSE, 2 * self._pause)
        self._timer = asyncio.get_running_loop().call_later(pause, self.open)


class _Stream(Messages):
    __slots__ = ("_standing",)

    def __init__(self, standing: Standing, request: bytes, limit: int) -> None:
        super().__init__(request, limit, is_repeatable=True)
        self._standing = standing

    def begun(self, response: Response) -> None:
        """Take the head."""
        super().begun(response)
        if self.is_over:
            return
        if response.status == OK and response.media_type == EVENTS:
            self._standing.begun()
        else:
            self.abort()
            self._standing.refused(response.status)

    def taken(self, data: bytes) -> None:
        """Take a message."""
        self._standing.taken(data)

    def cut(self, problem: Broken | None) -> None:
        """Learn that it is over."""
        self._standing.over(self, problem)
