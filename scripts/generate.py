"""Write, or with ``--check`` compare, everything that is made from the models."""

from __future__ import annotations

import argparse
import ast
import json
import sys
from dataclasses import MISSING, fields
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import chart_rbac
import toolman_docs
import yaml
from mcp_operator import conditions, crds, names, settings
from mcp_operator.images import reasons

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).resolve().parent.parent
CRD_FOLDERS = ("deploy/crds", "charts/mcp-operator/files/crds")
REFERENCE = "docs/reference.md"
TOOLMAN = "docs/toolman.md"
ARCHITECTURE = "ARCHITECTURE.md"
RBAC = "charts/mcp-operator/templates/rbac.yaml"
MAP_BEGIN, MAP_END = "<!-- map: made by scripts/generate from the modules' docstrings -->", "<!-- end of map -->"
PACKAGES = ("operator/src/mcp_operator", "toolman/src/toolman", "mcp_wrapper/src/mcp_wrapper")
HEADER = "# Made by scripts/generate from the models in mcp_operator.models: change those, then run it.\n"
WIDTH = 120


class _Dumper(yaml.SafeDumper):
    """Without anchors: the same default in two places is still two defaults."""

    def ignore_aliases(self, data: object) -> bool:
        """Never refer back, whatever the data."""
        del data
        return True


def main() -> int:
    """Return 1 when something is stale and only checking was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail when a file is stale")
    check = parser.parse_args().check
    wanted = files()
    stale = _stale(wanted)
    for path in stale:
        if not check:
            _put(path, wanted.get(path))
        print(f"{'stale' if check else 'wrote' if path in wanted else 'removed'}: {path.relative_to(ROOT)}")
    if check and stale:
        print("run scripts/generate and commit what it writes", file=sys.stderr)
        return 1
    return 0


def _stale(wanted: Mapping[Path, str]) -> list[Path]:
    present = {path for folder in CRD_FOLDERS for path in (ROOT / folder).glob("*.yaml")}
    return sorted(path for path in {*wanted, *present} if not path.is_file() or path.read_text() != wanted.get(path))


def _put(path: Path, text: str | None) -> None:
    if text is None:
        path.unlink()
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def files() -> dict[Path, str]:
    """Give the path and the text of every file."""
    result = {}
    for kind in crds.KINDS:
        text = HEADER + yaml.dump(crds.manifest(kind), Dumper=_Dumper, sort_keys=False, width=WIDTH)
        for folder in CRD_FOLDERS:
            result[ROOT / folder / f"{kind.crd}.yaml"] = text
    result[ROOT / REFERENCE] = "\n".join(reference()) + "\n"
    result[ROOT / TOOLMAN] = toolman_docs.fill((ROOT / TOOLMAN).read_text())
    result[ROOT / RBAC] = chart_rbac.template()
    before, _, rest = (ROOT / ARCHITECTURE).read_text().partition(MAP_BEGIN)
    modules = "\n".join(module_map())
    result[ROOT / ARCHITECTURE] = f"{before}{MAP_BEGIN}\n{modules}\n\n{MAP_END}{rest.partition(MAP_END)[2]}"
    return result


def module_map() -> Iterator[str]:
    """Give the lines of a table for each package: its modules and what each is for, by the module's own first line."""
    for package in PACKAGES:
        root = ROOT / package
        yield from ("", f"### {root.name}", "", "| module | what it owns |", "|---|---|")
        for path in sorted(root.rglob("*.py"), key=lambda path: (path.parent, path.name)):
            if path.name != "__init__.py":
                text = (ast.get_docstring(ast.parse(path.read_text())) or "").partition("\n")[0]
                yield f"| `{path.relative_to(root.parent)}` | {text.replace('``', '`').replace('|', chr(92) + '|')} |"


def reference() -> Iterator[str]:
    """Give the lines of the reference page."""
    yield "<!-- Made by scripts/generate from the models in mcp_operator.models: change those, then run it. -->"
    yield "# Reference of the resources"
    yield ""
    yield f"Group and version: `{names.API_VERSION}`. `kubectl get {names.CATEGORY}` lists all of them."
    for kind in crds.KINDS:
        yield from ("", f"## {kind.kind}", "", kind.description, "")
        yield f"Short name `{kind.short}`; {'one namespace' if kind.scope == 'Namespaced' else 'the whole cluster'}."
        yield from ("", "| field | type | default | what |", "|---|---|---|---|")
        properties = crds.root_schema(kind)["properties"]
        for row in _rows("spec", properties["spec"]):
            yield f"| `{row.path}` | {row.type} | {row.default} | {row.what} |"
        yield from ("", "Status:", "", "| field | type | what |", "|---|---|---|")
        for row in _rows("status", properties["status"]):
            yield f"| `{row.path}` | {row.type} | {row.what} |"
        columns = ", ".join(f"`{column.name}`" for column in kind.columns if not column.wide)
        yield from ("", f"Columns of `kubectl get`: {columns}.")
    yield from _conditions()
    yield from _settings()


def _conditions() -> Iterator[str]:
    yield from ("", "## Conditions and reasons", "", "| name | what |", "|---|---|")
    for name, what in _documented(Path(conditions.__file__)).items():
        if isinstance(getattr(conditions, name), str):
            yield f"| `{getattr(conditions, name)}` | {what} |"
    yield from ("", "Reasons of a build that failed; the message and `status.build.hint` say what to do:", "")
    yield from ("| reason | what |", "|---|---|")
    causes = _documented(Path(reasons.__file__))
    yield from (f"| `{reason.value}` | {causes[reason.name]} |" for reason in reasons.Reason)
    yield from ("", "## Annotations", "", "| annotation | what |", "|---|---|")
    named = _documented(Path(names.__file__))
    for name in ("ANNOTATION_RECONCILE", "ANNOTATION_APPROVE"):
        yield f"| `{getattr(names, name)}` | {named[name]} |"


def _settings() -> Iterator[str]:
    yield from ("", "## Settings of the operator", "", "Environment variables; the chart's values set them.", "")
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


if __name__ == "__main__":
    sys.exit(main())
