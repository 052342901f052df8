"""Reading what a server answers to ``server/discover`` and to ``initialize``, in whatever shape it does. Pure."""

from __future__ import annotations

from typing import TypeVar

import msgspec
from msgspec import Raw

from toolman import jsonrpc
from toolman.protocol import legacy, modern
from toolman.upstreams import Failure, Hello

Shape = TypeVar("Shape", bound=msgspec.Struct)

_SHOWN = 500  # characters of an error in a message


class _Discovered(msgspec.Struct):
    supportedVersions: list[str]  # noqa: N815 - the wire's name
    capabilities: Raw = Raw(b"{}")
    instructions: Raw = Raw(b"null")
    meta: Raw = msgspec.field(name="_meta", default=Raw(b"{}"))


class _Initialized(msgspec.Struct):
    protocolVersion: str  # noqa: N815 - the wire's name
    capabilities: Raw = Raw(b"{}")
    serverInfo: Raw = Raw(b"{}")  # noqa: N815 - the wire's name
    instructions: Raw = Raw(b"null")


class _Meta(msgspec.Struct):
    info: Raw = msgspec.field(name=modern.META_SERVER_INFO, default=Raw(b"{}"))


class _Supported(msgspec.Struct):
    supported: list[str]


class _Unsupported(msgspec.Struct):
    data: _Supported


def discovered(outcome: jsonrpc.Outcome) -> Hello | None:
    """Read the answer to ``server/discover``; None if the server is to be spoken with in the legacy era.

    Raises:
        Failure: It speaks no revision that toolman does.
    """
    if outcome[0] is not jsonrpc.RESULT:
        if jsonrpc.error_code(outcome[1]) == modern.UNSUPPORTED_VERSION:
            unsupported = _decoded(_Unsupported, outcome[1])
            _check_legacy([] if unsupported is None else unsupported.data.supported)
        return None
    found = _decoded(_Discovered, outcome[1])
    if found is None:
        return None
    if modern.VERSION not in found.supportedVersions:
        _check_legacy(found.supportedVersions)
        return None
    meta = _decoded(_Meta, found.meta)
    info = b"{}" if meta is None else _object(meta.info)
    return Hello("modern", modern.VERSION, _object(found.capabilities), info, _text(found.instructions))


def initialized(outcome: jsonrpc.Outcome) -> Hello:
    """Read the answer to ``initialize``.

    Raises:
        Failure: It is an error, unreadable, or in a revision that toolman does not speak.
    """
    value = bytes(outcome[1])
    if outcome[0] is not jsonrpc.RESULT:
        raise Failure(f"it answered initialize with the error {value[:_SHOWN].decode(errors='replace')}")
    found = _decoded(_Initialized, value)
    if found is None:
        raise Failure("its answer to initialize cannot be read: it must have a protocolVersion")
    if found.protocolVersion not in legacy.UPSTREAM_VERSIONS:
        raise Failure(_speaks([found.protocolVersion]))
    return Hello(
        "legacy",
        found.protocolVersion,
        _object(found.capabilities),
        _object(found.serverInfo),
        _text(found.instructions),
    )


def _check_legacy(versions: list[str]) -> None:
    if not set(versions) & set(legacy.UPSTREAM_VERSIONS):
        raise Failure(_speaks(versions))


def _speaks(versions: list[str]) -> str:
    theirs = ", ".join(repr(version[:50]) for version in versions[:10]) or "in revisions that it does not name"
    return f"it speaks MCP {theirs}; toolman speaks {', '.join((*legacy.UPSTREAM_VERSIONS, *modern.VERSIONS))}"


def _decoded(kind: type[Shape], data: bytes | Raw) -> Shape | None:
    """Read a part of an answer; None if it has another shape."""
    try:
        return msgspec.json.decode(jsonrpc.repaired(bytes(data)), type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _object(raw: Raw) -> bytes:
    text = bytes(raw)
    return text if text[:1] == b"{" else b"{}"


def _text(raw: Raw) -> str | None:
    try:
        return msgspec.json.decode(raw, type=str)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
