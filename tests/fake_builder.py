"""A builder whose answers a test decides on, and time that a test moves."""

from __future__ import annotations

import dataclasses
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from mcp_operator.images import sources
from mcp_operator.images.contract import BuildCancelled, BuildError, BuildResult, Step, Tool

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mcp_operator.images.contract import BuildRequest, GitSource, Progress

COMMIT = "a" * 40
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
    """Builds end when ``let_go`` is set: with ``error`` if there is one, else with ``tools``."""

    def __init__(self) -> None:
        self.commit = COMMIT
        self.bases: dict[str, str] = {}
        self.used: dict[str, str] = {}
        self.resolve_error: BuildError | None = None
        self.key_error: BuildError | None = None
        self.error: BaseException | None = None
        self.tools: tuple[str, ...] = ("read", "write")
        self.requests: list[BuildRequest] = []
        self.questions = 0
        self.forgotten: list[str] = []
        self.forget_error: BuildError | None = None
        self.started = threading.Event()
        self.let_go = threading.Event()
        self.let_go.set()

    def resolve(self, source: GitSource) -> str:
        self.questions += 1
        if self.resolve_error is not None:
            raise self.resolve_error
        return source.commit or self.commit

    def key(self, request: BuildRequest, used: Mapping[str, str] | None = None, *, now: bool = True) -> str:
        if self.key_error is not None:
            raise self.key_error
        commit = sources.pinned(request.source)[:4]
        bases = {name: self.bases.get(name, image) if now else image for name, image in (used or self.bases).items()}
        return f"key-{sources.describe(request.source)}-{commit}-{request.args}-{request.env}-{bases}"

    def forget(self, uid: str) -> None:
        if self.forget_error is not None:
            raise self.forget_error
        self.forgotten.append(uid)

    def build(self, request: BuildRequest, progress: Progress, cancelled: threading.Event) -> BuildResult:
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
        return dataclasses.replace(result(request, self.tools), bases=dict(self.used))


def result(request: BuildRequest, tools: tuple[str, ...] = ("read", "write")) -> BuildResult:
    """Give the result of a build that went well."""
    commit = sources.pinned(request.source) or COMMIT
    return BuildResult(
        commit=commit,
        reference=f"{request.repository}@sha256:{commit[:8]}",
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
