"""What a build found, as labels of its image (so that it is known again without building) and as JSON for programs."""

from __future__ import annotations

import base64
import dataclasses
import json
import re
import zlib
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, ValidationError

from mcp_operator import names
from mcp_operator.images.contract import BuildResult, Needs, Tool, Transport

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mcp_operator.images.contract import BuildError
    from mcp_operator.images.preview import Preview
    from mcp_operator.images.scans import Scan

MAX_PLAIN = 24 * 1024
"""Characters of a record that is written as it is, for people to read: a Dockerfile has some of them twice."""
MAX_LABEL = 48 * 1024
"""Characters of a label with a part of a packed record: a line of a Dockerfile may have 64 KiB."""
MAX_LABELS = 8
"""Enough for some thousands of tools; an image of more is built again."""
MAX_RECORD = 16 * 1024 * 1024
"""Bytes of a record that is unpacked: who writes labels into a registry may mean harm."""

_PACKED = re.compile(r"zlib ([1-8]):")


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
    bases: dict[str, str]
    version: str = ""
    created: float = 0.0

    def of_result(self) -> dict[str, Any]:
        """Give the arguments of :class:`~mcp_operator.images.contract.BuildResult` that are kept here."""
        own = {"version", "created"}
        return {name: getattr(self, name) for name in type(self).model_fields if name not in own}


def labels(record: Record) -> dict[str, str]:
    """Write a record as labels of an image: printable lines. The first is always there, and empty if all is too long.

    It is so because a Dockerfile of the repository's own may have a label of this name, too.
    """
    text = json.dumps(record.model_dump(mode="json"), separators=(",", ":"))
    if len(text) <= MAX_PLAIN:
        return {names.LABEL_RESULT: text}
    packed = base64.b64encode(zlib.compress(text.encode(), 9)).decode()
    parts = [packed[at : at + MAX_LABEL] for at in range(0, len(packed), MAX_LABEL)]
    if len(parts) > MAX_LABELS:
        return {names.LABEL_RESULT: ""}
    parts[0] = f"zlib {len(parts)}:{parts[0]}"
    return {names.result_part(number): part for number, part in enumerate(parts, 1)}


def read(found: Mapping[str, str]) -> Record | None:
    """Read the labels of an image; None if there is no record in them, or one of another version of us."""
    text = found.get(names.LABEL_RESULT, "")
    if packed := _PACKED.match(text):
        parts = (found.get(names.result_part(number), "") for number in range(2, int(packed[1]) + 1))
        text = _unpacked("".join((text[packed.end() :], *parts)))
    try:
        return Record.model_validate_json(text)
    except ValidationError:
        return None


def _unpacked(packed: str) -> str:
    reader = zlib.decompressobj()
    try:
        return reader.decompress(base64.b64decode(packed, validate=True), MAX_RECORD).decode()
    except (ValueError, zlib.error):  # it was cut off, or never was ours
        return ""


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
            "workingDirectory": result.working_dir,
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


def planned(found: Preview, seconds: float) -> dict[str, Any]:
    """Give the JSON of what would be built: the same keys, and where it would go."""
    return {
        "image": {"id": None, "tags": list(found.tags), "digest": None, "size": None},
        "source": {"commit": found.commit},
        "runtime": {
            "language": found.language,
            "evidence": list(found.evidence),
            "command": list(found.command),
            "workingDirectory": None,
        },
        "manifest": None,
        "reused": found.reused,
        "seconds": round(seconds, 1),
        "warnings": list(found.warnings),
        "scans": [],
        "error": None,
        "push": [
            {
                "server": each.server,
                "identity": each.identity or None,
                "plainHttp": each.plain_http,
                "names": list(each.names),
            }
            for each in found.pushes
        ],
    }
