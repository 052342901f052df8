"""Servers outside of an agent's Pod, shared or remote: how toolman reaches them, and the volumes with what that takes.

The volumes are mounted in toolman's container alone: headers are Secrets, tokens open a shared server's guard.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mcp_operator import names
from toolman import config

if TYPE_CHECKING:
    from collections.abc import Sequence

    from toolman.manifest import Tool

    from mcp_operator.models.base import ServerRequest
    from mcp_operator.models.source import Header, KeyRef

TOKEN_SECONDS = 3600
"""The kubelet renews a token when 80 % of its time are over; toolman reads the file again."""


@dataclass(frozen=True, kw_only=True)
class Upstream:
    """A server that toolman connects to.

    Attributes:
        name: Of the MCPServer.
        url: Of its endpoint.
        transport: ``streamable-http`` or ``sse``.
        headers: Sent with every request, from Secrets of the agent's namespace.
        ca: The key of a ConfigMap with the authorities to trust; None for the system's.
        audience: Of the token that its guard asks for; empty for none.
        reach: Where its host may be.
        server_requests: What it may ask of agents.
        manifest: Its tools as they were verified; None where they are not known.
    """

    name: str
    url: str
    transport: str
    headers: tuple[Header, ...] = ()
    ca: KeyRef | None = None
    audience: str = ""
    reach: config.Reach = "any"
    server_requests: tuple[ServerRequest, ...] = ("elicitation",)
    manifest: tuple[Tool, ...] | None = None


def upstream(server: Upstream) -> config.Http | config.Sse:
    """Give what toolman's configuration says of a server."""
    folder = names.upstream_directory(server.name)
    kind = config.Sse if server.transport == "sse" else config.Http
    return kind(
        url=server.url,
        headers={
            header.name: config.Secret(file=f"{folder}/{names.header_file(index)}")
            for index, header in enumerate(server.headers)
        },
        token=config.Secret(file=f"{folder}/{names.UPSTREAM_TOKEN_FILE}") if server.audience else None,
        ca=f"{folder}/{names.CA_FILE}" if server.ca is not None else None,
        reach=server.reach,
    )


def volumes(server: Upstream) -> list[dict[str, Any]]:
    """Give the volume for a server: none where nothing is needed to reach it, so that it needs no other Pod."""
    sources = _sources(server)
    return [{"name": names.upstream_volume(server.name), "projected": {"sources": sources}}] if sources else []


def mounts(servers: Sequence[Upstream]) -> list[dict[str, Any]]:
    """Give what toolman's container mounts of these servers."""
    return [
        {
            "name": names.upstream_volume(server.name),
            "mountPath": names.upstream_directory(server.name),
            "readOnly": True,
        }
        for server in servers
        if _sources(server)
    ]


def _sources(server: Upstream) -> list[dict[str, Any]]:
    sources: list[dict[str, Any]] = []
    for index, header in enumerate(server.headers):
        reference = header.value_from.secret_key_ref
        item = {"key": reference.key, "path": names.header_file(index)}
        sources.append({"secret": {"name": reference.name, "items": [item]}})
    if server.ca is not None:
        item = {"key": server.ca.key, "path": names.CA_FILE}
        sources.append({"configMap": {"name": server.ca.name, "items": [item]}})
    if server.audience:
        token = {"audience": server.audience, "expirationSeconds": TOKEN_SECONDS, "path": names.UPSTREAM_TOKEN_FILE}
        sources.append({"serviceAccountToken": token})
    return sources
