"""``logs``: what an agent called and what it was denied, from toolman's audit log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mcp_operator.plugin import calls

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from mcp_operator.plugin.person import Person


def run(given: argparse.Namespace, asking: Person) -> Iterator[str]:
    """Give what is to be printed, as it comes."""
    wanted = calls.Wanted(
        denied=given.denied,
        tools=tuple(given.tool),
        tail=given.tail,
        since=given.since,
        follow=given.follow,
    )
    for line in calls.of_agent(asking, given.agent, wanted):
        call = calls.parse(line)
        if call is not None and wanted.takes(call):
            yield (line.decode(errors="replace") if given.output == "json" else str(call)) + "\n"
