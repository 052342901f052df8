"""``toolman check``: say what a configuration makes visible, without serving it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

from toolman.catalog import Entry
from toolman.config import Process
from toolman.gateway import Gateway

if TYPE_CHECKING:
    from toolman.config import Config

_TITLES = ("SERVER", "TOOL", "NAME", "VISIBLE", "REASON", "LAYER")


class Report(msgspec.Struct):
    """What was found: all tools with their decisions, and the servers of which nothing can be said."""

    tools: list[Entry]
    problems: dict[str, str]


def examine(config: Config) -> Report:
    """Start the servers that are child processes, list their tools, decide on each, end the servers."""
    return asyncio.run(_examine(config))


async def _examine(config: Config) -> Report:
    processes = tuple(server for server in config.servers if isinstance(server.upstream, Process))
    others = {server.name: "not started: it runs in a Pod" for server in config.servers if server not in processes}
    gateway = Gateway(msgspec.structs.replace(config, servers=processes))
    gateway.start()
    try:
        await asyncio.gather(*(gateway.supervisor(server.name).attempted() for server in processes))
        return Report(gateway.view.entries, others | gateway.problems())
    finally:
        await gateway.stop()


def as_table(report: Report) -> str:
    """Write a report for people."""
    rows = [_TITLES]
    for tool in report.tools:
        visible = "yes" if tool.allowed else "no"
        rows.append((tool.server, _printable(tool.tool), _printable(tool.exposed), visible, tool.reason, tool.source))
    widths = [max(len(row[column]) for row in rows) for column in range(len(_TITLES))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines += [f"server {name!r}: {problem}" for name, problem in report.problems.items()]
    return "\n".join(lines)


def _printable(text: str) -> str:
    """A server chooses these names: they must not write on the terminal what they like."""
    return text if text.isprintable() else ascii(text)[1:-1]
