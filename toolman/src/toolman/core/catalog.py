"""What is visible: the part of what the servers offer that agents get, under the names that agents use.

A :class:`View` is made anew whenever the configuration or what a server offers changes, so that listing is handing out
bytes and calling is one look-up. Pure: no I/O.
"""

from __future__ import annotations

import functools
from collections import Counter
from typing import TYPE_CHECKING

import msgspec

from toolman import jsonrpc
from toolman.core import capabilities, verdicts
from toolman.core.owners import Owner, Owners
from toolman.core.pins import Pin
from toolman.core.route import Route
from toolman.core.verdicts import COLLISION, KINDS, MANIFEST, MISSING, Kind, Verdict
from toolman.policy import ALLOWED, Decision, decide
from toolman.protocol import legacy, modern

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from toolman.config import Config
    from toolman.core.verdicts import Judged, Thing
    from toolman.exchange import Era
    from toolman.upstreams import ListKind

MAX_TTL = 5_000
"""Milliseconds that clients may keep a list without asking: a change of policy is seen within that time by all. What is
called is decided on at the time of the call, whatever a client has kept."""

_KEYS: dict[Kind, bytes] = {
    "tools": b"tools",
    "prompts": b"prompts",
    "resources": b"resources",
    "templates": b"resourceTemplates",
}
_REPORTED: dict[Kind, ListKind] = {
    "tools": "tools",
    "prompts": "prompts",
    "resources": "resources",
    "templates": "resources",
}
_NAMES: dict[Kind, str] = {"tools": "name", "prompts": "name", "resources": "uri", "templates": "uriTemplate"}
_MODERN = b'{"resultType":"complete",%b,"ttlMs":%d,"cacheScope":"%b","_meta":%b}'
META = jsonrpc.encode({modern.META_SERVER_INFO: msgspec.Raw(legacy.SERVER_INFO)})
"""What each result of toolman's own says of it in the modern era."""


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """One thing of one server, and whether agents see it. For people and for the operator, never for agents.

    Attributes:
        server: Whose it is.
        kind: What it is.
        name: The server's own name for it, or its URI.
        exposed: How agents see it, if they do.
        allowed: Whether they do.
        reason: Why (not): one of policy's, or of :mod:`toolman.core.verdicts`; ``Missing`` for a tool that the
            manifest has and the server does not list.
        source: Who denies it.
        would_deny: Who would, but is in audit mode.
        hash: Of a tool; empty if it could be read in two ways.
        pin: How a tool compares with the manifest.
        tokens: What it costs a model, an estimate.
    """

    server: str
    kind: Kind
    name: str
    exposed: str
    allowed: bool
    reason: str
    source: str = ""
    would_deny: tuple[str, ...] = ()
    hash: str = ""
    pin: Pin = ""
    tokens: int = 0


class View:
    """What one client sees.

    Args:
        config: Whose layers decide.
        judged: What all servers have, in the order of the configuration, those of other endpoints included: what
            bounds how much is shown counts over all of them.
        scope: The only server to be seen, None for all.
        is_complete: Whether no server is waited for any more.

    Attributes:
        scope: See above.
        is_complete: See above.
        tools: Exposed name to destination, for the visible ones alone.
        prompts: The same.
        resources: URI to destination.
        templates: URI template to destination.
        hidden: Kind and exposed name to the entry of what is not visible, for the audit log alone.
        speakers: The servers in scope that have said what they are.
        generation: Counts the changes of each list.
    """

    def __init__(
        self, config: Config, judged: Sequence[Judged], scope: str | None = None, *, is_complete: bool = True
    ) -> None:
        self.scope = scope
        self.is_complete = is_complete
        self.tools: dict[str, Route] = {}
        self.prompts: dict[str, Route] = {}
        self.resources: dict[str, Route] = {}
        self.templates: dict[str, Route] = {}
        self.hidden: dict[tuple[Kind, str], Entry] = {}
        self._judged = tuple(each for each in judged if scope in {None, each.server})
        self.generation: dict[ListKind, int] = {"tools": 1, "prompts": 1, "resources": 1}
        self._layers = config.layers
        self._owners = Owners(config.layers, self._judged)
        is_open = config.listen.token is None and config.guard is None
        self._is_public = is_open and all(each.stock.offers.is_public for each in self._judged)
        self._found = _settle(verdicts.cut(config.layers, judged), self._judged)
        shown: dict[Kind, list[bytes]] = {kind: [] for kind in KINDS}
        for thing, verdict in self._found:
            if verdict.allowed:
                getattr(self, thing.kind)[thing.exposed] = _route(thing, verdict)
                shown[thing.kind].append(thing.shown)
            else:
                self.hidden.setdefault((thing.kind, thing.exposed), _entry(thing, verdict))
        self.speakers = self._speakers()
        self._lists = {kind: b'"%b":[%b]' % (_KEYS[kind], b",".join(shown[kind])) for kind in KINDS}
        self._listings = {kind: b"{%b}" % text for kind, text in self._lists.items()}
        self._modern: dict[Kind, bytes] = {}
        self._advertised: dict[Era, capabilities.Advertised] = {}

    def listing(self, kind: Kind) -> bytes:
        """Give the result of listing, as the legacy era has it: one page."""
        return self._listings[kind]

    def modern_listing(self, kind: Kind) -> bytes:
        """Give the result of listing, as the modern era has it."""
        found = self._modern.get(kind)
        if found is None:
            scope = b"public" if self._is_public else b"private"
            found = self._modern[kind] = _MODERN % (self._lists[kind], self.ttl, scope, META)
        return found

    def changes(self, before: View) -> list[ListKind]:
        """Tell which lists differ from those of another view; a template is a change of the resources."""
        differing = {_REPORTED[kind] for kind in KINDS if self._listings[kind] != before._listings[kind]}
        return sorted(differing)

    def follow(self, before: View) -> None:
        """Count on from the view that this one takes the place of."""
        self.generation = dict(before.generation)
        for kind in self.changes(before):
            self.generation[kind] += 1

    def advertise(self, era: Era) -> capabilities.Advertised:
        """Give what a client of an era is told that there is."""
        found = self._advertised.get(era)
        if found is None:
            found = capabilities.advertise(self._layers, self.speakers, era, is_complete=self.is_complete)
            self._advertised[era] = found
        return found

    def has(self, kind: ListKind) -> bool:
        """Tell whether clients are told that there are such things at all."""
        return kind == "tools" or not self.is_complete or any(kind in each.capabilities for each in self.speakers)

    def extensions(self, era: Era) -> dict[str, str]:
        """Give the server of each extension that a client of an era is told of, experimental ones included."""
        names = ("experimental", "extensions")
        found = [capabilities.offered(self._layers, self.speakers, name, era) for name in names]
        return {name: server for each in found for name, (server, _) in each.items()}

    @functools.cached_property
    def ttl(self) -> int:
        """Milliseconds that lists may be kept: the least of the servers' bounds and of toolman's."""
        return min((MAX_TTL, *(bound for each in self._judged if (bound := each.stock.offers.ttl) is not None)))

    def entries(self) -> list[Entry]:
        """Describe everything, with hashes, in the order of the configuration: for ``check`` and reports."""
        hashes = {each.server: each.stock.fingerprints for each in self._judged}
        found = [
            _entry(thing, verdict, hashes[thing.server].of(thing.item) if thing.kind == "tools" else "")
            for thing, verdict in self._found
        ]
        return found + [_missing(each.server, name) for each in self._judged for name in each.missing]

    @functools.cached_property
    def collisions(self) -> list[tuple[Kind, str]]:
        """Names that two or more allowed things would get."""
        return sorted({(thing.kind, thing.exposed) for thing, verdict in self._found if verdict.reason == COLLISION})

    @functools.cached_property
    def pinned(self) -> frozenset[tuple[str, str]]:
        """Servers and tools that are not as the manifests have them, hidden or not."""
        found = {(t.server, t.item.name) for t, _ in self._found if t.pin in {"differs", "added"}}
        return frozenset(found | {(each.server, name) for each in self._judged for name in each.missing})

    @property
    def has_anything(self) -> bool:
        """Whether anything is visible."""
        return bool(self.tools or self.prompts or self.resources or self.templates)

    @property
    def total(self) -> int:
        """How many tools there are, visible or not."""
        return sum(len(each.stock.offers.tools) for each in self._judged)

    def tokens(self) -> tuple[int, int]:
        """Estimate what the tools cost a model: the visible ones, and all that there are."""
        tools = [(thing.tokens, verdict.allowed) for thing, verdict in self._found if thing.kind == "tools"]
        return sum(size for size, allowed in tools if allowed), sum(size for size, _ in tools)

    def owner(self, uri: str) -> tuple[str, Decision] | None:
        """Tell which server a URI is read from; None if it is nobody's or may not be read, which must look the same."""
        route = self.resources.get(uri)
        if route is not None:
            return route.server, route.decision
        found = self._unlisted(uri)
        return (found.server, _decision(found.verdict)) if found and found.verdict.allowed else None

    def denial(self, uri: str) -> Owner | None:
        """Tell who denies a URI that has no owner; None if it is simply nobody's. For the audit log alone."""
        found = self._unlisted(uri)
        return found if found and not found.verdict.allowed else None

    def _speakers(self) -> tuple[capabilities.Speaker, ...]:
        """Give the servers that clients are told of; one of which nothing is visible has nothing to say to them."""
        visible = {thing.server for thing, verdict in self._found if verdict.allowed}
        return tuple(
            _speaker(each, says=each.server in visible)
            for each in self._judged
            if decide(self._layers, each.server, "tools", "").reason != "NoLayer"
        )

    def _unlisted(self, uri: str) -> Owner | None:
        """Find whose a URI is that is not visible in a list, whether it may be read or not."""
        entry = self.hidden.get(("resources", uri))
        if entry is not None:
            return Owner(entry.server, Verdict(entry.allowed, entry.reason, entry.source, entry.would_deny))
        return self._owners.find(uri)


def _settle(cut: Mapping[Thing, Verdict], judged: Iterable[Judged]) -> list[tuple[Thing, Verdict]]:
    """Give every thing its last verdict: what would get one name is not shown."""
    found = [(thing, cut.get(thing, thing.verdict)) for each in judged for thing in each.things]
    names = Counter((thing.kind, thing.exposed) for thing, verdict in found if verdict.allowed)
    return [
        (thing, verdict.against(COLLISION) if verdict.allowed and names[thing.kind, thing.exposed] > 1 else verdict)
        for thing, verdict in found
    ]


def _speaker(judged: Judged, *, says: bool) -> capabilities.Speaker:
    hello = judged.stock.offers.hello
    instructions = hello.instructions if says else None
    return capabilities.Speaker(judged.server, hello.era, judged.stock.capabilities, instructions)


def _route(thing: Thing, verdict: Verdict) -> Route:
    members = thing.item.members
    schema = members.get("inputSchema") if thing.kind == "tools" else None
    wire = bytes(members[_NAMES[thing.kind]])
    return Route(thing.server, thing.item.name, wire, _decision(verdict), schema)


def _decision(verdict: Verdict) -> Decision:
    """Give the decision on something that is allowed."""
    return Decision(allowed=True, reason="Allowed", would_deny=verdict.would_deny) if verdict.would_deny else ALLOWED


def _entry(thing: Thing, verdict: Verdict, fingerprint: str = "") -> Entry:
    return Entry(
        server=thing.server,
        kind=thing.kind,
        name=thing.item.name,
        exposed=thing.exposed,
        allowed=verdict.allowed,
        reason=verdict.reason,
        source=verdict.source,
        would_deny=verdict.would_deny,
        hash=fingerprint,
        pin=thing.pin,
        tokens=thing.tokens,
    )


def _missing(server: str, name: str) -> Entry:
    return Entry(
        server=server,
        kind="tools",
        name=name,
        exposed="",
        allowed=False,
        reason=MISSING,
        source=MANIFEST,
        pin="missing",
    )
