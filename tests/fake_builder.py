"""A builder whose answers a test decides on, and time that a test moves."""

from __future__ import annotations

import dataclasses
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from mcp_operator.images import sources
from mcp_operator.images.contract import BuildCancelled, BuildError, BuildRequest, BuildResult, GitSource, Step, Tool
from mcp_operator.images.existing import ImageRequest
from mcp_operator.images.handshake import Manifest
from mcp_operator.images.http_probe import Found

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mcp_operator.images.contract import NpmSource, Progress, PypiSource, RegistryAuth
    from mcp_operator.jobs import Request
    from mcp_operator.remote import Target

COMMIT = "a" * 40
DIGEST = f"sha256:{'d' * 64}"
BOUND = 10
"""Seconds after which a test that waits has failed."""


class FakeClock:
    """UTC time that stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def forward(self, seconds: float) -> None:
        """Let time pass."""
        self.now += timedelta(seconds=seconds)


class FakeBuilder:
    """Builds end when ``let_go`` is set: with ``error`` if there is one, else with ``tools``, each with its definition.

    What is asked outside of the cluster is answered at once: commit, version, tags, digest and what a remote server
    says, or ``resolve_error``.
    """

    def __init__(self) -> None:
        self.commit = COMMIT
        self.version = "1.2.3"
        self.repository_tags: dict[str, str] = {}
        self.image_digest: str | None = DIGEST
        self.resolve_error: Exception | None = None
        self.bases: dict[str, str] = {}
        self.used: dict[str, str] = {}
        self.key_error: BuildError | None = None
        self.error: BaseException | None = None
        self.tools: tuple[str, ...] = ("read", "write")
        self.definitions = "1"
        self.warnings: tuple[str, ...] = ()
        self.requests: list[Request] = []
        self.asked: list[object] = []
        self.auths: list[RegistryAuth | None] = []
        self.forgotten: list[str] = []
        self.forget_error: BuildError | None = None
        self.started = threading.Event()
        self.let_go = threading.Event()
        self.let_go.set()

    @property
    def questions(self) -> int:
        """How often anybody outside was asked."""
        return len(self.asked)

    @property
    def builds(self) -> list[BuildRequest]:
        """Those requests that are to build something."""
        return [request for request in self.requests if isinstance(request, BuildRequest)]

    def resolve(self, source: GitSource | NpmSource | PypiSource) -> str:
        self._ask(source)
        if isinstance(source, GitSource):
            return source.commit or self.commit
        return self.version

    def tags(self, source: GitSource) -> dict[str, str]:
        self._ask(source)
        return self.repository_tags

    def digest(self, name: str, auth: RegistryAuth | None) -> str | None:
        self._ask(name)
        self.auths.append(auth)
        return self.image_digest

    def greet(self, target: Target) -> Found:
        self._ask(target)
        manifest = Manifest(protocol="2025-11-25", server="far 2.0", tools=self._tools(), noise=0)
        return Found(manifest=manifest, transport=target.transport, path="/mcp")

    def key(self, request: Request, used: Mapping[str, str] | None = None, *, now: bool = True) -> str:
        if self.key_error is not None:
            raise self.key_error
        if isinstance(request, ImageRequest):
            return f"key-{request.reference}-{request.args}"
        commit = sources.pinned(request.source)[:12]
        bases = {name: self.bases.get(name, image) if now else image for name, image in (used or self.bases).items()}
        return f"key-{sources.describe(request.source)}-{commit}-{request.args}-{request.env}-{bases}"

    def forget(self, uid: str) -> None:
        if self.forget_error is not None:
            raise self.forget_error
        self.forgotten.append(uid)

    def build(self, request: Request, progress: Progress, cancelled: threading.Event) -> BuildResult:
        self.requests.append(request)
        progress.step(Step.BUILD, "step 3/9 : RUN pip install .")
        self.started.set()
        waited = 0.0
        while not self.let_go.wait(0.01):
            waited += 0.01
            if cancelled.is_set():
                raise BuildCancelled
            assert waited < BOUND, "nobody let the build go on"
        if self.error is not None:
            raise self.error
        return dataclasses.replace(result(request), tools=self._tools(), warnings=self.warnings, bases=dict(self.used))

    def _ask(self, what: object) -> None:
        self.asked.append(what)
        if self.resolve_error is not None:
            raise self.resolve_error

    def _tools(self) -> tuple[Tool, ...]:
        return tuple(
            Tool(name=name, hash=f"sha256:{name}-{self.definitions}", tokens=7, read_only=name == "read" or None)
            for name in self.tools
        )


def result(request: Request, tools: tuple[str, ...] = ("read", "write")) -> BuildResult:
    """Give the result of a build, or of trying an image out, that went well."""
    if isinstance(request, ImageRequest):
        commit, reference = request.reference.partition("@")[2], request.reference
    else:
        commit = sources.pinned(request.source) or COMMIT
        reference = f"{request.repository}@sha256:{commit[:8]}"
    return BuildResult(
        commit=commit,
        reference=reference,
        image_id="sha256:1",
        size=1000,
        command=("python", "-m", "server"),
        working_dir="/app",
        evidence=("pyproject.toml",),
        protocol_version="2025-11-25",
        server_name="server 1.0",
        tools=tuple(Tool(name=name, hash=f"sha256:{name}") for name in tools),
        seconds=4.2,
    )


def failure(reason: str = "DockerBuildFailed", *, step: Step = Step.BUILD, transient: bool = False) -> BuildError:
    """Give the error of a build that failed."""
    return BuildError(
        reason,
        "step 3/9 failed",
        step=step,
        hint="Look at the log.",
        log_tail="\x1b[31mpip: no\x1b[0m\nsecond line",
        transient=transient,
    )
