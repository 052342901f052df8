"""What goes into a build and what comes out, for the operator and for a command line alike."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Literal, Protocol

Runtime = Literal["auto", "node", "python"]


class Step(enum.StrEnum):
    """The steps of a build, in their order."""

    FETCH = "Fetch"
    DETECT = "Detect"
    BUILD = "Build"
    VERIFY = "Verify"
    PUSH = "Push"


@dataclass(frozen=True, kw_only=True)
class GitSource:
    """A git repository; at most one of branch, tag and commit (40 hex digits)."""

    url: str
    branch: str | None = None
    tag: str | None = None
    commit: str | None = None
    path: str = "."


@dataclass(frozen=True, kw_only=True)
class BuildRequest:
    """One image to build.

    Attributes:
        source: What to build.
        runtime: Which detector to use; ``auto`` tries all.
        command: Start command instead of the detected one.
        args: Arguments for the handshake, after the start command, as the Pod will give them.
        env: Environment for the handshake. Never a secret's value: callers put a placeholder.
        repository: Where to push, without tag: ``registry/prefix/namespace/name``.
        deployment_id: Names the MCPServer object in labels.
        uid: Unique owner of everything that is made (label ``toolman.dev/uid``), for cleaning up.
        installation: Whose owners these are, where several share an engine: a sweep touches its own only.
        timeout: Seconds for all steps together.
    """

    source: GitSource
    repository: str
    deployment_id: str
    uid: str
    installation: str = ""
    runtime: Runtime = "auto"
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)
    timeout: float = 600


@dataclass(frozen=True, kw_only=True)
class Tool:
    """A tool as the handshake saw it. ``hash`` is :func:`toolman.manifest.tool_hash`."""

    name: str
    hash: str


@dataclass(frozen=True, kw_only=True)
class BuildResult:
    """A verified and pushed image.

    Attributes:
        commit: What was built, 40 hex digits.
        reference: ``repository@sha256:...``, what a Pod names.
        image_id: ``sha256:...`` in the engine's store.
        size: Bytes, uncompressed.
        command: The whole start command (image entry point), without ``BuildRequest.args``.
        working_dir: Folder in which the command starts.
        evidence: One line each for what the detection saw, for people.
        protocol_version: What the server answered to ``initialize``.
        server_name: ``serverInfo.name`` and version, for people.
        tools: In the server's order.
        seconds: How long it took.
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
