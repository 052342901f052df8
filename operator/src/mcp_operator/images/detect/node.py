"""Find a Node server: its package manager, its place in a workspace, and what must be built."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from mcp_operator.images.detect import node_start, usage
from mcp_operator.images.detect.candidate import Candidate, Manager, NodeFacts, ancestors, join
from mcp_operator.images.detect.node_start import BUN, MANIFEST, mapping
from mcp_operator.images.tree import PLAIN_PATH

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mcp_operator.images.tree import Tree

MAX_WORKSPACES = 100
"""Packages whose manifests are copied one by one before the sources."""

_LOCKS: dict[str, Manager] = {
    "package-lock.json": "npm",
    "npm-shrinkwrap.json": "npm",
    "pnpm-lock.yaml": "pnpm",
    "yarn.lock": "yarn",
    "bun.lock": "bun",
    "bun.lockb": "bun",
}
_PNPM_FOR_SETTINGS = "10.34.9"
"""For a pnpm-workspace.yaml with settings alone, which older ones refuse. Pinned: the same input, the same image."""
_PACKAGES = re.compile(r"^packages\s*:", re.MULTILINE)
_SETTINGS = (".npmrc", ".yarnrc", ".yarnrc.yml", "bunfig.toml", "pnpm-workspace.yaml")
"""Files beside the root's package.json that decide what is installed."""
_NEEDS_SOURCES = ('"file:', '"link:', '"portal:', "patch-package", '"prisma"')
"""In a manifest: installing takes files of the repository, or building writes among what is installed."""
_PATCHES = ("patchedDependencies", '"patch:')
"""In a manifest: dependencies are installed with changes, which are in files that it names."""
_PATCH = re.compile(r"(?<![\w.@+/-])[\w.@+-][\w.@+/-]*\.patch\b")
_PACKAGE = re.compile(r"(?:@[a-z0-9~][a-z0-9._~-]*/)?[a-z0-9~][A-Za-z0-9._~-]*\Z")
_VERSION = re.compile(r"(\w+)@(\d+\.\d+\.\d+)")
_YARN_PATH = re.compile(r"yarn-(\d+\.\d+\.\d+)\.cjs")
_CALLS = re.compile(r"(?:^|[\s;&|(])(pnpm|yarn|bunx?)(?=\s|$)")
_RUNS = re.compile(r"(?:npm run|(?:pnpm|yarn|bun)(?: run)?|run-[sp])\s+(?:-\S+\s+)*([\w:.-]+)")
_MODERN_YARN = "__metadata:"


def find(tree: Tree, folder: str, inner: Sequence[str]) -> Candidate | None:
    """Examine one folder; None if it has no package.json.

    Raises:
        ManifestError: package.json or the lock cannot be read.
    """
    manifest = tree.json(join(folder, MANIFEST))
    if not manifest:
        return None
    root, lock = _root(tree, folder)
    manager = _LOCKS.get(PurePosixPath(lock).name) or _named(tree, root)[0]
    dependencies = mapping(manifest, "dependencies") | mapping(manifest, "devDependencies")
    name = str(manifest.get("name", ""))
    used = usage.examine(tree, folder, usage.NODE, usage.Named(name, dependencies), inner)
    start = node_start.choose(tree, folder, manifest, bun=manager == "bun")
    script, problem = node_start.build_script(tree, folder, manifest, start)
    version = _manager_version(tree, root, manager)
    engines = str(mapping(manifest, "engines").get("node", ""))
    first = _built_first(tree, root, folder, manifest)
    facts = NodeFacts(
        manager=manager,
        locked=bool(lock),
        manifests=_manifests(tree, root, lock),
        workspaces=_is_workspace(tree, root),
        rebuild=_install_scripts(tree, lock),
        script=script,
        target=start.file,
        engines=engines,
        manager_version=version,
        modern=manager == "yarn" and _is_modern(tree, lock, version),
        first=first,
        tools=_tools(mapping(manifest, "scripts"), script, manager),
        development=node_start.tool(start) not in ("", *mapping(manifest, "dependencies")),
        bun=BUN in start.before,
    )
    return Candidate(
        runtime="node",
        folder=folder,
        root=root,
        name=name,
        use=used.use,
        sdk=used.sdk,
        evidence=(
            f"{join(folder, MANIFEST)} (Node)",
            f"packages by {manager}, {f'locked by {lock}' if lock else 'not locked'}",
            *_said("asks for node", engines[:40]),
            *used.evidence,
            *start.said,
            *_said("built by its script", repr(script) if script else ""),
            *_said("after building, of the same workspace,", ", ".join(first)),
        ),
        command=start.command(str(PurePosixPath(folder).relative_to(root))) if not problem else (),
        problem=problem,
        system_packages=("git",) if {"simple-git"} & dependencies.keys() else (),
        facts=facts,
        library=start.library and facts.workspaces,
    )


def _said(what: str, value: str) -> tuple[str, ...]:
    return (f"{what} {value}",) if value else ()


def _root(tree: Tree, folder: str) -> tuple[str, str]:
    """Give the folder to build from and its lock file: the nearest lock upwards, else a workspace, else itself."""
    for above in ancestors(folder):
        if above != folder and not _is_workspace(tree, above):
            continue
        there = [name for name in _LOCKS if tree.is_file(join(above, name))]
        # Of two locks one is left over: what packageManager names is the one in use.
        there.sort(key=lambda name: _LOCKS[name] != _named(tree, above)[0])
        if there:
            return above, join(above, there[0])
    workspace = next((above for above in ancestors(folder) if _is_workspace(tree, above)), folder)
    return workspace, ""


def _is_workspace(tree: Tree, folder: str) -> bool:
    return tree.is_file(join(folder, "pnpm-workspace.yaml")) or bool(
        tree.json(join(folder, MANIFEST)).get("workspaces")
    )


def _named(tree: Tree, root: str) -> tuple[Manager, str]:
    """Give manager and version from ``packageManager``; npm without."""
    match = _VERSION.match(str(tree.json(join(root, MANIFEST)).get("packageManager", "")))
    for manager in _LOCKS.values():
        if match and match[1] == manager:
            return manager, match[2]
    return ("pnpm" if tree.is_file(join(root, "pnpm-workspace.yaml")) else "npm"), ""


def _manager_version(tree: Tree, root: str, manager: Manager) -> str:
    named, version = _named(tree, root)
    if manager == "yarn" and named != "yarn":
        match = _YARN_PATH.search(tree.text(join(root, ".yarnrc.yml")))
        return match[1] if match else ""
    if manager == "pnpm" and not version:
        written = tree.text(join(root, "pnpm-workspace.yaml"))
        return _PNPM_FOR_SETTINGS if written and not _PACKAGES.search(written) else ""
    return version if named == manager else ""


def _is_modern(tree: Tree, lock: str, version: str) -> bool:
    return _MODERN_YARN in tree.text(lock) or version.partition(".")[0] not in ("", "1")


def _manifests(tree: Tree, root: str, lock: str) -> tuple[str, ...]:
    """Give what installing needs, relative to the root; empty if that cannot be told apart from the sources."""
    texts = {name: tree.text(name) for name in _deciding(tree, root)}
    if any(mark in text for text in texts.values() for mark in _NEEDS_SOURCES):
        return ()
    patches = _patches(tree, root, [text for text in texts.values() if any(mark in text for mark in _PATCHES)])
    if patches is None:
        return ()
    there = sorted({*texts, *patches, *([lock] if lock else ())})
    relative = [str(PurePosixPath(name).relative_to(root)) for name in there]
    plain = len(relative) <= MAX_WORKSPACES and all(map(PLAIN_PATH.match, relative))
    return tuple(relative) if plain else ()


def _deciding(tree: Tree, root: str) -> set[str]:
    """Give the files that say what is installed, but for the lock."""
    names = {join(root, name) for name in (MANIFEST, *_SETTINGS)}
    if _is_workspace(tree, root):
        names |= {name for name in tree.below(root) if name.endswith(f"/{MANIFEST}")}
    return {name for name in names if tree.is_file(name)}


def _patches(tree: Tree, root: str, texts: Sequence[str]) -> set[str] | None:
    """Give the files with changes to dependencies that manifests name; None if they cannot all be told."""
    found = set()
    for text in texts:
        # Yarn's "~" is the root of the workspace.
        names = {join(root, name) for name in _PATCH.findall(text.replace("~/", "")) if ".." not in name}
        if not names or len(names) < text.count(".patch") or not all(map(tree.is_file, names)):
            return None
        found |= names
    return found


def _install_scripts(tree: Tree, lock: str) -> tuple[str, ...] | None:
    if PurePosixPath(lock).name not in ("package-lock.json", "npm-shrinkwrap.json"):
        return None
    packages = mapping(tree.json(lock), "packages")
    paths = (path for path, entry in packages.items() if isinstance(entry, dict) and _scripted(entry))
    names = {path.rpartition("node_modules/")[2] for path in paths if "node_modules/" in path}
    return tuple(sorted(name for name in names if _PACKAGE.match(name)))


def _scripted(entry: dict[str, Any]) -> bool:
    """Tell whether a package of the lock has an install script that is run here: some are for other systems only."""
    systems = entry.get("os")
    return bool(entry.get("hasInstallScript")) and (not isinstance(systems, list) or "linux" in systems)


def _built_first(tree: Tree, root: str, folder: str, manifest: dict[str, Any]) -> tuple[str, ...]:
    """Give the folders, relative to the root, of what the package needs of its workspace and is built, in order."""
    if not _is_workspace(tree, root):
        return ()
    members: dict[str, str] = {}
    for name in tree.below(root):
        if name.endswith(f"/{MANIFEST}") and len(members) < MAX_WORKSPACES:
            members.setdefault(str(tree.json(name).get("name", "")), str(PurePosixPath(name).parent))
    found: dict[str, None] = {}
    seen = {folder}

    def visit(package: dict[str, Any]) -> Iterator[str]:
        for name in mapping(package, "dependencies") | mapping(package, "devDependencies"):
            below = members.get(name, folder)
            if below in seen:
                continue
            seen.add(below)
            inside = tree.json(join(below, MANIFEST))
            yield from visit(inside)
            if "build" in mapping(inside, "scripts"):
                yield str(PurePosixPath(below).relative_to(root))

    found.update(dict.fromkeys(visit(manifest)))
    return tuple(name for name in found if PLAIN_PATH.match(name))


def _tools(scripts: dict[str, Any], script: str, manager: Manager) -> tuple[Manager, ...]:
    """Give the other package managers that the build script calls, itself or through others."""
    waiting, seen = [script], set[str]()
    found: set[Manager] = set()
    while waiting:
        name = waiting.pop()
        text = scripts.get(name)
        if name in seen or not isinstance(text, str):
            continue
        seen.add(name)
        called = set(_CALLS.findall(text))
        found |= {tool for tool in set(_LOCKS.values()) if tool in called or (tool == "bun" and "bunx" in called)}
        waiting += [f"pre{name}", f"post{name}", *_RUNS.findall(text)]
    return tuple(sorted(found - {manager}))
