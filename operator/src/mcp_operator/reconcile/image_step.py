"""From a revision of a source to a verified image in service: a build that is needed runs, and no other."""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING, Final, Protocol

from mcp_operator import conditions, policies, server_references
from mcp_operator.images.contract import BuildError, Step
from mcp_operator.jobs import State
from mcp_operator.outcomes import Done, Outcome, Problem, Stalled, Waiting
from mcp_operator.reconcile import build_requests, build_status, in_service, manifests_store, run_settings
from mcp_operator.reconcile.lookups import Answer
from mcp_operator.reconcile.progress import Progress
from mcp_operator.reconcile.references import References
from mcp_operator.source_globs import name_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mcp_operator.jobs import Builds, Request, View
    from mcp_operator.models.run import Run
    from mcp_operator.models.server import MCPServerSpec
    from mcp_operator.models.status import ImageStatus, MCPServerStatus
    from mcp_operator.objects import Resource
    from mcp_operator.reconcile.progress import Subject
    from mcp_operator.reconcile.promotion import Promotion
    from mcp_operator.reconcile.services import Services

KEY_RETRY: Final = 10.0
"""Seconds until the base images are asked for again; they are also told of when they are known."""
WITHOUT_FILES: Final = (
    "The files of run.files are not there while an image is tried out: where it needs one, set build.verify: None."
)

logger = logging.getLogger(__name__)


class Images(Protocol):
    """What is asked of the builder besides building."""

    def key(self, request: Request, used: Mapping[str, str] | None = None, *, now: bool = True) -> str:
        """Hash everything that what is asked for depends on.

        Args:
            request: What is asked for.
            used: Base images of its last build, if there was one: names and IDs.
            now: With these as they are now, else as they were.

        Raises:
            BuildError: That cannot be told now.
        """

    def forget(self, uid: str) -> None:
        """Remove what was made for an MCPServer that is gone."""


class ImageStep:
    """Sees to images of servers from git, npm, PyPI and registries."""

    def __init__(self, services: Services, builds: Builds, images: Images, promotion: Promotion) -> None:
        self._services = services
        self._builds = builds
        self._images = images
        self._promotion = promotion
        self._references = References(services.api)
        self._ended: dict[str, str] = {}

    def ended(self, uid: str, key: str) -> str:
        """Give the key under which the build ran whose end was written down with ``key``, once."""
        return self._ended.pop(uid, key)

    def forget(self, uid: str) -> None:
        """Drop what is known of a server that is gone."""
        self._ended.pop(uid, None)

    def advance(self, subject: Subject, answer: Answer) -> Progress:
        """Go on with a server whose revision is known.

        Raises:
            Problem: The list of its tools cannot be kept.
        """
        wanted = build_requests.request(subject.server, answer, self._services.settings)
        try:
            build_key = self._key(wanted, subject.after)
        except BuildError as error:
            return self._without_key(subject, error)
        self._promotion.review(subject.raw, subject.server, subject.after, build_key)
        try:
            delay, build_key = self._build(subject, answer, wanted, build_key)
        except _LacksError as lack:
            return Progress(lack.found, build_status.ready(lack.found, subject.after), lack.delay)
        except BuildError as error:
            return self._without_key(subject, error)
        image = subject.after.image
        if image is not None and image.build_key == build_key:  # however an earlier operator may have called it
            image.verified_with = run_settings.fingerprint(subject.server.spec.run)
        job = self._job(subject.server.uid, build_key)
        found = build_status.outcomes(subject.after, build_key, job, delay)
        found.setdefault(conditions.SOURCE_READY, Done(conditions.SUCCEEDED, answer.revision))
        return Progress(found, _ready(found, subject), delay)

    def without_source(self, subject: Subject, problem: Problem) -> Progress:
        """Say why nothing can be made now.

        A host that is down for a while takes nothing out of service that was made from what is asked for; a policy that
        does not allow the source does.
        """
        after = subject.after
        if problem.reason == conditions.SOURCE_NOT_ALLOWED:
            in_service.take_out(after)
        found: dict[str, Outcome] = {conditions.SOURCE_READY: problem}
        if isinstance(problem, Waiting) and after.image is not None and after.source is not None:
            answer = Answer(revision=after.source.revision, tag=after.source.tag or "")
            request = build_requests.request(subject.server, answer, self._services.settings)
            with contextlib.suppress(BuildError):  # then nobody can tell what the image was made from
                if self._images.key(request, after.image.bases) == after.image.build_key:
                    everything = {**build_status.in_service(after, after), **found}
                    return Progress(everything, _still(problem, after), problem.delay)
        return Progress(found, build_status.ready(found, after), problem.delay)

    def _without_key(self, subject: Subject, error: BuildError) -> Progress:
        """An engine that is down takes nothing out of service that was in service for this very spec."""
        after = subject.after
        kind = Waiting if error.transient else Stalled
        problem = kind(error.reason, build_status.explain(error), delay=KEY_RETRY)
        is_same = after.observed_generation == subject.server.generation
        if is_same and conditions.is_true(after.conditions, conditions.READY):
            found = {**build_status.in_service(after, after), conditions.BUILT: problem}
            return Progress(found, _still(problem, after), KEY_RETRY)
        found = {conditions.SOURCE_READY: Done(conditions.SUCCEEDED), conditions.BUILT: problem}
        return Progress(found, build_status.ready(found, after), KEY_RETRY)

    def _key(self, wanted: Request, after: MCPServerStatus) -> str:
        """Hash what a build would depend on: of base images those that the last good one used, if there was one.

        A build that failed might have used any: it is called by all of them, and that stands until one is another.
        """
        any_base = self._images.key(wanted)
        of_good = [self._images.key(wanted, image.bases) for image in _images(after)]
        last = after.build
        unsettled = last is not None and (last.finished_at is None or last.failed_step is not None)
        if last is not None and unsettled and last.key in (any_base, *of_good):
            return last.key
        return next(iter(of_good), any_base)

    def _build(self, subject: Subject, answer: Answer, wanted: Request, build_key: str) -> tuple[float | None, str]:
        """See to it that the build that is needed runs, and no other.

        Gives the seconds until a failed one is due, and the key, which is another one once the base images are known.

        Raises:
            _LacksError: A Secret is missing.
            BuildError: The base images cannot be told now.
        """
        after, uid = subject.after, wanted.uid
        now = self._services.clock()
        job = self._job(uid, build_key)
        if job is not None and job.state is State.ENDED:
            self._end(subject, answer, wanted, job)
            build_key = self._key(wanted, after)
        verdict = policies.rebuild(self._facts(subject, build_key))
        if not verdict.build:
            if job is None:
                self._builds.cancel(uid)
            return verdict.delay, build_key
        if job is None:
            credentials = self._credentials(subject.server)  # before they are read: later ones are another attempt
            request = self._equipped(subject, wanted)
            logger.info("%s: build %s (%s)", subject.key, build_key[:12], verdict.reason)
            build_status.begin(after, build_key, answer.revision, now, credentials)
            self._builds.ensure(subject.key, build_key, request)
        job = self._job(uid, build_key)
        if job is not None and job.state is not State.ENDED:
            build_status.follow(after, job, now)
        return None, build_key

    def _credentials(self, server: Resource[MCPServerSpec]) -> str | None:
        """Give what stands for the versions of the Secrets that a build would be given; None where it gets none."""
        return self._references.versions(server.namespace, server_references.of_operator(server.spec)) or None

    def _facts(self, subject: Subject, build_key: str) -> policies.BuildFacts:
        after = subject.after
        has_some = after.build is not None and after.build.credentials is not None
        image = after.image if after.image is not None and self._promotion.knows(subject.server, after) else None
        held = after.held.image if after.held is not None else None
        return policies.BuildFacts(
            key=build_key,
            image_key=image.build_key if image is not None else None,
            held_key=held.build_key if held is not None else None,
            last=after.build,
            now=self._services.clock(),
            asked=subject.asked,
            credentials=self._credentials(subject.server) if has_some else None,
        )

    def _end(self, subject: Subject, answer: Answer, wanted: Request, job: View) -> None:
        """Write down what a job came to, under the key that is known by what was used.

        Raises:
            BuildError: That cannot be told now; nothing is written down.
        """
        used = job.result.bases if job.result is not None else None
        made_from = self._images.key(wanted, used, now=not used)
        self._note_end(subject, answer, job)
        self._ended[wanted.uid] = job.key
        build_status.rename(subject.after, made_from)

    def _note_end(self, subject: Subject, answer: Answer, job: View) -> None:
        """Put a job's result into service first, for what is written counts as done."""
        after, now = subject.after, self._services.clock()
        if job.result is None:
            if job.error is not None:
                build_status.fail(after, job.key, job.error, now, _of_files(job.error, subject.server.spec.run))
            return
        revision = in_service.built(job.result, job.key, subject.server.spec, answer)
        try:
            self._promotion.offer(subject.raw, subject.server, after, revision, job.result.tools)
        except manifests_store.TooManyToolsError:
            build_status.lose(after, job.key, len(job.result.tools), now)
        else:
            build_status.succeed(after, job.key, job.result, now)

    def _equipped(self, subject: Subject, wanted: Request) -> Request:
        """Add credentials to a request, which is what a missing Secret holds up before anything is begun."""
        server, api = subject.server, self._services.api
        try:
            wanted = build_requests.to_fetch(wanted, server, api)
        except Problem as problem:
            raise _LacksError({conditions.SOURCE_READY: problem}, problem.delay) from None
        try:
            return build_requests.to_push(wanted, server, api)
        except Problem as problem:
            found: dict[str, Outcome] = {
                conditions.SOURCE_READY: Done(conditions.SUCCEEDED),
                conditions.PUSHED: problem,
            }
            raise _LacksError(found, problem.delay) from None

    def _job(self, uid: str, build_key: str) -> View | None:
        job = self._builds.view(uid)
        return job if job is not None and job.key == build_key else None


class _LacksError(Exception):
    """Nothing can be begun for want of a Secret."""

    def __init__(self, found: dict[str, Outcome], delay: float | None) -> None:
        super().__init__()
        self.found = found
        self.delay = delay


def _ready(found: Mapping[str, Outcome], subject: Subject) -> Outcome | None:
    """Give what ``Ready`` says: it stays true while the very revision in service is built or verified once more.

    That is so where settings or base images changed; what is not as written yet then, ``Reconciling`` tells.
    """
    after = subject.after
    ready = build_status.ready(found, after)
    if ready is None or ready.reason not in conditions.UNDER_WAY or not _is_in_service(subject):
        return ready
    if not conditions.is_true(after.conditions, conditions.READY):
        return ready
    return Done(ready.reason, f"{build_status.called(after)} is in service, and is built or verified once more")


def _is_in_service(subject: Subject) -> bool:
    source, build = subject.after.source, subject.after.build
    if source is None or build is None:
        return False
    return (source.name, source.revision) == (str(name_of(subject.server.spec)), build.revision)


def _of_files(error: BuildError, run: Run) -> str:
    """Say of an image that does not speak MCP what was not there when it was tried out."""
    return WITHOUT_FILES if run.files and error.step is Step.VERIFY else ""


def _still(problem: Problem, after: MCPServerStatus) -> Done:
    return Done(problem.reason, f"{build_status.called(after)} is in service. {problem.message}")


def _images(after: MCPServerStatus) -> list[ImageStatus]:
    """Give the images of the newest good build, the one that waits for approval first, and of the one in service."""
    held = after.held.image if after.held is not None else None
    return [image for image in (held, after.image) if image is not None]
