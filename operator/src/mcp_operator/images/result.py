"""What a build found, as a label of its image (so that it is known again without building) and as JSON for programs."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, ValidationError

from mcp_operator.images.contract import BuildResult, Needs, Tool, Transport

if TYPE_CHECKING:
    from mcp_operator.images.contract import BuildError
    from mcp_operator.images.preview import Preview
    from mcp_operator.images.scans import Scan

MAX_LABEL = 48 * 1024
"""Bytes: a line of a Dockerfile may have 64 KiB. Images of servers with some hundreds of tools are built again."""


class Record(BaseModel):
    """What is kept in an image's label: everything of a result that is not the image's own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    command: tuple[str, ...]
    working_dir: str
    evidence: tuple[str, ...]
    protocol_version: str
    server_name: str
    tools: tuple[Tool, ...]
    warnings: tuple[str, ...]
    language: str
    transport: Transport
    port: int | None
    path: str
    era: str
    needs: Needs
    version: str = ""
    created: float = 0.0

    def of_result(self) -> dict[str, Any]:
        """Give the arguments of :class:`~mcp_operator.images.contract.BuildResult` that are kept here."""
        own = {"version", "created"}
        return {name: getattr(self, name) for name in type(self).model_fields if name not in own}


def label(record: Record) -> str:
    """Write a record as a label's value: one printable line; empty if it is too long for one."""
    text = json.dumps(record.model_dump(mode="json"), separators=(",", ":"))
    return text if len(text) <= MAX_LABEL else ""


def read(text: str) -> Record | None:
    """Read a label's value; None if it is none of ours or of another version of us."""
    try:
        return Record.model_validate_json(text)
    except ValidationError:
        return None


def document(result: BuildResult, *, digest: str = "") -> dict[str, Any]:
    """Give the JSON of a build that succeeded; ``docs/building.md`` describes it."""
    return {
        "image": {
            "id": result.image_id,
            "tags": list(result.tags),
            "digest": digest or result.reference.partition("@")[2] or None,
            "size": result.size,
        },
        "source": {"commit": result.commit},
        "runtime": {
            "language": result.language,
            "evidence": list(result.evidence),
            "command": list(result.command),
        },
        "manifest": {
            "protocol": result.protocol_version,
            "era": result.era,
            "server": result.server_name,
            "transport": result.transport,
            "port": result.port,
            "path": result.path,
            "needs": dataclasses.asdict(result.needs)
            | {"env": list(result.needs.env), "args": list(result.needs.args)},
            "tools": [{"name": tool.name, "hash": tool.hash, "tokens": tool.tokens} for tool in result.tools],
        },
        "reused": result.reused,
        "seconds": round(result.seconds, 1),
        "warnings": list(result.warnings),
        "scans": [_scan(scan) for scan in result.scans],
        "error": None,
    }


def _scan(scan: Scan) -> dict[str, Any]:
    return {
        "kind": scan.kind,
        "ran": scan.ran,
        "note": scan.note,
        "tool": scan.tool,
        "findings": [dataclasses.asdict(finding) for finding in scan.findings],
        "document": json.loads(scan.document) if scan.document else None,
    }


def failure(error: BuildError, seconds: float) -> dict[str, Any]:
    """Give the JSON of a build that failed: the same keys."""
    return {
        **dict.fromkeys(("image", "source", "runtime", "manifest")),
        "reused": False,
        "seconds": round(seconds, 1),
        "warnings": [],
        "scans": [],
        "error": {
            "reason": str(error.reason),
            "step": str(error.step),
            "message": error.message,
            "hint": error.hint,
            "log": error.log_tail.splitlines(),
        },
    }


def planned(found: Preview) -> dict[str, Any]:
    """Give the JSON of what would be built: the same keys."""
    return {
        "image": {"id": None, "tags": list(found.tags), "digest": None, "size": None},
        "source": {"commit": found.commit},
        "runtime": {
            "language": found.language,
            "evidence": list(found.evidence),
            "command": list(found.command),
        },
        "manifest": None,
        "reused": False,
        "seconds": 0.0,
        "warnings": list(found.warnings),
        "scans": [],
        "error": None,
    }
