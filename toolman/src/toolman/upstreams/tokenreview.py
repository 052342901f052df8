"""Asking the Kubernetes API whose a service account token is. Nothing is kept here; see :mod:`toolman.front.guard`.

What a TokenReview carries is a secret: neither a token nor an answer gets into a log line or an error.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

from toolman import jsonrpc
from toolman.config import Http
from toolman.upstreams import Failure
from toolman.upstreams.web.client import Client
from toolman.upstreams.web.destination import Destination
from toolman.upstreams.web.messages import JSON, Messages

if TYPE_CHECKING:
    from toolman.config import Guard
    from toolman.upstreams.web.connection import Broken

TIMEOUT = 10.0
"""Seconds for one answer: somebody's call waits for it."""

POD = "authentication.kubernetes.io/pod-uid"
"""What the API server says of a token that is bound to a Pod, beside the user's name."""

_MAX_ANSWER = 256 * 1024
_CREATED = 201
_OK = 200


class _User(msgspec.Struct):
    extra: dict[str, list[str]] | None = None


class _Status(msgspec.Struct):
    authenticated: bool = False
    audiences: list[str] | None = None
    user: _User | None = None


class _Review(msgspec.Struct):
    status: _Status = msgspec.field(default_factory=_Status)


_decode = msgspec.json.Decoder(_Review).decode


class _Exchange(Messages):
    """One review; its outcome is a future's."""

    __slots__ = ("outcome",)

    def __init__(self, request: bytes, outcome: asyncio.Future[bytes]) -> None:
        super().__init__(request, _MAX_ANSWER, is_repeatable=True)
        self.outcome = outcome

    def answered(self, body: bytes) -> None:
        """Take the answer."""
        if self.outcome.done():
            return
        if self.status in {_OK, _CREATED}:
            self.outcome.set_result(body)
        else:
            self.outcome.set_exception(Failure(f"it answers a TokenReview with HTTP {self.status}"))

    def cut(self, problem: Broken | None) -> None:
        """Learn that there is none."""
        if not self.outcome.done():
            self.outcome.set_exception(problem or Failure("it answers a TokenReview with a stream"))


class TokenReviews:
    """Asks.

    Args:
        guard: What tokens must be meant for, and who is asked.

    Raises:
        Failure: The API server's authority, or toolman's own token, cannot be read.
    """

    def __init__(self, guard: Guard) -> None:
        review = guard.review
        self._audience = guard.audience
        self._destination = Destination(Http(url=review.url, token=review.token, ca=review.ca))
        self._trust = self._destination.trust()
        self._client = Client(self._destination)
        self._closing: set[asyncio.Task[None]] = set()

    async def review(self, token: str) -> str:
        """Give the UID of the Pod that a token belongs to; empty if it is not good for this audience, or no Pod's.

        Raises:
            Failure: There is no answer.
        """
        spec = {"token": token, "audiences": [self._audience]}
        body = jsonrpc.encode({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": spec})
        head = self._destination.head(b"POST")
        lines = b"content-type: %b\r\naccept: %b\r\ncontent-length: %d\r\n\r\n" % (JSON, JSON, len(body))
        outcome: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        exchange = _Exchange(head + lines + body, outcome)
        self._follow_authority()
        self._client.send(exchange)
        try:
            async with asyncio.timeout(TIMEOUT):
                return self._read(await outcome)
        except TimeoutError:
            raise Failure(f"it did not answer a TokenReview within {TIMEOUT:g} s") from None
        finally:
            if not outcome.done():
                exchange.abort()

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    def _follow_authority(self) -> None:
        """Connect anew when the authority that is trusted is another one."""
        trust = self._destination.trust()
        if trust is not self._trust:
            self._trust, before = trust, self._client
            self._client = Client(self._destination)
            task = asyncio.create_task(before.close(), name="token reviews")
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    def _read(self, answer: bytes) -> str:
        try:
            status = _decode(answer).status
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise Failure("it answers a TokenReview with something else") from None
        if not status.authenticated or self._audience not in (status.audiences or ()):
            return ""
        pods = ((status.user.extra if status.user is not None else None) or {}).get(POD, [])
        return pods[0] if len(pods) == 1 else ""
