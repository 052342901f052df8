"""``toolman probe``: shake hands with one server, list what it offers, end it, and say it as JSON."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Raw

from toolman import jsonrpc, manifest
from toolman.exchange import REFUSED
from toolman.upstreams import Failure, kinds, listing

if TYPE_CHECKING:
    from collections.abc import Iterable

    from toolman.config import Server
    from toolman.exchange import Question
    from toolman.upstreams import Hello, ListKind
    from toolman.upstreams.offers import Item, Offers

log = logging.getLogger(__name__)


class Tool(msgspec.Struct):
    """A tool; ``hash`` and ``tokens`` are those of :mod:`toolman.manifest`, ``hash`` is empty if it cannot be read."""

    name: str
    hash: str
    tokens: int


class Protocol(msgspec.Struct):
    """How the server is spoken with: the era, the revision, and the kind of upstream."""

    era: str
    version: str
    transport: str


class Report(msgspec.Struct, rename="camel"):
    """What a server said and offers."""

    protocol: Protocol
    server_info: Raw
    capabilities: Raw
    instructions: str | None
    tools: list[Tool]
    prompts: list[str]
    resources: list[str]
    resource_templates: list[str]
    problems: dict[str, str]


def examine(server: Server, limit: float) -> bytes:
    """Examine a server.

    Args:
        server: How to reach it.
        limit: Seconds for the handshake, and for each list.

    Returns:
        A :class:`Report` as JSON.

    Raises:
        Failure: It cannot be started, reached or understood.
    """
    return msgspec.json.format(msgspec.json.encode(asyncio.run(_examine(server, limit))), indent=2)


async def _examine(server: Server, limit: float) -> Report:
    connector = kinds.Connectors()(server)
    try:
        async with asyncio.timeout(limit):
            peer = await connector.connect(_Deaf(), b"{}")
        try:
            listed = await listing.walk(server.name, peer, limit)
        finally:
            await peer.close()
    except TimeoutError:
        raise Failure(f"server {server.name!r} did not answer the handshake within {limit:g} s") from None
    finally:
        await connector.close()
    return _report(server, listed.offers, {str(kind): why for kind, why in listed.failed.items()})


def _report(server: Server, offers: Offers, problems: dict[str, str]) -> Report:
    hello: Hello = offers.hello
    return Report(
        protocol=Protocol(hello.era, hello.version, str(type(server.upstream).__struct_config__.tag)),
        server_info=Raw(hello.server_info),
        capabilities=Raw(hello.capabilities),
        instructions=hello.instructions,
        tools=[_tool(item) for item in offers.tools],
        prompts=_names(offers.prompts),
        resources=_names(offers.resources),
        resource_templates=_names(offers.templates),
        problems=problems,
    )


def _tool(item: Item) -> Tool:
    text = jsonrpc.dump(item.members)
    try:
        found: dict[str, Any] = msgspec.json.decode(jsonrpc.repaired(text))
        return Tool(item.name, manifest.tool_hash(found), manifest.tokens(len(text)))
    except (msgspec.DecodeError, RecursionError):
        return Tool(item.name, "", manifest.tokens(len(text)))


def _names(items: Iterable[Item]) -> list[str]:
    return [item.name for item in items]


class _Deaf:
    """Takes what belongs to no call, and does nothing about it."""

    def changed(self, kind: ListKind) -> None:
        """It is listed only once."""

    def updated(self, uri: str, params: Raw) -> None:
        """Nothing was subscribed to."""

    def logged(self, params: Raw) -> None:
        """Say it for people."""
        log.debug("log message: %s", bytes(params)[:500])

    def notified(self, method: str, params: Raw | None) -> None:
        """Nothing is waited for."""

    def asked(self, question: Question) -> None:
        """There is nobody to answer."""
        question.answer(REFUSED)

    def ended(self, how: str) -> None:
        """Whoever waits hears of it by an error."""
