"""Requests to a server, written in the era that it speaks: the envelope, the progress token, the number. Pure.

Everything in a request that is not the client's own is put there here: a legacy server gets the progress token alone,
a modern one the metadata that stands for a handshake.

Source: modelcontextprotocol.io/specification/2026-07-28, *Basic*.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from toolman import jsonrpc
from toolman.protocol import legacy, modern

if TYPE_CHECKING:
    from toolman.exchange import Era, Outgoing

CLIENT_INFO = legacy.SERVER_INFO
"""Who asks where no client does."""

_VERSION = b'"%b":"%b","%b":' % (
    modern.META_VERSION.encode(),
    modern.VERSION.encode(),
    modern.META_CAPABILITIES.encode(),
)
_CLIENT_INFO = b',"%b":' % modern.META_CLIENT_INFO.encode()
_LOG_LEVEL = b',"%b":' % modern.META_LOG_LEVEL.encode()
_PROGRESS = b'"progressToken":'
_PREFIXES = {key: jsonrpc.encode(key) + b":" for key in jsonrpc.PARAMS_KEYS}


def request(outgoing: Outgoing, era: Era, number: int) -> bytes:
    """Write a whole request, on one line if what it is made of is.

    Args:
        outgoing: What is asked.
        era: In which the server is spoken with.
        number: Its id, and its progress token if progress is wanted.
    """
    identifier = b"%d" % number
    parts = [b'{"jsonrpc":"2.0","id":', identifier, b',"method":', jsonrpc.encode(outgoing.method), b',"params":{']
    for key, value in outgoing.params.items():
        parts += (_PREFIXES.get(key) or _prefix(key), value, b",")
    token = identifier if outgoing.progress else None
    if era == "modern":
        parts += (b'"_meta":{', *_envelope(outgoing, token), b"}")
    elif token is not None or outgoing.meta:
        parts += (b'"_meta":{', *_meta(outgoing, token), b"}")
    elif outgoing.params:
        parts.pop()
    parts.append(b"}}")
    return b"".join(parts)


def _prefix(key: str) -> bytes:
    return jsonrpc.encode(key) + b":"


def _meta(outgoing: Outgoing, token: bytes | None) -> list[bytes]:
    """Write what a legacy server gets in ``_meta``."""
    parts: list[bytes] = []
    for key, value in outgoing.meta.items():
        parts += (_PREFIXES.get(key) or _prefix(key), value, b",")
    if token is None:
        parts.pop()
    else:
        parts += (_PROGRESS, token)
    return parts


def _envelope(outgoing: Outgoing, token: bytes | None) -> list[bytes]:
    """Write what a modern server gets in ``_meta``."""
    parts = [_VERSION, outgoing.capabilities]
    if outgoing.client_info is not None:
        parts += (_CLIENT_INFO, outgoing.client_info)
    if outgoing.log_level is not None:
        parts += (_LOG_LEVEL, jsonrpc.encode(outgoing.log_level))
    if token is not None:
        parts += (b",", _PROGRESS, token)
    for key, value in outgoing.meta.items():
        parts += (b",", _prefix(key), value)
    return parts
