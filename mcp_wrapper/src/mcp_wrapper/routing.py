"""What a modern request says twice: in its body, and in headers for whoever routes it unread. Pure.

Revision 2026-07-28, Streamable HTTP: ``MCP-Protocol-Version``, ``Mcp-Method``, ``Mcp-Name``, and ``Mcp-Param-*`` for
the arguments that a tool's schema marks with ``x-mcp-header``.
"""

from __future__ import annotations

import binascii

from mcp_wrapper.jsonrpc import MODERN_META, Number

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, TypeAlias

    from mcp_wrapper.jsonrpc import Message

    Mark: TypeAlias = tuple[str, tuple[str, ...]]
    """The header's name after ``Mcp-Param-``, and the names that lead to the argument."""

ANNOTATION = "x-mcp-header"
NAMED_BY = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}
TASKS = "tasks/"
MAX_DEPTH = 200
"""Of a schema. Deeper than any is, and far from what Python's stack holds."""
_TOKEN = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
_PRINTABLE = frozenset(map(chr, range(0x20, 0x7F)))
_TYPES = frozenset(("string", "integer", "boolean"))

# Where JSON Schema 2020-12 has schemas besides `properties`: under these keywords themselves, in their lists, or in
# their members. What stands anywhere else is data.
_SCHEMAS = frozenset(
    (
        "additionalProperties",
        "allOf",
        "anyOf",
        "contains",
        "contentSchema",
        "else",
        "if",
        "items",
        "not",
        "oneOf",
        "prefixItems",
        "propertyNames",
        "then",
        "unevaluatedItems",
        "unevaluatedProperties",
    )
)
_NAMED_SCHEMAS = frozenset(("$defs", "definitions", "dependentSchemas", "patternProperties"))


class AnnotationError(ValueError):
    """A schema's annotation is not one that a client may follow; the tool must not be shown."""


def headers(message: Message, marks: list[Mark]) -> bytes:
    """Write the headers that repeat what a request says, each with its line end.

    Args:
        message: The request.
        marks: Those of the tool's schema, for a call of a tool.
    """
    params = message.params
    meta = params.get("_meta")
    written: list[tuple[str, object]] = [("Mcp-Method", message.method)]
    if isinstance(meta, dict):
        written.append(("MCP-Protocol-Version", meta.get(MODERN_META)))
    named_by = "taskId" if message.method.startswith(TASKS) else NAMED_BY.get(message.method)
    if named_by:
        written.append(("Mcp-Name", params.get(named_by)))
    written += [(f"Mcp-Param-{name}", _argument(params.get("arguments"), path)) for name, path in marks]
    return b"".join(
        b"%b: %b\r\n" % (name.encode(), encoded(text))
        for name, value in written
        if (text := _rendered(value)) is not None
    )


def encoded(text: str) -> bytes:
    """Write a value so that a header can carry it: as it is, or as marked base64 when it would not arrive intact."""
    marker_like = text.startswith("=?base64?") and text.endswith("?=")
    if _PRINTABLE.issuperset(text) and text == text.strip(" ") and not marker_like:
        return text.encode()
    # A lone surrogate is no character; whoever decodes the body may have kept it, and will find that this differs.
    return b"=?base64?%b?=" % binascii.b2a_base64(text.encode("utf-8", "replace"), newline=False)


def marks_of(schema: object) -> list[Mark]:
    """Find the arguments that a tool's input schema wants in headers.

    Raises:
        AnnotationError: One is no token, not unique, not of a simple type, or not reachable through properties alone.
    """
    marks: list[Mark] = []
    seen: set[str] = set()
    for path, node in _schemas(schema, ()):
        if ANNOTATION in node:
            name = _name_in(node, path)
            if name.lower() in seen:
                raise AnnotationError(f"{name} stands at two properties")
            seen.add(name.lower())
            marks.append((name, path))
    return marks


def _name_in(node: dict[str, Any], path: tuple[str, ...] | None) -> str:
    name = node[ANNOTATION]
    if not path:
        raise AnnotationError("it is not at a property")
    if not isinstance(name, str) or isinstance(name, Number) or not name or not _TOKEN.issuperset(name):
        raise AnnotationError("it is not a header's name")
    kind = node.get("type")
    if not isinstance(kind, str) or kind not in _TYPES:
        raise AnnotationError(f"{name}: the property is no string, integer or boolean")
    return name


def _schemas(node: object, path: tuple[str, ...] | None, depth: int = 0) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Walk through all schemas in a schema; the path is None where more than properties led there."""
    if depth > MAX_DEPTH:
        raise AnnotationError("the schema is nested too deeply")
    if isinstance(node, dict):
        yield path, node
        for name, inner in _inside(node):
            yield from _schemas(inner, None if path is None or name is None else (*path, name), depth + 1)


def _inside(schema: dict[str, Any]) -> Iterator[tuple[str | None, object]]:
    """Give the schemas in a schema, those of properties with their names."""
    for keyword, value in schema.items():
        if keyword in _SCHEMAS:
            for inner in value if isinstance(value, list) else (value,):
                yield None, inner
        elif not isinstance(value, dict):
            continue
        elif keyword == "properties":
            yield from value.items()
        elif keyword in _NAMED_SCHEMAS:
            for inner in value.values():
                yield None, inner


def _argument(arguments: object, path: tuple[str, ...]) -> object:
    for name in path:
        arguments = arguments.get(name) if isinstance(arguments, dict) else None
    return arguments


def _rendered(value: object) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Number):
        return _number(value)
    return value if isinstance(value, str) else None


def _number(number: Number) -> str:
    """Write a number as every reader of the body would: digits as they are, anything with an exponent in full."""
    if number.lstrip("-").replace(".", "", 1).isdigit():
        return str(number)
    value = float(number)
    return str(int(value)) if value.is_integer() else str(value)
