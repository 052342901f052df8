"""Try out an image that somebody else made: pull it by its digest, shake hands with it, and never push anything."""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mcp_operator.images import cleanup, engine_wire, reference, registry
from mcp_operator.images.budget import Budget
from mcp_operator.images.contract import BuildError, BuildResult, RegistryAuth, Step, Trial
from mcp_operator.images.engine import Engine
from mcp_operator.images.pipeline import access
from mcp_operator.images.reasons import Reason
from mcp_operator.images.verify import Probe, verify

if TYPE_CHECKING:
    import threading

    from mcp_operator.images.contract import Progress
    from mcp_operator.images.stored import Image
    from mcp_operator.settings import Settings

VERSION = "1"
"""Raised when the same image is to be tried out again."""


@dataclass(frozen=True, kw_only=True)
class ImageRequest(Trial):
    """One image to try out.

    Attributes:
        reference: ``repository@sha256:...``.
        auth: To pull it; without, it is pulled as anybody could: the operator's own credentials are for its own images.
        verify: Whether to shake hands with it; without, nothing is known of its tools.
    """

    reference: str
    auth: RegistryAuth | None = field(default=None, repr=False)
    verify: bool = True


def pinned(name: str, digest: str) -> str:
    """Name an image by its digest alone."""
    return f"{reference.parse(name).repository}@{digest}"


def digest(name: str, auth: RegistryAuth | None, settings: Settings, budget: Budget) -> str | None:
    """Ask the registry for the digest behind a name; None if it has no such image.

    Args:
        name: With tag or digest.
        auth: Without, the registry is asked as anybody could.
        settings: How registries are reached.
        budget: When to stop.

    Raises:
        BuildError: The registry cannot be reached, or refuses.
        BuildCancelled: As the budget says.
    """
    return registry.find(name, auth or engine_wire.NOBODY, budget, access(settings), Step.FETCH)


def key(request: ImageRequest) -> str:
    """Hash what trying it out depends on."""
    reach = (request.transport, request.port, request.path)
    parts = (VERSION, request.reference, request.args, sorted(request.env.items()), request.verify, reach)
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def examine(request: ImageRequest, settings: Settings, progress: Progress, cancelled: threading.Event) -> BuildResult:
    """Pull an image and shake hands with it. Blocks; one at a time for each ``request.uid``.

    Raises:
        BuildError: With step, reason and hint.
        BuildCancelled: ``cancelled`` was set.
    """
    began = time.monotonic()
    budget = Budget(request.timeout, cancelled)
    progress.step(Step.FETCH, "pulling the image")
    with Engine() as engine, contextlib.ExitStack() as undo:
        cleanup.remove_containers(engine, request.uid)  # of one that was cut short
        before = engine.image(request.reference)
        image = engine.pull(request.reference, budget, progress.log, auth=request.auth or engine_wire.NOBODY)
        if before is None:
            undo.callback(_discard, engine, image.id)
        if not image.command:
            raise BuildError(
                Reason.NO_START_COMMAND,
                "the image has neither entry point nor command",
                step=Step.FETCH,
                hint="Use an image that says what it starts.",
            )
        if not request.verify:
            return _unverified(request, image, time.monotonic() - began)
        progress.step(Step.VERIFY, "handshake")
        relay = ""
        with contextlib.suppress(BuildError):  # then the image's own programs are all that there is to reach it with
            relay = engine.base(settings.base_node, budget).id
        found = verify(engine, image.id, request, budget, progress.log, Probe(relay=relay))
    return BuildResult(
        **_common(request, image, time.monotonic() - began),
        protocol_version=found.manifest.protocol,
        server_name=found.manifest.server,
        tools=found.manifest.tools,
        warnings=found.warnings,
        transport=found.transport,
        port=found.port,
        path=found.path,
        era=found.era,
        needs=found.needs,
    )


def _discard(engine: Engine, image: str) -> None:
    with contextlib.suppress(BuildError):  # nobody waits for the room
        engine.remove_image(image)


def _unverified(request: ImageRequest, image: Image, seconds: float) -> BuildResult:
    return BuildResult(
        **_common(request, image, seconds),
        protocol_version="",
        server_name="",
        tools=(),
        warnings=("it was not verified: nothing is known of its tools",),
        transport=request.transport or "stdio",
        port=request.port,
        path=request.path,
    )


def _common(request: ImageRequest, image: Image, seconds: float) -> dict[str, Any]:
    return {
        "commit": request.reference.partition("@")[2],
        "reference": request.reference,
        "image_id": image.id,
        "size": image.size,
        "command": image.command,
        "working_dir": image.working_dir or "/",
        "evidence": ("an image that was there already",),
        "seconds": seconds,
    }
