"""Write, or with ``--check`` compare, everything that is made from the models."""

from __future__ import annotations

import argparse
import ast
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import chart_rbac
import reference_docs
import toolman_docs
import yaml
from mcp_operator import crds

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).resolve().parent.parent
CRD_FOLDERS = ("deploy/crds", "charts/mcp-operator/files/crds")
REFERENCE = "docs/reference"
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
    present |= set((ROOT / REFERENCE).glob("*.md"))
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
    for name, text in reference_docs.pages(ROOT / REFERENCE / "examples").items():
        result[ROOT / REFERENCE / name] = text
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


if __name__ == "__main__":
    sys.exit(main())
