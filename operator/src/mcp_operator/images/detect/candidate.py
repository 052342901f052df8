"""What a detector finds: a folder that may be a server, what it needs, and why we think so."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mcp_operator.images.contract import Transport
    from mcp_operator.images.reasons import Reason


Manager = Literal["npm", "pnpm", "yarn", "bun"]

APP = "/app"
"""Where everything of a server is in its image."""


class Use(enum.IntEnum):
    """How a folder uses MCP, from its dependencies and sources."""

    NONE = 0
    CLIENT = 1
    """It calls servers; it is none."""
    DEPENDENCY = 2
    """It depends on an SDK; whether it makes a server is not seen."""
    ASIDE = 3
    """Sources make a server with an SDK that is not among its dependencies: something else may be meant."""
    SERVER = 4


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
        modern: Of Yarn: version 2 or later.
        first: Folders of the workspace whose ``build`` must be run before.
        tools: Other package managers that the script calls.
        development: What starts the server is among the development dependencies, so they stay.
        bun: Only Bun can run the start file.
    """

    manager: Manager
    locked: bool
    manifests: tuple[str, ...]
    workspaces: bool
    rebuild: tuple[str, ...] | None
    script: str
    target: str
    engines: str
    manager_version: str = ""
    modern: bool = False
    first: tuple[str, ...] = ()
    tools: tuple[Manager, ...] = ()
    development: bool = False
    bun: bool = False


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
        lock: The lock file of Poetry or PDM in the project's folder, as far as it can be followed.
        extras: Optional groups of dependencies in which alone an MCP SDK is named.
        workspace: Other projects of the repository are installed with it.
        backend: What its build asks for, if that can be had before the sources are there.
        listed: Its build takes those files for its own that git knows.
        stale: uv.lock does not name all that its manifest wants.
        editable: It is installed as a link to its sources.
        old_sdk: Its sources are for version 1 of the SDK, and its manifests would take version 2 as well.
    """

    installer: Literal["uv-lock", "project", "requirements", "none"]
    manifests: tuple[str, ...]
    requirements: tuple[str, ...]
    package: bool
    sources: bool
    requires: str
    needs_git: bool
    lock: str = ""
    extras: tuple[str, ...] = ()
    workspace: bool = False
    backend: tuple[str, ...] = ()
    listed: bool = False
    stale: bool = False
    editable: bool = False
    old_sdk: bool = False


@dataclass(frozen=True, kw_only=True)
class GoFacts:
    """How a Go module is built. Paths are relative to the candidate's ``root``.

    Attributes:
        package: What is compiled, for ``go build``: ``.`` or ``./cmd/server``.
        requires: The ``go`` line of go.mod.
        manifests: Files from which modules can be downloaded without the sources.
        cgo: It needs a C compiler, and C's library where it runs.
        imports: Packages of other modules that it is made of, as far as that can be seen.
    """

    package: str
    requires: str
    manifests: tuple[str, ...]
    cgo: bool = False
    imports: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ManifestFacts:
    """A server that a ``manifest.json`` with a list of packages describes.

    Attributes:
        npm: Packages of npm, as its command line takes them.
        python: Packages of PyPI, likewise.
        node: Part of it is JavaScript or TypeScript.
        typescript: The file that is started is TypeScript.
        interpreted: Part of it is Python.
        config: Its ``config.yaml`` is not yet where ``MCP_CONFIG_PATH`` says.
    """

    npm: tuple[str, ...]
    python: tuple[str, ...]
    node: bool
    typescript: bool
    interpreted: bool
    config: bool


@dataclass(frozen=True, kw_only=True)
class DockerfileFacts:
    """A Dockerfile of the repository's own.

    Attributes:
        file: Its path in the repository.
        text: What is built: the file without what only makes builds faster and the classic builder does not know.
        working_dir: Where its command starts; empty if only the finished image can tell.
    """

    file: str
    text: str
    working_dir: str


@dataclass(frozen=True, kw_only=True)
class Setting:
    """An environment variable that a server's own metadata names.

    Attributes:
        name: The variable.
        required: The metadata says that the server does not work without.
        secret: Its value must not be shown.
        value: A fixed value or default that the metadata gives; empty if it gives none, or it is a secret.
    """

    name: str
    required: bool = False
    secret: bool = False
    value: str = ""


@dataclass(frozen=True, kw_only=True)
class Hints:
    """How a server wants to be run, as its own files claim: worth a try, never to be trusted.

    Attributes:
        transport: The transport that is named; None if the files do not say.
        port: Where it would listen, for HTTP.
        env: Variables that it reads, the required ones first.
        args: Arguments behind the start command, such as ``("--stdio",)``. Word by word; a value that only the user
            can know is left out together with its option.
        path: Of its endpoint, for HTTP; empty if unknown.
        read: Variables that its sources read without a default, and no file of it explains.
    """

    transport: Transport | None = None
    port: int | None = None
    env: tuple[Setting, ...] = ()
    args: tuple[str, ...] = ()
    path: str = ""
    read: tuple[str, ...] = ()

    @property
    def required(self) -> tuple[str, ...]:
        """Give the names of the variables without which the server does not work, as its files claim."""
        return tuple(setting.name for setting in self.env if setting.required)


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
        build_packages: Those that the user named: they may be there for building only.
        facts: How to build it.
        hints: How it wants to be run, as its own files claim.
        library: Nothing but ``main`` names a start file: it may well be there for others to import.
        sdk: It is what others make servers with.
    """

    runtime: Literal["node", "python", "go", "dockerfile"]
    folder: str
    root: str
    name: str
    use: Use
    evidence: tuple[str, ...]
    command: tuple[str, ...]
    facts: NodeFacts | PythonFacts | GoFacts | ManifestFacts | DockerfileFacts
    problem: Problem | None = None
    system_packages: tuple[str, ...] = ()
    build_packages: tuple[str, ...] = ()
    hints: Hints = Hints()
    library: bool = False
    sdk: bool = False

    @property
    def working_dir(self) -> str:
        """Where it starts in its image; empty if only the finished image can tell."""
        if isinstance(self.facts, DockerfileFacts):
            return self.facts.working_dir
        return join(APP, self.inner)

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
        library: This is the file that others import, for want of anything better.
    """

    before: tuple[str, ...] = ()
    file: str = ""
    after: tuple[str, ...] = ()
    why: str = ""
    problem: Problem | None = None
    library: bool = False

    @property
    def said(self) -> tuple[str, ...]:
        """A line for people; none without a start command."""
        return (f"starts {self.why}",) if self.why else ()

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


def preferred(names: list[str], project: str, words: tuple[str, ...], told: Iterable[str] = ()) -> str:
    """Choose one of several commands: one that clients are ``told`` to start, else the one named like the project.

    Else the one with one of ``words`` in it, or the shortest that is named like the project but for ``mcp`` and
    ``server``.
    """
    if known := next((name for name in told if name in names), ""):
        return known
    plain = project.rpartition("/")[2].lower().replace("_", "-")
    for name in names:
        if name.lower().replace("_", "-") == plain:
            return name
    for word in words:
        having = sorted((name for name in names if word in name.lower()), key=len)
        # The others are variants of it: server, server-http.
        if having and all(name.startswith(having[0]) for name in having):
            return having[0]
    alike = [name for name in names if words and _telling(name) == _telling(plain)]
    return min(alike, key=len) if alike else names[0] if len(names) == 1 else ""


def _telling(name: str) -> frozenset[str]:
    """Give the words of a name that not every server has in its own."""
    return frozenset(re.split(r"[-_.]", name.lower())) - {"mcp", "server", "serve"}
