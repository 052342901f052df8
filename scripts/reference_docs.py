"""The pages below ``docs/reference/``: from the models, the docstrings of constants, and the examples beside them."""

from __future__ import annotations

import ast
import json
from dataclasses import MISSING, fields
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from mcp_operator import conditions, crds, events, names, settings
from mcp_operator.images import reasons

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

HEADER: Final = "<!-- Made by scripts/generate from the models in mcp_operator.models: change those, then run it. -->"
ANNOTATIONS: Final = ("ANNOTATION_RECONCILE", "ANNOTATION_APPROVE")
"""Those that people set."""


def pages(examples: Path) -> dict[str, str]:
    """Give the text of every page by its file's name; ``examples`` is the folder of what people would write."""
    made = {f"{kind.kind.lower()}.md": _kind(kind, examples) for kind in crds.KINDS}
    made |= {"conditions.md": _conditions(), "settings.md": _settings()}
    return {name: "\n".join((HEADER, *lines)) + "\n" for name, lines in made.items()}


def _kind(kind: crds.Kind, examples: Path) -> Iterator[str]:
    yield from (f"# {kind.kind}", "", kind.description, "")
    where = "in a namespace" if kind.scope == "Namespaced" else "for the whole cluster"
    yield f"Group and version `{names.API_VERSION}`, short name `{kind.short}`, {where}."
    yield f"`kubectl get {names.CATEGORY}` lists all kinds."
    columns = ", ".join(f"`{column.name}`" for column in kind.columns if not column.wide)
    yield f"Columns of `kubectl get`: {columns}. Its conditions and their reasons: [conditions.md](conditions.md)."
    yield from ("", "## Examples")
    for path in sorted(examples.glob(f"{kind.kind.lower()}-*.yaml")):
        yield from ("", *_example(path))
    properties = crds.root_schema(kind)["properties"]
    yield from ("", "## Spec", "", "| field | type | default | what |", "|---|---|---|---|")
    for row in _rows("spec", properties["spec"]):
        yield f"| `{row.path}` | {row.type} | {row.default} | {row.what} |"
    yield from ("", "## Status", "", "| field | type | what |", "|---|---|---|")
    for row in _rows("status", properties["status"]):
        yield f"| `{row.path}` | {row.type} | {row.what} |"


def _example(path: Path) -> Iterator[str]:
    """Give an example: the comment that it begins with as text, the rest as YAML."""
    lines = path.read_text(encoding="utf-8").splitlines()
    comment = [line.removeprefix("#").strip() for line in lines if line.startswith("#")]
    yield from (*comment, "", "```yaml")
    yield from (line for line in lines if not line.startswith("#"))
    yield "```"


def _conditions() -> Iterator[str]:
    yield from ("# Conditions, reasons and events", "")
    yield "What a resource says about itself. What to do about each: [debugging.md](../debugging.md)."
    documented = _documented(Path(conditions.__file__))
    types = {name: what for name, what in documented.items() if getattr(conditions, name) in conditions.TYPES}
    yield from ("", "## Types", "", "| type | what |", "|---|---|")
    yield from _constants(conditions, types)
    yield from ("", "## Reasons", "", "| reason | what |", "|---|---|")
    yield from _constants(conditions, {name: what for name, what in documented.items() if name not in types})
    yield from ("", "Reasons of a build that failed; the message and `status.build.hint` say what to do:", "")
    yield from ("| reason | what |", "|---|---|")
    causes = _documented(Path(reasons.__file__))
    yield from (f"| `{reason.value}` | {causes[reason.name]} |" for reason in reasons.Reason)
    yield from ("", "## Events", "", "Besides these, what stalls or is waited for is told once, by its reason.", "")
    yield from ("| event | what |", "|---|---|")
    yield from _constants(events, _documented(Path(events.__file__)))
    yield from ("", "## Annotations", "", "| annotation | what |", "|---|---|")
    named = _documented(Path(names.__file__))
    yield from _constants(names, {name: named[name] for name in ANNOTATIONS})


def _constants(module: object, documented: Mapping[str, str]) -> Iterator[str]:
    for name, what in documented.items():
        value = getattr(module, name, None)
        if isinstance(value, str):
            yield f"| `{value}` | {what} |"


def _settings() -> Iterator[str]:
    yield from ("# Settings of the operator", "", "Environment variables; the chart's values set them.", "")
    yield from ("| variable | default | what |", "|---|---|---|")
    what = _documented(Path(settings.__file__))
    for entry in fields(settings.Settings):
        default = "required" if entry.default is MISSING else f"`{json.dumps(entry.default)}`"
        yield f"| `{settings.variable(entry.name)}` | {default} | {what[entry.name]} |"


def _documented(source: Path) -> dict[str, str]:
    """Give the docstring below each name of a module or of a class in it."""
    found = {}
    for parent in ast.walk(ast.parse(source.read_text())):
        body = parent.body if isinstance(parent, (ast.Module, ast.ClassDef)) else []
        for name, text in pairwise(body):
            match name, text:
                case (
                    ast.AnnAssign(target=ast.Name(id=word)) | ast.Assign(targets=[ast.Name(id=word)]),
                    ast.Expr(value=ast.Constant(value=str(what))),
                ):
                    found[word] = " ".join(what.replace("``", "`").split())
                case _:
                    pass
    return found


class _Row(NamedTuple):
    path: str
    type: str
    default: str
    what: str


def _rows(path: str, node: Mapping[str, Any]) -> Iterator[_Row]:
    for name, part in node.get("properties", {}).items():
        where = f"{path}.{name}"
        what = " ".join((part.get("description", ""), *_rules(part)))
        default = _default(part, required=name in node.get("required", ()))
        yield _Row(where, _type(part), default, " ".join(what.split()).replace("|", "\\|"))
        yield from _rows(f"{where}[]" if "items" in part else where, part.get("items", part))


def _rules(part: Mapping[str, Any]) -> Iterator[str]:
    for node in (part, part.get("items", {})):
        for rule in node.get("x-kubernetes-validations", ()):
            yield f"Rule: {rule['message']}."


def _type(part: Mapping[str, Any]) -> str:
    if "enum" in part:
        return " \\| ".join(f"`{value}`" for value in part["enum"])
    if part.get("x-kubernetes-int-or-string"):
        return "quantity"
    if part["type"] == "array":
        return f"list of {_type(part['items'])}"
    if isinstance(part.get("additionalProperties"), dict):
        return f"map of {_type(part['additionalProperties'])}"
    return str(part["type"])


def _default(part: Mapping[str, Any], *, required: bool) -> str:
    if required:
        return "required"
    if "default" not in part:
        return ""
    return f"`{json.dumps(part['default'])}`"
