"""What toolman says of itself: the gauges of its metrics, and the report for the operator."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec import Raw

from toolman import __version__
from toolman.core.catalog import Entry

if TYPE_CHECKING:
    from collections.abc import Callable

    from toolman.core.gateway import Gateway
    from toolman.core.subscriptions import Home
    from toolman.upstreams.offers import Item
    from toolman.upstreams.supervisor import Supervisor


class Server(msgspec.Struct, omit_defaults=True, rename="camel"):
    """One server as it is now; where each session has its own, one of them each.

    Attributes:
        name: In the configuration.
        kind: Of upstream.
        running: Whether it can be used.
        problem: Why it cannot be.
        restarts: Since toolman began.
        started_at: Unix time of the beginning of this life.
        era: In which it is spoken with.
        version: The revision.
        server_info: Its name and version.
    """

    name: str
    kind: str
    running: bool
    problem: str = ""
    restarts: int = 0
    started_at: float = 0.0
    era: str = ""
    version: str = ""
    server_info: Raw = Raw(b"{}")


class Configuration(msgspec.Struct, omit_defaults=True, rename="camel"):
    """What became of the last change of the configuration file."""

    in_force: bool = True
    problem: str = ""


class Report(msgspec.Struct, rename="camel"):
    """Everything that the operator wants to know. Names what is hidden: never for agents."""

    version: str
    configuration: Configuration
    servers: list[Server]
    entries: list[Entry]
    sessions: int
    session_store: str


class Inspection:
    """Looks at a gateway when somebody asks.

    Args:
        gateway: What to look at.
        store_problem: Gives why sessions are kept in memory alone although they should not be; empty if all is well.
    """

    def __init__(self, gateway: Gateway, store_problem: Callable[[], str] = str) -> None:
        self._gateway = gateway
        self._configuration = Configuration()
        self._store_problem = store_problem
        gateway.metrics.build.set(1, __version__)
        gateway.metrics.reload_ok.set(1)

    def reloaded(self, is_in_force: bool, problem: str) -> None:  # noqa: FBT001 - given by position, as an outcome is
        """Take note of a change of the configuration file."""
        self._configuration = Configuration(in_force=is_in_force, problem=problem)
        self._gateway.metrics.reloads.count("ok" if is_in_force else "refused")
        self._gateway.metrics.reload_ok.set(int(is_in_force))

    def metrics(self) -> str:
        """Write all metrics in Prometheus' text format."""
        self._measure()
        return self._gateway.metrics.text()

    def report(self) -> bytes:
        """Write a :class:`Report` as JSON."""
        return msgspec.json.encode(
            Report(
                version=__version__,
                configuration=self._configuration,
                servers=[_server(home, keeper) for home, keeper in self._gateway.supervisors()],
                entries=self._gateway.views.everything().entries(),
                sessions=self._gateway.count_sessions(),
                session_store=self._store_problem() or "ok",
            )
        )

    def _measure(self) -> None:
        metrics, gateway = self._gateway.metrics, self._gateway
        metrics.up.clear()
        metrics.restarts.clear()
        running: dict[str, list[Supervisor]] = {server.name: [] for server in gateway.config.servers}
        for (name, _), keeper in gateway.supervisors():
            running.setdefault(name, []).append(keeper)
        for name, keepers in running.items():
            metrics.up.set(sum(keeper.peer is not None for keeper in keepers), name)
            metrics.restarts.set(sum(keeper.restarts for keeper in keepers), name)
        metrics.sessions.set(gateway.count_sessions())
        metrics.store_up.set(int(not self._store_problem()))
        view = gateway.views.everything()
        visible, total = view.tokens()
        offers = {name: keeper.offers for (name, _), keeper in gateway.supervisors() if keeper.offers is not None}
        size = sum(_size(tool) for each in offers.values() for tool in each.tools)
        stages = (
            ("upstream", view.total, total, size),
            ("visible", len(view.tools), visible, len(view.listing("tools"))),
        )
        for stage, count, tokens, length in stages:
            metrics.list_tools.set(count, stage)
            metrics.list_tokens.set(tokens, stage)
            metrics.list_bytes.set(length, stage)


def _size(item: Item) -> int:
    return sum(len(key) + len(value) for key, value in item.members.items())


def _server(home: Home, keeper: Supervisor) -> Server:
    peer = keeper.peer
    server = Server(
        name=home[0],
        kind=str(type(keeper.server.upstream).__struct_config__.tag),
        running=peer is not None,
        problem=keeper.problem,
        restarts=keeper.restarts,
        started_at=keeper.started_at,
    )
    if peer is not None:
        server.era, server.version = peer.hello.era, peer.hello.version
        server.server_info = Raw(peer.hello.server_info)
    return server
