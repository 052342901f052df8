"""Read ``smithery.yaml``: the transport, and the variables that its start function fills from its configuration."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import yaml

from mcp_operator.images.detect.candidate import Hints, Setting

if TYPE_CHECKING:
    from mcp_operator.images.contract import Transport

MAX_BYTES = 256 * 1024
_TRANSPORTS: dict[str, Transport] = {"stdio": "stdio", "http": "streamable-http", "sse": "sse"}
_VARIABLE = re.compile(r"[\"']?\b([A-Z][A-Z0-9_]{2,})[\"']?\s*:\s*config\.(\w+)")


def read(text: str) -> Hints:
    """Give what it says; nothing if it cannot be read."""
    if len(text) > MAX_BYTES:
        return Hints()
    try:
        entry = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError):
        return Hints()
    start = _table(entry, "startCommand")
    schema = _table(start, "configSchema")
    required = schema.get("required")
    needed = {str(name) for name in required} if isinstance(required, list) else set()
    pairs = _VARIABLE.findall(str(start.get("commandFunction", "")))
    return Hints(
        transport=_TRANSPORTS.get(str(start.get("type", ""))),
        env=tuple(Setting(name=name, required=key in needed) for name, key in dict(pairs).items()),
    )


def _table(entry: object, name: str) -> dict[str, Any]:
    value = entry.get(name) if isinstance(entry, dict) else None
    return value if isinstance(value, dict) else {}
