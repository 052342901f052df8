"""Find a Python server: how it is installed, and the script, module or file that starts it."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from mcp_operator.images.detect import python_start, usage
from mcp_operator.images.detect.candidate import Candidate, PythonFacts, ancestors, join
from mcp_operator.images.detect.python_project import PROJECT, REQUIREMENTS, Project, normal, table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mcp_operator.images.tree import Tree

LOCK = "uv.lock"
OTHER = "manifest.json"
"""Beside files without a manifest of Python's own: what may describe them, with the packages that they need."""
MANIFESTS = (PROJECT, "setup.py", "setup.cfg", REQUIREMENTS)

_GIT_PACKAGES = frozenset({"gitpython"})
"""Packages that run the git executable."""
_OLD_SDK = re.compile(
    r"^\s*(?:from|import)\s+mcp\.server\.fastmcp\b|^\s*@\w+\.(?:list|call|get|read)_\w+\(\)\s*$", re.MULTILINE
)
"""Version 2 calls it mcpserver, and takes the handlers of a plain server when it is made."""
_WANTS_NEW = re.compile(r"\s*mcp(?:\[[^\]]*\])?\s*(?:>=|==|~=)\s*[2-9]")


def find(tree: Tree, folder: str, inner: Sequence[str]) -> Candidate | None:
    """Examine one folder; None if no file says that it is a Python project.

    Raises:
        ManifestError: pyproject.toml cannot be read.
    """
    manifest = next((name for name in MANIFESTS if tree.is_file(join(folder, name))), "")
    if not manifest and (tree.is_file(join(folder, OTHER)) or not _lone_server(tree, folder)):
        return None
    project = Project(tree, folder)
    dependencies = project.dependencies()
    used = usage.examine(tree, folder, usage.PYTHON, usage.Named(normal(project.name), dependencies), inner)
    start = python_start.choose(tree, folder, project, used.server_files, frozenset(dependencies))
    root, lock = _root(tree, folder)
    sources = bool(start.file) or not project.package or start.before[1:2] == ("-c",)
    facts = PythonFacts(
        installer=project.installer(lock),
        manifests=project.manifests(root, lock),
        requirements=project.requirements(),
        package=project.package,
        sources=sources,
        requires=project.requires,
        needs_git=project.needs_git(lock) or project.listed,
        lock="" if lock else project.other_lock,
        extras=project.extras(),
        workspace=bool(lock) and _is_workspace(tree, root),
        backend=project.backend,
        listed=project.listed,
        stale=bool(project.unlocked(lock)),
        old_sdk=_is_old(tree, used.server_files) and not any(map(_WANTS_NEW.match, project.lines())),
    )
    return Candidate(
        runtime="python",
        folder=folder,
        root=root,
        name=project.name,
        use=used.use,
        sdk=used.sdk,
        evidence=(*project.evidence(manifest, lock), *used.evidence, *start.said),
        command=start.command(str(PurePosixPath(folder).relative_to(root))) if not start.problem else (),
        problem=start.problem,
        system_packages=("git",) if _runs_git(tree, dependencies, lock) else (),
        facts=facts,
    )


def _is_old(tree: Tree, servers: Sequence[str]) -> bool:
    """Tell whether sources use what version 2 of the SDK has no more."""
    return any(_OLD_SDK.search(tree.text(name)) for name in servers)


def _lone_server(tree: Tree, folder: str) -> bool:
    """Tell whether a folder without any manifest has a file that makes a server; it needs the SDK and nothing else."""
    own = [name for name in tree.below(folder) if name.endswith(".py") and str(PurePosixPath(name).parent) == folder]
    return any(usage.PYTHON.server.search(tree.text(name)) for name in own)


def _root(tree: Tree, folder: str) -> tuple[str, str]:
    for above in ancestors(folder):
        if tree.is_file(join(above, LOCK)) and (above == folder or _is_workspace(tree, above)):
            return above, join(above, LOCK)
    return folder, ""


def _is_workspace(tree: Tree, folder: str) -> bool:
    return "workspace" in table(tree.toml(join(folder, PROJECT)), "tool", "uv")


def _runs_git(tree: Tree, dependencies: Sequence[str], lock: str) -> bool:
    locked: list[str] = []
    # The lock of a workspace says little about one of its projects.
    if lock and not _is_workspace(tree, str(PurePosixPath(lock).parent)):
        locked = re.findall(r'^name = "([^"]+)"', tree.text(lock), re.MULTILINE)
    return bool(_GIT_PACKAGES & {*dependencies, *locked})
