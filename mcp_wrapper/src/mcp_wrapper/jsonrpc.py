"""JSON-RPC, as far as a bridge must understand it: what kind of message is this, and to which id does it belong.

Messages are never written again: their bytes travel as they came, so unknown members, big integers and the order of
keys survive. Only errors of the bridge's own are made here.
"""

from __future__ import annotations

from mcp_wrapper.lean import decoder, quoted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from mcp_wrapper.spool import Raw

REQUEST: Final = "request"
NOTIFICATION: Final = "notification"
RESPONSE: Final = "response"

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
HEADER_MISMATCH: Final = -32020
"""The headers do not say what the body says; the request was not carried out."""
BRIDGE_ERROR: Final = -32000
"""Of the range left to implementations: the bridge could not get an answer."""

WHOLE_BYTES = 256 * 1024
"""A longer message is not decoded: what routes it is read, the rest passed on as it is."""

MODERN_META = "io.modelcontextprotocol/protocolVersion"
"""Member of ``params._meta`` in every request since revision 2026-07-28, and in none before."""


class Number(str):
    """A JSON number as it was written: ids come back as they were, and no integer is too long."""

    __slots__ = ()


class MessageError(Exception):
    """Not a JSON-RPC message.

    Attributes:
        code: The JSON-RPC error code that says so.
    """

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class Message:
    """One message, taken apart no further than needed.

    Attributes:
        raw: Its bytes, without the line's end.
        kind: REQUEST, NOTIFICATION or RESPONSE.
        key: The id as JSON text (``1`` and ``"1"`` differ); empty for a notification, ``null`` if it is null or none.
        body: The decoded object; its numbers are :class:`Number`, and in a long message, long values are ``...``.
    """

    __slots__ = ("body", "key", "kind", "raw")

    def __init__(self, raw: Raw, kind: str, key: str, body: dict[str, Any]) -> None:
        self.raw = raw
        self.kind = kind
        self.key = key
        self.body = body

    def __repr__(self) -> str:
        return f"<{self.kind} {self.method} {self.key}>"

    @property
    def method(self) -> str:
        """The method's name; empty for a response."""
        method = self.body.get("method", "")
        return method if isinstance(method, str) else ""

    @property
    def params(self) -> dict[str, Any]:
        """The parameters; empty if there are none, or none with names."""
        params = self.body.get("params")
        return params if isinstance(params, dict) else {}

    @property
    def is_modern(self) -> bool:
        """Tell whether it is of revision 2026-07-28 or later, which have neither handshake nor session."""
        meta = self.params.get("_meta")
        return self.method == "server/discover" or (isinstance(meta, dict) and MODERN_META in meta)


def _no_constant(name: str) -> str:
    raise ValueError(f"{name} is not JSON")


_decode = decoder(Number, _no_constant)


def parse(raw: Raw) -> Message:
    """Read one message.

    Raises:
        MessageError: Not JSON (PARSE_ERROR) or not a JSON-RPC message (INVALID_REQUEST).
    """
    body = decode(raw) if len(raw) <= WHOLE_BYTES else _outline(raw)
    if not isinstance(body, dict):
        raise MessageError(INVALID_REQUEST, "a message must be an object")
    has_id = "id" in body
    if "method" in body:
        if not has_id:
            return Message(raw, NOTIFICATION, "", body)
        return Message(raw, REQUEST, _key(body["id"], nullable=False), body)
    if (has_id and "result" in body) or "error" in body:
        return Message(raw, RESPONSE, _key(body.get("id"), nullable=True), body)
    raise MessageError(INVALID_REQUEST, "a message needs a method, or an id with a result or an error")


def decode(raw: Raw) -> Any:  # noqa: ANN401 - any JSON
    """Decode JSON text; its numbers are :class:`Number`.

    Raises:
        MessageError: It is none.
    """
    try:
        return _decode(str(raw, "utf-8"))
    except ValueError as error:  # of JSON as of UTF-8
        raise MessageError(PARSE_ERROR, f"not JSON: {error}") from None
    except RecursionError:
        raise MessageError(PARSE_ERROR, "nested too deeply") from None


def is_batch(raw: Raw) -> bool:
    """Tell whether a text is an array, as revision 2025-03-26 has it for several messages in one."""
    return raw[:1] == b"["


def batch(raw: Raw) -> list[bytes]:
    """Take an array apart; its elements may or may not be messages.

    Raises:
        MessageError: It is no array.
    """
    from mcp_wrapper import skim  # noqa: PLC0415 - of a revision that is long gone

    try:
        return [bytes(raw[begin:end]) for begin, end in skim.elements(raw, whole=True)]
    except skim.SkimError as error:
        raise MessageError(PARSE_ERROR, f"not JSON: {error}") from None


def _outline(raw: Raw) -> Any:  # noqa: ANN401 - any JSON
    from mcp_wrapper import skim  # noqa: PLC0415 - most agents never send or get anything long

    try:
        return skim.outline(raw, _decode)
    except ValueError as error:
        raise MessageError(PARSE_ERROR, f"not JSON: {error}") from None
    except RecursionError:
        raise MessageError(PARSE_ERROR, "nested too deeply") from None


def key_of(identity: object) -> str:
    """Give an id, as :func:`parse` decoded it, as JSON text; empty if it cannot be one."""
    if isinstance(identity, Number):
        return str(identity)
    return quoted(identity).decode() if isinstance(identity, str) else ""


def _key(identity: object, *, nullable: bool) -> str:
    key = "null" if identity is None and nullable else key_of(identity)
    if not key:
        raise MessageError(INVALID_REQUEST, "an id must be a string or a number")
    return key


def error(key: str, code: int, text: str) -> bytes:
    """Make an error response.

    Args:
        key: The id as JSON text; ``null`` when it is not known.
        code: JSON-RPC error code.
        text: What happened and what to do.
    """
    return b'{"jsonrpc":"2.0","id":%b,"error":{"code":%d,"message":%b}}' % (
        key.encode(),
        code,
        quoted(text),
    )


def readdress(raw: Raw, key: str) -> bytes:
    """Give an error response that names no id the id of the request that it answers."""
    from mcp_wrapper import skim  # noqa: PLC0415 - only errors need it

    begin, end = skim.find(raw, "error") or (0, 0)
    return b'{"jsonrpc":"2.0","id":%b,"error":%b}' % (key.encode(), bytes(raw[begin:end]))


def one_line(raw: Raw) -> Raw:
    """Take line breaks out of JSON text. Inside strings they are escaped, so these are blanks between tokens."""
    if isinstance(raw, memoryview):
        return raw  # line breaks were taken out of its pieces
    return flat(raw).strip()


def flat(piece: bytes) -> bytes:
    """Make line breaks blanks."""
    if b"\n" in piece or b"\r" in piece:
        piece = piece.replace(b"\n", b" ").replace(b"\r", b" ")
    return piece


def error_code(message: Message) -> int | None:
    """Give the code of an error response; None if it is none."""
    problem = message.body.get("error")
    code = problem.get("code") if isinstance(problem, dict) else None
    try:
        return int(code) if isinstance(code, Number) else None
    except ValueError:
        return None
