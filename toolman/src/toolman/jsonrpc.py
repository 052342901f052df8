"""JSON-RPC 2.0 messages as raw bytes: what toolman need not change stays as it was sent.

A message is split into its members; values stay :class:`msgspec.Raw`, so that unknown fields, big integers and key
order survive. The keys that route and decide are written by toolman and never copied. Where other parsers could read
them differently (repeated keys, other case, a NUL) the message is refused: the server must not see another tool than
the one that was decided on. Pure: no I/O.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec import Raw

from toolman import surrogates

if TYPE_CHECKING:
    from collections.abc import Mapping

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602

ENVELOPE = frozenset({"jsonrpc", "id", "method", "params", "result", "error"})
"""Keys of a message of which no variant may appear beside them."""

PARAMS_KEYS = frozenset(
    {"name", "uri", "ref", "cursor", "taskId", "task", "arguments", "_meta", "requestState", "inputResponses"}
)
META_KEYS = frozenset(
    {
        "progressToken",
        "io.modelcontextprotocol/protocolVersion",
        "io.modelcontextprotocol/clientInfo",
        "io.modelcontextprotocol/clientCapabilities",
        "io.modelcontextprotocol/logLevel",
        "io.modelcontextprotocol/subscriptionId",
        "io.modelcontextprotocol/related-task",
    }
)
REFERENCE_KEYS = frozenset({"type", "name", "uri"})
RESULT_KEYS = frozenset({"resultType", "inputRequests", "requestState", "taskId", "_meta"})
OPENING_KEYS = frozenset({"protocolVersion", "capabilities", "clientInfo"})
CAPABILITY_KEYS = frozenset({"elicitation", "sampling", "roots", "tasks", "extensions"})
TOOL_KEYS = frozenset({"name"})
"""Keys, per kind of object, of which no variant is accepted: the guarded ones of :func:`members`."""

Members = dict[str, Raw]

Outcome = tuple[bytes, bytes | Raw]
"""How a request ended: :data:`RESULT` or :data:`ERROR`, and the raw value behind it."""

_TWICE = "a key appears twice in one object: send each key once"

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
        outcome: What a response says, on one line; None in everything else.
    """

    method: str | None
    identifier: bytes | None
    key: int | str | None
    params: bytes | None
    outcome: Outcome | None = None


_split = msgspec.json.Decoder(Members).decode
_split_array = msgspec.json.Decoder(list[Raw]).decode
_text = msgspec.json.Decoder(str).decode
_identifier = msgspec.json.Decoder(int | str).decode


class _Error(msgspec.Struct):
    code: int


_error = msgspec.json.Decoder(_Error).decode
encode = msgspec.json.encode

_PREFIXES = {key: encode(key) + b":" for key in (*ENVELOPE, *PARAMS_KEYS, *META_KEYS, *RESULT_KEYS)}


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
        return _split_slowly(bytes(data), guarded)
    # Compact text has exactly this length if and only if no key is repeated: a repetition would make it longer.
    size = 1 + 4 * len(found)
    for key, value in found.items():
        size += len(key) + len(value)
    if size != len(data) and surrogates.spans(bytes(data), found) is None:
        raise Malformed(INVALID_REQUEST, _TWICE)
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
    return Message(None, identifier, key, None, _read_outcome(found))


def split_batch(data: bytes) -> list[bytes] | None:
    """Take a batch apart, as revision 2025-03-26 has it; None if this is a single message.

    Raises:
        Malformed: An empty batch, or no JSON.
    """
    if data.lstrip()[:1] != b"[":
        return None
    if not data.isascii():
        _check_utf8(data)
    found = elements(data)
    if not found:
        raise Malformed(INVALID_REQUEST, "an empty batch: send at least one message")
    return [bytes(item) for item in found]


def elements(data: bytes | Raw) -> list[Raw]:
    """Split a JSON array into its elements.

    Raises:
        Malformed: Not an array.
    """
    try:
        return _split_array(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        try:
            return surrogates.split_array(bytes(data))
        except ValueError as problem:
            raise Malformed(PARSE_ERROR, f"not a JSON array: {problem}") from None


def text(found: Mapping[str, bytes | Raw], key: str) -> str:
    """Read a member that must be there and a string.

    Raises:
        Malformed: It is not.
    """
    value = found.get(key)
    if value is not None:
        try:
            return _text(value)
        except (msgspec.DecodeError, UnicodeDecodeError):
            pass
    raise Malformed(INVALID_PARAMS, f'"{key}" must be a string')


def error_code(value: bytes | Raw) -> int | None:
    """Read the code of an error object, None if it has none."""
    try:
        return _error(value).code
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


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


def error(code: int, text: str, data: object = None) -> Outcome:
    """Make the outcome of a failure; ``data`` is left out if None."""
    value: dict[str, object] = {"code": code, "message": text}
    if data is not None:
        value["data"] = data
    return ERROR, encode(value)


def on_one_line(text: bytes) -> bytes:
    """Make valid JSON fit one line: line breaks can only be blanks between its tokens."""
    if b"\n" in text or b"\r" in text:
        return text.translate(_BLANKS)
    return text


_BLANKS = bytes.maketrans(b"\r\n", b"  ")


repaired = surrogates.repaired


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


def _read_outcome(found: Members) -> Outcome:
    kind = RESULT if "result" in found else ERROR
    return kind, on_one_line(bytes(found["result" if kind is RESULT else "error"]))


def _split_slowly(data: bytes, guarded: frozenset[str]) -> Members:
    try:
        found = surrogates.split(data)
    except ValueError as problem:
        raise Malformed(PARSE_ERROR, f"not a JSON object: {problem}") from None
    if found is None:
        raise Malformed(INVALID_REQUEST, _TWICE)
    _refuse_variants(found, guarded)
    return found


def _refuse_variants(found: Members, guarded: frozenset[str]) -> None:
    for key in found:
        plain = key.split("\0", 1)[0].casefold()
        if plain in _FOLDED[guarded] and key not in guarded:
            raise Malformed(INVALID_REQUEST, f"the key {key!r} can be taken for another one: remove it")


def _fold(guarded: frozenset[str]) -> frozenset[str]:
    return frozenset(key.casefold() for key in guarded)


_FOLDED = {
    guarded: _fold(guarded)
    for guarded in (
        *(ENVELOPE, PARAMS_KEYS, META_KEYS, REFERENCE_KEYS, RESULT_KEYS, OPENING_KEYS, CAPABILITY_KEYS, TOOL_KEYS),
        frozenset[str](),
    )
}
