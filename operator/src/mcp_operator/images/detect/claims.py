"""What a folder says of itself: files that only servers have. They count where sources and dependencies show none."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mcp_operator.images.detect import registry_entry, smithery
from mcp_operator.images.detect.candidate import join
from mcp_operator.images.detect.node_start import MANIFEST
from mcp_operator.images.tree import ManifestError

if TYPE_CHECKING:
    from mcp_operator.images.tree import Tree

_MCP_NAME = re.compile(r"\bmcp-name:\s*[\w.-]+/[\w.-]+")
"""By this line the MCP registry knows that a package of PyPI is its owner's."""


def made(tree: Tree, folder: str) -> str:
    """Give the file of a folder that calls it an MCP server, and how; empty if none does."""
    if registry_entry.names_packages(tree.text(join(folder, "server.json"))):
        return "server.json is an entry for the MCP registry"
    for name in ("smithery.yaml", "smithery.yml"):
        if smithery.starts(tree.text(join(folder, name))):
            return f"{name} says how to start it as an MCP server"
    if _npm_name(tree, folder):
        return f"{MANIFEST} has an mcpName, its name in the MCP registry"
    if _MCP_NAME.search(tree.text(join(folder, "README.md"))):
        return "README.md has an mcp-name, its name in the MCP registry"
    return ""


def _npm_name(tree: Tree, folder: str) -> bool:
    try:
        return isinstance(tree.json(join(folder, MANIFEST)).get("mcpName"), str)
    except ManifestError:  # Not a project of Node that could be built; others may be there.
        return False
