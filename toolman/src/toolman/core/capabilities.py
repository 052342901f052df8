"""What clients are told that there is, made of what the servers say, and what servers are told of clients. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from msgspec import Raw

from toolman import jsonrpc
from toolman.policy import decide
from toolman.protocol import modern, translate

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from toolman.config import Server
    from toolman.exchange import Era
    from toolman.jsonrpc import Members
    from toolman.policy import Layer

LISTS = ("tools", "prompts", "resources")
"""Capabilities whose changes toolman itself reports, whatever a server can."""

_SERVED = ("completions", "logging")
_OPEN = ("extensions", "experimental")
"""Capabilities that hold names that no revision knows; policy decides on each."""

_UNKNOWN: Members = {name: Raw(b"{}") for name in (*LISTS, *_SERVED)} | {"resources": Raw(b'{"subscribe":true}')}
"""What is said of a server that has not said anything yet: a client that is told that there are no prompts never asks
again, one that is told that there are gets an empty list."""

FORMS = {"elicitation": b'{"form":{},"url":{}}', "sampling": b'{"context":{},"tools":{}}', "roots": b"{}"}
"""What a server that all clients share is told: which of it a client can is seen when it asks."""


class Speaker(NamedTuple):
    """A server, as far as what it has is told to clients.

    Attributes:
        name: Its name in the configuration.
        era: In which it is spoken with.
        capabilities: By name, raw.
        instructions: For the model.
    """

    name: str
    era: Era
    capabilities: Members
    instructions: str | None = None


class Advertised(NamedTuple):
    """What a client is told.

    Attributes:
        capabilities: A raw JSON object.
        instructions: For the model, None if no server has any.
    """

    capabilities: bytes
    instructions: str | None


def read_object(data: bytes | Raw) -> Members:
    """Split what should be an object into its members; something else has none."""
    try:
        return jsonrpc.members(jsonrpc.on_one_line(bytes(data)), frozenset())
    except jsonrpc.Malformed:
        return {}


def advertise(layers: Sequence[Layer], speakers: Sequence[Speaker], era: Era, *, is_complete: bool) -> Advertised:
    """Join what servers say to what one client is told.

    Args:
        layers: Whose opinions on extensions count.
        speakers: The servers in sight that have said what they are.
        era: The client's.
        is_complete: Whether there are no others that may still say what they are.
    """
    told = _core([speaker.capabilities for speaker in speakers] + ([] if is_complete else [_UNKNOWN]))
    if era == "legacy":
        told |= _tasks(speakers)
    for name in _OPEN:
        open_ones = {key: value for key, (_, value) in offered(layers, speakers, name, era).items()}
        if open_ones:
            told[name] = Raw(jsonrpc.dump(open_ones))
    return Advertised(jsonrpc.dump(told), _instructions(speakers))


def offered(
    layers: Sequence[Layer], speakers: Iterable[Speaker], name: str, era: Era
) -> dict[str, tuple[str, bytes | Raw]]:
    """Find the extensions that are allowed and that exactly one server has: nothing says whose a method would be.

    Args:
        layers: Whose opinions count.
        speakers: The servers in sight.
        name: ``extensions`` or ``experimental``.
        era: The client's: tasks of the one era cannot be had in the other.

    Returns:
        Identifier of the extension to the server and its settings, raw.
    """
    found: dict[str, list[tuple[str, bytes | Raw]]] = {}
    for speaker in speakers:
        for key, value in read_object(speaker.capabilities.get(name, b"{}")).items():
            if key == modern.TASKS and "legacy" in {era, speaker.era}:
                continue
            if decide(layers, speaker.name, "extensions", key).allowed:
                found.setdefault(key, []).append((speaker.name, value))
    # Whose a task is, is known: any number of servers may have them.
    return {key: having[0] for key, having in found.items() if len(having) == 1 or key == modern.TASKS}


def declared_to(layers: Sequence[Layer], server: Server, client: bytes | None) -> bytes:
    """Write what a server is told of its clients' capabilities.

    Args:
        layers: They may narrow what the server's own configuration lets it ask.
        server: Which one.
        client: The capabilities of the only client that it will have, None if all share it.
    """
    asked = frozenset(name for name in FORMS if may_ask(layers, server, name))
    if client is None:
        return jsonrpc.dump({name: form for name, form in FORMS.items() if name in asked})
    try:
        return translate.shown_capabilities(
            client, "legacy", asked, lambda extension: decide(layers, server.name, "extensions", extension).allowed
        )
    except jsonrpc.Malformed:
        return b"{}"


def may_ask(layers: Sequence[Layer], server: Server, what: str) -> bool:
    """Tell whether a server may ask clients for something: ``elicitation``, ``sampling`` or ``roots``."""
    return what in server.server_requests and decide(layers, server.name, "server_requests", what).allowed


def _core(declared: Sequence[Members]) -> Members:
    """Join what toolman serves itself or forwards by the protocol's own methods. There may always be tools."""
    told: Members = {}
    for name in (*LISTS, *_SERVED):
        having = [each[name] for each in declared if bytes(each.get(name, b"null")) != b"null"]
        if having or name == "tools":
            told[name] = _list_capability(name, having) if name in LISTS else Raw(b"{}")
    return told


def _list_capability(name: str, having: Iterable[bytes | Raw]) -> Raw:
    """Say that changes are reported, and whether single resources can be followed; what else is said of it stays."""
    joined: dict[str, bytes | Raw] = {}
    for each in having:
        for key, value in read_object(each).items():
            if joined.get(key, b"false") == b"false":
                joined[key] = bytes(value)
    joined["listChanged"] = b"true"
    if name != "resources":
        joined.pop("subscribe", None)
    return Raw(jsonrpc.dump(joined))


def _tasks(speakers: Iterable[Speaker]) -> Members:
    """Join what legacy servers say of their tasks: kinds of requests, such as ``tools`` with ``call``."""
    said = [each.capabilities["tasks"] for each in speakers if each.era == "legacy" and "tasks" in each.capabilities]
    return {"tasks": Raw(_joined(said))} if said else {}


def _joined(objects: Sequence[bytes | Raw]) -> bytes:
    """Join objects all the way down; where one is no object the first counts."""
    split = [read_object(each) for each in objects]
    if len(objects) == 1 or not all(split):
        return bytes(objects[0])
    keys = dict.fromkeys(key for each in split for key in each)
    return jsonrpc.dump({key: _joined([each[key] for each in split if key in each]) for key in keys})


def _instructions(speakers: Iterable[Speaker]) -> str | None:
    said = [(each.name, each.instructions) for each in speakers if each.instructions]
    if len(said) == 1:
        return said[0][1]
    return "\n\n".join(f"## {name}\n\n{text}" for name, text in said) or None
