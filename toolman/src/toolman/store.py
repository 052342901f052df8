"""Sessions in Redis: they survive a restart of toolman, and several toolmans know them.

Whoever can read Redis must not be able to show a session's identifier, so only a digest of it is a key there. While
Redis is away sessions live in this process's memory alone: nobody's call waits for it longer than :data:`PATIENCE`.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from toolman.sessions import ENDED

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

log = logging.getLogger(__name__)

PATIENCE = 1.0
"""Seconds that Redis has for an answer."""

PAUSE = 2.0
"""Seconds after a failure in which Redis is not asked again."""

PREFIX = "toolman:session:"

Result = TypeVar("Result")


class RedisStore:
    """Keeps bytes by a session's identifier.

    Args:
        url: ``redis://`` or ``rediss://``.
        ttl: Seconds without use after which a session is forgotten.
        password: Gives it, None for none; asked at every connection, because it may change.
        clock: Seconds, monotonic.

    Attributes:
        problem: Why Redis cannot be used at the moment, empty while it can.
    """

    def __init__(self, url: str, ttl: float, password: Callable[[], str | None], clock: Callable[[], float]) -> None:
        self.problem = ""
        self._place = urlsplit(url).hostname or url
        self._ttl = max(1, round(ttl))
        self._clock = clock
        self._silent_until = 0.0
        self._redis: Redis = Redis.from_url(
            url,
            credential_provider=_Credentials(password) if password() is not None else None,
            socket_timeout=PATIENCE,
            socket_connect_timeout=PATIENCE,
            retry=Retry(NoBackoff(), 0),
        )

    async def load(self, identifier: str) -> bytes | None:
        """Give what is kept of a session, and keep it longer; None if there is nothing, or Redis is away."""
        found = await self._ask(lambda: self._redis.getex(_key(identifier), ex=self._ttl))
        return found if isinstance(found, bytes) else None

    async def save(self, identifier: str, data: bytes) -> None:
        """Keep a session."""
        await self._ask(lambda: self._redis.set(_key(identifier), data, ex=self._ttl))

    async def delete(self, identifier: str) -> None:
        """Keep no more of a session than that it was ended."""
        await self._ask(lambda: self._redis.set(_key(identifier), ENDED, ex=self._ttl))

    async def close(self) -> None:
        """Let go of the connections."""
        with contextlib.suppress(RedisError, OSError):
            await self._redis.aclose()

    async def _ask(self, question: Callable[[], Awaitable[Result]]) -> Result | None:
        if self.problem and self._clock() < self._silent_until:
            return None
        try:
            async with asyncio.timeout(PATIENCE):
                answer = await question()
        except (RedisError, OSError, TimeoutError) as problem:
            self._failed(problem)
            return None
        if self.problem:
            log.warning("sessions: Redis at %s is back", self._place)
            self.problem = ""
        return answer

    def _failed(self, problem: Exception) -> None:
        if not self.problem:
            # Only the kind of the problem: its text may hold the password.
            text = "sessions: Redis at %s cannot be used, sessions live in memory meanwhile: %s"
            log.error(text, self._place, type(problem).__name__)
        self.problem = f"Redis at {self._place} cannot be used: {type(problem).__name__}"
        self._silent_until = self._clock() + PAUSE


class _Credentials:
    """The password as it is now. Implements redis' ``CredentialProvider``, which is no abstract class."""

    def __init__(self, password: Callable[[], str | None]) -> None:
        self._password = password

    def get_credentials(self) -> tuple[str]:
        """Give it for one connection."""
        return (self._password() or "",)

    async def get_credentials_async(self) -> tuple[str]:
        """Give it for one connection."""
        return self.get_credentials()


def _key(identifier: str) -> str:
    return PREFIX + hashlib.sha256(identifier.encode()).hexdigest()
