"""From a request to a verified image in a registry: the steps in their order, each leaving nothing when it fails."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import re
import tempfile
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING

from mcp_operator import names
from mcp_operator.images import cleanup, context, diagnosis, redact
from mcp_operator.images.budget import Budget
from mcp_operator.images.build_log import BuildLog
from mcp_operator.images.contract import BuildError, BuildResult, Step
from mcp_operator.images.detect.candidate import APP, join
from mcp_operator.images.engine import BuildFailedError, Engine
from mcp_operator.images.plan import make
from mcp_operator.images.reasons import Reason
from mcp_operator.images.verify import verify

if TYPE_CHECKING:
    import threading
    from collections.abc import Mapping

    from mcp_operator.images.contract import BuildRequest, Progress
    from mcp_operator.images.plan import Plan
    from mcp_operator.images.verify import Verified
    from mcp_operator.settings import Settings

VERSION = "1"
"""Of this builder: raised when the same input gives another image, so that everything is built again."""

PULL_SECONDS = 300
"""For the base images, on a slow line."""

ATTEMPTS = 3
"""At a build whose cached layers another one's tidying up removes at the same moment."""
_LAYER_GONE = re.compile(r"unknown parent image|No such image: sha256")


def key(request: BuildRequest, commit: str, bases: Mapping[str, str]) -> str:
    """Hash everything that the image and its verification depend on.

    Args:
        request: What to build.
        commit: 40 hex digits, from :func:`mcp_operator.images.git.resolve`.
        bases: As :func:`bases` gives.
    """
    source = dataclasses.asdict(request.source) | {"branch": None, "tag": None, "commit": commit}
    parts = {
        "version": VERSION,
        "source": source,
        "repository": request.repository,
        "runtime": request.runtime,
        "command": request.command,
        "args": request.args,
        "env": request.env,
        "bases": dict(bases),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


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
    """Build, verify and push one image. Blocks; one build per ``request.uid`` at a time.

    Raises:
        BuildError: With step, reason and hint. Nothing is left behind.
        BuildCancelled: ``cancelled`` was set. Nothing is left behind.
    """
    budget = Budget(request.timeout, cancelled)
    # What a killed process may have left of an earlier build.
    cleanup.remove_folders(request.uid)
    with tempfile.TemporaryDirectory(prefix=cleanup.folder_prefix(request.uid)) as folder, Engine() as engine:
        plan = make(request, settings, Path(folder) / "source", engine, progress, budget)
        with tempfile.TemporaryFile(dir=folder) as archive:
            context.pack(
                archive,
                plan.context,
                plan.dockerfile,
                context.authorities(settings.build_ca_file),
            )
            return _Job(request, progress, budget, engine).run(plan, archive)


class _Job:
    """One build: the steps share what is constant."""

    def __init__(self, request: BuildRequest, progress: Progress, budget: Budget, engine: Engine) -> None:
        self._request = request
        self._progress = progress
        self._budget = budget
        self._engine = engine
        self._began = time.monotonic()
        self._log = BuildLog()

    def run(self, plan: Plan, archive: IO[bytes]) -> BuildResult:
        """Build, verify, push."""
        with contextlib.ExitStack() as undo:
            before = {_short(image.id) for image in self._engine.images(self._mine, intermediate=True)}
            undo.callback(self._discard, before)
            image = self._build(archive)
            self._progress.step(Step.VERIFY, "handshake")
            verified = verify(self._engine, image, self._request, self._budget, self._progress.log)
            reference = self._push(plan, image, undo)
            undo.pop_all()
        # Older images of this owner are in the registry, if they are still in service.
        cleanup.remove_images(self._engine, self._request.uid, keep={*self._log.layers, _short(image)})
        return self._result(plan, image, reference, verified)

    @property
    def _mine(self) -> list[str]:
        return [f"{names.LABEL_UID}={self._request.uid}"]

    def _build(self, archive: IO[bytes]) -> str:
        self._progress.step(Step.BUILD, "sending the sources to Docker")
        shown = ""

        def hear(line: str) -> None:
            nonlocal shown
            self._progress.log(line)
            if self._log.instruction != shown:
                shown = self._log.instruction
                self._progress.step(Step.BUILD, f"step {shown}")

        for left in reversed(range(ATTEMPTS)):
            archive.seek(0)
            try:
                image = self._engine.build(archive, context.DOCKERFILE, self._log, self._budget, hear)
                break
            except BuildFailedError as error:
                if not left or not _LAYER_GONE.search(str(error)):
                    raise self._failed(redact.line(str(error))) from error
        if not image:
            raise self._failed("Docker gave no image")
        return image

    def _failed(self, said: str) -> BuildError:
        tail = self._log.tail
        tail.add(said)
        finding = diagnosis.build(str(tail))
        instruction = self._log.instruction or "reading the Dockerfile"
        return BuildError(
            finding.reason,
            f"step {instruction} failed",
            step=Step.BUILD,
            hint=finding.hint,
            log_tail=str(tail),
            transient=finding.transient,
        )

    def _push(self, plan: Plan, image: str, undo: contextlib.ExitStack) -> str:
        request = self._request
        base = self._engine.base(plan.base, self._budget)
        tag = names.image_tag(plan.checkout.commit, key(request, plan.checkout.commit, {plan.base: base.id}))
        name = f"{request.repository}:{tag}"
        self._progress.step(Step.PUSH, name)
        if self._engine.image(name) is None:
            undo.callback(self._untag, name)
        self._engine.tag(image, request.repository, tag)
        digest = self._engine.push(request.repository, tag, self._budget, self._progress.log)
        return f"{request.repository}@{digest}"

    def _untag(self, name: str) -> None:
        with contextlib.suppress(BuildError):  # Docker is gone: what it kept is swept when it is back
            self._engine.remove_image(name)

    def _discard(self, before: set[str]) -> None:
        """Remove what this build made, and nothing that was there before."""
        with contextlib.suppress(BuildError):  # as above
            cleanup.undo(self._engine, self._request.uid, keep=before)
            # The layers before the owner's label are everybody's; those on top are of use to nobody.
            for image in self._engine.images([f"{names.MANAGED_BY}={names.MANAGER}"]):
                if names.LABEL_UID not in image.labels and _short(image.id) in self._log.layers:
                    self._engine.remove_image(image.id)

    def _result(self, plan: Plan, image: str, reference: str, verified: Verified) -> BuildResult:
        found = self._engine.image(image)
        manifest = verified.manifest
        notes = []
        if verified.network:
            notes.append("it did not start without network")
        if not manifest.tools:
            notes.append("warning: it lists no tools; some servers list none until they are configured")
        if manifest.noise:
            notes.append(f"warning: it writes to stdout what is no message ({manifest.noise} lines)")
        return BuildResult(
            commit=plan.checkout.commit,
            reference=reference,
            image_id=image,
            size=found.size if found else 0,
            command=plan.candidate.command,
            working_dir=join(APP, plan.candidate.inner),
            evidence=(*plan.evidence, f"handshake in {verified.seconds:.1f} s", *notes),
            protocol_version=manifest.protocol,
            server_name=manifest.server,
            tools=manifest.tools,
            seconds=time.monotonic() - self._began,
        )


def _short(image: str) -> str:
    return image.removeprefix("sha256:")[:12]
