"""What is decided on each thing that a server offers: policy, then its manifest, then how much may be shown. Pure.

Whether two things get one name is seen in a view alone (:mod:`toolman.core.catalog`): an endpoint for one server has no
other server's names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec

from toolman import jsonrpc, manifest
from toolman.config import Http
from toolman.core import pins
from toolman.core.capabilities import read_object
from toolman.naming import expose
from toolman.policy import decide, matches
from toolman.protocol import mirror

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from toolman.config import Config, Server
    from toolman.policy import Decision, Layer
    from toolman.upstreams.offers import Item, Offers

Kind = Literal["tools", "prompts", "resources", "templates"]

KINDS: tuple[Kind, ...] = ("tools", "prompts", "resources", "templates")

COLLISION = "Collision"
"""Reason: two visible things would get the same name. Neither is shown: a name must never change its meaning."""

PINNED = "Pinned"
"""Reason: the tool is not what was recorded when its server was verified."""

LIMIT = "Limit"
"""Reason: a layer bounds how many tools are shown, or how many tokens they take, and this one is behind."""

UNUSABLE = "Unusable"
"""Reason: its ``x-mcp-header`` is not valid, so what speaks 2026-07-28 over HTTP with its server must not use it."""

MISSING = "Missing"
"""Reason: the manifest has the tool, its server does not list it."""

MANIFEST = "manifest"
"""Source of what is decided by pins."""


class Verdict(NamedTuple):
    """A decision, and a reason that may be another than policy's; see :class:`toolman.policy.Decision`."""

    allowed: bool
    reason: str
    source: str = ""
    would_deny: tuple[str, ...] = ()

    def against(self, reason: str, source: str = "") -> Verdict:
        """Deny it for another reason."""
        return self._replace(allowed=False, reason=reason, source=source)


class Stock:
    """What one server has at the moment.

    Attributes:
        offers: As it listed it.
        is_there: Whether it listed that itself; else it is away, and what it says of itself is remembered alone.
        capabilities: What it says that it has, by name, raw.
        fingerprints: Hashes of its tools.
    """

    __slots__ = ("capabilities", "fingerprints", "is_there", "offers")

    def __init__(self, offers: Offers, *, is_there: bool = True) -> None:
        self.offers = offers
        self.is_there = is_there
        self.capabilities = read_object(offers.hello.capabilities)
        self.fingerprints = pins.Fingerprints()


class Thing:
    """A tool, prompt, resource or template, decided on.

    Attributes:
        server: Whose it is.
        kind: What it is.
        item: As its server listed it.
        exposed: How agents see it: its name with or without prefix, its URI.
        pin: How it compares with the manifest.
        verdict: What policy and manifest say.
        shown: As agents get it, if they may: the name is all that differs.
        tokens: What it costs a model, an estimate.
    """

    __slots__ = ("exposed", "item", "kind", "pin", "server", "shown", "tokens", "verdict")

    def __init__(self, server: str, kind: Kind, item: Item, exposed: str) -> None:
        self.server = server
        self.kind: Kind = kind
        self.item = item
        self.exposed = exposed
        self.pin: pins.Pin = ""
        self.verdict = _UNDECIDED
        self.shown = _write(kind, item, exposed)
        self.tokens = manifest.tokens(len(self.shown))


_UNDECIDED = Verdict(allowed=False, reason="NoLayer")


class Judged(NamedTuple):
    """Everything of one server, in its order.

    Attributes:
        server: Its name.
        stock: Where it is from.
        things: Decided on, but for what depends on other servers.
        missing: Names of tools that the manifest has and the server does not list.
    """

    server: str
    stock: Stock
    things: tuple[Thing, ...]
    missing: tuple[str, ...] = ()


def judge(config: Config, server: Server, stock: Stock) -> Judged:
    """Decide on everything that a server offers."""
    recorded = {tool.name: tool.hash for tool in server.manifest or ()}
    is_pinned = server.manifest is not None and server.pin != "off"
    things: list[Thing] = []
    for kind in KINDS:
        for item in getattr(stock.offers, kind):
            thing = _judge_policy(config, server.name, kind, item)
            if kind == "tools":
                if is_pinned:
                    _judge_pin(thing, server, recorded, stock)
                _judge_annotations(thing, server, stock)
            things.append(thing)
    missing = pins.missing(recorded, stock.offers.tools) if is_pinned and stock.is_there else ()
    return Judged(server.name, stock, tuple(things), tuple(missing))


def cut(layers: Iterable[Layer], judged: Sequence[Judged]) -> Mapping[Thing, Verdict]:
    """Find the tools that layers' bounds leave no room for.

    Each layer counts over all servers that it is about, in the order of the list. A tool that does not fit is passed
    over, not all behind it: one huge tool of one server must not hide the others'.

    Returns:
        The verdicts that change, those of layers in audit mode included.
    """
    changed: dict[Thing, Verdict] = {}
    for layer in layers:
        room = _Room(layer)
        if not room.is_bounded:
            continue
        for thing in (thing for each in judged if matches(layer.servers, each.server) for thing in each.things):
            verdict = changed.get(thing, thing.verdict)
            if thing.kind == "tools" and verdict.allowed and not room.takes(thing):
                changed[thing] = _beyond(verdict, layer)
    return changed


class _Room:
    """What a layer leaves for tools."""

    def __init__(self, layer: Layer) -> None:
        self._tools = layer.limits.max_tools
        self._tokens = layer.limits.max_list_tokens
        self.is_bounded = self._tools is not None or self._tokens is not None

    def takes(self, thing: Thing) -> bool:
        """Take the room that a tool needs, if it is there."""
        if self._tools == 0 or (self._tokens is not None and thing.tokens > self._tokens):
            return False
        if self._tools is not None:
            self._tools -= 1
        if self._tokens is not None:
            self._tokens -= thing.tokens
        return True


def _beyond(verdict: Verdict, layer: Layer) -> Verdict:
    if layer.enforcement == "audit":
        return verdict._replace(would_deny=(*verdict.would_deny, layer.source))
    return verdict.against(LIMIT, layer.source)


def _judge_policy(config: Config, server: str, kind: Kind, item: Item) -> Thing:
    named = kind in {"tools", "prompts"}
    thing = Thing(server, kind, item, expose(config.naming, server, item.name) if named else item.name)
    decision: Decision = decide(config.layers, server, "resources" if kind == "templates" else kind, item.name)
    thing.verdict = Verdict(decision.allowed, decision.reason, decision.source, decision.would_deny)
    if not decision.allowed:
        thing.shown = b""  # nobody gets it
    return thing


def _judge_pin(thing: Thing, server: Server, recorded: Mapping[str, str], stock: Stock) -> None:
    thing.pin = pins.compare(recorded, thing.item, stock.fingerprints)
    if thing.pin == "same":
        return
    if server.pin == "audit":
        thing.verdict = thing.verdict._replace(would_deny=(*thing.verdict.would_deny, MANIFEST))
    elif thing.verdict.allowed:
        thing.verdict = thing.verdict.against(PINNED, MANIFEST)


def _judge_annotations(thing: Thing, server: Server, stock: Stock) -> None:
    """Leave out what a client of the modern era must not offer. Over stdio nothing is mirrored into headers."""
    if thing.verdict.allowed and stock.offers.hello.era == "modern" and isinstance(server.upstream, Http):
        try:
            mirror.find(thing.item.members.get("inputSchema"))
        except mirror.InvalidAnnotationError:
            thing.verdict = thing.verdict.against(UNUSABLE)


def _write(kind: Kind, item: Item, exposed: str) -> bytes:
    members = item.members
    if kind in {"tools", "prompts"}:
        members = {**members, "name": msgspec.Raw(jsonrpc.encode(exposed))}
    return jsonrpc.on_one_line(jsonrpc.dump(members))
