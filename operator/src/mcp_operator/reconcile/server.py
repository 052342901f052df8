"""MCPServer: may its source be used, what does it mean now, is that in service? Then say so.

What ``Ready`` says is told at :data:`mcp_operator.conditions.READY`. Nothing here waits for anybody outside of the
cluster: :mod:`mcp_operator.reconcile.lookups` asks, :mod:`mcp_operator.jobs` builds, and both have us called again.
"""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING

from mcp_operator import ceilings, conditions, events, names, objects, policies, server_references, status
from mcp_operator.cluster import SERVER, NotFoundError
from mcp_operator.images.contract import BuildError
from mcp_operator.models.server import MCPServerSpec
from mcp_operator.models.status import MCPServerStatus
from mcp_operator.outcomes import Done, Outcome, Problem, Stalled, Waiting
from mcp_operator.reconcile import build_status, inline_agent, policy_reader, promotion, revisions, server_verdict
from mcp_operator.reconcile.image_step import Images, ImageStep, Progress, Subject
from mcp_operator.reconcile.lookups import PendingError
from mcp_operator.reconcile.quiet import Quiet
from mcp_operator.reconcile.references import References
from mcp_operator.reconcile.remote_step import RemoteStep
from mcp_operator.reconcile.services import sooner
from mcp_operator.reconcile.shared import SharedServers
from mcp_operator.workqueue import Key

if TYPE_CHECKING:
    from mcp_operator.cluster import Manifest
    from mcp_operator.jobs import Builds
    from mcp_operator.objects import Resource
    from mcp_operator.reconcile.lookups import Answer, Lookups
    from mcp_operator.reconcile.revisions import Outside
    from mcp_operator.reconcile.services import Services

RELEASE_RETRY = 30.0
"""Seconds until what a deleted server left in the engine is looked at again, when removing it failed."""

__all__ = ["Images", "ServerReconciler"]

logger = logging.getLogger(__name__)


class ServerReconciler:
    """Brings MCPServers from their spec to an image or an endpoint in service."""

    def __init__(self, services: Services, builds: Builds, images: Images, outside: Outside, lookups: Lookups) -> None:
        self._services = services
        self._api = services.api
        self._builds = builds
        self._images = images
        self._outside = outside
        self._lookups = lookups
        self._references = References(services.api)
        going = promotion.Promotion(services.api)
        self._image_step = ImageStep(services, builds, images, going)
        self._remote_step = RemoteStep(going)
        self._shared = SharedServers(services)
        self._quiet = Quiet(services.clock)
        self._known: dict[Key, set[str]] = {}
        self._generations: dict[str, int] = {}

    def reconcile(self, namespace: str, name: str) -> float | None:
        """Look at one server; give the seconds until it should be looked at again."""
        key = Key(SERVER.kind, namespace, name)
        raw = self._api.get(SERVER, namespace, name)
        uid = "" if raw is None or "deletionTimestamp" in raw["metadata"] else str(raw["metadata"]["uid"])
        later = self._release(key, uid)
        if raw is None or not uid:
            self._shared.forget(namespace, name)
            self._services.wake_agents(namespace, server=name)
            return later
        self._known.setdefault(key, set()).add(uid)
        if self._quiet.holds(raw):
            with contextlib.suppress(Problem, PendingError, objects.InvalidSpecError):  # then it is looked at whole
                self._answer(key, objects.parse(MCPServerSpec, raw))
                return sooner(later, self._lookups.delay(uid))
        return sooner(later, self._observe(key, raw))

    def _observe(self, key: Key, raw: Manifest) -> float | None:
        before = status.read(MCPServerStatus, raw)
        after = before.model_copy(deep=True)
        generation = raw["metadata"].get("generation", 1)
        uid = raw["metadata"]["uid"]
        # A narrowed tools list must not wait for a git host. What an earlier operator had seen already is read by every
        # agent's first look in this one.
        if self._generations.get(uid, before.observed_generation) != generation:
            self._generations[uid] = generation
            self._services.wake_agents(key.namespace, server=key.name)
        try:
            server = objects.parse(MCPServerSpec, raw)
        except objects.InvalidSpecError as error:
            self._builds.cancel(uid)
            problem = Stalled(conditions.INVALID_SPEC, str(error))
            self._conclude(raw, before, after, Progress({conditions.SOURCE_READY: problem}, None))
            return None
        asked = server.annotations.get(names.ANNOTATION_RECONCILE, "")
        after.source_kind = ceilings.source_of(server.spec)[0]
        subject = Subject(key, raw, server, after, asked not in ("", after.handled_reconcile))
        try:
            progress = self._advance(subject)
        except PendingError:
            if before.observed_generation == generation and before.conditions:
                self._shared.add(server, after, Progress({}, None))  # who may call it does not wait for a git host
                return None  # nothing is known to have changed; we are called when the answer is there
            progress = self._looking_up(subject)
        else:
            after.handled_reconcile = asked or None
        progress = self._shared.add(server, after, self._with_inputs(server, progress))
        progress = self._with_agent(server, progress)
        if self._conclude(raw, before, after, progress, server):
            self._quiet.forget(uid)
        else:
            self._quiet.note(raw, server, after, progress)
        return sooner(progress.delay, self._lookups.delay(uid))

    # --- steps

    def _advance(self, subject: Subject) -> Progress:
        server, after = subject.server, subject.after
        is_remote = server.spec.source.remote is not None
        step: ImageStep | RemoteStep = self._remote_step if is_remote else self._image_step
        try:
            answer = self._answer(subject.key, server)
        except Problem as problem:
            self._builds.cancel(server.uid)
            if is_remote:
                return self._remote_step.without_answer(subject, problem)
            return self._image_step.without_source(subject, problem)
        if is_remote:
            self._builds.cancel(server.uid)
        try:
            return step.advance(subject, answer)
        except Problem as problem:
            found: dict[str, Outcome] = {
                conditions.SOURCE_READY: Done(conditions.SUCCEEDED),
                conditions.VERIFIED: problem,
            }
            return Progress(found, build_status.ready(found, after), problem.delay)

    def _answer(self, key: Key, server: Resource[MCPServerSpec]) -> Answer:
        """Give what the source means, as far as it is known, and have it asked for when that is due.

        Raises:
            Problem: It may not be used, or the last answer was one.
            PendingError: Nothing is known yet.
        """
        inside = self._permit(server)
        question = revisions.question(server, self._api, self._outside, inside=inside)
        busy = self._builds.view(server.uid) is not None
        return self._lookups.answer(key, server.uid, question, busy=busy)

    def _permit(self, server: Resource[MCPServerSpec]) -> bool:
        """Ask the policies before anything is fetched or connected to; tell whether it may be inside of the cluster.

        Raises:
            Stalled: They do not allow the source, or cannot be read.
        """
        try:
            labels = self._api.namespace_labels(server.namespace)
        except NotFoundError:
            raise Waiting(conditions.LOOKING_UP, "the namespace is being deleted") from None
        found = policy_reader.of_namespace(self._api, labels)
        verdict = ceilings.source_allowed(found, labels, server.spec)
        if isinstance(verdict, Stalled):
            raise verdict
        return server.spec.source.remote is not None and ceilings.inside_allowed(found, labels, server.spec)

    def _looking_up(self, subject: Subject) -> Progress:
        """Of a spec that is new: what ran for the one before it is not wanted any more."""
        self._builds.cancel(subject.server.uid)
        text = "the source is being looked up"
        found: dict[str, Outcome] = {conditions.SOURCE_READY: Waiting(conditions.LOOKING_UP, text, delay=None)}
        return Progress(found, build_status.ready(found, subject.after))

    def _with_inputs(self, server: Resource[MCPServerSpec], progress: Progress) -> Progress:
        """Say whether the Secrets and ConfigMaps are there without which no container of it starts.

        A build goes on without them: while it is verified a server gets placeholders.
        """
        wanted = [*server_references.of_container(server.spec.run), *server_references.of_kubelet(server.spec)]
        if not wanted:
            return progress
        missing = self._references.missing(server.namespace, wanted)
        if missing is None:
            return progress._replace(found={**progress.found, conditions.INPUTS_READY: Done(conditions.SUCCEEDED)})
        ready = missing if isinstance(progress.ready, Done) else progress.ready
        found = {**progress.found, conditions.INPUTS_READY: missing}
        return Progress(found, ready, sooner(progress.delay, missing.delay))

    def _with_agent(self, server: Resource[MCPServerSpec], progress: Progress) -> Progress:
        """Make the agent that is written in the server, or put it back."""
        outcome = inline_agent.ensure(self._api, server)
        if outcome is None:
            return progress
        is_first = isinstance(outcome, Problem) and isinstance(progress.ready, Done)
        found = {**progress.found, conditions.AGENT_APPLIED: outcome}
        delay = outcome.delay if isinstance(outcome, Problem) else None
        return Progress(found, outcome if is_first else progress.ready, sooner(progress.delay, delay))

    # --- the end

    def _conclude(
        self,
        raw: Manifest,
        before: MCPServerStatus,
        after: MCPServerStatus,
        progress: Progress,
        server: Resource[MCPServerSpec] | None = None,
    ) -> bool:
        """Write the status and tell of what has changed; give whether anything had."""
        metadata = raw["metadata"]
        after.observed_generation = metadata.get("generation", 1)
        reports = self._services.reports
        drift = reports.drift(metadata["namespace"], metadata["name"]) if reports else ""
        notes = server_verdict.notes(server, after, drift)
        server_verdict.conclude(before, after, progress, notes, policies.format_time(self._services.clock()))
        written = status.write(self._api, SERVER, raw, after)
        if after.build is not None and after.build.finished_at is not None:
            self._builds.settle(metadata["uid"], self._image_step.ended(metadata["uid"], after.build.key))
        if not written:
            return False
        self._services.recorder.record(raw, events.of_server(before, after))
        if server_verdict.for_agents(before) != server_verdict.for_agents(after):
            self._services.wake_agents(metadata["namespace"], server=metadata["name"])
        if (before.tools_hash, before.source) != (after.tools_hash, after.source):
            self._services.wake_policies()  # they count what they deny of it
        return True

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
            self._lookups.forget(uid)
            self._quiet.forget(uid)
            self._generations.pop(uid, None)
            self._image_step.forget(uid)
        if not self._known.get(key, {living}):
            del self._known[key]
        return delay
