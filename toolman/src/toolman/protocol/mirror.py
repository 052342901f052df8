"""Arguments of tools that HTTP headers mirror: ``x-mcp-header`` in a tool's ``inputSchema``, 2026-07-28.

As a server toolman checks that ``Mcp-Param-*`` headers say what the arguments say, for what stands between reads the
headers alone; as a client it writes them, and drops tools whose annotations are not valid. Nothing is dereferenced.
Source: modelcontextprotocol.io/specification/2026-07-28/basic/transports, *Custom headers*.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from toolman import jsonrpc
from toolman.protocol import modern

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from msgspec import Raw

ANNOTATION = "x-mcp-header"
PREFIX = "Mcp-Param-"

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_TYPES = frozenset({"string", "integer", "boolean"})
_NUMBER = re.compile(r"(-?[0-9]+)(?:\.(0+))?")

_ONE = frozenset(
    {
        "items",
        "contains",
        "unevaluatedItems",
        "additionalProperties",
        "propertyNames",
        "unevaluatedProperties",
        "not",
        "if",
        "then",
        "else",
        "contentSchema",
    }
)
_MANY = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
_NAMED = frozenset({"patternProperties", "dependentSchemas", "$defs", "definitions"})
"""Keywords of JSON Schema 2020-12 behind which there are schemas: one, a list of them, or some by name."""

Path = tuple[str, ...]

_plain = msgspec.json.decode


class InvalidAnnotationError(Exception):
    """The tool must not be offered over HTTP; the text says why."""


class Mirrored(msgspec.Struct, frozen=True):
    """One argument that a header mirrors.

    Attributes:
        token: What stands behind ``Mcp-Param-``, as the schema spells it.
        path: The properties that lead to the argument.
        kind: ``string``, ``integer`` or ``boolean``.
    """

    token: str
    path: Path
    kind: str


def find(schema: bytes | Raw | None) -> tuple[Mirrored, ...]:
    """Find the annotations of an ``inputSchema``.

    Raises:
        InvalidAnnotationError: One is not valid, so conforming clients do not use the tool.
    """
    if schema is None or ANNOTATION.encode() not in bytes(schema):
        return ()
    try:
        root = _decode(schema)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise InvalidAnnotationError("its inputSchema cannot be read") from None
    found: dict[str, Mirrored] = {}
    for path, position in _positions(root):
        if ANNOTATION in position:
            mirrored = _read(path, position)
            if mirrored.token.lower() in found:
                raise InvalidAnnotationError(f"two arguments are mirrored into {PREFIX}{mirrored.token}")
            found[mirrored.token.lower()] = mirrored
    return tuple(found.values())


def headers(mirrored: tuple[Mirrored, ...], arguments: bytes | Raw | None) -> tuple[tuple[str, str], ...]:
    """Give the headers that a call needs and their values, not encoded yet; absent and null arguments have none."""
    if not mirrored:
        return ()
    values = _arguments(arguments)
    written = ((each.token, _text(_value(values, each.path))) for each in mirrored)
    return tuple((PREFIX + token, text) for token, text in written if text is not None)


def mismatch(mirrored: tuple[Mirrored, ...], given: Mapping[str, bytes], arguments: bytes | Raw | None) -> str | None:
    """Tell where headers and arguments disagree, as the text of an error ``HeaderMismatch``; None if they agree.

    Args:
        mirrored: What :func:`find` found in the schema that was served.
        given: Values of the request's ``Mcp-Param-*`` headers as they came, by what stands behind the prefix, in
            lower case. Those of no known argument are not looked at: what stands between may add some.
        arguments: Of the call, a raw JSON object.
    """
    if not mirrored:
        return None
    values = _arguments(arguments)
    for each in mirrored:
        problem = _problem(each, given.get(each.token.lower()), _value(values, each.path))
        if problem is not None:
            return f"{PREFIX}{each.token} {problem} the argument {'.'.join(each.path)!r}"
    return None


def _problem(mirrored: Mirrored, header: bytes | None, value: object) -> str | None:
    written = _text(value)
    if header is None:
        return None if written is None else "is missing beside"
    if written is None:
        return "was sent without"
    shown = modern.decode_header(header)
    if shown is None:
        return "cannot be decoded to be compared with"
    if shown == written or (mirrored.kind == "integer" and _is_same_number(shown, value)):
        return None
    return "differs from"


def _is_same_number(shown: str, value: object) -> bool:
    number = _NUMBER.fullmatch(shown)
    if number is None or isinstance(value, bool):
        return False
    is_whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    try:
        return is_whole and _plain(number[1]) == value
    except msgspec.DecodeError:  # such as leading zeros
        return False


def _text(value: object) -> str | None:
    """Write an argument as a header's value; None for what has no such form."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    return _encode_number(value) if isinstance(value, int | float) else None


def _encode_number(value: float) -> str | None:
    try:
        return str(value)
    except ValueError:  # more digits than Python writes
        return None


def _decode(raw: bytes | Raw) -> object:
    try:
        return _plain(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):  # perhaps for lone surrogates, which are legal
        return _plain(jsonrpc.repaired(bytes(raw)))


def _arguments(raw: bytes | Raw | None) -> object:
    try:
        return _decode(raw or b"{}")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _value(arguments: Any, path: Path) -> object:  # noqa: ANN401 - whatever JSON holds
    for key in path:
        if not isinstance(arguments, dict):
            return None
        arguments = arguments.get(key)
    return arguments


def _read(path: Path | None, position: dict[str, Any]) -> Mirrored:
    token, kind = position[ANNOTATION], position.get("type")
    if not path:
        raise InvalidAnnotationError(f"{ANNOTATION} stands where no argument is: only properties lead to one")
    where = ".".join(path)
    if not isinstance(token, str) or not _TOKEN.fullmatch(token):
        raise InvalidAnnotationError(f"{ANNOTATION} of {where!r} is not the name of a header")
    if not isinstance(kind, str) or kind not in _TYPES:
        raise InvalidAnnotationError(f"{where!r} has {ANNOTATION} and is neither string nor integer nor boolean")
    return Mirrored(token, path, kind)


def _positions(root: object) -> Iterator[tuple[Path | None, dict[str, Any]]]:
    """Walk all schemas in a schema; the path is None where anything but ``properties`` was on the way."""
    waiting: list[tuple[Path | None, object]] = [((), root)]
    while waiting:
        path, position = waiting.pop()
        if isinstance(position, dict):
            yield path, position
            for keyword, value in position.items():
                waiting += _below(path, keyword, value)


def _below(path: Path | None, keyword: str, value: object) -> Iterator[tuple[Path | None, object]]:
    if keyword == "properties" and isinstance(value, dict):
        for name, schema in value.items():
            yield None if path is None else (*path, name), schema
    elif keyword in _ONE:
        yield None, value
    elif keyword in _MANY and isinstance(value, list):
        for schema in value:
            yield None, schema
    elif keyword in _NAMED and isinstance(value, dict):
        for schema in value.values():
            yield None, schema
