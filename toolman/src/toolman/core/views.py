"""What each client sees, made when it is first asked for and kept until something in it may have changed."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

from toolman.core import verdicts
from toolman.core.catalog import View
from toolman.core.verdicts import Stock
from toolman.upstreams.offers import Offers

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable

    from toolman.config import Config, Server
    from toolman.core.subscriptions import Home
    from toolman.core.verdicts import Judged, Kind

log = logging.getLogger(__name__)

_MAX_NAMES = 20
_MAX_NAME = 128
"""What one line of the log holds of names that servers choose."""

_ONES: dict[Kind, str] = {
    "tools": "tool",
    "prompts": "prompt",
    "resources": "resource",
    "templates": "resource template",
}
_REMEDY = "use naming: prefixed, or deny all but one"
_REMEDY_OF_URI = "deny all but one; each server's own endpoint has its own"


class Sight(NamedTuple):
    """Whose view it is: a scope, and the owner of the session if some server in it is the session's own."""

    scope: str | None
    owner: Hashable


EVERYTHING = Sight(None, None)
"""What a client of the endpoint for all servers sees of those that are shared."""


class Views:
    """All of them.

    Args:
        config: The configuration in force.
        is_introduced: Tells whether a server is not waited for any more.
        on_stale: Called with a view that may not be what its client sees any more.

    Attributes:
        shared: What is seen of the servers that are shared, by scope, as far as it is known to be so now.
    """

    def __init__(
        self, config: Config, is_introduced: Callable[[Home], bool], on_stale: Callable[[Sight, View], None]
    ) -> None:
        self._config = config
        self._is_introduced = is_introduced
        self._on_stale = on_stale
        self._servers = {server.name: server for server in config.servers}
        self._judged: dict[Home, Judged] = {}
        self._views: dict[Sight, View] = {}
        self._stale: set[Sight] = set()
        self.shared: dict[str | None, View] = {}
        self.seen(EVERYTHING)

    def seen(self, sight: Sight) -> View:
        """Give a view as it is now."""
        if sight in self._views and sight not in self._stale:
            return self._views[sight]
        view = self.made(sight)
        before = self._views.get(sight)
        if before is not None:
            view.follow(before)
        if sight.scope is None or sight.scope in self._servers:  # others could be made up without end
            self._views[sight] = view
            if sight.owner is None:
                self.shared[sight.scope] = view
        else:
            self._views.pop(sight, None)
        self._stale.discard(sight)
        if sight == EVERYTHING and before is not None:
            _report(view, before)
        return view

    def made(self, sight: Sight) -> View:
        """Make a view that is not kept."""
        judged = [self._judged[home] for home in self.homes(sight._replace(scope=None)) if home in self._judged]
        is_complete = all(self._is_introduced(home) for home in self.homes(sight))
        return View(self._config, judged, sight.scope, is_complete=is_complete)

    def everything(self) -> View:
        """Make a view of all servers for reports: of those that each session has for itself, somebody's."""
        somebodys = {name: judged for (name, _), judged in self._judged.items()}
        return View(self._config, [somebodys[name] for name in self._servers if name in somebodys])

    def homes(self, sight: Sight) -> list[Home]:
        """Give the running servers that are in sight, in the order of the configuration."""
        return [
            (server.name, None if server.is_shared else sight.owner)
            for server in self._config.servers
            if sight.scope in {None, server.name} and (server.is_shared or sight.owner is not None)
        ]

    def offered(self, home: Home, offers: Offers | None) -> None:
        """Take what a server offers now; None while it is given up: then only what it said of itself is remembered."""
        known = self._judged.get(home)
        if offers is not None:
            self._judged[home] = self._judge(home, Stock(offers))
        elif known is not None:
            self._judged[home] = self._judge(home, Stock(Offers(known.stock.offers.hello), is_there=False))
        self._touch(home[1])

    def apply(self, config: Config, gone: Iterable[Home]) -> None:
        """Take another configuration, without what some servers offered."""
        self._config = config
        self._servers = {server.name: server for server in config.servers}
        for home in gone:
            self._judged.pop(home, None)
        for home, judged in self._judged.items():
            self._judged[home] = self._judge(home, judged.stock)
        self._touch(None)

    def move(self, before: Sight, after: Sight) -> None:
        """Compare what a client sees with what it saw when its sight was another one."""
        if before != after and before in self._views and after not in self._views:
            self._views[after] = self._views[before]
            self._mark(after)

    def drop(self, sight: Sight, homes: Iterable[Home]) -> None:
        """Forget what a session that is over saw, and the servers that were its own."""
        for home in homes:
            self._judged.pop(home, None)
        if sight.owner is not None:
            self._views.pop(sight, None)
            self._stale.discard(sight)

    def _judge(self, home: Home, stock: Stock) -> Judged:
        server: Server = self._servers[home[0]]
        return verdicts.judge(self._config, server, stock)

    def _touch(self, owner: Hashable) -> None:
        for sight in tuple(self._views):
            if owner is None or sight.owner == owner:
                self._mark(sight)

    def _mark(self, sight: Sight) -> None:
        self._stale.add(sight)
        if sight.owner is None:
            self.shared.pop(sight.scope, None)
        self._on_stale(sight, self._views[sight])


def _report(view: View, before: View) -> None:
    """Tell the log what has changed for everybody."""
    if view.collisions != before.collisions:
        for kind, one in _ONES.items():
            names = [name for of, name in view.collisions if of == kind]
            if names:
                text = "more than one %s would be called %s, so none is shown: %s"
                log.error(text, one, _listed(names), _REMEDY if kind in {"tools", "prompts"} else _REMEDY_OF_URI)
    differing = view.pinned - before.pinned
    if differing:
        names = [f"{server}/{name}" for server, name in sorted(differing)]
        log.warning("not what was verified, by their servers' manifests: %s", _listed(names))
    if view.changes(before):
        log.info("%d of %d tools are visible", len(view.tools), view.total)


def _listed(names: list[str]) -> str:
    """Write names that servers have chosen: they must not write into the log what, or as much as, they like."""
    shown = [name[:_MAX_NAME] if name.isprintable() else ascii(name[:_MAX_NAME])[1:-1] for name in names[:_MAX_NAMES]]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")
