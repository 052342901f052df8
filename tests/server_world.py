"""An MCPServer and what is around it, over a cluster in memory, a builder and a clock."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from fake_builder import BOUND, FakeBuilder, FakeClock
from fake_cluster import SERVER, FakeCluster
from mcp_operator.events import Recorder
from mcp_operator.jobs import Builds, State
from mcp_operator.reconcile.lookups import Lookups
from mcp_operator.reconcile.server import ServerReconciler
from mcp_operator.reconcile.services import Services
from mcp_operator.settings import Settings
from mcp_operator.workqueue import Key

if TYPE_CHECKING:
    from collections.abc import Callable

SPEC: dict[str, Any] = {"source": {"git": {"url": "https://git.test/one"}}}
SETTINGS = Settings(registry="registry.test", image_toolman="t", image_wrapper="w")
ONE = Key("MCPServer", "team", "one")


class World:
    """A reconciler over a cluster in memory, a builder and a clock."""

    def __init__(self) -> None:
        self.cluster = FakeCluster()
        self.builder = FakeBuilder()
        self.clock = FakeClock()
        self.woken: list[Key] = []
        self.slow: list[Callable[[], None]] | None = None
        self._ended = threading.Condition()
        self.restart()

    def restart(self) -> None:
        """Begin with nothing in memory, as a new process does."""
        self.builds = Builds(self.builder, 2, self._wake)
        self.builds.open()
        services = Services(
            api=self.cluster,
            recorder=Recorder(self.cluster, self.clock),
            settings=SETTINGS,
            clock=self.clock,
            wake=self._wake,
        )
        lookups = Lookups(self._run, self.clock, self._wake, jitter=lambda: 1.0)
        self.reconciler = ServerReconciler(services, self.builds, self.builder, self.builder, lookups)

    def apply(self, **spec: object) -> str:
        """Apply the MCPServer; give its UID."""
        return str(self.cluster.add(SERVER, "one", {**SPEC, **spec})["metadata"]["uid"])

    def annotate(self, **annotations: str) -> None:
        """Set annotations of ours, as kubectl annotate would."""
        metadata = self.cluster.objects["mcpservers", "team", "one"]["metadata"]
        metadata.setdefault("annotations", {}).update({f"toolman.dev/{key}": text for key, text in annotations.items()})

    def answer(self) -> None:
        """Let the questions be answered that were asked since ``slow`` was set."""
        waiting, self.slow = self.slow or [], None
        for job in waiting:
            job()

    def look(self) -> float | None:
        """Reconcile once."""
        return self.reconciler.reconcile("team", "one")

    def build(self, uid: str) -> None:
        """Reconcile until the build has ended and is written down."""
        self.look()
        self.wait(uid, State.ENDED)
        self.look()

    def wait(self, uid: str, state: State | None) -> None:
        """Wait until a server's build is in a state, or gone."""

        def reached() -> bool:
            view = self.builds.view(uid)
            return (view.state if view is not None else None) is state

        with self._ended:
            assert self._ended.wait_for(reached, BOUND)

    def message(self, kind: str) -> str:
        """Give the message of a condition."""
        return str(next(each["message"] for each in self.status["conditions"] if each["type"] == kind))

    def condition(self, kind: str) -> tuple[str, str]:
        return self.cluster.condition(SERVER, "one", kind)

    @property
    def status(self) -> dict[str, Any]:
        return self.cluster.status(SERVER, "one")

    def _run(self, namespace: str, job: Callable[[], None]) -> None:
        del namespace
        if self.slow is None:
            job()
        else:
            self.slow.append(job)

    def _wake(self, key: Key, delay: float) -> None:
        del delay
        with self._ended:
            self.woken.append(key)
            self._ended.notify_all()
