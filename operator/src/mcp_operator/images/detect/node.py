"""Find a Node server: its package manager, what must be built, and the file that starts it."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from mcp_operator.images.detect import usage
from mcp_operator.images.detect.candidate import Candidate, NodeFacts, Problem, Start, ancestors, join, preferred
from mcp_operator.images.reasons import Reason
from mcp_operator.images.tree import PLAIN_PATH

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mcp_operator.images.tree import Tree

MANIFEST = "package.json"
MAX_WORKSPACES = 100
"""Packages whose manifests are copied one by one before the sources."""

_LOCKS = {
    "package-lock.json": "npm",
    "npm-shrinkwrap.json": "npm",
    "pnpm-lock.yaml": "pnpm",
    "yarn.lock": "yarn",
    "bun.lock": "bun",
    "bun.lockb": "bun",
}
_BUILT = re.compile(r"(?:^|/)(?:dist|build|lib|out|bundle)/")
_PLAIN_START = re.compile(r"node((?: --?[A-Za-z][\w=./-]*)*) ([\w@./-]+)((?: [\w@./=:,+-]+)*)\Z")
_PACKAGE = re.compile(r"(?:@[a-z0-9~][a-z0-9._~-]*/)?[a-z0-9~][A-Za-z0-9._~-]*\Z")
_VERSION = re.compile(r"(\w+)@(\d+\.\d+\.\d+)")


def find(tree: Tree, folder: str, inner: Sequence[str]) -> Candidate | None:
    """Examine one folder; None if it has no package.json.

    Raises:
        ManifestError: package.json or the lock cannot be read.
    """
    manifest = tree.json(join(folder, MANIFEST))
    if not manifest:
        return None
    root, lock = _root(tree, folder)
    manager = _LOCKS.get(PurePosixPath(lock).name, "npm")
    dependencies = _mapping(manifest, "dependencies") | _mapping(manifest, "devDependencies")
    used = usage.examine(tree, folder, usage.NODE, dependencies, inner)
    start = _start(tree, folder, manifest)
    script, problem = _script(tree, folder, manifest, start)
    if manager in ("yarn", "bun"):
        problem = Problem(
            Reason.UNSUPPORTED,
            f"its packages are locked by {manager}, which is not supported yet",
            "Add a package-lock.json (`npm install --package-lock-only`) and remove the other lock.",
        )
    engines = _mapping(manifest, "engines").get("node", "")
    said = [
        f"{join(folder, MANIFEST)} (Node)",
        f"packages by {manager}" + (f", locked by {lock}" if lock else ", not locked"),
    ]
    if engines:
        said.append(f"asks for node {str(engines)[:40]}")
    said += [
        *used.evidence,
        *([f"starts {start.why}"] if start.why else []),
        *([f"built by its script {script!r}"] if script else []),
    ]
    facts = NodeFacts(
        manager="pnpm" if manager == "pnpm" else "npm",
        locked=bool(lock),
        manifests=_manifests(tree, root, lock),
        workspaces=_is_workspace(tree, root),
        rebuild=_install_scripts(tree, lock),
        script=script,
        target=start.file,
        engines=str(engines),
        manager_version=_manager_version(tree, root, manager),
    )
    return Candidate(
        runtime="node",
        folder=folder,
        root=root,
        name=str(manifest.get("name", "")),
        use=used.use,
        evidence=tuple(said),
        command=start.command(str(PurePosixPath(folder).relative_to(root))) if not problem else (),
        problem=problem,
        system_packages=("git",) if {"simple-git"} & dependencies.keys() else (),
        facts=facts,
    )


def _mapping(manifest: dict[str, Any], key: str) -> dict[str, Any]:
    value = manifest.get(key)
    return value if isinstance(value, dict) else {}


def _root(tree: Tree, folder: str) -> tuple[str, str]:
    """Give the folder to build from and its lock file: the nearest lock upwards, else a workspace, else itself."""
    for above in ancestors(folder):
        for name in _LOCKS:
            if tree.is_file(join(above, name)) and (above == folder or _is_workspace(tree, above)):
                return above, join(above, name)
    workspace = next((above for above in ancestors(folder) if _is_workspace(tree, above)), folder)
    return workspace, ""


def _is_workspace(tree: Tree, folder: str) -> bool:
    return tree.is_file(join(folder, "pnpm-workspace.yaml")) or bool(
        tree.json(join(folder, MANIFEST)).get("workspaces")
    )


def _manifests(tree: Tree, root: str, lock: str) -> tuple[str, ...]:
    """Give what installing needs, relative to the root; empty if that cannot be told apart from the sources."""
    text = tree.text(join(root, MANIFEST))
    if '"file:' in text or "patch-package" in text:
        return ()  # dependencies on folders of the repository
    names = {join(root, MANIFEST), join(root, ".npmrc"), lock or join(root, MANIFEST)}
    if _is_workspace(tree, root):
        if PurePosixPath(lock).name != "pnpm-lock.yaml":
            return ()  # npm runs the prepare scripts of workspaces whatever it is told, and they need the sources
        names |= {join(root, "pnpm-workspace.yaml")}
        names |= {name for name in tree.below(root) if name.endswith(f"/{MANIFEST}")}
    relative = sorted(str(PurePosixPath(name).relative_to(root)) for name in names if tree.is_file(name))
    if len(relative) > MAX_WORKSPACES or not all(map(PLAIN_PATH.match, relative)):
        return ()
    return tuple(relative)


def _install_scripts(tree: Tree, lock: str) -> tuple[str, ...] | None:
    if PurePosixPath(lock).name not in ("package-lock.json", "npm-shrinkwrap.json"):
        return None
    packages = _mapping(tree.json(lock), "packages")
    paths = (path for path, entry in packages.items() if isinstance(entry, dict) and entry.get("hasInstallScript"))
    names = {path.rpartition("node_modules/")[2] for path in paths if "node_modules/" in path}
    return tuple(sorted(name for name in names if _PACKAGE.match(name)))


def _manager_version(tree: Tree, root: str, manager: str) -> str:
    match = _VERSION.match(str(tree.json(join(root, MANIFEST)).get("packageManager", "")))
    return match[2] if match and match[1] == manager else ""


def _start(tree: Tree, folder: str, manifest: dict[str, Any]) -> Start:
    for attempt in (_from_bin, _from_start_script, _from_main):
        start = attempt(tree, folder, manifest)
        if start:
            return start
    return Start(
        problem=Problem(
            Reason.NO_START_COMMAND,
            f"{join(folder, MANIFEST)} has no bin, no start script of the form `node FILE`, and no main file",
            "Add bin to package.json, or set spec.build.command.",
        ),
    )


def _from_bin(tree: Tree, folder: str, manifest: dict[str, Any]) -> Start | None:
    value = manifest.get("bin")
    name = str(manifest.get("name", ""))
    choices = {name: value} if isinstance(value, str) else value if isinstance(value, dict) else {}
    if not choices:
        return None
    chosen = preferred(list(choices), name, ("stdio", "mcp", "server"))
    if not chosen and len(set(map(str, choices.values()))) == 1:
        chosen = next(iter(choices))
    if not chosen:
        listed = ", ".join(sorted(choices)[:8])
        return Start(
            problem=Problem(
                Reason.AMBIGUOUS_START_COMMAND,
                f"package.json has several bin entries ({listed}) and none is named like it",
                "Set spec.build.command to the right one: [node, FILE].",
            ),
        )
    return _node(tree, folder, choices[chosen], f"bin {chosen!r}")


def _from_start_script(tree: Tree, folder: str, manifest: dict[str, Any]) -> Start | None:
    match = _PLAIN_START.match(str(_mapping(manifest, "scripts").get("start", "")).strip())
    if not match:
        return None
    start = _node(tree, folder, match[2], "the start script")
    flags = match[1].split()
    return dataclasses.replace(start, before=(*start.before, *flags), after=tuple(match[3].split()))


def _from_main(tree: Tree, folder: str, manifest: dict[str, Any]) -> Start | None:
    value = manifest.get("main")
    names = [value] if isinstance(value, str) else ["index.js", "server.js", "index.mjs", "server.mjs"]
    for name in names:
        if isinstance(value, str) or tree.is_file(join(folder, name)):
            return _node(tree, folder, name, "main" if value else name)
    return None


def _node(tree: Tree, folder: str, value: object, why: str) -> Start:
    """Start a file of the package; its name comes from a stranger."""
    file = str(PurePosixPath(str(value))).removeprefix("/") if isinstance(value, str) else ""
    if not file or not PLAIN_PATH.match(file) or ".." in PurePosixPath(file).parts or str(value).startswith("/"):
        return Start(
            problem=Problem(
                Reason.NO_START_COMMAND,
                f"{why} of {join(folder, MANIFEST)} is not a file of the package: {json.dumps(value)[:100]}",
                "Name a file inside the package, of letters, digits and @ _ + = . - only.",
            ),
        )
    if file.endswith((".ts", ".tsx", ".mts")):
        return Start(
            problem=Problem(
                Reason.NO_START_COMMAND,
                f"{why} names {file}, which Node cannot start",
                "Name the compiled JavaScript file in bin, and add a build script that makes it.",
            ),
        )
    for suffix in ("", ".js", "/index.js"):
        if tree.is_file(join(folder, file + suffix)):
            file += suffix
            break
    return Start(before=("node",), file=file, why=f"{file} ({why})")


def _script(tree: Tree, folder: str, manifest: dict[str, Any], start: Start) -> tuple[str, Problem | None]:
    """Choose the script that makes the start file, if it must be made; or say why nothing can."""
    there = bool(start.file) and tree.is_file(join(folder, start.file))
    sources = tree.is_file(join(folder, "tsconfig.json"))
    if there and not (sources and _BUILT.search(start.file)):
        return "", None
    scripts = _mapping(manifest, "scripts")
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
