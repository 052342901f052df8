"""What a toolman's report says, as far as the operator wants to know: read within bounds, whatever it holds. Pure.

An agent that takes toolman's port while that restarts can write what it likes here, and a server names its tools as it
likes: everything is bounded and printable, and nothing of it decides what anybody may use.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, get_args

import msgspec

from mcp_operator.status import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

MAX_REPORT: Final = 4 * 1024 * 1024
"""Bytes; five thousand tools have one."""
MAX_SERVERS: Final = 64
MAX_DRIFTS: Final = 500
"""Servers and tools that are kept of one report."""
NAME_LENGTH: Final = 128
TEXT_LENGTH: Final = 200
LISTED: Final = 10
"""Tools and agents that a condition's message names of each sort."""

How = Literal["changed", "added", "missing"]
_PINS: Final[Mapping[str, How]] = {"differs": "changed", "added": "added", "missing": "missing"}


class UnreadableError(Exception):
    """It is no report; the text says so without any of it."""


@dataclass(frozen=True, order=True)
class Drift:
    """A tool that is not as it was verified.

    Attributes:
        server: Whose.
        tool: Its name, printable.
        how: What is different.
    """

    server: str
    tool: str
    how: How


@dataclass(frozen=True)
class Upstream:
    """A server as a toolman sees it."""

    name: str
    running: bool
    problem: str


@dataclass(frozen=True)
class Sighting:
    """What one toolman has reported.

    Attributes:
        visible: Tools that its agent sees.
        total: Tools that its servers list.
        upstreams: Its servers.
        problem: Why the last change of its configuration is not in force; empty when it is.
        drifts: What is not as it was verified.
    """

    visible: int = 0
    total: int = 0
    upstreams: tuple[Upstream, ...] = ()
    problem: str = ""
    drifts: frozenset[Drift] = frozenset()


class _Configuration(msgspec.Struct, rename="camel"):
    in_force: bool = True
    problem: str = ""


class _Server(msgspec.Struct, rename="camel"):
    name: str
    running: bool = False
    problem: str = ""


class _Entry(msgspec.Struct, rename="camel"):
    server: str
    kind: str
    name: str
    allowed: bool = False
    pin: str = ""


class _Report(msgspec.Struct, rename="camel"):
    configuration: _Configuration = msgspec.field(default_factory=_Configuration)
    servers: list[_Server] = []
    entries: list[_Entry] = []


_decode = msgspec.json.Decoder(_Report).decode


def read(report: bytes) -> Sighting:
    """Read a report.

    Raises:
        UnreadableError: It is none.
    """
    if len(report) > MAX_REPORT:
        raise UnreadableError(f"it has more than {MAX_REPORT} bytes")
    try:
        found = _decode(report)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise UnreadableError("it is no report") from None
    tools = [entry for entry in found.entries if entry.kind == "tools"]
    drifting = [entry for entry in tools if entry.pin in _PINS][:MAX_DRIFTS]
    return Sighting(
        visible=sum(entry.allowed for entry in tools),
        total=sum(entry.pin != "missing" for entry in tools),
        upstreams=tuple(
            Upstream(_name(each.name), each.running, printable(each.problem, TEXT_LENGTH))
            for each in found.servers[:MAX_SERVERS]
        ),
        problem="" if found.configuration.in_force else printable(found.configuration.problem, TEXT_LENGTH),
        drifts=frozenset(Drift(_name(each.server), _name(each.name), _PINS[each.pin]) for each in drifting),
    )


def worst(sightings: Sequence[Sighting]) -> Sighting | None:
    """Put together what several toolmans of one agent have reported; None where none has.

    The fewest tools are visible, a server runs where all say so, and the first problem stands for all.
    """
    if not sightings:
        return None
    servers: dict[str, Upstream] = {}
    for each in (server for sighting in sightings for server in sighting.upstreams):
        if each.name not in servers or servers[each.name].running:
            servers[each.name] = each
    return Sighting(
        visible=min(each.visible for each in sightings),
        total=max(each.total for each in sightings),
        upstreams=tuple(servers.values())[:MAX_SERVERS],
        problem=next((each.problem for each in sightings if each.problem), ""),
        drifts=frozenset[Drift]().union(*(each.drifts for each in sightings)),
    )


def explain(drifts: Iterable[Drift], seen_by: Iterable[str]) -> str:
    """Say how the tools of a server differ from those that were verified, and whose toolman sees it."""
    ordered = sorted(drifts)
    parts = []
    for how in get_args(How):
        names = [each.tool for each in ordered if each.how == how]
        if names:
            parts.append(f"{how}: {_listed(names)}")
    return f"{'; '.join(parts)}. Seen by {_listed(sorted(seen_by))}"


def _listed(names: list[str]) -> str:
    more = len(names) - LISTED
    return ", ".join(names[:LISTED]) + (f" and {more} more" if more > 0 else "")


def _name(text: str) -> str:
    return printable(text, NAME_LENGTH)
