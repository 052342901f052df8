"""One build, once it is decided what to build: image, handshake, labels, scans, names; or nothing at all."""

from __future__ import annotations

import contextlib
import functools
import re
import tempfile
import time
from typing import IO, TYPE_CHECKING, Any

from mcp_operator import names
from mcp_operator.images import (
    cleanup,
    context,
    development,
    diagnosis,
    dockerfile,
    from_sources,
    otherwise,
    publish,
    redact,
    result,
    scans,
    system_packages,
    writable,
)
from mcp_operator.images.build_log import BuildLog
from mcp_operator.images.contract import BuildError, BuildResult, Needs, Step
from mcp_operator.images.detect.candidate import DockerfileFacts, PythonFacts
from mcp_operator.images.engine import BuildFailedError
from mcp_operator.images.engine_wire import BuildOptions
from mcp_operator.images.liveness import Serving
from mcp_operator.images.reasons import Reason
from mcp_operator.images.result import Record
from mcp_operator.images.verify import Probe, verify

if TYPE_CHECKING:
    from pathlib import Path

    from mcp_operator.images.budget import Budget
    from mcp_operator.images.contract import BuildRequest, Progress
    from mcp_operator.images.engine import Engine
    from mcp_operator.images.plan import Plan
    from mcp_operator.images.publish import Publisher
    from mcp_operator.images.scans import Scan
    from mcp_operator.images.writable import Link
    from mcp_operator.settings import Settings

ATTEMPTS = 3
"""At a build whose cached layers another one's tidying up removes at the same moment."""
_LAYER_GONE = re.compile(r"unknown parent image|No such image: sha256")


class Job:
    """One build: the steps share what is constant."""

    def __init__(
        self,
        request: BuildRequest,
        settings: Settings,
        progress: Progress,
        budget: Budget,
        engine: Engine,
        folder: Path,
    ) -> None:
        self._request = request
        self._settings = settings
        self._progress = progress
        self._budget = budget
        self._engine = engine
        self._folder = folder
        self._log = BuildLog()
        self._warnings: list[str] = []
        self._planned_as: Serving | None = None
        self._links: tuple[Link, ...] = ()
        self._moved = ""

    def run(self, plan: Plan, publisher: Publisher) -> BuildResult:
        """Build, verify, push."""
        with contextlib.ExitStack() as undo:
            before = {_short(image.id) for image in self._engine.images(self._mine, intermediate=True)}
            undo.callback(self._discard, before)
            if plan.recipe:
                self._planned_as = dockerfile.planned(plan.recipe.language, plan.candidate.hints)
            plan, built, record = system_packages.make(plan, self._made, self._warn)
            image = self._describe(self._linked(built, self._links) or built, record, publisher.key)
            found = self._scan(plan, image)
            reference, names_given = self._publish(plan, publisher, image, record, undo)
            undo.pop_all()
        # The layers of this build's stages have no name either, and are what the next one is built on.
        keep = {*self._log.layers, _short(built), _short(image)}
        # Older images of this owner are in the registry, if they are still in service.
        remove = cleanup.remove_unused if self._request.keep_older else cleanup.remove_images
        remove(self._engine, self._request.uid, keep)
        kept = self._engine.image(image)
        said = record.of_result()
        return BuildResult(
            commit=plan.checkout.commit,
            reference=reference,
            image_id=image,
            size=kept.size if kept else 0,
            seconds=0,
            scans=found,
            tags=names_given,
            **said | {"warnings": (*record.warnings, *publisher.warnings)},
        )

    @property
    def _mine(self) -> list[str]:
        return [f"{names.LABEL_UID}={self._request.uid}"]

    def _warn(self, text: str) -> None:
        self._progress.log(text)
        self._warnings.append(text)

    def _build(self, plan: Plan) -> str:
        self._progress.step(Step.BUILD, "sending the sources to Docker")
        with tempfile.TemporaryFile(dir=self._folder) as archive:
            self._pack(archive, plan, plan.dockerfile)
            # A generated Dockerfile has no use for arguments, and shares layers with others' builds: Docker's cache
            # does not know of those that name a proxy.
            own = isinstance(plan.candidate.facts, DockerfileFacts)
            return self._docker(archive, self._log, BuildOptions(arguments=self._request.build_args if own else {}))

    def _docker(self, archive: IO[bytes], log: BuildLog, options: BuildOptions, *, quiet: bool = False) -> str:
        shown = ""

        def hear(line: str) -> None:
            nonlocal shown
            if quiet:
                return
            self._progress.log(line)
            if log.instruction != shown:
                shown = log.instruction
                self._progress.step(Step.BUILD, f"step {shown}")

        image = ""
        for left in reversed(range(ATTEMPTS)):
            archive.seek(0)
            try:
                image = self._engine.build(archive, context.DOCKERFILE, log, self._budget, hear, options)
                break
            except BuildFailedError as error:
                if not left or not _LAYER_GONE.search(str(error)):
                    raise
        if not image:
            raise BuildFailedError("Docker gave no image")
        return image

    def _made(self, plan: Plan) -> tuple[Plan, str, Record]:
        return self._verified(*otherwise.build(plan, self._build, self._log, self._warn))

    def _verified(self, plan: Plan, image: str) -> tuple[Plan, str, Record]:
        try:
            return plan, image, self._verify(plan, image)
        except BuildError as error:
            other = from_sources.instead(plan, error.log_tail) or development.instead(plan, error.log_tail)
            if not other and plan.doubt and error.reason == Reason.HANDSHAKE_FAILED:
                plan.doubt.hint += f" Without what it does, {error.message}."
                raise plan.doubt from error
            if not other:
                raise
            plan, why = other
            self._warn(why)
            try:
                plan, image = otherwise.build(plan, self._build, self._log, self._warn)
                return plan, image, self._verify(plan, image)
            except BuildError as later:
                # It got further; where it cannot even be built, nothing is learnt from that.
                raise later if later.step == Step.VERIFY else error from None

    def _verify(self, plan: Plan, image: str) -> Record:
        candidate = plan.candidate
        warnings = (*plan.checkout.warnings, *self._warnings)
        common: dict[str, Any] = {
            "command": candidate.command,
            "working_dir": candidate.working_dir,
            "language": candidate.runtime,
            "bases": dict(plan.bases),
            "version": plan.version,
            "created": time.time(),
        }
        if not self._request.verify:
            return Record(
                **common,
                evidence=plan.evidence,
                protocol_version="",
                server_name="",
                tools=(),
                warnings=(*warnings, "it was not verified: nothing is known of its tools"),
                transport=candidate.hints.transport or "stdio",
                port=candidate.hints.port,
                path=candidate.hints.path,
                era="legacy",
                needs=Needs(),
            )
        self._progress.step(Step.VERIFY, "handshake")
        probe = self._probe(plan, image)
        verified = verify(self._engine, image, self._request, self._budget, self._progress.log, probe)
        self._progress.log(f"handshake in {verified.seconds:.1f} s")
        self._links, self._moved = verified.links, verified.folder
        return Record(
            **common | {"working_dir": verified.folder or candidate.working_dir},
            evidence=plan.evidence,
            protocol_version=verified.manifest.protocol,
            server_name=verified.manifest.server,
            tools=verified.manifest.tools,
            warnings=(*warnings, *verified.warnings),
            transport=verified.transport,
            port=verified.port,
            path=verified.path,
            era=verified.era,
            needs=verified.needs,
        )

    def _probe(self, plan: Plan, image: str) -> Probe:
        """Say how the server is reached; one that is compiled has nothing in its image to reach it with over HTTP."""
        candidate, relay = plan.candidate, ""
        if candidate.runtime in ("go", "dockerfile"):
            with contextlib.suppress(BuildError):  # then stdio is all that can be tried
                relay = self._engine.base(self._settings.base_node, self._budget).id
        installed = isinstance(candidate.facts, PythonFacts) and candidate.facts.package
        return Probe(
            hints=candidate.hints,
            relay=relay,
            folder=candidate.working_dir,
            moves=writable.moves(candidate.command, installed=installed),
            link=functools.partial(self._linked, image),
        )

    def _linked(self, image: str, links: tuple[Link, ...]) -> str:
        """Give an image with links in it; empty if there are none, or they cannot be made."""
        if not links:
            return ""
        try:
            return self._on_top("\n".join([f"FROM {image}", *writable.lines(links)]) + "\n", BuildLog())
        except BuildFailedError:  # something is there, or it has no shell
            return ""

    def _scan(self, plan: Plan, image: str) -> tuple[Scan, ...]:
        kinds = self._settings.scans
        if not kinds:
            return ()
        self._progress.step(Step.VERIFY, f"scanning for {', '.join(kinds)}")
        linted = (scans.lint(plan.dockerfile, self._budget),) if "dockerfile" in kinds else ()
        wanted = [kind for kind in scans.KINDS if kind in kinds]
        found = (*linted, *scans.image(self._engine, image, self._budget, wanted))
        for scan in found:
            for line in scan.lines():
                self._progress.log(line)
        scans.gate(found, self._settings.scan_severity)
        return found

    def _publish(
        self, plan: Plan, publisher: Publisher, image: str, record: Record, undo: contextlib.ExitStack
    ) -> tuple[str, tuple[str, ...]]:
        if not publish.several(self._request):
            return publisher.publish(image, record.created, undo)
        lines = self._labels(image, record, publisher.key).partition("\n")[2]
        links = "".join(f"{line}\n" for line in writable.lines(self._links))
        with tempfile.TemporaryFile(dir=self._folder) as archive:
            self._pack(archive, plan, plan.dockerfile + links + lines)
            return publisher.publish_for(self._request.platforms, archive, record.created)

    def _pack(self, archive: IO[bytes], plan: Plan, text: str) -> None:
        own = isinstance(plan.candidate.facts, DockerfileFacts)
        authorities = context.authorities(self._settings.build_ca_file)
        moment = int(plan.checkout.committed.timestamp())
        context.pack(archive, plan.context, text, authorities, own=own, moment=moment)
        archive.seek(0)

    def _describe(self, image: str, record: Record, key: str) -> str:
        """Write into the image what only the handshake could tell."""
        log = BuildLog()
        try:
            return self._on_top(self._labels(image, record, key), log)
        except BuildFailedError as error:
            raise diagnosis.failed(log, redact.line(str(error))) from error

    def _on_top(self, text: str, log: BuildLog) -> str:
        """Build a few lines on top of an image: nothing that anybody would want to follow."""
        nothing = self._folder / "nothing"
        nothing.mkdir(exist_ok=True)
        with tempfile.TemporaryFile(dir=self._folder) as archive:
            context.pack(archive, nothing, text)
            return self._docker(archive, log, BuildOptions(network=False), quiet=True)

    def _labels(self, image: str, record: Record, key: str) -> str:
        labels = {
            names.LABEL_TOOLS: dockerfile.tools_label(tool.name for tool in record.tools),
            names.LABEL_KEY: key,
            **result.labels(record),
        }
        serving = Serving(language=record.language, transport=record.transport, port=record.port, path=record.path)
        return dockerfile.render_labels(image, labels, serving, self._planned_as) + writable.place(self._moved)

    def _discard(self, before: set[str]) -> None:
        """Remove what this build made, and nothing that was there before."""
        with contextlib.suppress(BuildError):  # as above
            cleanup.undo(self._engine, self._request.uid, keep=before)
            # The layers before the owner's label are everybody's; those on top are of use to nobody.
            for image in self._engine.images([f"{names.MANAGED_BY}={names.MANAGER}"]):
                if names.LABEL_UID not in image.labels and _short(image.id) in self._log.layers:
                    self._engine.remove_image(image.id)


def _short(image: str) -> str:
    return image.removeprefix("sha256:")[:12]
