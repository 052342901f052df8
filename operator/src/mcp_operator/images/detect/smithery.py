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
    start = _table(_load(text), "startCommand")
    schema = _table(start, "configSchema")
    required = schema.get("required")
    needed = {str(name) for name in required} if isinstance(required, list) else set()
    pairs = _VARIABLE.findall(str(start.get("commandFunction", "")))
    return Hints(
        transport=_TRANSPORTS.get(str(start.get("type", ""))),
        env=tuple(Setting(name=name, required=key in needed) for name, key in dict(pairs).items()),
    )


def starts(text: str) -> bool:
    """Tell whether it says how a server is started."""
    return bool(_table(_load(text), "startCommand"))


def _load(text: str) -> object:
    if len(text) > MAX_BYTES:
        return None
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError):
        return None


def _table(entry: object, name: str) -> dict[str, Any]:
    value = entry.get(name) if isinstance(entry, dict) else None
    return value if isinstance(value, dict) else {}
