"""JSON with lone surrogates, which is legal, which JavaScript writes, and which msgspec refuses. Pure.

The structure is read from a copy of the same length without them, the values are taken from the original.
"""

from __future__ import annotations

import re

import msgspec
from msgspec import Raw

Members = dict[str, Raw]

_split = msgspec.json.Decoder(Members).decode
_split_array = msgspec.json.Decoder(list[Raw]).decode
_text = msgspec.json.Decoder(str).decode

_KEY = re.compile(rb'[ \t\n\r]*("[^"\\]*(?:\\.[^"\\]*)*")[ \t\n\r]*:[ \t\n\r]*', re.DOTALL)
_AFTER = re.compile(rb"[ \t\n\r]*([,}])")
_SURROGATES = tuple(b"\\u%c%c" % (first, second) for first in b"dD" for second in b"89abcdefABCDEF")
_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.DOTALL
)


def repaired(data: bytes) -> bytes:
    """Replace lone surrogates, which are legal in JSON and which msgspec refuses, by U+FFFD."""
    return _ESCAPE.sub(lambda found: rb"\ufffd" if found[1] else found[0], data)


def split(data: bytes) -> Members | None:
    """Split an object into its members; None if a key is repeated.

    Raises:
        ValueError: Not an object.
    """
    masked = _masked(data)
    try:
        found = _split(masked)
        where = spans(masked, found)
        return None if where is None else {_text(data[key]): Raw(data[value]) for key, value in where}
    except RecursionError:
        raise ValueError("nested too deeply") from None


def split_array(data: bytes) -> list[Raw]:
    """Split an array into its elements.

    Raises:
        ValueError: Not an array.
    """
    masked = _masked(data)
    try:
        found = _split_array(masked)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    values = []
    position = masked.index(b"[") + 1
    for value in found:
        start = masked.index(bytes(value), position)  # blanks and a comma at most stand before it
        position = start + len(value)
        values.append(Raw(data[start:position]))
    return values


def spans(data: bytes, found: Members) -> list[tuple[slice, slice]] | None:
    """Find where keys and values are; None if a key is repeated.

    Follows the text with the values found. A repeated key leaves one value too few or another one in its place, and
    as no JSON value is the beginning of another (a number is followed by a blank, a comma or a brace), the two part.
    """
    spans = []
    position = data.index(b"{") + 1
    last = b"," if found else b"}"
    for value in found.values():
        key = _KEY.match(data, position)
        if last != b"," or key is None or not data.startswith(bytes(value), key.end()):
            return None
        end = key.end() + len(value)
        after = _AFTER.match(data, end)
        if after is None:
            return None
        spans.append((slice(*key.span(1)), slice(key.end(), end)))
        position, last = after.end(), after[1]
    return spans if last == b"}" else None


def _masked(data: bytes) -> bytes:
    masked = data
    for start in _SURROGATES:  # one by one: a regular expression makes a list of all that it finds, many times the data
        masked = masked.replace(start, rb"\u20")
    return masked
