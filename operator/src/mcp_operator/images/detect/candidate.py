"""What a detector finds: a folder that may be a server, what it needs, and why we think so."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from mcp_operator.images.reasons import Reason


APP = "/app"
"""Where everything of a server is in its image."""


class Use(enum.IntEnum):
    """How a folder uses MCP, from its dependencies and sources."""

    NONE = 0
    CLIENT = 1
    """It calls servers; it is none."""
    DEPENDENCY = 2
    """It depends on an SDK; whether it makes a server is not seen."""
    SERVER = 3


class Problem(NamedTuple):
    """Why a project cannot be built, and what to do."""

    reason: Reason
    message: str
    hint: str


@dataclass(frozen=True, kw_only=True)
class NodeFacts:
    """How a Node project is built. Paths are relative to the candidate's ``root``.

    Attributes:
        manager: Which package manager's lock there is; npm without any.
        locked: A lock file is there.
        manifests: Files that decide what is installed: package.json of root and workspaces, lock, .npmrc.
        workspaces: The root is a workspace of several packages.
        rebuild: Packages of the lock that have install scripts; None if there is no lock to tell.
        script: The package.json script to run after installing, if the start file must be built.
        target: The JavaScript file that is started.
        engines: ``engines.node``, for people.
        manager_version: From ``packageManager``.
    """

    manager: Literal["npm", "pnpm"]
    locked: bool
    manifests: tuple[str, ...]
    workspaces: bool
    rebuild: tuple[str, ...] | None
    script: str
    target: str
    engines: str
    manager_version: str = ""


@dataclass(frozen=True, kw_only=True)
class PythonFacts:
    """How a Python project is built. Paths are relative to the candidate's ``root``.

    Attributes:
        installer: ``uv-lock``, ``project`` (pyproject.toml or setup.py), ``requirements`` or ``none``.
        manifests: Files that decide what is installed, if installing before the sources are there is possible.
        requirements: Files for ``-r``, in the project's folder.
        package: The project itself can be installed, so its sources are not needed afterwards.
        sources: The start command needs the sources.
        requires: ``requires-python``.
        needs_git: A dependency is fetched from a git repository.
    """

    installer: Literal["uv-lock", "project", "requirements", "none"]
    manifests: tuple[str, ...]
    requirements: tuple[str, ...]
    package: bool
    sources: bool
    requires: str
    needs_git: bool


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A folder with a project in it.

    Attributes:
        runtime: The language.
        folder: Where the project is, relative to the repository.
        root: The folder that is built: ``folder`` or, where lock or workspace files are above it, that one.
        name: The project's own name, for people.
        use: How it uses MCP.
        evidence: What was seen, a line each.
        command: Start command in the image; empty when ``problem`` says why there is none.
        problem: Why this cannot be built.
        system_packages: Debian packages that the server runs.
        facts: How to build it.
    """

    runtime: Literal["node", "python"]
    folder: str
    root: str
    name: str
    use: Use
    evidence: tuple[str, ...]
    command: tuple[str, ...]
    facts: NodeFacts | PythonFacts
    problem: Problem | None = None
    system_packages: tuple[str, ...] = ()

    @property
    def inner(self) -> str:
        """The project's folder relative to ``root``."""
        return str(PurePosixPath(self.folder).relative_to(self.root))


@dataclass(frozen=True, kw_only=True)
class Start:
    """How a server is started, or why it cannot be.

    Attributes:
        before: Words before the file, or the whole command.
        file: What is started, relative to the project's folder; empty if ``before`` is the command.
        after: Words after the file.
        why: Where this was found, for people.
        problem: Why there is no start command.
    """

    before: tuple[str, ...] = ()
    file: str = ""
    after: tuple[str, ...] = ()
    why: str = ""
    problem: Problem | None = None

    def command(self, folder: str) -> tuple[str, ...]:
        """Give the whole command for a project in ``folder`` of the image's :data:`APP`."""
        path = (join(join(APP, folder), self.file),) if self.file else ()
        return (*self.before, *path, *self.after)


def ancestors(folder: str) -> list[str]:
    """Give the folder and those above it, up to ``.``."""
    path = PurePosixPath(folder)
    return [str(path), *(str(parent) for parent in path.parents)] if folder != "." else ["."]


def join(folder: str, name: str) -> str:
    """Join two relative paths."""
    return str(PurePosixPath(folder) / name)


def preferred(names: list[str], project: str, words: tuple[str, ...]) -> str:
    """Choose one of several commands: named like the project, else the only one with one of ``words`` in it."""
    plain = project.rpartition("/")[2].lower().replace("_", "-")
    for name in names:
        if name.lower().replace("_", "-") == plain:
            return name
    for word in words:
        having = [name for name in names if word in name.lower()]
        if len(having) == 1:
            return having[0]
    return names[0] if len(names) == 1 else ""
