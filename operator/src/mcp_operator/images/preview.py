"""Say what a request would build and where it would go, without building anything."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mcp_operator.images import cleanup, pipeline, publish
from mcp_operator.images.budget import Budget
from mcp_operator.images.engine import Engine
from mcp_operator.images.plan import make

if TYPE_CHECKING:
    import threading

    from mcp_operator.images.contract import BuildRequest, Progress
    from mcp_operator.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Preview:
    """What would happen.

    Attributes:
        commit: What would be built.
        dockerfile: Text of ``Dockerfile.mcp``.
        language: What was detected.
        command: What would start.
        evidence: Why, a line each.
        tags: The image's names.
        push: Whether they would be pushed.
        warnings: Of the source and the tags.
    """

    commit: str
    dockerfile: str
    language: str
    command: tuple[str, ...]
    evidence: tuple[str, ...]
    tags: tuple[str, ...]
    push: bool
    warnings: tuple[str, ...]


def preview(request: BuildRequest, settings: Settings, progress: Progress, cancelled: threading.Event) -> Preview:
    """Fetch and detect; nothing of the source is run, nothing is left behind.

    Raises:
        BuildError: Of the steps Fetch and Detect, or there is no engine or base image.
        BuildCancelled: ``cancelled`` was set.
    """
    publish.check(request)
    budget = Budget(request.timeout, cancelled)
    cleanup.remove_folders(request.uid)
    with tempfile.TemporaryDirectory(prefix=cleanup.folder_prefix(request.uid)) as folder, Engine() as engine:
        plan = make(request, settings, Path(folder) / "source", engine, progress, budget)
        access = pipeline.access(settings)
        peers = publish.Peers(engine=engine, access=access, progress=progress, cancelled=cancelled)
        publisher = publish.Publisher(request, plan, pipeline.key_of(request, plan, settings), peers)
        names = publisher.names(time.time())
        return Preview(
            commit=plan.checkout.commit,
            dockerfile=plan.dockerfile,
            language=plan.candidate.runtime,
            command=plan.candidate.command,
            evidence=plan.evidence,
            tags=tuple(map(str, names)),
            push=request.push,
            warnings=(*plan.checkout.warnings, *publisher.warnings),
        )
