"""Find a Python server: how it is installed, and the script, module or file that starts it."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Literal

from mcp_operator.images.detect import python_start, usage
from mcp_operator.images.detect.candidate import Candidate, PythonFacts, ancestors, join
from mcp_operator.images.tree import PLAIN_PATH

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mcp_operator.images.tree import Tree

PROJECT = "pyproject.toml"
LOCK = "uv.lock"
REQUIREMENTS = "requirements.txt"
MANIFESTS = (PROJECT, "setup.py", "setup.cfg", REQUIREMENTS)

_NAME = re.compile(r"\s*([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)")
_SETUP_LIST = re.compile(r"install_requires\s*=\s*\[(.*?)\]", re.DOTALL)
_LOCAL = re.compile(r"^\s*(?:-[^-]|\.|/|file:)", re.MULTILINE)
"""A line of requirements that names another file or folder."""
_GIT_PACKAGES = frozenset({"gitpython"})
"""Packages that run the git executable."""


def normal(name: str) -> str:
    """Normalise a distribution's name (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def find(tree: Tree, folder: str, inner: Sequence[str]) -> Candidate | None:
    """Examine one folder; None if no file says that it is a Python project.

    Raises:
        ManifestError: pyproject.toml cannot be read.
    """
    manifest = next((name for name in MANIFESTS if tree.is_file(join(folder, name))), "")
    if not manifest and not _lone_server(tree, folder):
        return None
    project = _Project(tree, folder)
    dependencies = project.dependencies()
    used = usage.examine(tree, folder, usage.PYTHON, dependencies, inner)
    start = python_start.choose(
        tree, folder, project.settings, used.server_files, frozenset(dependencies), package=project.package
    )
    root, lock = _root(tree, folder)
    sources = bool(start.file) or not project.package or start.before[1:2] == ("-c",)
    facts = PythonFacts(
        installer=project.installer(lock),
        manifests=project.manifests(root, lock),
        requirements=project.requirements(),
        package=project.package,
        sources=sources,
        requires=project.requires,
        needs_git=project.needs_git(lock),
    )
    return Candidate(
        runtime="python",
        folder=folder,
        root=root,
        name=project.name,
        use=used.use,
        evidence=(*project.evidence(manifest, lock), *used.evidence, *([f"starts {start.why}"] if start.why else [])),
        command=start.command(str(PurePosixPath(folder).relative_to(root))) if not start.problem else (),
        problem=start.problem,
        system_packages=("git",) if _runs_git(tree, dependencies, lock) else (),
        facts=facts,
    )


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
    return "workspace" in _table(tree.toml(join(folder, PROJECT)), "tool", "uv")


def _table(value: object, *keys: str) -> dict[str, Any]:
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def _runs_git(tree: Tree, dependencies: Sequence[str], lock: str) -> bool:
    locked: list[str] = []
    # The lock of a workspace says little about one of its projects.
    if lock and not _is_workspace(tree, str(PurePosixPath(lock).parent)):
        locked = re.findall(r'^name = "([^"]+)"', tree.text(lock), re.MULTILINE)
    return bool(_GIT_PACKAGES & {*dependencies, *locked})


class _Project:
    """What the manifests of one folder say."""

    def __init__(self, tree: Tree, folder: str) -> None:
        self._tree = tree
        self._folder = folder
        self.settings = tree.toml(join(folder, PROJECT))
        self._project = _table(self.settings, "project")
        self._poetry = _table(self.settings, "tool", "poetry")
        self.name = str(self._project.get("name") or self._poetry.get("name") or "")
        wish = self._project.get("requires-python") or _table(self._poetry, "dependencies").get("python") or ""
        self.requires = wish if isinstance(wish, str) else ""

    @property
    def _setup(self) -> bool:
        return any(self._tree.is_file(join(self._folder, name)) for name in ("setup.py", "setup.cfg"))

    @property
    def package(self) -> bool:
        """It can be built and installed; without a build system uv takes a project for a bunch of files."""
        wanted = _table(self.settings, "tool", "uv").get("package")
        if wanted is False or self._poetry.get("package-mode") is False:
            return False
        return wanted is True or "build-system" in self.settings or self._setup

    def installer(self, lock: str) -> Literal["uv-lock", "project", "requirements", "none"]:
        """Choose by what is there: lock, project, requirements."""
        if lock:
            return "uv-lock"
        if self._project or self._poetry or self._setup:
            return "project"
        return "requirements" if self.requirements() else "none"

    def evidence(self, manifest: str, lock: str) -> list[str]:
        """Say what was seen, a line each."""
        said = [f"{join(self._folder, manifest)} (Python)" if manifest else "no manifest (Python)"]
        said.append(f"packages locked by {lock}" if lock else f"packages by {self.installer(lock)}, not locked")
        if self.requires:
            said.append(f"asks for Python {self.requires[:40]}")
        return said

    def requirements(self) -> tuple[str, ...]:
        """Give the requirements files, if the project's own table does not name its dependencies."""
        there = self._tree.is_file(join(self._folder, REQUIREMENTS))
        return (REQUIREMENTS,) if there and not self._project.get("dependencies") else ()

    def lines(self) -> list[str]:
        """Give the dependencies as they are written."""
        listed = self._project.get("dependencies")
        found = [str(item) for item in listed] if isinstance(listed, list) else []
        for name, value in _table(self._poetry, "dependencies").items():
            found.append(f"{name} @ git+{value['git']}" if isinstance(value, dict) and "git" in value else name)
        for match in _SETUP_LIST.findall(self._tree.text(join(self._folder, "setup.py"))):
            found += re.findall(r"[\"']([^\"']+)[\"']", match)
        for line in self._tree.text(join(self._folder, REQUIREMENTS)).splitlines():
            if line.strip() and not line.lstrip().startswith(("#", "-")):
                found.append(line)
        return found

    def dependencies(self) -> list[str]:
        """Give the normalised names of the direct dependencies."""
        names = (_NAME.match(line) for line in self.lines())
        return sorted({normal(match[1]) for match in names if match})

    def needs_git(self, lock: str) -> bool:
        """Tell whether installing clones something."""
        return 'source = { git = "' in self._tree.text(lock) if lock else any("git+" in line for line in self.lines())

    @property
    def _static(self) -> bool:
        """What must be installed is known without the sources."""
        dynamic = self._project.get("dynamic")
        if isinstance(dynamic, list) and "dependencies" in dynamic:
            return False
        local = _table(self.settings, "tool", "uv", "sources").values()
        return not any(isinstance(source, dict) and "path" in source for source in local)

    def manifests(self, root: str, lock: str) -> tuple[str, ...]:
        """Give the files, relative to the root, from which dependencies can be installed without the sources."""
        if not self._static:
            return ()
        if lock:
            names = {lock, join(root, PROJECT), join(self._folder, PROJECT)}
        elif self._project.get("dependencies"):
            names = {join(self._folder, PROJECT)}
        elif self.requirements() and not _LOCAL.search(self._tree.text(join(self._folder, REQUIREMENTS))):
            names = {join(self._folder, REQUIREMENTS)}
        else:
            return ()
        relative = sorted(str(PurePosixPath(name).relative_to(root)) for name in names)
        return tuple(relative) if all(PLAIN_PATH.match(name) for name in relative) else ()
