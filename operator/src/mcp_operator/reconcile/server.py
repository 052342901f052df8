"""MCPServer: find the commit, build when what it is made from changed, report.

``Ready`` means that the resource *as written* is in service: its spec, at the commit that its ref names now. While a
new build runs or after one failed, ``Ready`` is false, the last good image stays in ``status.image`` and agents go on
with it.
"""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING, Protocol

from mcp_operator import conditions, events, objects, policies, status
from mcp_operator.cluster import SERVER
from mcp_operator.images import sources
from mcp_operator.images.contract import BuildError
from mcp_operator.jobs import State
from mcp_operator.models.server import MCPServerSpec
from mcp_operator.models.status import MCPServerStatus
from mcp_operator.outcomes import Done, Outcome, Stalled, Waiting
from mcp_operator.reconcile import build_status, commits
from mcp_operator.reconcile.commits import INTERVAL
from mcp_operator.reconcile.services import sooner
from mcp_operator.workqueue import Key

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mcp_operator.cluster import Manifest
    from mcp_operator.images.contract import BuildRequest
    from mcp_operator.jobs import Builds, View
    from mcp_operator.objects import Resource
    from mcp_operator.reconcile.commits import Commits
    from mcp_operator.reconcile.services import Services

KEY_RETRY = 10.0
"""Seconds until the base images are asked for again; they are also told of when they are known."""
RELEASE_RETRY = 30.0
"""Seconds until what a deleted server left in the engine is looked at again, when removing it failed."""
SUMMARY_LENGTH = 80
"""Characters of the phrase for ``kubectl get``."""

logger = logging.getLogger(__name__)


class Images(Protocol):
    """What is asked of the builder besides building."""

    def key(self, request: BuildRequest, used: Mapping[str, str] | None = None, *, now: bool = True) -> str:
        """Hash everything that the build of a request, its commit given, depends on.

        Args:
            request: What to build.
            used: Base images of its last build, if there was one: names and IDs.
            now: With these as they are now, else as they were.

        Raises:
            BuildError: That cannot be told now.
        """

    def forget(self, uid: str) -> None:
        """Remove what was made for an MCPServer that is gone."""


class ServerReconciler:
    """Brings MCPServers from their spec to an image in service."""

    def __init__(self, services: Services, builds: Builds, images: Images, commits: Commits) -> None:
        self._services = services
        self._api = services.api
        self._builds = builds
        self._images = images
        self._commits = commits
        self._known: dict[Key, set[str]] = {}
        self._generations: dict[str, int] = {}
        self._ended: dict[str, str] = {}

    def reconcile(self, namespace: str, name: str) -> float | None:
        """Look at one server; give the seconds until it should be looked at again."""
        key = Key(SERVER.kind, namespace, name)
        raw = self._api.get(SERVER, namespace, name)
        uid = "" if raw is None or "deletionTimestamp" in raw["metadata"] else str(raw["metadata"]["uid"])
        later = self._release(key, uid)
        if raw is None or not uid:
            self._services.wake_agents(namespace, server=name)
            return later
        self._known.setdefault(key, set()).add(uid)
        return sooner(later, self._observe(key, raw))

    def _observe(self, key: Key, raw: Manifest) -> float | None:
        before = status.read(MCPServerStatus, raw)
        after = before.model_copy(deep=True)
        generation = raw["metadata"].get("generation", 1)
        uid = raw["metadata"]["uid"]
        if self._generations.get(uid) != generation:  # a narrowed tools list must not wait for a git host
            self._generations[uid] = generation
            self._services.wake_agents(key.namespace, server=key.name)
        try:
            server = objects.parse(MCPServerSpec, raw)
        except objects.InvalidSpecError as error:
            self._builds.cancel(uid)
            found: dict[str, Outcome] = {conditions.SOURCE_READY: Stalled(conditions.INVALID_SPEC, str(error))}
            ready, delay = None, None
        else:
            found, ready, delay = self._advance(key, server, after)
        self._conclude(raw, before, after, found, ready)
        return delay

    # --- steps

    def _advance(
        self,
        key: Key,
        server: Resource[MCPServerSpec],
        after: MCPServerStatus,
    ) -> tuple[dict[str, Outcome], Outcome | None, float | None]:
        try:
            commit = self._commits.resolve(server, busy=self._builds.view(server.uid) is not None)
        except (Stalled, Waiting) as problem:
            self._builds.cancel(server.uid)
            return *self._without_source(server, after, problem), problem.delay
        request = commits.request(server, commit, self._services.settings)
        try:
            build_key = self._key(request, after)
        except BuildError as error:
            return *self._without_key(server, after, error), KEY_RETRY
        delay, build_key = self._build(key, request, build_key, after)
        job = self._job(server.uid, build_key)
        found = build_status.outcomes(after, build_key, job, delay)
        found.setdefault(conditions.SOURCE_READY, Done(conditions.SUCCEEDED, f"commit {commit}"))
        return found, build_status.ready(found, after), sooner(delay, INTERVAL)

    def _key(self, request: BuildRequest, after: MCPServerStatus) -> str:
        """Hash what a build would depend on: of base images those that the last good one used, if there was one.

        A build that failed might have used any: it is called by all of them, and that stands until one is another.
        """
        any_base = self._images.key(request)
        of_last = self._images.key(request, after.image.bases) if after.image is not None else any_base
        last = after.build
        unsettled = last is not None and (last.finished_at is None or last.failed_step is not None)
        return last.key if last is not None and unsettled and last.key in (any_base, of_last) else of_last

    def _build(
        self, key: Key, request: BuildRequest, build_key: str, after: MCPServerStatus
    ) -> tuple[float | None, str]:
        """See to it that the build that is needed runs, and no other.

        Gives the seconds until a failed one is due, and the key, which is another one once the base images are known.
        """
        now = self._services.clock()
        job = self._job(request.uid, build_key)
        if job is not None and job.state is State.ENDED:
            build_status.end(after, job, now)
            self._ended[request.uid] = build_key
            used = job.result.bases if job.result is not None else None
            build_status.rename(after, self._images.key(request, used, now=not used))
            build_key = self._key(request, after)
        image_key = after.image.build_key if after.image is not None else None
        facts = policies.BuildFacts(key=build_key, image_key=image_key, last=after.build, now=now)
        verdict = policies.rebuild(facts)
        if not verdict.build:
            if job is None:
                self._builds.cancel(request.uid)
            return verdict.delay, build_key
        if job is None:
            logger.info("%s: build %s (%s)", key, build_key[:12], verdict.reason)
            build_status.begin(after, build_key, sources.pinned(request.source), now)
            self._builds.ensure(key, build_key, request)
        job = self._job(request.uid, build_key)
        if job is not None and job.state is not State.ENDED:
            build_status.follow(after, job, now)
        return None, build_key

    def _job(self, uid: str, build_key: str) -> View | None:
        job = self._builds.view(uid)
        return job if job is not None and job.key == build_key else None

    def _without_source(
        self,
        server: Resource[MCPServerSpec],
        after: MCPServerStatus,
        problem: Stalled | Waiting,
    ) -> tuple[dict[str, Outcome], Outcome | None]:
        """A git host that is down for a while takes nothing out of service that was built from what is asked for."""
        found: dict[str, Outcome] = {conditions.SOURCE_READY: problem}
        if isinstance(problem, Waiting) and after.image is not None and after.source is not None:
            request = commits.request(server, after.source.commit, self._services.settings)
            with contextlib.suppress(BuildError):  # then nobody can tell what the image was built from
                if self._images.key(request, after.image.bases) == after.image.build_key:
                    return {**build_status.in_service(after), **found}, _still(problem, after)
        return found, build_status.ready(found, after)

    def _without_key(
        self,
        server: Resource[MCPServerSpec],
        after: MCPServerStatus,
        error: BuildError,
    ) -> tuple[dict[str, Outcome], Outcome | None]:
        """An engine that is down takes nothing out of service that was in service for this very spec."""
        kind = Waiting if error.transient else Stalled
        problem = kind(error.reason, build_status.explain(error), delay=KEY_RETRY)
        if after.observed_generation == server.generation and conditions.is_true(after.conditions, conditions.READY):
            return {**build_status.in_service(after), conditions.BUILT: problem}, _still(problem, after)
        found: dict[str, Outcome] = {conditions.SOURCE_READY: Done(conditions.SUCCEEDED), conditions.BUILT: problem}
        return found, build_status.ready(found, after)

    # --- the end

    def _conclude(
        self,
        raw: Manifest,
        before: MCPServerStatus,
        after: MCPServerStatus,
        found: dict[str, Outcome],
        ready: Outcome | None,
    ) -> None:
        metadata = raw["metadata"]
        after.observed_generation = metadata.get("generation", 1)
        after.conditions = conditions.summarise(
            before.conditions,
            found,
            order=conditions.SERVER_CONDITIONS,
            generation=after.observed_generation or 1,
            now=policies.format_time(self._services.clock()),
            ready=ready,
        )
        after.summary = summary(after)
        written = status.write(self._api, SERVER, raw, after)
        if after.build is not None and after.build.finished_at is not None:
            self._builds.settle(metadata["uid"], self._ended.pop(metadata["uid"], after.build.key))
        if not written:
            return
        self._services.recorder.record(raw, events.of_server(before, after))
        if _for_agents(before) != _for_agents(after):
            self._services.wake_agents(metadata["namespace"], server=metadata["name"])

    def _release(self, key: Key, living: str) -> float | None:
        """End what runs for earlier objects of this name and remove what was made for them."""
        delay = None
        for uid in self._known.get(key, set()) - {living}:
            if not self._builds.cancel(uid):
                continue  # it wakes us when it has tidied up
            try:
                self._images.forget(uid)
            except BuildError as error:
                logger.warning("%s: what was built is not removed yet: %s", key, error.message)
                delay = RELEASE_RETRY
                continue
            self._known[key].discard(uid)
            self._commits.forget(uid)
            self._generations.pop(uid, None)
            self._ended.pop(uid, None)
        if not self._known.get(key, {living}):
            del self._known[key]
        return delay


def _still(problem: Stalled | Waiting, after: MCPServerStatus) -> Done:
    commit = after.source.commit if after.source is not None else ""
    return Done(problem.reason, f"commit {commit} is in service. {problem.message}")


def summary(after: MCPServerStatus) -> str:
    """Give one phrase for ``kubectl get``."""
    ready = conditions.find(after.conditions, conditions.READY)
    if ready is None:
        return ""
    build = after.build
    if ready.status == "True":
        text = "Ready"
    elif ready.reason in build_status.UNDER_WAY:
        text = (build.progress if build is not None else None) or ready.reason
    elif build is not None and build.failed_step is not None and build.reason == ready.reason:
        text = f"{build.failed_step} failed: {ready.reason}"
    else:
        text = ready.reason
    return text[:SUMMARY_LENGTH]


def _for_agents(current: MCPServerStatus) -> tuple[object, ...]:
    """Give what agents depend on of a server's status."""
    ready = conditions.find(current.conditions, conditions.READY)
    verdict = (ready.status, ready.reason) if ready is not None else None
    return (current.image, current.tools, current.tool_count, verdict)
