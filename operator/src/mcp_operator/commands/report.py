"""What ``mcp-operator build`` says at its end, for people and for programs."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from mcp_operator.commands import wording
from mcp_operator.images import result

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mcp_operator.images.contract import BuildError, BuildResult
    from mcp_operator.images.preview import Preview

_MEGABYTE = 1_000_000
_SHOWN_TOOLS = 20


def built(done: BuildResult, *, as_json: bool) -> None:
    """Tell of an image."""
    if as_json:
        _json(result.document(done))
        return
    rows = [
        ("image", ", ".join(done.tags)),
        ("id", done.image_id),
        ("pushed", done.reference if "@" in done.reference else ""),
        ("size", f"{done.size / _MEGABYTE:.0f} MB" if done.size else ""),
        ("source", done.commit),
        ("runtime", f"{done.language}: {' '.join(done.command)}"),
        ("server", _server(done)),
        ("needs", _needs(done)),
        ("tools", _tools(done)),
        *(("warning", wording.options(text)) for text in done.warnings),
        *(("scan", line) for scan in done.scans for line in scan.lines()),
        ("took", f"{done.seconds:.1f} s" + (", nothing had to be built" if done.reused else "")),
    ]
    sys.stdout.write(_table(rows))


def _server(done: BuildResult) -> str:
    where = f" on port {done.port}{done.path}" if done.port else ""
    return f"{done.server_name} ({done.protocol_version}, {done.transport}{where})" if done.server_name else ""


def _needs(done: BuildResult) -> str:
    needs = [*(f"variable {name}" for name in done.needs.env), *(f"argument {text}" for text in done.needs.args)]
    return ", ".join([*needs, "network"] if done.needs.network else needs)


def _tools(done: BuildResult) -> str:
    names = [tool.name for tool in done.tools]
    if not names:
        return "none"
    more = f" and {len(names) - _SHOWN_TOOLS} more" if len(names) > _SHOWN_TOOLS else ""
    tokens = sum(tool.tokens for tool in done.tools)
    return f"{len(names)}, about {tokens} tokens: {', '.join(names[:_SHOWN_TOOLS])}{more}"


def planned(found: Preview, seconds: float, *, as_json: bool) -> None:
    """Tell what would be built and where it would go."""
    if as_json:
        _json(result.planned(found, seconds))
        return
    where = "would be pushed as" if found.pushes else "would be named"
    rows = [
        ("source", found.commit),
        *(("seen", text) for text in found.evidence),
        ("start", " ".join(found.command)),
        ("build", "nothing: an image of the same input is there" if found.reused else ""),
        *((where, name) for name in found.tags),
        *(("push", each.lines()[0].rstrip(":")) for each in found.pushes),
        *(("warning", wording.options(text)) for text in found.warnings),
    ]
    sys.stdout.write(_table(rows))


def dockerfile(found: Preview, seconds: float, *, as_json: bool) -> None:
    """Print the Dockerfile alone; what a person should know besides goes elsewhere."""
    if as_json:
        _json({**result.planned(found, seconds), "dockerfile": found.dockerfile})
        return
    sys.stderr.write("".join(f"mcp-operator build: {wording.options(text)}\n" for text in found.warnings))
    sys.stdout.write(found.dockerfile)


def misused(error: BuildError, *, as_json: bool) -> None:
    """Tell that the options do not go together: to people on stderr, to programs on stdout as well."""
    sys.stderr.write(f"mcp-operator build: {wording.options(error.message)}\n  {error.hint}\n")
    if as_json:
        document = result.failure(error, 0.0)
        document["error"]["step"] = None
        _json(document)


def failed(error: BuildError, seconds: float, *, as_json: bool) -> None:
    """Tell why there is no image: to programs on stdout, to people on stderr."""
    if as_json:
        document = result.failure(error, seconds)
        document["error"]["hint"] = wording.options(error.hint)
        document["error"]["message"] = wording.options(error.message)
        _json(document)
        return
    lines = [f"mcp-operator build: {error.step} failed ({error.reason}): {wording.options(error.message)}"]
    lines += [f"  | {line}" for line in error.log_tail.splitlines()]
    lines += [f"  {wording.options(error.hint)}"] if error.hint else []
    sys.stderr.write("\n".join(lines) + "\n")


def cancelled(error: BuildError, seconds: float, *, as_json: bool) -> None:
    """Tell that it was interrupted: to programs on stdout, to people on stderr."""
    if as_json:
        _json(result.failure(error, seconds))
    else:
        sys.stderr.write(f"mcp-operator build: {error.message}\n")


def _table(rows: Iterable[tuple[str, str]]) -> str:
    filled = [(name, text) for name, text in rows if text]
    width = max(len(name) for name, _ in filled)
    return "".join(f"{name:<{width}}  {text}\n" for name, text in filled)


def _json(document: dict[str, Any]) -> None:
    json.dump(document, sys.stdout, indent=2)
    sys.stdout.write("\n")
