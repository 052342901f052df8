"""Puts verified revisions into service, or lets them wait for approval; keeps the list of their tools beside that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mcp_operator import names
from mcp_operator.images.contract import Tool
from mcp_operator.reconcile import approval, in_service, manifests_store

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mcp_operator.cluster import Cluster, Manifest
    from mcp_operator.models.server import MCPServerSpec
    from mcp_operator.models.status import MCPServerStatus, Revision
    from mcp_operator.objects import Resource


class Promotion:
    """What goes into service, for all MCPServers."""

    def __init__(self, api: Cluster) -> None:
        self._api = api

    def offer(
        self,
        raw: Manifest,
        server: Resource[MCPServerSpec],
        after: MCPServerStatus,
        found: Revision,
        tools: Sequence[Tool],
    ) -> None:
        """Put a revision into service, or let it wait. The list is written before any status speaks of it.

        Raises:
            Problem: The list's ConfigMap is somebody else's.
            manifests_store.TooManyToolsError: The list is too long.
        """
        if not _must_wait(server, after, found.tools_hash):
            after.manifest = manifests_store.write(self._api, raw, tools)
            in_service.put(after, found, server.spec)
            return
        place = (server.namespace, server.name)
        before = manifests_store.read(self._api, *place, after.tools_hash) or _listed(after)
        held = approval.hold(found, before, tools, place)
        after.manifest = manifests_store.write(self._api, raw, before, tools)
        after.held = held

    def review(
        self, raw: Manifest, server: Resource[MCPServerSpec], after: MCPServerStatus, key: str | None = None
    ) -> None:
        """See whether what waits may go into service now, or waits in vain.

        Args:
            raw: The MCPServer as stored.
            server: The same, read.
            after: Its status.
            key: Of the build that is wanted now; None where nothing is built.

        Raises:
            Problem: The list's ConfigMap is somebody else's.
        """
        held = after.held
        if held is None:
            return
        if key != (held.image.build_key if held.image is not None else None):
            after.held = None  # another revision is wanted by now
            return
        if _must_wait(server, after, held.tools_hash):
            return
        tools = manifests_store.read_held(self._api, server.namespace, server.name, held.tools_hash)
        if tools is None:
            after.held = None  # the list is lost: found anew with the revision
            return
        after.manifest = manifests_store.write(self._api, raw, tools)
        in_service.put(after, held, server.spec)

    def knows(self, server: Resource[MCPServerSpec], after: MCPServerStatus) -> bool:
        """Tell whether the list of the tools in service is there, and is the one that belongs to them."""
        return manifests_store.read(self._api, server.namespace, server.name, after.tools_hash or "") is not None


def approved(server: Resource[MCPServerSpec]) -> str:
    """Give the hash that somebody approves; empty when nobody does."""
    return server.annotations.get(names.ANNOTATION_APPROVE, "").strip()


def _must_wait(server: Resource[MCPServerSpec], after: MCPServerStatus, found: str | None) -> bool:
    return approval.is_needed(server.spec.tools.changes, after.tools_hash, found, approved(server))


def _listed(after: MCPServerStatus) -> list[Tool]:
    return [
        Tool(name=tool.name, hash=tool.hash, tokens=tool.tokens, read_only=tool.read_only) for tool in after.tools or ()
    ]
