"""The operator's parts, put together and taken apart: what runs between getting the Lease and giving it back."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Protocol

from mcp_operator.agent_index import AgentIndex
from mcp_operator.cluster import AGENT, POLICY, SERVER, Cluster
from mcp_operator.controller import WORKERS, Controller, Reconciler
from mcp_operator.events import Recorder
from mcp_operator.images.contract import BuildError
from mcp_operator.installations import Alone
from mcp_operator.jobs import Builder, Builds
from mcp_operator.metrics import Metrics
from mcp_operator.own_secrets import ReportTokens
from mcp_operator.own_writes import NotedCluster, OwnWrites
from mcp_operator.reconcile import namespace
from mcp_operator.reconcile.agent import AgentReconciler
from mcp_operator.reconcile.enforcement import Enforcer
from mcp_operator.reconcile.guard_binding import GuardBinding
from mcp_operator.reconcile.image_step import Images
from mcp_operator.reconcile.lookups import Lookups, Threads
from mcp_operator.reconcile.namespace import NamespaceReconciler
from mcp_operator.reconcile.policy import PolicyReconciler
from mcp_operator.reconcile.revisions import Outside
from mcp_operator.reconcile.server import ServerReconciler
from mcp_operator.reconcile.services import COUNTING, COUNTING_RESYNC, LAYERS, Services
from mcp_operator.reports import Reports
from mcp_operator.snapshots import Snapshots
from mcp_operator.workqueue import Key, Lanes, WorkQueue

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from mcp_operator.settings import Settings

BUILDS_TIMEOUT = 15.0
"""Seconds for cancelled builds to remove what they made. All that is waited for at the end, kopf's five seconds too,
stays below the 30 seconds that a Pod gets."""
SERVER_WORKERS = 4
"""Threads for MCPServers alone, so that agents and policies never wait behind a thousand of them."""
SERVER_TOLERANCE = 30.0
"""Seconds: a thousand sources are asked for every five minutes, and not for each the policies are read anew. Whoever
changes a policy or a namespace's labels has all looked at whom that concerns, and they read what there is by then."""
POLICY_WORKERS = 2
"""Threads for ToolPolicies: each has all agents and servers in memory while it counts."""
SHARED = 2
"""One namespace has a half of these threads at most: whoever makes what takes long to look at delays his own."""
WORKERS_TIMEOUT = 5.0
"""Seconds for the workers to finish what they have in hand."""
SWEEP_RETRY = 15.0
"""Seconds until an engine that could not be tidied up is tried again; no build starts before."""

SWEEP: Final = Key("Sweep", "", "")
"""Stands for tidying up at start, which waits, like all work, in the queue."""
ALONE: Final = Key("Installation", "", "")
"""Stands for looking whether there is another installation."""
BASES: Final = Key("BaseImages", "", "")
"""Stands for other base images: every server is to be looked at."""

logger = logging.getLogger(__name__)


class FullBuilder(Builder, Images, Outside, Protocol):
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

    def __init__(self, settings: Settings, api: Cluster, builder: FullBuilder, metrics: Metrics | None = None) -> None:
        servers, ceilings, others = (
            WorkQueue(tolerance=SERVER_TOLERANCE, share=SERVER_WORKERS // SHARED),
            WorkQueue(),
            WorkQueue(urgent={LAYERS}, share=WORKERS // SHARED),
        )
        self.queue = Lanes(others, {SERVER.kind: servers, POLICY.kind: ceilings})
        self.own = OwnWrites(self.queue.add)
        self.metrics = metrics or Metrics()
        self._api = api
        self._builder = builder
        self._builds = Builds(builder, settings.max_builds, self.queue.add, self.metrics)
        tokens = ReportTokens(api, settings.namespace)
        self._reports = Reports(tokens, self.queue.add)
        services = Services(
            api=Snapshots(NotedCluster(api, self.own)),
            recorder=Recorder(api, _now),
            settings=settings,
            clock=_now,
            wake=self.queue.add,
            index=AgentIndex(),
            tokens=tokens,
            reports=self._reports,
        )
        lookups = Lookups(Threads().run, _now, self.queue.add)
        looks_at_servers = {SERVER.kind: ServerReconciler(services, self._builds, builder, builder, lookups)}
        self._enforcer = Enforcer(services)
        self._alone = Alone(api, settings.namespace)
        self._controllers = (
            Controller(servers, looks_at_servers, SERVER_WORKERS, self.metrics),
            Controller(ceilings, {POLICY.kind: PolicyReconciler(services)}, POLICY_WORKERS, self.metrics),
            Controller(others, self._others(services), WORKERS, self.metrics),
        )
        self.metrics.refresh_with(self._measure)

    def _others(self, services: Services) -> dict[str, Reconciler]:
        return {
            AGENT.kind: AgentReconciler(services),
            LAYERS: self._enforcer,
            COUNTING.kind: _Counting(services),
            namespace.KIND: NamespaceReconciler(services),
            SWEEP.kind: _Sweep(self._api, self._builder, self._builds),
            BASES.kind: _Bases(services),
            ALONE.kind: self._alone,
        }

    def start(self) -> None:
        """Start to work on what is put on the queue."""
        self._builder.start(lambda: self.queue.add(BASES))
        for controller in self._controllers:
            controller.start()
        self._reports.start()
        self.queue.add(SWEEP)
        self.queue.add(COUNTING, COUNTING_RESYNC)
        self.queue.add(ALONE)

    def stop(self) -> None:
        """Finish what is in hand, cancel builds and let them tidy up. Bounded."""
        self._reports.stop()
        stopped = [controller.stop(WORKERS_TIMEOUT / len(self._controllers)) for controller in self._controllers]
        self._enforcer.close()
        if not all(stopped):
            logger.warning("a worker is still busy; going without it")
        if not self._builds.close(BUILDS_TIMEOUT):
            logger.warning("a build has not ended; what it leaves is removed at the next start")
        self._builder.close()

    def stuck(self) -> str:
        """Say what hangs for good; empty when nothing does."""
        return next((problem for each in self._controllers if (problem := each.stuck())), "")

    def rival(self) -> str:
        """Say that the cluster belongs to another installation by now; empty when it does not."""
        return self._alone.problem

    def _measure(self) -> None:
        depth, age = self.queue.waiting()
        self.metrics.queue_depth.set(depth)
        self.metrics.queue_age.set(age)
        self.metrics.workers_busy.set(sum(controller.busy() for controller in self._controllers))
        for state, count in self._builds.counts().items():
            self.metrics.builds.set(count, state.value)


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
        GuardBinding(self._api).tidy()
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


class _Counting:
    """Has every policy looked at."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def reconcile(self, _namespace: str, _name: str, /) -> float | None:
        for raw in self._services.api.list(POLICY):
            self._services.wake(Key(POLICY.kind, "", raw["metadata"]["name"]), 0)
        return COUNTING_RESYNC


def _now() -> datetime:
    return datetime.now(UTC)
