"""From a request to a verified image in a registry: the steps in their order, each leaving nothing when it fails."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

from mcp_operator.images import cleanup, plan, publish, sources
from mcp_operator.images.budget import Budget
from mcp_operator.images.build_logs import Log
from mcp_operator.images.contract import BuildError, BuildResult, Step
from mcp_operator.images.engine import Engine
from mcp_operator.images.job import Job
from mcp_operator.images.masking import Mask, Masked
from mcp_operator.images.reasons import Reason
from mcp_operator.images.registry_http import Access

if TYPE_CHECKING:
    import threading
    from collections.abc import Mapping

    from mcp_operator.images.contract import BuildRequest, Progress
    from mcp_operator.images.plan import Plan
    from mcp_operator.images.publish import Publisher
    from mcp_operator.settings import Settings

VERSION = "6"
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
        "as_asked": request.as_asked,
        "bases": dict(bases),
    }
    reach = (request.transport, request.port, request.path)
    if any(reach):  # else what was built before they could be given would be built again
        parts["reach"] = reach
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def key_of(request: BuildRequest, made: Plan, settings: Settings) -> str:
    """Hash what an image depends on, with the base images that are really used and the scans that it passed."""
    found = key(request, made.checkout.commit, made.bases, made.checkout.content)
    if not settings.scans:
        return found
    return hashlib.sha256(f"{found} {settings.scans} {settings.scan_severity}".encode()).hexdigest()


def bases(settings: Settings, cancelled: threading.Event | None = None) -> dict[str, str]:
    """Give the image IDs of the base images by name. Pulls the usual ones, so it may take a while the first time.

    One that cannot be pulled counts as its name: servers of the other language can be built all the same. The more
    seldom ones are only looked up: a build that needs one pulls it.

    Raises:
        BuildError: The engine cannot be reached.
        BuildCancelled: ``cancelled`` was set.
    """
    budget = Budget(PULL_SECONDS, cancelled)
    found: dict[str, str] = {}
    with Engine() as engine:
        for name in sorted(set(settings.usual_bases)):
            try:
                found[name] = engine.base(name, budget).id
            except BuildError as error:
                if error.reason != Reason.BASE_IMAGE_UNAVAILABLE:
                    raise
                found[name] = name
        for name in settings.seldom_bases:
            if name not in found and (image := engine.image(name)):
                found[name] = image.id
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
            try:
                heard = logged.enter_context(Log(Path(settings.build_logs), request.deployment_id, progress))
            except OSError as error:  # a build is worth more than its log
                progress.log(f"what it prints is not kept: {settings.build_logs} cannot be written: {error.strerror}")
        mask = Mask(request)
        with mask.errors():
            return mask.result(_build(request, settings, Masked(heard, mask), cancelled))


def _build(request: BuildRequest, settings: Settings, progress: Progress, cancelled: threading.Event) -> BuildResult:
    began = time.monotonic()
    publish.check(request)
    if publish.several(request):
        publish.check_platforms(request)
    budget = Budget(request.timeout, cancelled)
    with Engine() as engine:
        cleanup.leftovers(engine, {request.uid}, request.installation)
        with cleanup.folder(request.uid, request.installation) as folder:
            found = plan.Pulled(engine, cleanup.owner(request), progress, budget)
            made = plan.make(request, settings, folder / "source", found, progress, budget)
            peers = publish.Peers(engine=engine, access=access(settings), progress=progress, cancelled=cancelled)
            publisher = publish.Publisher(request, made, key_of(request, made, settings), peers)
            # A Dockerfile that does not say what it starts from may start from something else each time.
            if made.bases and (there := publisher.find()):
                return _reused(publisher, made, there, time.monotonic() - began)
            job = Job(request, settings, progress, budget, engine, folder)
            try:
                return dataclasses.replace(job.run(made, publisher), seconds=time.monotonic() - began)
            except BuildError as error:
                if error.step in (Step.BUILD, Step.VERIFY) and made.checkout.warnings:
                    error.hint = f"{error.hint} Of the source: {'; '.join(made.checkout.warnings)}."
                raise


def access(settings: Settings) -> Access:
    """Say how registries are reached."""
    return Access(ca_file=settings.registry_ca_file, plain_http=settings.plain_http_registries)


def _reused(publisher: Publisher, made: Plan, found: publish.Found, seconds: float) -> BuildResult:
    reference, tags = publisher.again(found)
    said = found.record.of_result()
    return BuildResult(
        commit=made.checkout.commit,
        reference=reference,
        image_id=found.image_id,
        size=found.size,
        seconds=seconds,
        tags=tags,
        reused=True,
        **said | {"warnings": (*found.record.warnings, *publisher.warnings)},
    )
