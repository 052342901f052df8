"""``toolman check``: say what a configuration makes visible, without serving it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from toolman.config import Pipes
from toolman.core.catalog import Entry
from toolman.core.gateway import Gateway
from toolman.core.verdicts import KINDS, Kind
from toolman.protocol import legacy
from toolman.sessions import Sessions
from toolman.upstreams import Failure, kinds

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from toolman.config import Config, Server
    from toolman.exchange import Era
    from toolman.upstreams.supervisor import Supervisor

_TITLES: dict[Kind, str] = {"tools": "TOOL", "prompts": "PROMPT", "resources": "RESOURCE", "templates": "TEMPLATE"}
_COLUMNS = ("VISIBLE", "REASON", "LAYER", "WOULD DENY")
_CLOSED = "no enforcing layer is about it, so nothing of it may be used: add one, such as `layers: [{source: all}]`"
_SECONDS = 60.0  # that a session of nobody lasts: longer than needed


class Report(msgspec.Struct):
    """What was found: everything with its decision, and the servers of which nothing can be said."""

    entries: list[Entry]
    problems: dict[str, str]


class _Nobody(NamedTuple):
    """A client of the legacy era that sees everything: servers that each session has for itself run for it, too."""

    era: Era = "legacy"
    version: str = legacy.LATEST
    label: str = "check"
    owner: str = "check"
    server: str | None = None
    capabilities: bytes = b"{}"
    client_info: bytes | None = None
    log_level: str | None = None
    principal: str = "check"
    mirrored: Mapping[str, bytes] = {}


def examine(config: Config) -> Report:
    """Start or reach the servers that can be, list what they have, decide on each, end them."""
    return asyncio.run(_examine(config))


async def _examine(config: Config) -> Report:
    near = tuple(server for server in config.servers if not isinstance(server.upstream, Pipes))
    problems = {server.name: "not started: it runs in a Pod" for server in config.servers if server not in near}
    nobody = _Nobody()
    sessions = Sessions(asyncio.get_running_loop().time, _SECONDS)
    gateway = Gateway(msgspec.structs.replace(config, servers=near), kinds.Connectors(), sessions)
    gateway.start()
    try:
        await asyncio.gather(*(keeper.attempted() for keeper in _begun(gateway, near, nobody, problems)))
        return Report(gateway.view(nobody).entries(), problems | gateway.problems())
    finally:
        await gateway.stop()


def _begun(
    gateway: Gateway, servers: Iterable[Server], nobody: _Nobody, problems: dict[str, str]
) -> Sequence[Supervisor]:
    keepers = []
    for server in servers:
        try:
            keepers.append(gateway.upstream(server.name, nobody))
        except Failure as problem:
            problems[server.name] = str(problem)
    return keepers


def as_table(report: Report) -> str:
    """Write a report for people: a table for tools, and one for each other kind that there is."""
    blocks = []
    for kind in KINDS:
        entries = [entry for entry in report.entries if entry.kind == kind]
        if entries or kind == "tools":
            blocks.append(_table(("SERVER", _TITLES[kind], "NAME", *_COLUMNS), entries))
    text = "\n\n".join("\n".join(block) for block in blocks)
    closed = dict.fromkeys(entry.server for entry in report.entries if entry.reason == "NoLayer")
    return "\n".join(
        (
            text,
            *(f"server {name!r}: {problem}" for name, problem in report.problems.items()),
            *(f"server {name!r}: {_CLOSED}" for name in closed),
        )
    )


def _table(titles: tuple[str, ...], entries: Iterable[Entry]) -> list[str]:
    rows = [titles, *(_row(entry) for entry in entries)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(titles))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _row(entry: Entry) -> tuple[str, ...]:
    visible = "yes" if entry.allowed else "no"
    names = (entry.server, _printable(entry.name), _printable(entry.exposed))
    return (*names, visible, entry.reason, entry.source, ", ".join(entry.would_deny))


def _printable(text: str) -> str:
    """A server chooses these names: they must not write on the terminal what they like."""
    return text if text.isprintable() else ascii(text)[1:-1]
