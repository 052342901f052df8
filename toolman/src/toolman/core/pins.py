"""Whether a server still lists what was verified: hashes of its tools against the manifest of its build. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from toolman import jsonrpc, manifest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from msgspec import Raw

    from toolman.upstreams.offers import Item

Pin = Literal["", "same", "differs", "added", "missing"]
"""A tool against the manifest: there is none, or it does not count; as it was; changed; new; not listed any more."""

_READABLE = {key.casefold(): key for key in manifest.HASHED}


def fingerprint(tool: Item) -> str:
    """Hash a tool as :func:`toolman.manifest.tool_hash` does; empty for one that could be read in two ways.

    Some parsers take ``Description`` for ``description``: what those read would not be what was hashed.
    """
    if any(_READABLE.get(key.split("\0", 1)[0].casefold(), key) != key for key in tool.members):
        return ""
    try:
        return manifest.tool_hash({key: _decode(tool.members[key]) for key in manifest.HASHED if key in tool.members})
    except (msgspec.MsgspecError, UnicodeError, RecursionError, OverflowError):
        return ""


class Fingerprints:
    """The hashes of one server's tools: each is computed when it is first asked for."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def of(self, tool: Item) -> str:
        """Give a tool's hash."""
        found = self._known.get(tool.name)
        if found is None:
            found = self._known[tool.name] = fingerprint(tool)
        return found


def compare(recorded: Mapping[str, str], tool: Item, known: Fingerprints) -> Pin:
    """Compare a tool that is listed with the manifest: a hash by name."""
    if tool.name not in recorded:
        return "added"
    found = known.of(tool)
    return "same" if found and found == recorded[tool.name] else "differs"


def missing(recorded: Mapping[str, str], listed: Iterable[Item]) -> Iterator[str]:
    """Give the names that the manifest has and the server does not list."""
    names = {tool.name for tool in listed}
    return (name for name in recorded if name not in names)


def _decode(raw: Raw) -> object:
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):  # perhaps for lone surrogates, which are legal
        return msgspec.json.decode(jsonrpc.repaired(bytes(raw)))
