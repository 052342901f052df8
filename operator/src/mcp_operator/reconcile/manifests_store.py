"""All tools of each MCPServer, in a ConfigMap of its own: a status has room for the first of them only.

The status has the hash of what must be there. Whoever may write ConfigMaps could change the list, but not the hash, and
what does not fit it counts as lost and is found anew.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from pydantic import TypeAdapter, ValidationError

from mcp_operator import cluster, conditions, names
from mcp_operator.images.contract import Tool
from mcp_operator.manifests.metadata import of_server
from mcp_operator.outcomes import Stalled, Waiting
from mcp_operator.reconcile import approval

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mcp_operator.cluster import Cluster, Manifest

IN_SERVICE: Final = "tools.json"
"""Key of the tools in service."""
HELD: Final = "held.json"
"""Key of those that wait for approval."""
MAX_BYTES: Final = 450_000
"""Of one list: a ConfigMap may have 1 MiB, and this one can have two lists. Some 3,000 tools."""
RECHECK: Final = 30.0
"""Seconds until a foreign ConfigMap in our place is looked at again."""

_TOOLS: Final = TypeAdapter(tuple[Tool, ...])


class TooManyToolsError(Exception):
    """A list of tools does not fit into a ConfigMap."""


def read(api: Cluster, namespace: str, server: str, expected: str | None = None) -> tuple[Tool, ...] | None:
    """Give the tools of a server that are in service, in its order.

    Args:
        api: The cluster.
        namespace: Of the MCPServer.
        server: Its name.
        expected: ``status.toolsHash``, which the list must fit; without, it is taken as it is.

    Returns:
        None when nothing is known, or when it does not fit.
    """
    return _read(api, namespace, server, IN_SERVICE, expected)


def read_held(api: Cluster, namespace: str, server: str, expected: str | None) -> tuple[Tool, ...] | None:
    """Give the tools that wait for approval; as :func:`read`."""
    return _read(api, namespace, server, HELD, expected)


def fits(tools: Sequence[Tool]) -> bool:
    """Tell whether a list can be kept."""
    return len(_text(tools)) <= MAX_BYTES


def write(api: Cluster, server: Manifest, tools: Sequence[Tool], held: Sequence[Tool] | None = None) -> str:
    """Keep the tools of a server; does nothing where they are there already. Gives the ConfigMap's name.

    Args:
        api: The cluster.
        server: The MCPServer as stored.
        tools: What is in service.
        held: What waits for approval.

    Raises:
        Stalled: A ConfigMap that is not ours has the name.
        Waiting: That of an earlier MCPServer of this name is still going.
    """
    wanted = _manifest(server, tools, held)
    metadata = wanted["metadata"]
    current = api.config_map(metadata["namespace"], metadata["name"])
    if current is not None:
        owner = cluster.controller(current)
        if owner.get("uid") != server["metadata"]["uid"]:
            raise _taken(metadata["name"], is_ours=owner.get("kind") == cluster.SERVER.kind)
        if current.get("data") == wanted["data"]:
            return str(metadata["name"])
    api.apply_config_map(wanted)
    return str(metadata["name"])


def _read(api: Cluster, namespace: str, server: str, key: str, expected: str | None) -> tuple[Tool, ...] | None:
    found = api.config_map(namespace, names.manifest_config_map(server))
    text = (found.get("data") or {}).get(key) if found is not None else None
    if text is None:
        return None
    try:
        tools = _TOOLS.validate_json(text)
    except ValidationError:
        return None
    return tools if expected is None or approval.tools_hash(tools) == expected else None


def _manifest(server: Manifest, tools: Sequence[Tool], held: Sequence[Tool] | None) -> Manifest:
    metadata = server["metadata"]
    data = {IN_SERVICE: _text(tools)} | ({HELD: _text(held)} if held is not None else {})
    if any(len(text) > MAX_BYTES for text in data.values()):
        raise TooManyToolsError(f"{len(tools)} tools")
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": names.manifest_config_map(metadata["name"]),
            "namespace": metadata["namespace"],
            "labels": {names.MANAGED_BY: names.MANAGER},
            "ownerReferences": [of_server(metadata["name"], metadata["uid"])],
        },
        "data": data,
    }


def _text(tools: Sequence[Tool]) -> str:
    """Write a list: one tool a line, for people and for what compares files."""
    lines = [
        json.dumps({"name": tool.name, "hash": tool.hash, "tokens": tool.tokens, "read_only": tool.read_only})
        for tool in tools
    ]
    return "[\n" + ",\n".join(lines) + "\n]\n"


def _taken(name: str, *, is_ours: bool) -> Stalled | Waiting:
    if is_ours:
        text = f"ConfigMap {name} of an earlier MCPServer of this name is still being deleted"
        return Waiting(conditions.MANIFEST_NAME_TAKEN, text)
    text = f"ConfigMap {name} exists and is not this MCPServer's: delete it, or rename the MCPServer"
    return Stalled(conditions.MANIFEST_NAME_TAKEN, text, delay=RECHECK)
