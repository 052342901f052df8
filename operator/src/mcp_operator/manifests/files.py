"""The files that a server's owner puts into its container: from Secrets, ConfigMaps, or written in the MCPServer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mcp_operator import names
from mcp_operator.manifests.metadata import of_server

if TYPE_CHECKING:
    from mcp_operator.models.run import FileMount, Run
    from mcp_operator.models.server import MCPServerSpec
    from mcp_operator.objects import Resource

CONTENT_LIMIT = 900_000
"""Bytes of all files written in one MCPServer: an object in the cluster has room for about a megabyte."""


def volumes(server: str, run: Run) -> list[dict[str, Any]]:
    """Give the volume with a server's files; none where there are none."""
    if not run.files:
        return []
    sources = [_source(server, index, file) for index, file in enumerate(run.files)]
    return [{"name": names.files_volume(server), "projected": {"sources": sources}}]


def mounts(server: str, run: Run) -> list[dict[str, Any]]:
    """Give the mounts of a server's files, each alone, so that what the image has beside them stays."""
    return [
        {"name": names.files_volume(server), "mountPath": file.path, "subPath": _name(index), "readOnly": True}
        for index, file in enumerate(run.files)
    ]


def contents(run: Run) -> dict[str, str]:
    """Give the files that are written in the MCPServer itself, by their keys in the ConfigMap."""
    return {_name(index): file.content for index, file in enumerate(run.files) if file.content is not None}


def size(run: Run) -> int:
    """Give the bytes of the files that are written in the MCPServer itself."""
    return sum(len(content.encode()) for content in contents(run).values())


def config_map(server: Resource[MCPServerSpec]) -> dict[str, Any] | None:
    """Give the ConfigMap with these files, which goes when the MCPServer goes; None where there are none."""
    data = contents(server.spec.run)
    if not data:
        return None
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": names.files_config_map(server.name),
            "namespace": server.namespace,
            "labels": {names.MANAGED_BY: names.MANAGER},
            "ownerReferences": [of_server(server.name, server.uid)],
        },
        "data": data,
    }


def _source(server: str, index: int, file: FileMount) -> dict[str, Any]:
    if file.secret_key_ref is not None:
        item = {"key": file.secret_key_ref.key, "path": _name(index)}
        return {"secret": {"name": file.secret_key_ref.name, "items": [item]}}
    reference = file.config_map_key_ref
    name, key = (reference.name, reference.key) if reference else (names.files_config_map(server), _name(index))
    return {"configMap": {"name": name, "items": [{"key": key, "path": _name(index)}]}}


def _name(index: int) -> str:
    return f"file-{index}"
