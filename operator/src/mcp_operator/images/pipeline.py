"""From a request to a verified image in a registry: the steps in their order, each leaving nothing when it fails."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from mcp_operator.images import cleanup, publish, sources
from mcp_operator.images.budget import Budget
from mcp_operator.images.build_logs import Log
from mcp_operator.images.contract import BuildError, BuildResult
from mcp_operator.images.engine import Engine
from mcp_operator.images.job import Job
from mcp_operator.images.plan import make
from mcp_operator.images.reasons import Reason
from mcp_operator.images.registry_http import Access

if TYPE_CHECKING:
    import threading
    from collections.abc import Mapping

    from mcp_operator.images.contract import BuildRequest, Progress
    from mcp_operator.images.plan import Plan
    from mcp_operator.images.publish import Publisher
    from mcp_operator.settings import Settings

VERSION = "2"
"""Of this builder: raised when the same input gives another image, so that everything is built again."""

PULL_SECONDS = 300
"""For the base images, on a slow line."""


def key(request: BuildRequest, commit: str, bases: Mapping[str, str], content: str = "") -> str:
    """Hash everything that the image and its verification depend on.

    Args:
        request: What to build.
        commit: 40 hex digits, from :func:`mcp_operator.images.git.resolve`, or a package's version.
        bases: As :func:`bases` gives; or only those that are really used.
        content: Hash of the files, where no commit names them.
    """
    parts = {
        "version": VERSION,
        "source": sources.identity(request.source, commit, content),
        "repository": request.repository,
        "runtime": request.runtime,
        "dockerfile": request.dockerfile,
        "command": request.command,
        "args": request.args,
        "env": request.env,
        "system_packages": request.system_packages,
        "build_args": request.build_args,
        "platforms": request.platforms,
        "verify": request.verify,
        "bases": dict(bases),
    }
    reach = (request.transport, request.port, request.path)
    if any(reach):  # else what was built before they could be given would be built again
        parts["reach"] = reach
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def key_of(request: BuildRequest, plan: Plan, settings: Settings) -> str:
    """Hash what an image depends on, with the base images that are really used and the scans that it passed."""
    found = key(request, plan.checkout.commit, plan.bases, plan.checkout.content)
    if not settings.scans:
        return found
    return hashlib.sha256(f"{found} {settings.scans} {settings.scan_severity}".encode()).hexdigest()


def bases(settings: Settings, cancelled: threading.Event | None = None) -> dict[str, str]:
    """Give the image IDs of the base images by name. Pulls what is not there, so it may take a while the first time.

    One that cannot be pulled counts as its name: servers of the other language can be built all the same.

    Raises:
        BuildError: The engine cannot be reached.
        BuildCancelled: ``cancelled`` was set.
    """
    budget = Budget(PULL_SECONDS, cancelled)
    found: dict[str, str] = {}
    with Engine() as engine:
        for name in sorted({settings.base_python, settings.base_node}):
            try:
                found[name] = engine.base(name, budget).id
            except BuildError as error:
                if error.reason != Reason.BASE_IMAGE_UNAVAILABLE:
                    raise
                found[name] = name
    return found


def build(request: BuildRequest, settings: Settings, progress: Progress, cancelled: threading.Event) -> BuildResult:
    """Build, verify and push one image; or find that it is there. Blocks; one build per ``request.uid`` at a time.

    Raises:
        BuildError: With step, reason and hint. Nothing is left behind.
        BuildCancelled: ``cancelled`` was set. Nothing is left behind.
    """
    with contextlib.ExitStack() as logged:
        heard = progress
        if settings.build_logs:
            heard = logged.enter_context(Log(Path(settings.build_logs), request.deployment_id, progress))
        return _build(request, settings, heard, cancelled)


def _build(request: BuildRequest, settings: Settings, progress: Progress, cancelled: threading.Event) -> BuildResult:
    began = time.monotonic()
    publish.check(request)
    if publish.several(request):
        publish.check_platforms(request)
    budget = Budget(request.timeout, cancelled)
    # What a killed process may have left of an earlier build.
    cleanup.remove_folders(request.uid)
    with tempfile.TemporaryDirectory(prefix=cleanup.folder_prefix(request.uid)) as folder, Engine() as engine:
        plan = make(request, settings, Path(folder) / "source", engine, progress, budget)
        peers = publish.Peers(engine=engine, access=access(settings), progress=progress, cancelled=cancelled)
        publisher = publish.Publisher(request, plan, key_of(request, plan, settings), peers)
        # What a Dockerfile of its own starts from is not known to be the same.
        found = publisher.find() if plan.bases else None
        if found:
            return _reused(publisher, plan, found, time.monotonic() - began)
        job = Job(request, settings, progress, budget, engine, Path(folder))
        return dataclasses.replace(job.run(plan, publisher), seconds=time.monotonic() - began)


def access(settings: Settings) -> Access:
    """Say how registries are reached."""
    return Access(ca_file=settings.registry_ca_file, plain_http=settings.plain_http_registries)


def _reused(publisher: Publisher, plan: Plan, found: publish.Found, seconds: float) -> BuildResult:
    record = found.record
    return BuildResult(
        commit=plan.checkout.commit,
        reference=found.reference,
        image_id=found.image_id,
        size=found.size,
        seconds=seconds,
        tags=publisher.again(found),
        reused=True,
        **record.of_result(),
    )
