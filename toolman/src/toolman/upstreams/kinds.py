"""Which connector a server has: one for all lives of it, so that what was found out about it is kept.

What a kind needs is imported when a server of that kind is configured, and not before.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from toolman import config
from toolman.upstreams import Failure
from toolman.upstreams.connect import LineConnector

if TYPE_CHECKING:
    from collections.abc import Iterable

    from toolman.upstreams import Connector, Launcher

log = logging.getLogger(__name__)


class Connectors:
    """Makes connectors, and gives the same one again as long as the server's configuration is the same."""

    def __init__(self) -> None:
        self._made: dict[str, tuple[config.Server, Connector]] = {}

    def __call__(self, server: config.Server) -> Connector:
        """Give the connector of a server.

        Raises:
            Failure: Nothing can be made of its configuration, such as a URL that is none.
        """
        known = self._made.get(server.name)
        if known is not None and known[0] == server:
            return known[1]
        made = _connector(server)
        self._made[server.name] = server, made
        return made


async def prepare(servers: Iterable[config.Server]) -> None:
    """Do what must be done before any server is needed: remove sandboxes that a toolman that is gone has left."""
    if any(isinstance(server.upstream, config.Docker) for server in servers):
        from toolman.upstreams.sandbox import sandboxes  # noqa: PLC0415

        try:
            await sandboxes.engine()
        except Failure as problem:
            log.warning("no sandbox can be started now: %s%s", problem, problem.detail)


def _connector(server: config.Server) -> Connector:
    if isinstance(server.upstream, config.Http):
        from toolman.upstreams.streamable import HttpConnector  # noqa: PLC0415

        return HttpConnector(server)
    return LineConnector(server.name, _launcher(server), is_legacy=isinstance(server.upstream, config.Sse))


def _launcher(server: config.Server) -> Launcher:
    match server.upstream:
        case config.Process():
            from toolman.upstreams.process import ProcessLauncher  # noqa: PLC0415

            return ProcessLauncher(server.name, server.upstream, server.max_message)
        case config.Pipes():
            from toolman.upstreams.pipes import PipesLauncher  # noqa: PLC0415

            return PipesLauncher(server.upstream, server.max_message)
        case config.Docker():
            from toolman.upstreams.sandbox import SandboxLauncher  # noqa: PLC0415

            return SandboxLauncher(server.name, server.upstream, server.max_message)
        case _:
            from toolman.upstreams.sse import SseLauncher  # noqa: PLC0415

            return SseLauncher(server)
