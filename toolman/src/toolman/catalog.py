"""What exists and what is visible: the servers' tools as they gave them, and the part that agents get.

A :class:`View` is made anew whenever the configuration or a server's tools change, so that listing is handing out
bytes and calling is one look-up. Pure: no I/O.
"""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from toolman import jsonrpc
from toolman.naming import expose
from toolman.policy import Decision, decide

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from toolman.config import Config

log = logging.getLogger(__name__)

COLLISION = "Collision"
"""Reason: two visible tools would get the same name. Neither is shown: a name must never change its meaning."""


class Tool(NamedTuple):
    """A tool as its server gives it: its name and all its members, raw and in order."""

    name: str
    members: jsonrpc.Members


class Route(NamedTuple):
    """Where a call goes: the server and the tool's own name as raw JSON."""

    server: str
    name: bytes


class Entry(msgspec.Struct, frozen=True):
    """One tool of one server, the name agents would see, and whether they do; ``reason`` says why not."""

    server: str
    tool: str
    exposed: str
    allowed: bool
    reason: str
    source: str


def read_tools(server: str, raw: Iterable[msgspec.Raw]) -> list[Tool]:
    """Read the tools of a ``tools/list`` result; one that could be read in two ways is left out, with a log line."""
    tools: dict[str, Tool] = {}
    for item in raw:
        try:
            found = jsonrpc.members(item, jsonrpc.TOOL_KEYS)
            name = msgspec.json.decode(found["name"], type=str)
        except (jsonrpc.Malformed, KeyError, msgspec.DecodeError, UnicodeDecodeError) as problem:
            log.warning("server %r: a tool is left out of the list: %s", server, problem)
            continue
        if name in tools:
            log.warning("server %r: lists the tool %r twice; the first one counts", server, name)
        else:
            tools[name] = Tool(name, found)
    return list(tools.values())


class View:
    """The tools that agents see.

    Attributes:
        entries: Every tool of every server with its decision, in the order of the configuration.
        routes: Exposed name to destination, for the visible tools alone.
        hidden: Exposed name to the entry of a tool that is not visible, for the audit log alone.
        listing: Result of ``tools/list``.
    """

    def __init__(self, config: Config, tools: Mapping[str, Sequence[Tool]]) -> None:
        found = [
            (_decided(config, server.name, tool.name), tool)
            for server in config.servers
            for tool in tools.get(server.name, ())
        ]
        names = Counter(entry.exposed for entry, _ in found if entry.allowed)
        shown = []
        self.entries: list[Entry] = []
        self.routes: dict[str, Route] = {}
        self.hidden: dict[str, Entry] = {}
        for entry, tool in found:
            if entry.allowed and names[entry.exposed] == 1:
                self.routes[entry.exposed] = Route(entry.server, bytes(tool.members["name"]))
                shown.append(_renamed(tool, entry.exposed))
            elif entry.allowed:
                entry = msgspec.structs.replace(entry, allowed=False, reason=COLLISION)  # noqa: PLW2901 - as it turned out
            if not entry.allowed:
                self.hidden[entry.exposed] = entry
            self.entries.append(entry)
        self.listing = b'{"tools":[' + b",".join(shown) + b"]}"

    @property
    def collisions(self) -> list[str]:
        """Names that two or more allowed tools would get."""
        return sorted({entry.exposed for entry in self.entries if entry.reason == COLLISION})


def _decided(config: Config, server: str, tool: str) -> Entry:
    decision: Decision = decide(config.layers, server, "tools", tool)
    exposed = expose(config.naming, server, tool)
    return Entry(server, tool, exposed, decision.allowed, decision.reason, decision.source)


def _renamed(tool: Tool, exposed: str) -> bytes:
    return jsonrpc.dump({**tool.members, "name": msgspec.Raw(msgspec.json.encode(exposed))})
