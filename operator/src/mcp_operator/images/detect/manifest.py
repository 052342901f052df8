"""Find a server that is described by ``manifest.json``: tools and connectors as plain files, with a list of packages.

For folders without a package.json or pyproject.toml: ``tools/``, ``connectors/``, ``config.yaml``, and a manifest like
``{"name", "entry", "dependencies": {"npm": {...}, "python": [...]}, "tools": [{"name"}]}``.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from mcp_operator.images.detect.candidate import APP, Candidate, ManifestFacts, Problem, Use, join
from mcp_operator.images.detect.python_start import VENV
from mcp_operator.images.reasons import Reason
from mcp_operator.images.tree import PLAIN_PATH

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mcp_operator.images.tree import Tree

MANIFEST = "manifest.json"
FOLDERS = ("tools", "connectors")
_OTHERS = ("package.json", "pyproject.toml", "setup.py", "go.mod")
_NODE = (".ts", ".mts", ".js", ".mjs", ".cjs")
_NAMES = tuple(
    f"{folder}{name}{suffix}"
    for folder in ("", "src/")
    for name in ("server", "index", "main")
    for suffix in (".ts", ".js", ".mjs", ".py")
)
_NPM = re.compile(r"(?:@[a-z0-9~][a-z0-9._~-]*/)?[a-z0-9~][a-z0-9._~-]*(?:@[A-Za-z0-9.^~<>=*| +-]+)?\Z")
_PYTHON = re.compile(
    r"[A-Za-z0-9][A-Za-z0-9._-]*(?:\[[A-Za-z0-9._, -]+\])?\s*(?:(?:[~=!<>]=?|===)\s*[A-Za-z0-9.*+!-]+\s*,?\s*)*\Z"
)


def find(tree: Tree, folder: str, _inner: Sequence[str]) -> Candidate | None:
    """Examine one folder; None if it is not of this form.

    Raises:
        ManifestError: manifest.json cannot be read.
    """
    manifest = _manifest(tree, folder)
    if manifest is None:
        return None
    npm, python = _packages(manifest, "npm", "node"), _packages(manifest, "python", "pip", "pypi")
    entry = _entry(tree, folder, manifest)
    languages = _languages(tree, folder, entry)
    facts = ManifestFacts(
        npm=tuple("@".join(filter(None, each)) for each in npm),
        python=tuple(map("".join, python)),
        node="node" in languages,
        typescript=entry.endswith((".ts", ".mts")),
        interpreted="python" in languages,
        config=tree.is_file(join(folder, "config.yaml")) and not tree.is_file(join(folder, "config/config.yaml")),
    )
    problem = _problem(join(folder, MANIFEST), facts, entry)
    return Candidate(
        runtime="python" if entry.endswith(".py") else "node",
        folder=folder,
        root=folder,
        name=str(manifest.get("name", "")),
        use=Use.SERVER,
        evidence=(
            f"{join(folder, MANIFEST)} lists {len(manifest['tools'])} tools",
            f"written in {' and '.join(languages) or 'nothing that is known'}",
            f"starts {entry or 'nothing'}",
        ),
        command=_command(entry) if not problem else (),
        problem=problem,
        facts=facts,
    )


def _manifest(tree: Tree, folder: str) -> dict[str, Any] | None:
    """Give the manifest of a folder of this form."""
    form = any(tree.is_folder(join(folder, name)) for name in FOLDERS)
    if not form or any(tree.is_file(join(folder, name)) for name in _OTHERS):
        return None
    manifest = tree.json(join(folder, MANIFEST))
    return manifest if isinstance(manifest.get("tools"), list) else None


def _packages(manifest: dict[str, Any], *names: str) -> list[tuple[str, str]]:
    """Give names and versions: from a table, or a list of specifications."""
    every = manifest.get("dependencies")
    listed: object = None
    for name in names:
        listed = listed or (every.get(name) if isinstance(every, dict) else None) or manifest.get(f"{name}Dependencies")
    if isinstance(listed, dict):
        return [(str(name), "" if version == "*" else str(version)) for name, version in sorted(listed.items())]
    return [(str(name), "") for name in listed] if isinstance(listed, list) else []


def _entry(tree: Tree, folder: str, manifest: dict[str, Any]) -> str:
    said = next((manifest[key] for key in ("entry", "entrypoint", "main") if isinstance(manifest.get(key), str)), "")
    name = str(PurePosixPath(said)) if said else ""
    for choice in (name,) if name else _NAMES:
        known = choice.endswith((*_NODE, ".py")) and PLAIN_PATH.match(choice) and ".." not in choice
        if known and tree.is_file(join(folder, choice)):
            return choice
    return ""


def _languages(tree: Tree, folder: str, entry: str) -> tuple[str, ...]:
    inside = [name for part in FOLDERS for name in tree.below(join(folder, part))]
    node = any(name.endswith(_NODE) for name in (entry, *inside))
    python = any(name.endswith(".py") for name in (entry, *inside))
    return (*(("node",) if node else ()), *(("python",) if python else ()))


def _problem(path: str, facts: ManifestFacts, entry: str) -> Problem | None:
    bad = [name for name in facts.npm if not _NPM.match(name)] + [
        name for name in facts.python if not _PYTHON.match(name)
    ]
    if bad:
        return Problem(
            Reason.INVALID_MANIFEST,
            f"{path} names a package that cannot be installed by name: {bad[0][:80]!r}",
            "Name packages of npm or PyPI, with a version if need be: no URLs, paths or options.",
        )
    if entry:
        return None
    return Problem(
        Reason.NO_START_COMMAND,
        f"{path} names no entry file that is there, and there is no server, index or main file",
        'Add "entry" with the file that starts the server.',
    )


def _command(entry: str) -> tuple[str, ...]:
    path = f"{APP}/{entry}"
    if entry.endswith(".py"):
        return (f"{VENV}/bin/python", path)
    return ("node", "--import", "tsx", path) if entry.endswith((".ts", ".mts")) else ("node", path)
