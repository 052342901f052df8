"""From what was verified to what agents get of it: the fields of a status that say what is in service. Pure."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, Final

from mcp_operator import ceilings
from mcp_operator.models.status import (
    LISTED_TOOLS,
    EndpointStatus,
    ImageStatus,
    ProtocolStatus,
    Revision,
    SourceStatus,
    ToolStatus,
)
from mcp_operator.reconcile import approval, run_settings
from mcp_operator.status import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mcp_operator.images.contract import BuildResult, Tool
    from mcp_operator.images.http_probe import Found
    from mcp_operator.models.server import MCPServerSpec
    from mcp_operator.models.status import MCPServerStatus
    from mcp_operator.reconcile.lookups import Answer

NAME_LENGTH: Final = 128
"""Characters of a tool's name that a status lists; longer ones are only in the ConfigMap."""
INFO_LENGTH: Final = 200
"""Characters of a server's own name and version."""
TAGS: Final = 20
"""Tags of an image that a status lists."""


def built(result: BuildResult, key: str, spec: MCPServerSpec, answer: Answer) -> Revision:
    """Describe what a build made, or what an image turned out to be."""
    return Revision(
        source=_source(spec, answer.revision, answer.tag),
        image=ImageStatus(
            reference=result.reference,
            id=result.image_id,
            size=result.size,
            tags=[printable(tag, NAME_LENGTH) for tag in result.tags[:TAGS]] or None,
            command=list(result.command),
            working_dir=result.working_dir,
            build_key=key,
            verified_with=run_settings.fingerprint(spec.run),
            bases=dict(result.bases),
        ),
        protocol=ProtocolStatus(
            era=result.era,
            version=result.protocol_version,
            transport=result.transport,
            port=result.port,
            path=result.path or None,
            server_info=printable(result.server_name, INFO_LENGTH),
        ),
        **_tools(result.tools),
    )


def greeted(found: Found, spec: MCPServerSpec) -> Revision:
    """Describe what a remote server said. What it is called by is the hash of its tools: it has no other version."""
    manifest = found.manifest
    said = approval.tools_hash(manifest.tools)
    return Revision(
        source=_source(spec, said[:12], ""),
        protocol=ProtocolStatus(
            era=manifest.era,
            version=manifest.protocol,
            transport=found.transport,
            server_info=printable(manifest.server, INFO_LENGTH),
        ),
        **_tools(manifest.tools),
    )


def put(status: MCPServerStatus, found: Revision, spec: MCPServerSpec) -> None:
    """Put a revision into service, and let nothing wait any more."""
    if status.image is None and found.image is not None:
        status.endpoint = None  # of a remote server that it was before
    if found.image is None:
        status.build = status.detected = None  # of an image that it was before
    for field in Revision.model_fields:
        setattr(status, field, getattr(found, field))
    status.held = None
    if (remote := spec.source.remote) is not None:
        status.endpoint = EndpointStatus(url=remote.url, transport=remote.transport)


def take_out(status: MCPServerStatus) -> None:
    """Take what is in service out of it. What its tools were stays: approval is asked for beside them."""
    status.source = status.image = status.endpoint = status.held = None


def identity(found: Revision) -> str:
    """Hash what agents get of a revision, to tell whether it is another one."""
    parts = found.model_dump(mode="json", include=set(Revision.model_fields))
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _source(spec: MCPServerSpec, revision: str, tag: str) -> SourceStatus:
    kind, name = ceilings.source_of(spec)
    return SourceStatus(
        name=f"{kind}:{name}",
        revision=revision,
        commit=revision if kind == "git" else None,
        tag=printable(tag, NAME_LENGTH) or None,
    )


def _tools(tools: Sequence[Tool]) -> dict[str, Any]:
    listed = [tool for tool in tools if len(tool.name) <= NAME_LENGTH and tool.name.isprintable()]
    return {
        "tool_count": len(tools),
        "tools_hash": approval.tools_hash(tools),
        "tools": [
            ToolStatus(name=tool.name, hash=tool.hash, tokens=tool.tokens, read_only=tool.read_only)
            for tool in listed[:LISTED_TOOLS]
        ],
    }
