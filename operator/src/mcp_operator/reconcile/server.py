"""MCPServer: may its source be used, what does it mean now, is that in service? Then say so.

What ``Ready`` says is told at :data:`mcp_operator.conditions.READY`. Nothing here waits for anybody outside of the
cluster: :mod:`mcp_operator.reconcile.lookups` asks, :mod:`mcp_operator.jobs` builds, and both have us called again.
"""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING

from mcp_operator import ceilings, conditions, events, names, objects, policies, server_references, status
from mcp_operator.cluster import SERVER, EndingError, NotFoundError
from mcp_operator.images.contract import BuildError
from mcp_operator.jobs import State
from mcp_operator.manifests.metadata import digest
from mcp_operator.models.server import MCPServerSpec
from mcp_operator.models.status import MCPServerStatus
from mcp_operator.outcomes import Done, Outcome, Problem, Stalled, Waiting
from mcp_operator.reconcile import (
    build_status,
    inline_agent,
    policy_reader,
    promotion,
    references,
    revisions,
    server_verdict,
)
from mcp_operator.reconcile.image_step import ImageStep
from mcp_operator.reconcile.lookups import PendingError
from mcp_operator.reconcile.progress import Progress, Subject
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
    from mcp_operator.reconcile.image_step import Images
    from mcp_operator.reconcile.lookups import Answer, Lookups
    from mcp_operator.reconcile.revisions import Outside
    from mcp_operator.reconcile.services import Services

ASKED_LENGTH = 100
"""Characters of an annotation that the status repeats; it may have a quarter of a megabyte."""
RELEASE_RETRY = 30.0
"""Seconds until what a deleted server left in the engine is looked at again, when removing it failed."""

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
        try:
            return sooner(later, self._look(key, raw, uid))
        except EndingError:
            self._builds.cancel(uid)
            raise  # nothing is made in a namespace that is going, and nobody asks how it is

    def _look(self, key: Key, raw: Manifest, uid: str) -> float | None:
        if self._quiet.holds(raw):
            with contextlib.suppress(Problem, PendingError, objects.InvalidSpecError):  # then it is looked at whole
                server = objects.parse(MCPServerSpec, raw)
                self._answer(key, server, inside=self._permit(server))
                return self._due(uid)
        return self._observe(key, raw)

    def _observe(self, key: Key, raw: Manifest) -> float | None:
        before = status.read(MCPServerStatus, raw)
        after = before.model_copy(deep=True)
        self._tell_of_changes(key, raw, before)
        try:
            server = objects.parse(MCPServerSpec, raw)
        except objects.InvalidSpecError as error:
            self._builds.cancel(raw["metadata"]["uid"])
            problem = Stalled(conditions.INVALID_SPEC, str(error))
            self._conclude(raw, before, after, Progress({conditions.SOURCE_READY: problem}, None))
            return None
        asked = _asked(server)
        after.source_kind = ceilings.source_of(server.spec)[0]
        subject = Subject(key, raw, server, after, asked not in ("", after.handled_reconcile))
        try:
            progress = self._advance(subject)
        except PendingError:
            if before.observed_generation == server.generation and before.conditions:
                self._shared.add(server, after, Progress({}, None))  # who may call it does not wait for a git host
                return None  # nothing is known to have changed; we are called when the answer is there
            progress = self._looking_up(subject)
        else:
            after.handled_reconcile = asked or None
        progress = self._shared.add(server, after, self._with_inputs(server, progress))
        progress = self._with_agent(server, progress)
        if self._conclude(raw, before, after, progress, server):
            self._quiet.forget(server.uid)
        else:
            self._quiet.note(raw, server, after, progress)
        return sooner(progress.delay, self._due(server.uid))

    def _tell_of_changes(self, key: Key, raw: Manifest, before: MCPServerStatus) -> None:
        """Have agents look at a new spec: a narrowed list of tools must not wait for a git host.

        What an earlier operator had seen already is read by every agent's first look in this one.
        """
        uid, generation = raw["metadata"]["uid"], raw["metadata"].get("generation", 1)
        if self._generations.get(uid, before.observed_generation) != generation:
            self._generations[uid] = generation
            self._services.wake_agents(key.namespace, server=key.name)

    # --- steps

    def _advance(self, subject: Subject) -> Progress:
        server, after = subject.server, subject.after
        is_remote = server.spec.source.remote is not None
        step: ImageStep | RemoteStep = self._remote_step if is_remote else self._image_step
        try:
            inside = self._permit(server)
            if after.endpoint is not None and not inside:
                after.endpoint.inside = None  # what policies take away does not wait for an answer
            answer = self._answer(subject.key, server, inside=inside)
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

    def _answer(self, key: Key, server: Resource[MCPServerSpec], *, inside: bool) -> Answer:
        """Give what the source means, as far as it is known, and have it asked for when that is due.

        Raises:
            Problem: The last answer was one.
            PendingError: Nothing is known yet.
        """
        question = revisions.question(server, self._api, self._outside, inside=inside)
        busy = self._builds.view(server.uid) is not None
        return self._lookups.answer(key, server.uid, question, busy=busy)

    def _due(self, uid: str) -> float | None:
        """Give the seconds until the source is asked about again: not before a build has ended, which wakes us."""
        job = self._builds.view(uid)
        return self._lookups.delay(uid) if job is None or job.state is State.ENDED else None

    def _permit(self, server: Resource[MCPServerSpec]) -> bool:
        """Ask the policies before anything is fetched or connected to; tell whether it may be inside of the cluster.

        Raises:
            Stalled: They do not allow the source, or cannot be read.
        """
        try:
            labels = self._api.namespace_labels(server.namespace)
        except EndingError:
            raise
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
        outcome = self._references.missing(server.namespace, wanted) or Done(conditions.SUCCEEDED)
        progress = progress.beside(conditions.INPUTS_READY, outcome)
        return progress._replace(delay=sooner(progress.delay, references.RECHECK))  # nothing tells of their changes

    def _with_agent(self, server: Resource[MCPServerSpec], progress: Progress) -> Progress:
        """Make the agent that is written in the server, or put it back."""
        outcome = inline_agent.ensure(self._api, server)
        return progress if outcome is None else progress.beside(conditions.AGENT_APPLIED, outcome)

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


def _asked(server: Resource[MCPServerSpec]) -> str:
    """Give what asks for a look at everything, as the status has it: the annotation, or of a long one its hash."""
    text = server.annotations.get(names.ANNOTATION_RECONCILE, "")
    return text if len(text) <= ASKED_LENGTH and text.isprintable() else digest(text)
