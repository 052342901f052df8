"""Read ``server.json``, the entry of the MCP registry: packages with their transport, arguments and variables."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from mcp_operator.images import placeholders
from mcp_operator.images.detect.candidate import Hints, Setting

if TYPE_CHECKING:
    from mcp_operator.images.contract import Transport

_REGISTRIES = {"node": ("npm",), "python": ("pypi",), "go": ("oci", "docker", "mcpb"), "dockerfile": ("oci", "docker")}
_TRANSPORTS: dict[str, Transport] = {"stdio": "stdio", "streamable-http": "streamable-http", "sse": "sse"}
_URL = re.compile(r"https?://[^/:\s]+(?::(\d{1,5}))?(/[^\s?#]*)?")


def read(text: str, runtime: str) -> Hints:
    """Give what the package for this language says, else the first one; nothing if it cannot be read."""
    packages = _packages(text)
    wanted = _REGISTRIES.get(runtime, ())
    own = [each for each in packages if _field(each, "registryType", "registry_type", "registry_name") in wanted]
    return _package((own or packages)[0]) if packages else Hints()


def names_packages(text: str) -> bool:
    """Tell whether it names packages that are servers."""
    return bool(_packages(text))


def _packages(text: str) -> list[dict[str, Any]]:
    try:
        entry = json.loads(text)
    except (ValueError, RecursionError):
        return []
    return [each for each in _items(entry, "packages") if isinstance(each, dict)]


def _package(package: dict[str, Any]) -> Hints:
    transport = package.get("transport")
    kind = transport.get("type") if isinstance(transport, dict) else transport
    url = _URL.match(str(transport.get("url", ""))) if isinstance(transport, dict) else None
    env = _items(package, "environmentVariables", "environment_variables")
    arguments = _items(package, "packageArguments", "package_arguments")
    return Hints(
        transport=_TRANSPORTS.get(str(kind)),
        port=int(url[1]) if url and url[1] else None,
        path=(url[2] or "") if url else "",
        env=tuple(_setting(each) for each in env if isinstance(each, dict)),
        args=tuple(word for each in arguments if isinstance(each, dict) for word in _argument(each)),
    )


def _setting(entry: dict[str, Any]) -> Setting:
    secret = bool(_field(entry, "isSecret", "is_secret"))
    return Setting(
        name=str(entry.get("name", "")),
        required=bool(_field(entry, "isRequired", "is_required")),
        secret=secret,
        value="" if secret else _value(entry),
    )


def _argument(entry: dict[str, Any]) -> tuple[str, ...]:
    """Give the words of an argument that is fixed or required, with a placeholder for what only its user knows."""
    value = _value(entry)
    required = bool(_field(entry, "isRequired", "is_required"))
    if not required and "value" not in entry:
        return ()
    if entry.get("type") == "named":
        name = str(entry.get("name", ""))
        value = value or (placeholders.value(name) if required else "")
        return (name, *([value] if value else [])) if name.startswith("-") and value else ()
    value = value or (placeholders.value(str(_field(entry, "valueHint", "value_hint") or "")) if required else "")
    return (value,) if value else ()


def _value(entry: dict[str, Any]) -> str:
    """Give a fixed value or the default; one with a ``{variable}`` in it is not known."""
    value = entry.get("value", entry.get("default"))
    if isinstance(value, bool):
        return str(value).lower()
    text = str(value) if isinstance(value, str | int) else ""
    return "" if "{" in text else text


def _field(entry: dict[str, Any], *names: str) -> object:
    return next((entry[name] for name in names if name in entry), None)


def _items(entry: object, *names: str) -> list[Any]:
    found = _field(entry, *names) if isinstance(entry, dict) else None
    return found if isinstance(found, list) else []
