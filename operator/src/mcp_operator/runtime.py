"""The operator's parts, put together and taken apart: what runs between getting the Lease and giving it back."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Protocol

from mcp_operator.cluster import AGENT, POLICY, SERVER, Cluster
from mcp_operator.controller import Controller
from mcp_operator.events import Recorder
from mcp_operator.images.contract import BuildError
from mcp_operator.jobs import Builder, Builds
from mcp_operator.reconcile import namespace
from mcp_operator.reconcile.agent import AgentReconciler
from mcp_operator.reconcile.commits import Commits, Resolver
from mcp_operator.reconcile.namespace import NamespaceReconciler
from mcp_operator.reconcile.policy import PolicyReconciler
from mcp_operator.reconcile.server import Images, ServerReconciler
from mcp_operator.reconcile.services import Services
from mcp_operator.workqueue import Key, WorkQueue

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from mcp_operator.settings import Settings

BUILDS_TIMEOUT = 15.0
"""Seconds for cancelled builds to remove what they made. All that is waited for at the end, kopf's five seconds too,
stays below the 30 seconds that a Pod gets."""
WORKERS_TIMEOUT = 5.0
"""Seconds for the workers to finish what they have in hand."""
SWEEP_RETRY = 15.0
"""Seconds until an engine that could not be tidied up is tried again; no build starts before."""

SWEEP: Final = Key("Sweep", "", "")
"""Stands for tidying up at start, which waits, like all work, in the queue."""
BASES: Final = Key("BaseImages", "", "")
"""Stands for other base images: every server is to be looked at."""

logger = logging.getLogger(__name__)


class FullBuilder(Builder, Images, Resolver, Protocol):
    """All that the operator asks of :class:`mcp_operator.builder.ImageBuilder`."""

    def start(self, changed: Callable[[], None]) -> None:
        """Look at the base images from now on; tell when they are known or others than before."""

    def close(self) -> None:
        """Stop looking at the base images."""

    def sweep(self, alive: Collection[str]) -> None:
        """Remove what an earlier operator left; the images of living servers stay.

        Raises:
            BuildError: The engine cannot be reached.
        """


class Runtime:
    """Everything that works, from a cluster and a builder."""

    def __init__(self, settings: Settings, api: Cluster, builder: FullBuilder) -> None:
        self.queue = WorkQueue()
        self._api = api
        self._builder = builder
        self._builds = Builds(builder, settings.max_builds, self.queue.add)
        services = Services(
            api=api,
            recorder=Recorder(api, _now),
            settings=settings,
            clock=_now,
            wake=self.queue.add,
        )
        self._controller = Controller(
            self.queue,
            {
                SERVER.kind: ServerReconciler(services, self._builds, builder, Commits(builder, _now)),
                AGENT.kind: AgentReconciler(services),
                POLICY.kind: PolicyReconciler(services),
                namespace.KIND: NamespaceReconciler(services),
                SWEEP.kind: _Sweep(api, builder, self._builds),
                BASES.kind: _Bases(services),
            },
        )

    def start(self) -> None:
        """Start to work on what is put on the queue."""
        self._builder.start(lambda: self.queue.add(BASES))
        self._controller.start()
        self.queue.add(SWEEP)

    def stop(self) -> None:
        """Finish what is in hand, cancel builds and let them tidy up. Bounded."""
        if not self._controller.stop(WORKERS_TIMEOUT):
            logger.warning("a worker is still busy; going without it")
        if not self._builds.close(BUILDS_TIMEOUT):
            logger.warning("a build has not ended; what it leaves is removed at the next start")
        self._builder.close()


class _Sweep:
    """Removes what an earlier operator left; then builds may start."""

    def __init__(self, api: Cluster, builder: FullBuilder, builds: Builds) -> None:
        self._api = api
        self._builder = builder
        self._builds = builds

    def reconcile(self, _namespace: str, _name: str, /) -> float | None:
        alive = {raw["metadata"]["uid"] for raw in self._api.list(SERVER)}
        try:
            self._builder.sweep(alive)
        except BuildError as error:
            logger.warning("builds wait for the container engine: %s %s", error.message, error.hint)
            return SWEEP_RETRY
        self._builds.open()
        return None


class _Bases:
    """Has every server looked at."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def reconcile(self, _namespace: str, _name: str, /) -> float | None:
        for raw in self._services.api.list(SERVER):
            metadata = raw["metadata"]
            self._services.wake(Key(SERVER.kind, metadata["namespace"], metadata["name"]), 0)
        return None


def _now() -> datetime:
    return datetime.now(UTC)
