"""Reading what a server wrote: one message, whatever it is made of. Pure.

Nothing is believed: another encoding is made UTF-8, half characters are taken, and what is no message is None.
"""

from __future__ import annotations

import codecs

import msgspec
from msgspec import UNSET, Raw, UnsetType

from toolman import jsonrpc

_PIECE = 64 * 1024
_decoder = codecs.getincrementaldecoder("utf-8")


class Incoming(msgspec.Struct):
    """The members of a message that mean something; the values are raw."""

    id: Raw | UnsetType = UNSET
    method: str | UnsetType = UNSET
    params: Raw | UnsetType = UNSET
    result: Raw | UnsetType = UNSET
    error: Raw | UnsetType = UNSET


_incoming = msgspec.json.Decoder(Incoming).decode
_number = msgspec.json.Decoder(int).decode
_text = msgspec.json.Decoder(str).decode


def read(data: bytes | Raw) -> Incoming | None:
    """Read a message; None if it is none. ``data`` is valid UTF-8."""
    try:
        return _incoming(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _with_surrogates(bytes(data))


def read_batch(data: bytes) -> list[Raw]:
    """Read an array of messages, which one revision knows; nothing if it is none."""
    try:
        return jsonrpc.elements(data)
    except jsonrpc.Malformed:
        return []


def integer(raw: Raw | UnsetType) -> int:
    """Give the value of a whole number, 0 for whatever else it is: no call has that number."""
    try:
        return 0 if raw is UNSET else _number(raw)
    except msgspec.DecodeError:
        return 0


def text(raw: Raw | UnsetType) -> str | None:
    """Give the value of a string, None for whatever else it is."""
    try:
        return None if raw is UNSET else _text(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def utf8(data: bytes) -> bytes:
    """Give valid UTF-8: what a server writes in another encoding must not break the client's parser."""
    if data.isascii():
        return data
    decoder = _decoder()
    try:
        # In pieces: one wide character makes four bytes of each in the whole text.
        for start in range(0, len(data), _PIECE):
            decoder.decode(data[start : start + _PIECE])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return _in_utf8(data)
    return data


def _in_utf8(data: bytes) -> bytes:
    decoder = _decoder("replace")
    pieces = [decoder.decode(data[start : start + _PIECE]).encode() for start in range(0, len(data), _PIECE)]
    return b"".join((*pieces, decoder.decode(b"", final=True).encode()))


def _with_surrogates(data: bytes) -> Incoming | None:
    """Read a message with lone surrogates, which the fast parser refuses."""
    try:
        found = jsonrpc.members(data, jsonrpc.ENVELOPE)
        method = _text(found.pop("method")) if "method" in found else UNSET
    except (jsonrpc.Malformed, msgspec.DecodeError):
        return None
    return Incoming(
        method=method,
        id=found.get("id", UNSET),
        params=found.get("params", UNSET),
        result=found.get("result", UNSET),
        error=found.get("error", UNSET),
    )
