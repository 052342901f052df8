"""``toolman suggest``: the least allow list that the calls in an audit log needed, as YAML to be applied. Pure."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Literal

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

Form = Literal["layers", "ToolPolicy"]
"""What to print: a part of toolman's configuration, or a resource for ``kubectl apply``."""

_MAGIC = re.compile(r"([*?\[])")
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")
_WORDS = {"true", "false", "yes", "no", "on", "off", "null", "y", "n"}


class Line(msgspec.Struct):
    """What is needed of a line of the audit log."""

    tool: str
    decision: str
    server: str = ""
    name: str = ""
    kind: str = "tools"


class Usage(msgspec.Struct):
    """What a log tells.

    Attributes:
        calls: How often each tool of each server was called: ``(server, tool)`` to a count.
        denied: How often something was asked for and denied, by the name that was asked for.
        unread: Lines that are no records.
    """

    calls: Counter[tuple[str, str]]
    denied: Counter[str]
    unread: int = 0


def read(lines: Iterable[bytes]) -> Usage:
    """Count the calls of an audit log."""
    usage = Usage(Counter(), Counter())
    decode = msgspec.json.Decoder(Line).decode
    for line in lines:
        try:
            found = decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError):
            usage.unread += bool(line.strip())
            continue
        if found.kind != "tools":
            continue
        if found.decision == "allowed":
            usage.calls[found.server, found.name or found.tool] += 1
        else:
            usage.denied[found.tool] += 1
    return usage


def write(usage: Usage, known: Mapping[str, Iterable[str]], form: Form = "layers", name: str = "suggested") -> str:
    """Write the allow list.

    Args:
        usage: What was called.
        known: The tools that each server has, to name those that nobody called; may be empty.
        form: As what.
        name: Of the layer or resource.
    """
    by_server: dict[str, list[str]] = {server: [] for server, _ in sorted(usage.calls)}
    for server, tool in sorted(usage.calls):
        by_server[server].append(tool)
    text = [f"# {usage.calls.total()} calls of {len(usage.calls)} tools"]
    if usage.unread:
        text.append(f"# {usage.unread} lines were not understood")
    text += [f"# denied {count} times: {_scalar(tool)}" for tool, count in sorted(usage.denied.items())]
    documents = [
        _document(server, tools, usage, known.get(server, ()), form, name) for server, tools in by_server.items()
    ]
    if form == "layers":
        return "\n".join((*text, "layers:" if documents else "layers: []", *documents, ""))
    return "\n".join((*text, "\n---\n".join(documents), ""))


def _document(server: str, tools: list[str], usage: Usage, known: Iterable[str], form: Form, name: str) -> str:
    allowed = [f"{_scalar(_glob(tool))} # {usage.calls[server, tool]} calls" for tool in tools]
    unused = sorted(set(known) - set(tools))
    if form == "layers":
        lines = [f"- source: {_scalar(name)}", f"  servers: [{_scalar(server)}]", "  tools:", "    allow:"]
        indent = "    "
    else:
        lines = [
            "apiVersion: toolman.dev/v1alpha1",
            "kind: ToolPolicy",
            "metadata:",
            f"  name: {_scalar(f'{name}-{server}')}",
            "spec:",
            "  target:",
            f"    servers: [{_scalar(server)}]",
            "  tools:",
            "    allow:",
        ]
        indent = "    "
    return "\n".join((*lines, *(f"{indent}- {each}" for each in allowed), *_comments(unused, indent)))


def _comments(unused: list[str], indent: str) -> Iterator[str]:
    for tool in unused:
        yield f"{indent}# never called: {_scalar(tool)}"


def _glob(tool: str) -> str:
    """Write a name so that as a glob it matches itself alone."""
    return _MAGIC.sub(r"[\1]", tool)


def _scalar(text: str) -> str:
    """Write a text for YAML, on one line whatever it holds."""
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS:
        return text
    return "".join(map(_printable, msgspec.json.encode(text).decode()))


def _printable(character: str) -> str:
    """Escape what YAML does not take as it is."""
    return character if character.isprintable() else f"\\U{ord(character):08x}"
