"""Which packages of other modules a Go program is made of: compiled before its own sources, they stay in the cache."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from mcp_operator.images.detect.candidate import join

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mcp_operator.images.tree import Tree

MOST = 200
"""Packages that are named on one line."""
_BLOCK = re.compile(r"^import\s*(?:\((.*?)^\s*\)|((?:[\w.]+\s+)?\"[^\"\n]+\"))", re.DOTALL | re.MULTILINE)
_NAMED = re.compile(r"^\s*(?:[\w.]+\s+)?\"([A-Za-z0-9][\w./~-]*)\"", re.MULTILINE)
_CONDITION = re.compile(r"^//\s*(?:go:build|\+build)\b", re.MULTILINE)
_SPECIAL = re.compile(
    r"_(?:test|windows|darwin|freebsd|openbsd|netbsd|solaris|plan9|android|ios|js|wasm|arm|arm64|386|amd64)\.go\Z"
)


def find(tree: Tree, folder: str, package: str, module: str, required: Iterable[str]) -> tuple[str, ...]:
    """Give the packages of the required modules that a program imports, itself or through its own packages.

    Args:
        tree: The repository.
        folder: Of the module.
        package: Of the program: ``.`` or ``./cmd/server``.
        module: Path of the module.
        required: Paths of the modules that go.mod asks for.
    """
    files = _files(tree, folder)
    waiting, seen = [str(PurePosixPath(package))], set[str]()
    found: set[str] = set()
    known = tuple(required)
    while waiting:
        place = waiting.pop()
        if place in seen:
            continue
        seen.add(place)
        for name in files.get(place, ()):
            for path in _imports(tree.text(name)):
                if path == module or path.startswith(f"{module}/"):
                    waiting.append(path.removeprefix(module).strip("/") or ".")
                elif any(path == other or path.startswith(f"{other}/") for other in known):
                    found.add(path)
    return tuple(sorted(found)[:MOST])


def _files(tree: Tree, folder: str) -> dict[str, list[str]]:
    """Give the source files of each package; what is for some systems only is left out."""
    found: dict[str, list[str]] = {}
    for name in tree.below(folder):
        if name.endswith(".go") and not _SPECIAL.search(name):
            place = str(PurePosixPath(name).relative_to(folder).parent)
            found.setdefault(place, []).append(join(".", name))
    return found


def _imports(text: str) -> set[str]:
    head = text.partition("\npackage ")[0]
    if _CONDITION.search(head):
        return set()
    return {path for block in _BLOCK.findall(text) for part in block for path in _NAMED.findall(part)}
