"""What goes into a build and what comes out, for the operator and for a command line alike."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mcp_operator.images.scans import Scan

Runtime = Literal["auto", "node", "python", "go", "dockerfile"]

Transport = Literal["stdio", "streamable-http", "sse"]


class Step(enum.StrEnum):
    """The steps of a build, in their order."""

    FETCH = "Fetch"
    DETECT = "Detect"
    BUILD = "Build"
    VERIFY = "Verify"
    PUSH = "Push"


@dataclass(frozen=True, kw_only=True)
class GitCredentials:
    """How a private repository is read. None of it reaches a log, a layer, a command line or an error.

    Attributes:
        username: For https; forges take any with a token.
        token: Password or token for https.
        ssh_key: Private key in OpenSSH's format.
        known_hosts: Lines of a ``known_hosts`` file; required with a key.
    """

    username: str = ""
    token: str = field(default="", repr=False)
    ssh_key: str = field(default="", repr=False)
    known_hosts: str = ""


@dataclass(frozen=True, kw_only=True)
class GitSource:
    """A git repository; at most one of branch, tag and commit (40 hex digits).

    Attributes:
        recurse_submodules: Take the submodules in that are on the same host.
        lfs: Take the content of files of Git LFS in.
    """

    url: str
    branch: str | None = None
    tag: str | None = None
    commit: str | None = None
    path: str = "."
    recurse_submodules: bool = False
    lfs: bool = False
    credentials: GitCredentials | None = field(default=None, repr=False)


@dataclass(frozen=True, kw_only=True)
class NpmSource:
    """A package of npm's registry; without version the one that ``latest`` names."""

    package: str
    version: str | None = None


@dataclass(frozen=True, kw_only=True)
class PypiSource:
    """A package of PyPI; without version the newest release."""

    package: str
    version: str | None = None


@dataclass(frozen=True, kw_only=True)
class DirectorySource:
    """A folder of this machine: for the command line only. ``path`` is the server's folder inside it."""

    directory: str
    path: str = "."


Source = GitSource | NpmSource | PypiSource | DirectorySource


@dataclass(frozen=True, kw_only=True)
class RegistryAuth:
    """Credentials for one registry; never shown."""

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Trial:
    """How an image is tried out, whoever made it.

    Attributes:
        uid: Unique owner of everything that is made (label ``toolman.dev/uid``), for cleaning up.
        installation: Whose owners these are, where several share an engine: a sweep touches its own only.
        args: Arguments for the handshake, after the start command, as the Pod will give them.
        env: Environment for the handshake. Never a secret's value: callers put a placeholder.
        as_asked: The handshake gets no placeholders that the request does not have: for who runs servers exactly so.
            Otherwise they are tried, and recorded.
        transport: How the server is spoken with, where the user says so.
        port: Where it then listens, for HTTP.
        path: Of its endpoint, for HTTP.
        timeout: Seconds for all steps before the push together.
    """

    uid: str
    installation: str = ""
    args: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)
    as_asked: bool = False
    transport: Transport | None = None
    port: int | None = None
    path: str = ""
    timeout: float = 600


@dataclass(frozen=True, kw_only=True)
class BuildRequest(Trial):
    """One image to build.

    Attributes:
        source: What to build.
        runtime: Which detector to use; ``auto`` tries all.
        dockerfile: The repository's own, relative to the source's path, for the runtime ``dockerfile``.
        command: Start command instead of the detected one.
        system_packages: Debian packages besides those that were found to be needed.
        build_args: Of a Dockerfile of the repository's own. Never a secret: they stay in the image.
        platforms: ``linux/amd64``; more than one needs buildx.
        repository: Where to push, without tag: ``registry/prefix/namespace/name``.
        tags: Further tags; see :mod:`mcp_operator.images.tags`.
        auth: For the push, instead of what the engine's configuration has.
        push: Whether to push at all.
        verify: Whether to shake hands with the image; without, nothing is known of its tools.
        deployment_id: Names the MCPServer object in labels and a tag.
        keep_older: Earlier images of this owner stay in the engine; otherwise they are only in the registry.
        push_timeout: Seconds for the push.
    """

    source: Source
    repository: str
    deployment_id: str
    runtime: Runtime = "auto"
    dockerfile: str = "Dockerfile"
    command: tuple[str, ...] = ()
    system_packages: tuple[str, ...] = ()
    build_args: dict[str, str] = field(default_factory=dict)
    platforms: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    auth: RegistryAuth | None = field(default=None, repr=False)
    push: bool = True
    verify: bool = True
    keep_older: bool = False
    push_timeout: float = 300


@dataclass(frozen=True, kw_only=True)
class Tool:
    """A tool as the handshake saw it.

    Attributes:
        name: The server's own.
        hash: :func:`toolman.manifest.tool_hash`.
        tokens: About how many a model reads for it; see :func:`toolman.manifest.tokens`.
        read_only: What its annotations claim, None if they claim nothing.
    """

    name: str
    hash: str
    tokens: int = 0
    read_only: bool | None = None


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What a server does not work without.

    Attributes:
        env: Variables that had to be set to a placeholder, or that it named when it refused to start.
        args: Placeholders that had to be given as arguments.
        network: It did not start without network.
    """

    env: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    network: bool = False


@dataclass(frozen=True, kw_only=True)
class BuildResult:
    """A verified and pushed image.

    Attributes:
        commit: What was built, 40 hex digits; the version for packages, empty for a folder without git.
        reference: ``repository@sha256:...``, what a Pod names; the image's ID if it was not pushed.
        image_id: ``sha256:...`` in the engine's store.
        size: Bytes, uncompressed.
        command: The whole start command (image entry point), without ``BuildRequest.args``.
        working_dir: Folder in which the command starts.
        evidence: One line each for what the detection saw, for people.
        protocol_version: What the server answered to the handshake.
        server_name: ``serverInfo.name`` and version, for people.
        tools: In the server's order.
        seconds: How long it took.
        tags: All that the image has in its repository.
        warnings: What is worth knowing although it works.
        language: ``node``, ``python``, ``go`` or ``dockerfile``.
        transport: How the server is spoken with.
        port: Where it listens, for HTTP.
        path: Of its endpoint, for HTTP.
        era: ``legacy`` or ``modern``: in which the handshake succeeded.
        needs: What it does not work without.
        bases: Images that it was made from: their IDs by name.
        reused: Nothing was built: an image of the same input was there.
        scans: What the scanners found that were asked for.
    """

    commit: str
    reference: str
    image_id: str
    size: int
    command: tuple[str, ...]
    working_dir: str
    evidence: tuple[str, ...]
    protocol_version: str
    server_name: str
    tools: tuple[Tool, ...]
    seconds: float
    tags: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    language: str = ""
    transport: Transport = "stdio"
    port: int | None = None
    path: str = ""
    era: str = "legacy"
    needs: Needs = field(default_factory=Needs)
    bases: Mapping[str, str] = field(default_factory=dict)
    reused: bool = False
    scans: tuple[Scan, ...] = ()


class BuildError(Exception):
    """A build that failed.

    Attributes:
        reason: CamelCase, for a condition.
        step: Where it failed.
        message: One sentence: what is wrong.
        hint: One sentence: what to do.
        log_tail: The last lines of the step's output; printable, without secrets.
        transient: True when trying again later, unchanged, may help (network, engine or registry down).
    """

    def __init__(
        self,
        reason: str,
        message: str,
        *,
        step: Step,
        hint: str = "",
        log_tail: str = "",
        transient: bool = False,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.step = step
        self.message = message
        self.hint = hint
        self.log_tail = log_tail
        self.transient = transient


class BuildCancelled(Exception):  # noqa: N818 - not an error: somebody asked for it
    """The build was cancelled; everything that it made is gone."""


class Progress(Protocol):
    """Hears what a build is doing; called from the build's thread, often, and must return at once."""

    def step(self, step: Step, detail: str) -> None:
        """A step began, or says what it is doing now (``step 3/9 : RUN pip install``)."""

    def log(self, line: str) -> None:
        """One line of output."""
