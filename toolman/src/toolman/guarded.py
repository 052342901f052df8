"""toolman as the guard of a server that many Pods share: the trunk, its callers and the door, put together."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING

from toolman.config import ConfigError
from toolman.front.endpoint import Endpoint
from toolman.front.guard import Guard
from toolman.front.remembered import Remembered
from toolman.tenants import Tenants, for_trunk
from toolman.upstreams import Failure
from toolman.upstreams.tokenreview import TokenReviews

if TYPE_CHECKING:
    from toolman.audit import Audit
    from toolman.config import Config
    from toolman.config import Guard as GuardSettings
    from toolman.core.dispatch import Dispatcher
    from toolman.core.realms import Trunk
    from toolman.front.population import Population


_QUIET = 0.25
"""Of the time for draining: without a new connection for so long, none is expected any more."""


class Guarded:
    """What a guard has besides what every toolman has.

    Args:
        config: With the guard's part.
        trunk: Runs the servers.
        nobodys: Of the trunk; serves nobody.
        audit: Gets a record for each use of something.
        connections: Those whose clients wait.

    Raises:
        ConfigError: The API server's authority, or toolman's own token, cannot be read.
    """

    def __init__(
        self, config: Config, trunk: Trunk, nobodys: Dispatcher, audit: Audit, connections: Population
    ) -> None:
        self._clock = clock = asyncio.get_running_loop().time
        self._connections = connections
        settings = guard_of(config)
        self._trunk = trunk
        self._settings = settings
        self._reviews = _reviews(settings)
        self._closing: set[asyncio.Task[None]] = set()
        self.tenants = Tenants(config, trunk, audit, connections)
        known = Remembered(clock, time.time)
        outside = Endpoint(nobodys, trunk, trunk.sessions, connections, clock)
        self.door = Guard(settings, outside, self.tenants, self._reviews, known, trunk.metrics.refused)
        self.tenants.ended = self.door.cut

    @property
    def is_ready(self) -> bool:
        """Whether the servers can be used: otherwise no client is to be sent here."""
        return self._trunk.is_ready

    @property
    def grace(self) -> float:
        """Seconds for calls on their way when toolman ends."""
        return self._settings.grace

    def apply(self, config: Config) -> None:
        """Put another configuration in force as a whole.

        Raises:
            ConfigError: It cannot be; the one before stays in force.
        """
        settings = guard_of(config)
        is_same = (settings.audience, settings.review) == (self._settings.audience, self._settings.review)
        reviews = self._reviews if is_same else _reviews(settings)
        meant = for_trunk(config)
        if meant != self._trunk.config:
            self._trunk.apply(meant)
        self.tenants.apply(config)
        self._settings = self.door.settings = settings
        if not is_same:
            task = asyncio.create_task(self._reviews.close(), name="token reviews")
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
            self._reviews = reviews
            self.door.use(settings, reviews)

    async def drain(self) -> None:
        """Go on for a while, and have clients connect again elsewhere: none is cut off in the middle of anything.

        Streams that were open before could not say that their connections end. They end half-way: what a client sends
        behind such a stream is still served, and told. A cluster whose API server was just away may go on sending
        clients here for half a minute; so the end waits until none has come for a while.
        """
        settings = self._settings
        self.door.is_leaving = True
        await asyncio.sleep(settings.drain / 2)
        self.tenants.end_streams()
        await asyncio.sleep(settings.drain / 2)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(settings.max_drain - settings.drain):
                quiet = settings.drain * _QUIET
                while (left := self._connections.visited + quiet - self._clock()) > 0:  # noqa: ASYNC110 - at the very end
                    await asyncio.sleep(left)

    async def stop(self) -> None:
        """End what the callers have, within a bounded time."""
        await self.tenants.stop()
        await self._reviews.close()


def guard_of(config: Config) -> GuardSettings:
    """Give the guard's part of a configuration.

    Raises:
        ConfigError: It has none, which must never open what was guarded.
    """
    if config.guard is None:
        raise ConfigError("guard cannot be added or removed while toolman runs: restart it")
    return config.guard


def _reviews(settings: GuardSettings) -> TokenReviews:
    try:
        return TokenReviews(settings)
    except Failure as problem:
        raise ConfigError(f"guard.review cannot be used: {problem}{problem.detail}") from None
