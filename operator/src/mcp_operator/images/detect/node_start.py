"""Choose what starts a Node server, and the script of package.json that makes that file."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from mcp_operator.images.detect import hints
from mcp_operator.images.detect.candidate import APP, Problem, Start, join, preferred
from mcp_operator.images.reasons import Reason
from mcp_operator.images.tree import PLAIN_PATH

if TYPE_CHECKING:
    from mcp_operator.images.tree import Tree

MANIFEST = "package.json"
BUN = f"{APP}/.bun/node_modules/.bin/bun"
"""Where a server that only Bun can run has it."""

_BUILT = re.compile(r"(?:^|/)(?:dist|build|lib|out|bundle)/")
_START = re.compile(
    r"(node|tsx|ts-node(?:-esm)?|bun)(?: run)?((?: --?[A-Za-z][\w=./-]*)*) ([\w@./-]+\.\w+|(?<=node )[\w@./-]+)"
    r"((?: [\w@./=:,+-]+)*)\Z"
)
_AROUND = re.compile(r"\A(?:cross-env\s+)?(?:NODE_ENV=\w+\s+)*(?:npx\s+(?:(?:-y|--yes)\s+)?)?")
"""Before the program in a start script, and no part of what it starts."""
_INSPECTED = re.compile(r"(?:@modelcontextprotocol/|\bmcp-)inspector(?:@\S+)?\s+(?:--\s+)?([^&|;]+)")
_LOADED = re.compile(r"[\"'`](\.{1,2}/[\w./@-]+)[\"'`]")
_ENDINGS = (".js", ".mjs", ".cjs", "/index.js")
_TYPESCRIPT = (".ts", ".tsx", ".mts")
_STRIPS = "node, for TypeScript"
"""Node has run the plain kind by itself since 22.18."""


def choose(tree: Tree, folder: str, manifest: dict[str, Any], *, bun: bool) -> Start:
    """Choose the start command: ``bin``, else a plain ``start`` script, else what is inspected, else ``main``.

    Args:
        tree: The repository.
        folder: Of the package.
        manifest: Its package.json.
        bun: The project is made for Bun, which runs TypeScript as it is.
    """
    for attempt in (_from_bin, _from_start_script, _from_inspector, _from_main):
        start = attempt(tree, folder, manifest, bun=bun)
        if start:
            return start
    return Start(
        problem=Problem(
            Reason.NO_START_COMMAND,
            f"{join(folder, MANIFEST)} has no bin, no start script of the form `node FILE`, and no main file",
            "Add bin to package.json, or set spec.build.command.",
        ),
    )


def _from_bin(tree: Tree, folder: str, manifest: dict[str, Any], *, bun: bool) -> Start | None:
    value = manifest.get("bin")
    name = str(manifest.get("name", ""))
    choices = {name: value} if isinstance(value, str) else value if isinstance(value, dict) else {}
    if not choices:
        return None
    told = hints.programs(tree, folder) if len(choices) > 1 else []
    chosen = preferred(list(choices), name, ("stdio", "mcp", "server"), told)
    if chosen not in choices and len(set(map(str, choices.values()))) == 1:
        chosen = next(iter(choices))
    if chosen not in choices:
        listed = ", ".join(sorted(choices)[:8])
        return Start(
            problem=Problem(
                Reason.AMBIGUOUS_START_COMMAND,
                f"package.json has several bin entries ({listed}) and none is named like it",
                "Set spec.build.command to the right one: [node, FILE].",
            ),
        )
    return _file(tree, folder, choices[chosen], f"bin {chosen!r}", "bun" if bun else "node")


def _from_start_script(tree: Tree, folder: str, manifest: dict[str, Any], *, bun: bool) -> Start | None:
    # What is built before is built anyway.
    last = str(mapping(manifest, "scripts").get("start", "")).rpartition("&&")[2]
    return _from_line(tree, folder, _AROUND.sub("", last.strip()), "the start script", bun=bun)


def _from_inspector(tree: Tree, folder: str, manifest: dict[str, Any], *, bun: bool) -> Start | None:
    """Take what a script gives the SDK's inspector to start: the server, as its author tries it."""
    for name, line in mapping(manifest, "scripts").items():
        if (match := _INSPECTED.search(str(line))) and (
            start := _from_line(tree, folder, match[1].strip(), f"the script {name!r}", bun=bun)
        ):
            return start
    return None


def _from_line(tree: Tree, folder: str, line: str, why: str, *, bun: bool) -> Start | None:
    match = _START.match(line)
    if not match:
        return None
    program, flags, file, words = match.groups()
    if program == "node" and file.endswith(_TYPESCRIPT):
        program = _STRIPS
    start = _file(tree, folder, file, why, "bun" if bun else program)
    # A file with settings is its author's, and not in the repository.
    kept = (flag for flag in flags.split() if not flag.startswith("--env-file"))
    return dataclasses.replace(start, before=(*start.before, *kept), after=tuple(words.split()))


def _from_main(tree: Tree, folder: str, manifest: dict[str, Any], *, bun: bool) -> Start | None:
    value = manifest.get("main")
    names = [value] if isinstance(value, str) else ["index.js", "server.js", "index.mjs", "server.mjs"]
    for name in names:
        if isinstance(value, str) or tree.is_file(join(folder, name)):
            start = _file(tree, folder, name, "main" if value else name, "bun" if bun else "node")
            return dataclasses.replace(start, library=True)
    return None


def _file(tree: Tree, folder: str, value: object, why: str, program: str) -> Start:
    """Start a file of the package; its name comes from a stranger."""
    file = _inside(value)
    if not file:
        return Start(
            problem=Problem(
                Reason.NO_START_COMMAND,
                f"{why} of {join(folder, MANIFEST)} is not a file of the package: {json.dumps(value)[:100]}",
                "Name a file inside the package, of letters, digits and @ _ + = . - only.",
            ),
        )
    if file.endswith(_TYPESCRIPT) and program == "node":
        return Start(
            problem=Problem(
                Reason.NO_START_COMMAND,
                f"{why} names {file}, which Node cannot start",
                "Name the compiled JavaScript file in bin, and add a build script that makes it.",
            ),
        )
    endings = (suffix for suffix in ("", ".js", "/index.js") if tree.is_file(join(folder, file + suffix)))
    file += next(endings, "")
    if program == "bun" and (file.endswith(_TYPESCRIPT) or _for_bun(tree.text(join(folder, file)))):
        return Start(before=(BUN,), file=file, why=f"{file} ({why}), with Bun")
    if program == "tsx":
        return Start(before=("node", "--import", "tsx"), file=file, why=f"{file} ({why}), with tsx")
    if program.startswith("ts-node"):
        # Without checking types: that takes as long as compiling, at each start.
        module = tree.json(join(folder, MANIFEST)).get("type") == "module" or program.endswith("-esm")
        hook = (
            ("--loader", "ts-node/esm/transpile-only") if module else ("--require", "ts-node/register/transpile-only")
        )
        return Start(before=("node", *hook), file=file, why=f"{file} ({why}), with ts-node")
    return Start(before=("node",), file=file, why=f"{file} ({why})")


def _inside(value: object) -> str:
    """Give the name of a file of the package; empty if it is none."""
    if not isinstance(value, str) or value.startswith("/"):
        return ""
    file = str(PurePosixPath(value))
    return file if PLAIN_PATH.match(file) and ".." not in PurePosixPath(file).parts else ""


def _for_bun(text: str) -> bool:
    """Tell whether only Bun can run a file."""
    return text.startswith("#!") and "bun" in text.partition("\n")[0]


def build_script(tree: Tree, folder: str, manifest: dict[str, Any], start: Start) -> tuple[str, Problem | None]:
    """Choose the script that makes the start file, if it must be made; or say why nothing can."""
    there = bool(start.file) and tree.is_file(join(folder, start.file))
    sources = tree.is_file(join(folder, "tsconfig.json"))
    if there and not (sources and _BUILT.search(start.file)) and not _loads_built(tree, folder, start.file):
        return "", None
    scripts = mapping(manifest, "scripts")
    for name in ("build", "prepare", "prepublishOnly", "compile", "tsc"):
        if isinstance(scripts.get(name), str):
            return name, start.problem
    if there or start.problem:
        return "", start.problem
    return "", Problem(
        Reason.NO_START_COMMAND,
        f"{join(folder, start.file)} is not in the repository, and package.json has no build script that makes it",
        "Add a build script, or name another file in bin; spec.build.command overrides the start command.",
    )


def _loads_built(tree: Tree, folder: str, file: str) -> bool:
    """Tell whether a file that is there loads one that is still to be made, as small starters in bin/ do."""
    place = PurePosixPath(folder) / file
    for name in _LOADED.findall(tree.text(str(place))):
        target = os.path.normpath(place.parent / name)
        if _BUILT.search(f"{target}/") and not any(tree.is_file(target + end) for end in ("", *_ENDINGS)):
            return True
    return False


def tool(start: Start) -> str:
    """Give the package that a start command needs to run TypeScript; empty if none."""
    loads = "".join(start.before[2:])
    return "tsx" if loads == "tsx" else "ts-node" if loads.startswith("ts-node/") else ""


def mapping(manifest: dict[str, Any], key: str) -> dict[str, Any]:
    """Give a table of a manifest that strangers wrote; empty if it is none."""
    value = manifest.get(key)
    return value if isinstance(value, dict) else {}
