"""Find a Go server: its module, and the one of its programs that makes an MCP server."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from mcp_operator.images.detect import go_imports, usage
from mcp_operator.images.detect.candidate import APP, Candidate, GoFacts, Problem, join, preferred
from mcp_operator.images.reasons import Reason
from mcp_operator.images.tree import PLAIN_PATH

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mcp_operator.images.tree import Tree

MANIFEST = "go.mod"
PROGRAM = ".bin/server"
"""The compiled program, relative to ``/app``."""

_MODULE = re.compile(r"^module\s+\"?([^\s\"]+)", re.MULTILINE)
_GO = re.compile(r"^go\s+(\d+(?:\.\d+)*)", re.MULTILINE)
_REQUIRED = re.compile(r"^(?:require\s+|\s+)([\w.-]+\.[\w.-]+/[^\s]+)\s+v", re.MULTILINE)
_LOCAL = re.compile(r"^(?:(?!//).)*=>\s*\.{1,2}/", re.MULTILINE)
_MAIN = re.compile(r"^package main\b", re.MULTILINE)
_FUNCTION = re.compile(r"^func main\(\)", re.MULTILINE)
_LEFT_OUT = re.compile(r"^//go:build (?:ignore|tools)\b", re.MULTILINE)
_ASIDE = frozenset({"test", "tests", "testdata", "example", "examples", "tools", "hack", "scripts", "docs", "e2e"})
_CGO = frozenset({"github.com/mattn/go-sqlite3", "github.com/confluentinc/confluent-kafka-go"})
"""Modules that need a C compiler."""
_PRETENDS = re.compile(r"fixture|mock")
"""In the name of a program that is there to try others on."""
_WORDS = ("stdio", "mcp", "server")


def find(tree: Tree, folder: str, inner: Sequence[str]) -> Candidate | None:
    """Examine one folder; None if it has no go.mod."""
    text = tree.text(join(folder, MANIFEST))
    if not text:
        return None
    match, wanted = _MODULE.search(text), _GO.search(text)
    module = match[1] if match else ""
    required = _REQUIRED.findall(text)
    used = usage.examine(tree, folder, usage.GO, usage.Named(module, required), inner)
    programs = _programs(tree, folder, inner)
    package = _choose(programs, module, used.server_files, folder)
    problem = None if package else _problem(folder, programs)
    said = [f"{join(folder, MANIFEST)} (Go)", *([f"asks for Go {wanted[1]}"] if wanted else []), *used.evidence]
    if package:
        said.append(f"starts the program of {package}")
    return Candidate(
        runtime="go",
        folder=folder,
        root=folder,
        name=_name(module),
        use=used.use,
        sdk=used.sdk,
        evidence=tuple(said),
        command=(f"{APP}/{PROGRAM}",) if package else (),
        problem=problem,
        facts=GoFacts(
            package=package,
            requires=wanted[1] if wanted else "",
            manifests=_manifests(tree, folder, text),
            cgo=bool(_CGO & set(required)),
            imports=go_imports.find(tree, folder, package, module, required) if package else (),
        ),
    )


def _name(module: str) -> str:
    """Give the last part of a module's path that is not its major version."""
    parts = [part for part in module.split("/") if not re.fullmatch(r"v\d+", part)]
    return parts[-1] if parts else ""


def _programs(tree: Tree, folder: str, inner: Sequence[str]) -> list[str]:
    """Give the folders with a main function, relative to the module."""
    apart = tuple(f"{name}/" for name in inner)
    found: set[str] = set()
    for name in tree.below(folder):
        relative = PurePosixPath(name).relative_to(folder)
        if relative.suffix != ".go" or name.startswith(apart) or _is_aside(relative):
            continue
        if str(relative.parent) not in found and not name.endswith("_test.go") and _is_program(tree.text(name)):
            found.add(str(relative.parent))
    return sorted(found, key=lambda name: (len(PurePosixPath(name).parts), name))


def _is_aside(path: PurePosixPath) -> bool:
    return bool(_ASIDE & set(path.parts)) or any(map(_PRETENDS.search, path.parts[:-1]))


def _is_program(text: str) -> bool:
    return bool(_MAIN.search(text) and _FUNCTION.search(text)) and not _LEFT_OUT.search(text)


def _choose(programs: list[str], module: str, servers: Sequence[str], folder: str) -> str:
    """Choose the program as an argument for ``go build``; empty if none is more likely than the others."""
    own = {str(PurePosixPath(name).relative_to(folder).parent) for name in servers}
    project = _name(module)
    names = {project if name == "." else PurePosixPath(name).name: name for name in reversed(programs)}
    making = [key for key, name in names.items() if name in own]
    # Named like the module; else the one that makes the server itself; else by the usual words.
    chosen = preferred(list(names), project, ()) or preferred(making, project, _WORDS)
    chosen = chosen or preferred(list(names), project, _WORDS)
    name = names.get(chosen, "." if "." in programs else "")
    if name == ".":
        return name
    return f"./{name}" if PLAIN_PATH.match(name) else ""


def _problem(folder: str, programs: list[str]) -> Problem:
    if not programs:
        return Problem(
            Reason.NO_START_COMMAND,
            f"the module of {join(folder, MANIFEST)} has no program: no package main",
            "Set spec.source.git.path to the module with the program: this one is a library.",
        )
    return Problem(
        Reason.AMBIGUOUS_START_COMMAND,
        f"the module has several programs ({', '.join(programs[:8])}) and none is named like it",
        "Set spec.build.runtime to dockerfile and describe there which one is the server.",
    )


def _manifests(tree: Tree, folder: str, text: str) -> tuple[str, ...]:
    """Give what downloading needs; empty if modules of the repository itself are among it, or all are there already."""
    if _LOCAL.search(text) or tree.is_folder(join(folder, "vendor")):
        return ()
    return tuple(name for name in (MANIFEST, "go.sum") if tree.is_file(join(folder, name)))
