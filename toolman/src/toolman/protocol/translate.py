"""Results, errors and capabilities between the eras: added or taken away is only what an era must or must not have.

Values that stay are never decoded. Source: modelcontextprotocol.io/specification/2026-07-28, *Basic* and *Schema*, as
compared with 2025-11-25. Pure: no I/O.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec import Raw

from toolman import jsonrpc
from toolman.protocol import legacy, modern

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from toolman.exchange import Era
    from toolman.jsonrpc import Members, Outcome

REQUESTS = {"elicitation/create": "elicitation", "sampling/createMessage": "sampling", "roots/list": "roots"}
"""What servers may ask of clients, and the name of the capability that it takes."""

MAX_REQUESTS = 32
"""Input requests in one result; more are a flood."""

_UNCACHED = b',"ttlMs":0,"cacheScope":"private"'
_MODERN_KEYS = (b'"resultType"', b'"ttlMs"', b'"cacheScope"', b'"_meta"', b"\\u")
"""If none of these is anywhere in a result, nothing of it can be in the way of what is added. (A key may be spelt with
escapes.)"""


class InputRequest(msgspec.Struct, frozen=True):
    """One question of a server's in a result; ``params`` is raw, None if absent."""

    method: str
    params: Raw | None


class InputRequired(msgspec.Struct, frozen=True):
    """A result that asks for input: the questions by their keys, and the state to be given back, raw."""

    requests: dict[str, InputRequest]
    state: Raw | None


def read_result(value: bytes | Raw) -> Members:
    """Split a result into its members.

    Raises:
        Malformed: It is no object, or could be read in two ways.
    """
    return jsonrpc.members(value, jsonrpc.RESULT_KEYS)


def may_be(value: bytes | Raw, *texts: bytes) -> bool:
    """Tell, without reading all of it, whether a result can have one of these strings in it."""
    data = bytes(value)
    return b"\\u" in data or any(text in data for text in texts)


def result_type(found: Members) -> str:
    """Give a result's type; absent, as from older servers, means complete.

    Raises:
        Malformed: It is not a string.
    """
    return jsonrpc.text(found, "resultType") if "resultType" in found else "complete"


def to_modern(value: bytes | Raw, method: str, server_info: bytes) -> bytes:
    """Make a legacy server's result one of the modern era.

    Args:
        value: The result.
        method: What it answers.
        server_info: Of the server, a raw JSON object.

    Raises:
        Malformed: It is no object, or could be read in two ways.
    """
    data = bytes(value)
    head = b'{"resultType":"complete"%b,"_meta":{"%b":%b}' % (
        _UNCACHED if method in modern.CACHEABLE else b"",
        modern.META_SERVER_INFO.encode(),
        server_info,
    )
    if data[:1] == b"{" and not any(key in data for key in _MODERN_KEYS):
        rest = data[1:].lstrip()
        return head + (rest if rest == b"}" else b"," + rest)
    found = read_result(data)
    meta = found.get("_meta")
    identity = {modern.META_SERVER_INFO: Raw(server_info)}
    own = jsonrpc.members(meta, jsonrpc.META_KEYS) if meta is not None and bytes(meta) != b"null" else {}
    written: dict[str, bytes | Raw] = {"resultType": modern.COMPLETE, **found}
    written["resultType"] = modern.COMPLETE
    if method in modern.CACHEABLE:
        written |= {"ttlMs": b"0", "cacheScope": b'"private"'}
    written["_meta"] = jsonrpc.dump({**own, **identity})
    return jsonrpc.dump(written)


def to_legacy(found: Members) -> bytes:
    """Make the members of a complete result of a modern server one of the legacy era."""
    return jsonrpc.dump(
        {key: value for key, value in found.items() if key not in {"resultType", "ttlMs", "cacheScope"}}
    )


def read_input_required(found: Members) -> InputRequired:
    """Read what a server asks in a result of the type ``input_required``.

    Raises:
        Malformed: It cannot be read.
    """
    raw = found.get("inputRequests")
    asked = {} if raw is None else jsonrpc.members(raw, frozenset())
    if len(asked) > MAX_REQUESTS:
        raise jsonrpc.Malformed(jsonrpc.INVALID_PARAMS, f"more than {MAX_REQUESTS} inputRequests")
    requests = {}
    for key, value in asked.items():
        request = jsonrpc.members(value, jsonrpc.ENVELOPE)
        requests[key] = InputRequest(jsonrpc.text(request, "method"), request.get("params"))
    return InputRequired(requests, found.get("requestState"))


def input_required(requests: Mapping[str, InputRequest], state: str) -> bytes:
    """Write a result that asks for input."""
    asked = {}
    for key, request in requests.items():
        members: dict[str, bytes | Raw] = {"method": jsonrpc.encode(request.method)}
        if request.params is not None:
            members["params"] = request.params
        asked[key] = jsonrpc.dump(members)
    return b'{"resultType":"input_required","inputRequests":%b,"requestState":%b}' % (
        jsonrpc.dump(asked),
        jsonrpc.encode(state),
    )


def resource_not_found(era: Era, uri: str) -> Outcome:
    """Say that there is no such resource, in the words of the caller's era."""
    code = jsonrpc.INVALID_PARAMS if era == "modern" else legacy.RESOURCE_NOT_FOUND
    return jsonrpc.error(code, "Resource not found", {"uri": uri})


def shown_capabilities(
    capabilities: bytes, era: Era, requests: Collection[str], is_extension_allowed: Callable[[str], bool]
) -> bytes:
    """Cut out of a client's capabilities what a server of the modern era may not or cannot use; untouched if nothing.

    Args:
        capabilities: The client's, a raw JSON object.
        era: The client's. Tasks of the two eras have nothing in common.
        requests: What the server may ask: the capabilities that it may see of ``elicitation``, ``sampling``, ``roots``.
        is_extension_allowed: Decides on an extension by its identifier.

    Raises:
        Malformed: They could be read in two ways.
    """
    found = jsonrpc.members(capabilities, jsonrpc.CAPABILITY_KEYS)
    kept: dict[str, bytes | Raw] = {
        key: value for key, value in found.items() if key not in REQUESTS.values() or key in requests
    }
    if era == "legacy":
        kept.pop("tasks", None)
    if bytes(kept.get("extensions", b""))[:1] == b"{":
        extensions = jsonrpc.members(found["extensions"], frozenset())
        allowed = {
            key: value
            for key, value in extensions.items()
            if is_extension_allowed(key) and not (era == "legacy" and key == modern.TASKS)
        }
        if len(allowed) != len(extensions):
            kept["extensions"] = jsonrpc.dump(allowed)
    return capabilities if kept == found else jsonrpc.dump(kept)


def lacking(capabilities: bytes, request: InputRequest) -> dict[str, object] | None:
    """Tell which capability a client would have to declare to be asked this; None if it did.

    Raises:
        Malformed: Capabilities or params could be read in two ways.
    """
    name = REQUESTS[request.method]
    declared = jsonrpc.members(capabilities, jsonrpc.CAPABILITY_KEYS).get(name)
    if declared is None or bytes(declared)[:1] != b"{":
        return {name: {}}
    parts = jsonrpc.members(declared, frozenset())
    params = jsonrpc.members(request.params, frozenset()) if request.params is not None else {}
    part = _PARTS.get(name, _whole)(params)
    if part in parts or (part == "form" and not parts) or part is None:
        return None
    return {name: {part: {}}}


def _elicitation_part(params: Members) -> str:
    """Give the part of the capability that a mode takes; without parts it is the form."""
    return jsonrpc.text(params, "mode") if "mode" in params else "form"


def _sampling_part(params: Members) -> str | None:
    return None if params.keys().isdisjoint({"tools", "toolChoice"}) else "tools"


def _whole(_params: Members) -> None:
    """Nothing is needed but the capability itself."""


_PARTS: dict[str, Callable[[Members], str | None]] = {"elicitation": _elicitation_part, "sampling": _sampling_part}


def declares_extension(capabilities: bytes, identifier: str) -> bool:
    """Tell whether a client declares an extension; one whose capabilities could be read in two ways declares none."""
    try:
        declared = jsonrpc.members(capabilities, jsonrpc.CAPABILITY_KEYS).get("extensions", b"{}")
        return identifier in jsonrpc.members(declared, frozenset())
    except jsonrpc.Malformed:
        return False


def strip_envelope(meta: Members) -> None:
    """Take away what belongs to the hop between client and toolman."""
    for key in modern.ENVELOPE:
        meta.pop(key, None)
