"""JSON-RPC 2.0 messages as raw bytes: what toolman need not change stays as it was sent.

A message is split into its members; values stay :class:`msgspec.Raw`, so that unknown fields, big integers and key
order survive. The keys that route and decide are written by toolman and never copied. Where other parsers could read
them differently (repeated keys, other case, a NUL) the message is refused: the server must not see another tool than
the one that was decided on. Pure: no I/O.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec
from msgspec import Raw

if TYPE_CHECKING:
    from collections.abc import Mapping

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602

ENVELOPE = frozenset({"jsonrpc", "id", "method", "params", "result", "error"})
"""Keys of a message of which no variant may appear beside them."""

CALL_KEYS = frozenset({"name", "arguments", "_meta"})
META_KEYS = frozenset({"progressToken"})
LIST_KEYS = frozenset({"cursor"})
TOOL_KEYS = frozenset({"name"})
"""Keys, per kind of object, of which no variant is accepted: the guarded ones of :func:`members`."""

Members = dict[str, Raw]

Outcome = tuple[bytes, bytes | Raw]
"""How a request ended: :data:`RESULT` or :data:`ERROR`, and the raw value behind it."""

RESULT = b',"result":'
ERROR = b',"error":'


class Malformed(Exception):  # noqa: N818 - reads as what it says: raise Malformed(...)
    """Not a message that can be served: the JSON-RPC error to answer with, and the id it belongs to as raw JSON."""

    def __init__(self, code: int, text: str, identifier: bytes = b"null") -> None:
        super().__init__(text)
        self.code = code
        self.text = text
        self.identifier = identifier


class Message(msgspec.Struct):
    """One message.

    Attributes:
        method: None in a response.
        identifier: The id as raw JSON, to be echoed; None in a notification.
        key: The id's value: ``1`` and ``"1"`` differ, two spellings of one string do not.
        params: Raw JSON object on one line, None if absent.
    """

    method: str | None
    identifier: bytes | None
    key: int | str | None
    params: bytes | None


_split = msgspec.json.Decoder(Members).decode
_text = msgspec.json.Decoder(str).decode
_identifier = msgspec.json.Decoder(int | str).decode
encode = msgspec.json.encode

_KEY = re.compile(rb'[ \t\n\r]*("[^"\\]*(?:\\.[^"\\]*)*")[ \t\n\r]*:[ \t\n\r]*', re.DOTALL)
_AFTER = re.compile(rb"[ \t\n\r]*([,}])")
_SURROGATES = tuple(b"\\u%c%c" % (first, second) for first in b"dD" for second in b"89abcdefABCDEF")
_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.DOTALL
)
_PREFIXES = {key: encode(key) + b":" for key in (*ENVELOPE, "name", "arguments", "_meta", "progressToken")}


def members(data: bytes | Raw, guarded: frozenset[str]) -> Members:
    """Split a JSON object into its members, in order.

    Args:
        data: The object's text.
        guarded: Keys of which no variant (other case, behind a NUL) may appear.

    Raises:
        Malformed: Not an object, a key twice, or a variant of a guarded key.
    """
    try:
        found = _split(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        found = _split_with_surrogates(bytes(data))
    # Compact text has exactly this length if and only if no key is repeated: a repetition would make it longer.
    size = 1 + 4 * len(found)
    for key, value in found.items():
        size += len(key) + len(value)
    if size != len(data) and _spans(bytes(data), found) is None:
        raise Malformed(INVALID_REQUEST, "a key appears twice in one object: send each key once")
    if not guarded.issuperset(found):
        _refuse_variants(found, guarded)
    return found


def dump(found: Mapping[str, bytes | Raw]) -> bytes:
    """Join members to an object: the reverse of :func:`members`."""
    parts: list[bytes | Raw] = []
    for key, value in found.items():
        parts += (b",", _PREFIXES.get(key) or encode(key) + b":", value)
    parts[:1] = [b"{"]
    parts.append(b"}")
    return b"".join(parts)


def parse(data: bytes) -> Message:
    """Read one message of a client.

    Raises:
        Malformed: It cannot be served; carries the error to answer with.
    """
    if not data.isascii():
        _check_utf8(data)
    if data.lstrip()[:1] == b"[":
        raise Malformed(INVALID_REQUEST, "batches are not supported: send one message per request")
    found = members(data, ENVELOPE)
    identifier, key = _read_identifier(found["id"]) if "id" in found else (None, None)
    about = identifier or b"null"
    if bytes(found.get("jsonrpc", b"")) != b'"2.0"':
        raise Malformed(INVALID_REQUEST, 'not a JSON-RPC message: "jsonrpc" must be "2.0"', about)
    if "method" in found:
        return Message(_read_method(found["method"], about), identifier, key, _read_params(found.get("params"), about))
    if identifier is None or ("result" in found) == ("error" in found):
        raise Malformed(INVALID_REQUEST, "neither a request nor a response", about)
    return Message(None, identifier, key, None)


def parse_call(params: bytes | None) -> tuple[str, Members]:
    """Read the params of ``tools/call``: the tool's name and all members.

    Raises:
        Malformed: No name, or keys that could be read in two ways.
    """
    found = members(params or b"{}", CALL_KEYS)
    try:
        return _text(found["name"]), found
    except (KeyError, msgspec.DecodeError):
        raise Malformed(INVALID_PARAMS, '"name" must be a string') from None


def request(number: bytes, method: bytes, params: bytes) -> bytes:
    """Write a request of toolman's own; ``method`` needs no escaping."""
    return b'{"jsonrpc":"2.0","id":%b,"method":"%b","params":%b}' % (number, method, params)


def notification(method: bytes, params: bytes | None = None) -> bytes:
    """Write a notification; ``method`` needs no escaping."""
    if params is None:
        return b'{"jsonrpc":"2.0","method":"%b"}' % method
    return b'{"jsonrpc":"2.0","method":"%b","params":%b}' % (method, params)


def response(identifier: bytes, outcome: Outcome) -> bytes:
    """Write a response."""
    return b"".join((b'{"jsonrpc":"2.0","id":', identifier, *outcome, b"}"))


def result(value: bytes | Raw) -> Outcome:
    """Make the outcome of a success."""
    return RESULT, value


def error(code: int, text: str) -> Outcome:
    """Make the outcome of a failure."""
    return ERROR, encode({"code": code, "message": text})


def on_one_line(text: bytes) -> bytes:
    """Make valid JSON fit one line: line breaks can only be blanks between its tokens."""
    if b"\n" in text or b"\r" in text:
        return text.translate(_BLANKS)
    return text


_BLANKS = bytes.maketrans(b"\r\n", b"  ")


def repaired(data: bytes) -> bytes:
    """Replace lone surrogates, which are legal in JSON and which msgspec refuses, by U+FFFD."""
    return _ESCAPE.sub(lambda found: rb"\ufffd" if found[1] else found[0], data)


def _check_utf8(data: bytes) -> None:
    try:
        data.decode()
    except UnicodeDecodeError as problem:
        raise Malformed(PARSE_ERROR, f"not UTF-8 at byte {problem.start}") from None


def _read_identifier(raw: Raw) -> tuple[bytes, int | str]:
    try:
        return bytes(raw), _identifier(raw)
    except msgspec.DecodeError:
        raise Malformed(INVALID_REQUEST, '"id" must be a string or a whole number') from None


def _read_method(raw: Raw, about: bytes) -> str:
    try:
        return _text(raw)
    except msgspec.DecodeError:
        raise Malformed(INVALID_REQUEST, '"method" must be a string', about) from None


def _read_params(raw: Raw | None, about: bytes) -> bytes | None:
    if raw is None:
        return None
    text = bytes(raw)
    if text[:1] != b"{":
        raise Malformed(INVALID_REQUEST, '"params" must be an object', about)
    return on_one_line(text)


def _refuse_variants(found: Members, guarded: frozenset[str]) -> None:
    for key in found:
        plain = key.split("\0", 1)[0].casefold()
        if plain in _FOLDED[guarded] and key not in guarded:
            raise Malformed(INVALID_REQUEST, f"the key {key!r} can be taken for another one: remove it")


def _fold(guarded: frozenset[str]) -> frozenset[str]:
    return frozenset(key.casefold() for key in guarded)


_FOLDED = {guarded: _fold(guarded) for guarded in (ENVELOPE, CALL_KEYS, META_KEYS, TOOL_KEYS, LIST_KEYS)}


def _split_with_surrogates(data: bytes) -> Members:
    """Split an object that has lone surrogates: legal JSON that msgspec refuses and JavaScript writes.

    The structure is read from a copy of the same length without them, the values are taken from the original.
    """
    masked = data
    for start in _SURROGATES:  # one by one: a regular expression makes a list of all that it finds, many times the data
        masked = masked.replace(start, rb"\u20")
    try:
        found = _split(masked)
        spans = _spans(masked, found)
        if spans is None:
            raise Malformed(INVALID_REQUEST, "a key appears twice in one object: send each key once")
        return {_text(data[key]): Raw(data[value]) for key, value in spans}
    except RecursionError:
        raise Malformed(PARSE_ERROR, "nested too deeply") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as problem:
        raise Malformed(PARSE_ERROR, f"not a JSON object: {problem}") from None


def _spans(data: bytes, found: Members) -> list[tuple[slice, slice]] | None:
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
