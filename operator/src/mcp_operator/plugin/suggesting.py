"""``suggest``: the least-privilege ToolPolicy that the calls in an agent's audit log needed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from mcp_operator import cluster, status
from mcp_operator.models.status import MCPServerStatus
from mcp_operator.plugin import calls
from mcp_operator.reconcile import known_tools
from toolman import suggest

if TYPE_CHECKING:
    import argparse

    from mcp_operator.plugin.person import Person

NAMESPACE_LABEL: Final = "kubernetes.io/metadata.name"
"""Every namespace has its name in it; tenants cannot change it."""
_TARGET: Final = "  target:\n"


def run(given: argparse.Namespace, asking: Person) -> str:
    """Give what is to be printed: one policy for each server, for the agent's namespace alone."""
    usage = suggest.read(
        line for line in calls.of_agent(asking, given.agent, calls.Wanted()) if calls.parse(line) is not None
    )
    known = {server: _tools(asking, server) for server in {server for server, _ in usage.calls}}
    text = suggest.write(usage, known, "ToolPolicy", given.agent)
    # As it is written there, it would cap the servers of this name in all namespaces.
    selector = f"    namespaceSelector: {{matchLabels: {{{NAMESPACE_LABEL}: {json.dumps(asking.namespace)}}}}}\n"
    return text.replace(_TARGET, _TARGET + selector)


def _tools(asking: Person, server: str) -> list[str]:
    raw = asking.api.get(cluster.SERVER, asking.namespace, server)
    if raw is None:
        return []
    current = status.read(MCPServerStatus, raw)
    found = known_tools.of_server(asking.api, raw, current)
    return [tool.name for tool in (found if found is not None else current.tools or ())]
