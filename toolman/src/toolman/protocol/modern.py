"""The revision without a handshake, 2026-07-28: its vocabulary, its envelope, its errors and its headers.

Every request carries its version and the client's capabilities in ``params._meta``, and mirrors its method and what it
names into HTTP headers. Source: modelcontextprotocol.io/specification/2026-07-28, *Basic* and *Transports*.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING

import msgspec
from msgspec import UNSET, Raw, UnsetType

from toolman import jsonrpc
from toolman.jsonrpc import INVALID_PARAMS, Malformed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from toolman.jsonrpc import Outcome

VERSION = "2026-07-28"
VERSIONS = (VERSION,)

DISCOVER = "server/discover"
LISTEN = "subscriptions/listen"
ACKNOWLEDGED = "notifications/subscriptions/acknowledged"

META = "io.modelcontextprotocol/"
META_VERSION = META + "protocolVersion"
META_CAPABILITIES = META + "clientCapabilities"
META_CLIENT_INFO = META + "clientInfo"
META_LOG_LEVEL = META + "logLevel"
META_SERVER_INFO = META + "serverInfo"
META_SUBSCRIPTION = META + "subscriptionId"
ENVELOPE = frozenset({META_VERSION, META_CAPABILITIES, META_CLIENT_INFO, META_LOG_LEVEL})
"""Keys of a request's ``_meta`` that belong to one hop and are not passed on."""

COMPLETE = b'"complete"'
"""Value of ``resultType`` as raw JSON; absent from servers of older revisions it means this."""

TASKS = "io.modelcontextprotocol/tasks"
"""The extension that replaces the experimental tasks of 2025-11-25."""
UPDATE_TASK = "tasks/update"
"""Its method that those have not."""

HEADER_MISMATCH = -32020
MISSING_CAPABILITY = -32021
UNSUPPORTED_VERSION = -32022

VERSION_HEADER = b"mcp-protocol-version"
METHOD_HEADER = b"mcp-method"
NAME_HEADER = b"mcp-name"
PARAM_PREFIX = b"mcp-param-"
"""Names of headers as HTTP has them: in any case, here in lower."""

NAMED = {
    "tools/call": "name",
    "prompts/get": "name",
    "resources/read": "uri",
    "tasks/get": "taskId",
    "tasks/update": "taskId",
    "tasks/cancel": "taskId",
}
"""Which member of a method's params ``Mcp-Name`` mirrors."""

CACHEABLE = frozenset(
    {DISCOVER, "tools/list", "prompts/list", "resources/list", "resources/templates/list", "resources/read"}
)
"""Methods whose complete results must have ``ttlMs`` and ``cacheScope``."""

ASKING = frozenset({"tools/call", "prompts/get", "resources/read"})
"""Methods whose result may be ``input_required``."""

_STATUS = {
    jsonrpc.PARSE_ERROR: 400,
    jsonrpc.INVALID_REQUEST: 400,
    jsonrpc.INVALID_PARAMS: 400,
    HEADER_MISMATCH: 400,
    MISSING_CAPABILITY: 400,
    UNSUPPORTED_VERSION: 400,
    jsonrpc.METHOD_NOT_FOUND: 404,
}
_OK = 200

_MARKED = re.compile(r"=\?base64\?(.*)\?=", re.DOTALL)
_PLAIN = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?|")


class _Meta(msgspec.Struct):
    version: Raw | UnsetType = msgspec.field(name=META_VERSION, default=UNSET)
    capabilities: Raw | UnsetType = msgspec.field(name=META_CAPABILITIES, default=UNSET)
    client_info: Raw | UnsetType = msgspec.field(name=META_CLIENT_INFO, default=UNSET)
    log_level: Raw | UnsetType = msgspec.field(name=META_LOG_LEVEL, default=UNSET)


class _Params(msgspec.Struct):
    meta: _Meta = msgspec.field(name="_meta")
    name: Raw | UnsetType = UNSET
    uri: Raw | UnsetType = UNSET
    task: Raw | UnsetType = msgspec.field(name="taskId", default=UNSET)


_params = msgspec.json.Decoder(_Params).decode
_text = msgspec.json.Decoder(str).decode


class Envelope(msgspec.Struct, frozen=True):
    """What one request says of its client.

    Attributes:
        version: Revision of the protocol.
        capabilities: The client's, a raw JSON object.
        client_info: The client's name and version, a raw JSON object, None if absent.
        log_level: From which level on log messages are wanted, None for none.
        name: What ``Mcp-Name`` has to mirror, None if there is no such thing.
    """

    version: str
    capabilities: bytes
    client_info: bytes | None
    log_level: str | None
    name: str | None


def read_envelope(method: str, params: bytes | None) -> Envelope:
    """Read what every request carries. Repeated keys are refused where the members are read to be passed on.

    Raises:
        Malformed: Something that is required is missing, or is not what it must be.
    """
    found = _read(params)
    meta = found.meta
    missing = [
        key for key, value in ((META_VERSION, meta.version), (META_CAPABILITIES, meta.capabilities)) if value is UNSET
    ]
    if meta.version is UNSET or meta.capabilities is UNSET:
        raise Malformed(INVALID_PARAMS, f"params._meta lacks {' and '.join(missing)}")
    named = {"name": found.name, "uri": found.uri, "taskId": found.task}.get(NAMED.get(method, ""), UNSET)
    return Envelope(
        _string(meta.version, META_VERSION),
        _object(meta.capabilities, META_CAPABILITIES),
        None if meta.client_info is UNSET else _object(meta.client_info, META_CLIENT_INFO),
        None if meta.log_level is UNSET else _string(meta.log_level, META_LOG_LEVEL),
        None if named is UNSET or bytes(named)[:1] != b'"' else _string(named, "what it names"),
    )


def is_enveloped(params: bytes | None) -> bool:
    """Tell whether a request that does not name its revision in a header is one of the modern era."""
    if params is None or META_VERSION.encode() not in params:
        return False
    try:
        return _read(params).meta.version is not UNSET
    except Malformed:
        return False


def status(outcome: Outcome) -> int:
    """Give the HTTP status that an outcome is sent with."""
    if outcome[0] is jsonrpc.RESULT:
        return _OK
    code = jsonrpc.error_code(outcome[1])
    return _OK if code is None else _STATUS.get(code, _OK)


def unsupported_version(requested: str) -> Outcome:
    """Refuse a revision that is not served: clients take one of those that are named."""
    text = f"Unsupported protocol version {requested!r}"
    return jsonrpc.error(UNSUPPORTED_VERSION, text, {"supported": list(VERSIONS), "requested": requested})


def missing_capability(required: Mapping[str, object]) -> Outcome:
    """Say which capabilities a client must declare for what it asks, such as ``{"sampling": {}}``."""
    names = ", ".join(required)
    return jsonrpc.error(MISSING_CAPABILITY, f"this needs a client with {names}", {"requiredCapabilities": required})


def encode_header(value: str) -> str:
    """Write a value so that it survives as a header: as it is, or marked and in base64."""
    if _PLAIN.fullmatch(value) and not _MARKED.fullmatch(value):
        return value
    return f"=?base64?{base64.b64encode(value.encode()).decode()}?="


def decode_header(value: bytes) -> str | None:
    """Read a header's value: the reverse of :func:`encode_header`; None for what nobody can have meant."""
    text = value.strip(b" \t").decode("latin-1")
    marked = _MARKED.fullmatch(text)
    if marked is None:
        return text
    try:
        decoded = base64.b64decode(marked[1], validate=True)
        is_canonical = base64.b64encode(decoded).decode() == marked[1]
        return decoded.decode() if is_canonical else None
    except (binascii.Error, ValueError):
        return None


def _read(params: bytes | None) -> _Params:
    try:
        return _params(params or b"{}")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _read_slowly(params)


def _read_slowly(params: bytes | None) -> _Params:
    """Read what msgspec refuses, above all lone surrogates, or find out what is wrong."""
    found = jsonrpc.members(params or b"{}", jsonrpc.PARAMS_KEYS)
    if bytes(found.get("_meta", b""))[:1] != b"{":
        text = f"params._meta must be an object with {META_VERSION} and {META_CAPABILITIES}"
        raise Malformed(INVALID_PARAMS, text)
    meta = jsonrpc.members(found["_meta"], jsonrpc.META_KEYS)
    return _Params(
        _Meta(*(meta.get(key, UNSET) for key in (META_VERSION, META_CAPABILITIES, META_CLIENT_INFO, META_LOG_LEVEL))),
        *(found.get(key, UNSET) for key in ("name", "uri", "taskId")),
    )


def _string(raw: Raw, what: str) -> str:
    try:
        return _text(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Malformed(INVALID_PARAMS, f"{what} must be a string") from None


def _object(raw: Raw, what: str) -> bytes:
    text = bytes(raw)
    if text[:1] != b"{":
        raise Malformed(INVALID_PARAMS, f"{what} must be an object")
    return text
