"""JSON-RPC, as far as a bridge must understand it: what kind of message is this, and to which id does it belong.

Messages are never written again: their bytes travel as they came, so unknown members, big integers and the order of
keys survive. Only errors of the bridge's own are made here.
"""

from __future__ import annotations

import json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

REQUEST: Final = "request"
NOTIFICATION: Final = "notification"
RESPONSE: Final = "response"

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
BRIDGE_ERROR: Final = -32000
"""Of the range left to implementations: the bridge could not get an answer."""

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
        key: The id as JSON text (``1`` and ``"1"`` differ); empty for a notification, ``null`` if the id is null.
        body: The decoded object; its numbers are :class:`Number`.
    """

    __slots__ = ("body", "key", "kind", "raw")

    def __init__(self, raw: bytes, kind: str, key: str, body: dict[str, Any]) -> None:
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
    def is_modern(self) -> bool:
        """Tell whether a request is of revision 2026-07-28 or later, which have neither handshake nor session."""
        params = self.body.get("params")
        meta = params.get("_meta") if isinstance(params, dict) else None
        return self.method == "server/discover" or (isinstance(meta, dict) and MODERN_META in meta)


def _no_constant(name: str) -> str:
    raise ValueError(f"{name} is not JSON")


_decode = json.JSONDecoder(parse_int=Number, parse_float=Number, parse_constant=_no_constant).decode


def parse(raw: bytes) -> Message:
    """Read one message.

    Raises:
        MessageError: Not JSON (PARSE_ERROR) or not a JSON-RPC message (INVALID_REQUEST).
    """
    try:
        body = _decode(raw.decode())
    except ValueError as error:  # of JSON as of UTF-8
        raise MessageError(PARSE_ERROR, f"not JSON: {error}") from None
    except RecursionError:
        raise MessageError(PARSE_ERROR, "nested too deeply") from None
    if isinstance(body, list):
        raise MessageError(INVALID_REQUEST, "batches are not supported: send one message a line")
    if not isinstance(body, dict):
        raise MessageError(INVALID_REQUEST, "a message must be an object")
    has_id = "id" in body
    if "method" in body:
        if not has_id:
            return Message(raw, NOTIFICATION, "", body)
        return Message(raw, REQUEST, _key(body["id"], nullable=False), body)
    if has_id and ("result" in body or "error" in body):
        return Message(raw, RESPONSE, _key(body["id"], nullable=True), body)
    raise MessageError(INVALID_REQUEST, "a message needs a method, or an id with a result or an error")


def key_of(identity: object) -> str:
    """Give an id, as :func:`parse` decoded it, as JSON text; empty if it cannot be one."""
    if isinstance(identity, Number):
        return str(identity)
    return json.dumps(identity) if isinstance(identity, str) else ""


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
        json.dumps(text).encode(),
    )


def readdress(raw: bytes, key: str) -> bytes:
    """Give an error response that names no id the id of the request that it answers."""
    body = json.loads(raw)
    return b'{"jsonrpc":"2.0","id":%b,"error":%b}' % (key.encode(), json.dumps(body["error"]).encode())


def one_line(raw: bytes) -> bytes:
    """Take line breaks out of JSON text. Inside strings they are escaped, so these are blanks between tokens."""
    if b"\n" in raw or b"\r" in raw:
        raw = raw.replace(b"\n", b" ").replace(b"\r", b" ")
    return raw.strip()


def error_code(message: Message) -> int | None:
    """Give the code of an error response; None if it is none."""
    problem = message.body.get("error")
    code = problem.get("code") if isinstance(problem, dict) else None
    try:
        return int(code) if isinstance(code, Number) else None
    except ValueError:
        return None
