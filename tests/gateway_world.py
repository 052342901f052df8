"""A gateway without processes: servers that are where a test puts them, sessions that keep what they are sent."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from toolman.core.catalog import View
from toolman.core.gateway import Gateway
from toolman.core.verdicts import Stock, judge
from toolman.policy import Layer, Rules
from toolman.sessions import Session, Sessions
from toolman.upstreams import Failure, Hello
from toolman.upstreams.offers import Item, Offers

from toolman import config, jsonrpc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Hashable, Mapping, Sequence

    from msgspec import Raw
    from toolman.exchange import Call, Era
    from toolman.upstreams import Events

LIMIT = 5.0
"""Seconds after which whatever is waited for is taken to have failed."""

EVERYTHING = Layer(source="all")
"""A layer that has no opinion: somebody has to allow what no one denies."""

OPEN = b'{"tools":{},"prompts":{},"resources":{"subscribe":true}}'


def server(name: str = "s", **changes: Any) -> config.Server:  # noqa: ANN401 - any setting
    """Give a server's configuration."""
    return config.Server(name=name, **({"upstream": config.Process(command=("x",))} | changes))


def settings(*servers: config.Server | str, layers: Sequence[Layer] = (EVERYTHING,), **changes: Any) -> config.Config:  # noqa: ANN401
    """Give a configuration; a server can be given by its name."""
    known = tuple(server(each) if isinstance(each, str) else each for each in servers)
    return config.Config(servers=known, layers=tuple(layers), **changes)


def layer(source: str = "L", servers: tuple[str, ...] = ("*",), **rules: Any) -> Layer:  # noqa: ANN401
    """Give a layer; rules as ``tools={"deny": [...]}``."""
    known: dict[str, Any] = {
        kind: Rules(**{part: tuple(globs) for part, globs in rule.items()}) for kind, rule in rules.items()
    }
    return Layer(source=source, servers=servers, **known)


def item(name: str, key: str = "name", **members: object) -> Item:
    """Give a thing as a server lists it."""
    return Item(name, jsonrpc.members(json.dumps({key: name} | members).encode(), frozenset()))


def offers(
    tools: Sequence[str | Item] = (),
    *,
    prompts: Sequence[str] = (),
    resources: Sequence[str] = (),
    templates: Sequence[str] = (),
    hello: Mapping[str, Any] | None = None,
    **changes: Any,  # noqa: ANN401
) -> Offers:
    """Give what a server offers; ``hello`` is what it says of itself."""
    said: dict[str, Any] = {"era": "legacy", "version": "2025-11-25", "capabilities": OPEN} | dict(hello or {})
    return Offers(
        Hello(**said),
        tools=tuple(each if isinstance(each, Item) else item(each) for each in tools),
        prompts=tuple(item(each) for each in prompts),
        resources=tuple(item(each, "uri") for each in resources),
        templates=tuple(item(each, "uriTemplate") for each in templates),
        **changes,
    )


def view(chosen: config.Config, offered: Mapping[str, Offers], scope: str | None = None, **changes: Any) -> View:  # noqa: ANN401
    """Give a view of what some servers offer."""
    judged = [judge(chosen, each, Stock(offered[each.name])) for each in chosen.servers if each.name in offered]
    return View(chosen, judged, scope, **changes)


def listed(seen: View, kind: Any = "tools") -> list[str]:  # noqa: ANN401
    """Give what is listed in a view."""
    (entries,) = json.loads(seen.listing(kind)).values()
    key = {"resources": "uri", "templates": "uriTemplate"}.get(kind, "name")
    return [entry[key] for entry in entries]


class Client:
    """A client of the modern era: one request's worth of it."""

    era: Era = "modern"
    version = "2026-07-28"
    label = "-"
    client_info = None
    log_level = None

    def __init__(self, scope: str | None = None, capabilities: bytes = b"{}") -> None:
        self.server = scope
        self.capabilities = capabilities
        self.owner: Hashable = object()
        self.mirrored: Mapping[str, bytes] = {}
        self.principal = ""
        self.heard: list[dict[str, Any]] = []

    def send(self, message: bytes) -> None:
        """Take a message."""
        self.heard.append(json.loads(message))


class Ear:
    """A connection that carries a session's stream."""

    def __init__(self, of: Session) -> None:
        self.heard: list[dict[str, Any]] = []
        of.streams.open("get", self)

    def send(self, message: bytes, identifier: bytes, *, is_last: bool = False) -> None:
        """Take an event."""
        del identifier, is_last
        self.heard.append(json.loads(message))

    def prime(self, identifier: bytes) -> None:
        """Take an event that only has an id."""

    def comment(self) -> None:
        """Take a comment."""

    def close(self) -> None:
        """End."""

    def methods(self) -> list[str]:
        """Give what kinds of messages came."""
        return [message["method"] for message in self.heard]


def session(sessions: Sessions, scope: str | None = None, capabilities: bytes = b"{}") -> tuple[Session, Ear]:
    """Open a session."""
    made = sessions.create("2025-11-25", scope, capabilities)
    return made, Ear(made)


class FakePeer:
    """A server that says what a test has it say."""

    def __init__(self, events: Events, given: Offers) -> None:
        self.hello = given.hello
        self.events = events
        self.offers = given
        self.watched: frozenset[str] = frozenset()
        self.level = ""
        self.is_closed = False

    def send(self, call: Call) -> None:
        """Leave a call without an answer."""

    def cancel(self, call: Call, reason: Raw | None = None) -> None:
        """Forget it."""

    def notify(self, method: str, params: bytes | None = None) -> None:
        """Take a notification."""

    async def request(self, method: str, params: Mapping[str, bytes | Raw], limit: float) -> bytes:
        """Answer a list, or a ping."""
        del params, limit
        if method == "ping":
            return b"{}"
        part, member = {
            "tools/list": ("tools", "tools"),
            "prompts/list": ("prompts", "prompts"),
            "resources/list": ("resources", "resources"),
            "resources/templates/list": ("templates", "resourceTemplates"),
        }[method]
        items = [jsonrpc.dump(each.members) for each in getattr(self.offers, part)]
        return b'{"%b":[%b]}' % (member.encode(), b",".join(items))

    async def watch(self, uris: frozenset[str]) -> None:
        """Note what is wanted."""
        self.watched = uris

    async def set_log_level(self, level: str) -> None:
        """Note what is wanted."""
        self.level = level

    async def close(self) -> None:
        """End."""
        self.is_closed = True
        self.events.ended("closed")


class FakeServer:
    """How a server is reached, and its lives so far.

    Args:
        given: What it offers, None for one that does not start.
    """

    def __init__(self, given: Offers | None) -> None:
        self.offers = given
        self.lives: list[FakePeer] = []
        self.capabilities = b""
        self.on_connect: Callable[[], None] = lambda: None
        self.ready = asyncio.Event()
        self.ready.set()

    async def connect(self, events: Events, capabilities: bytes) -> FakePeer:
        """Begin a life."""
        self.capabilities = capabilities
        self.on_connect()
        await self.ready.wait()
        if self.offers is None:
            raise Failure("it does not start")
        self.lives.append(FakePeer(events, self.offers))
        return self.lives[-1]

    async def close(self) -> None:
        """Give nothing back."""

    @property
    def peer(self) -> FakePeer:
        """The life that is lived."""
        return self.lives[-1]


async def until(look: Any) -> Any:  # noqa: ANN401
    """Give the loop turns until there is something, and give it."""
    async with asyncio.timeout(LIMIT):
        while not (found := look()):  # noqa: ASYNC110 - whatever can be looked at
            await asyncio.sleep(0.005)
    return found


class World:
    """A gateway on servers that are where a test puts them."""

    def __init__(self, chosen: config.Config, servers: dict[str, FakeServer]) -> None:
        self.servers = servers
        self.sessions = Sessions(asyncio.get_running_loop().time, 60.0)
        self.refused: set[str] = set()
        self.gateway = Gateway(chosen, self._connect, self.sessions)
        self.hub = self.gateway.hub

    def _connect(self, of: config.Server) -> FakeServer:
        if of.name in self.refused:
            raise Failure("nothing can be made of it")
        return self.servers[of.name]

    def refuse(self, name: str) -> None:
        """Have nothing be made of a server's configuration from now on."""
        self.refused.add(name)

    def open(self, scope: str | None = None) -> tuple[Any, Any]:
        """Open a session that has seen what there is."""
        made, ear = session(self.sessions, scope)
        self.gateway.view(made)
        return made, ear

    def offer(self, name: str, *tools: str, **others: Any) -> None:  # noqa: ANN401
        """Have a server offer something else."""
        keeper = self.gateway.upstream(name, Client())
        keeper.listed(offers(tools, **others))

    async def told(self) -> None:
        """Wait until everybody was told everything."""
        await until(lambda: self.hub._timer is None)


@asynccontextmanager
async def world(chosen: config.Config, **given: Any) -> AsyncIterator[World]:  # noqa: ANN401
    """Give a running gateway; what servers offer by their names, a tool ``t`` where nothing is given."""
    made = World(chosen, {each.name: FakeServer(given.get(each.name, offers(["t"]))) for each in chosen.servers})
    made.gateway.start()
    await made.gateway.introduced(Client())
    await made.told()
    try:
        yield made
    finally:
        await made.gateway.stop()
