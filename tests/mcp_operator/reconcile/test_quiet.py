from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from fake_builder import BOUND
from fake_cluster import NAMESPACE, POLICY, SERVER, FakeCluster
from mcp_operator.reconcile.quiet import RESYNC
from mcp_operator.reconcile.revisions import INTERVAL
from mcp_operator.workqueue import WorkQueue
from server_world import ONE, World

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mcp_operator.cluster import Manifest

pytestmark = [pytest.mark.requirement("O-36")]

PLACE = (SERVER.plural, NAMESPACE, "one")


class Quiet(World):
    """A server in service, and what is read of the cluster."""

    def settle(self, **spec: object) -> None:
        uid = self.apply(**spec)
        self.build(uid)
        self.be("7")
        self.look()
        for thread in threading.enumerate():  # a build wakes its server with the last that it does
            if thread.name.startswith("build "):
                thread.join(BOUND)
        self.woken.clear()

    def be(self, version: str) -> None:
        """Give the server a version, as an API server does."""
        self.cluster.objects[PLACE]["metadata"]["resourceVersion"] = version

    def due(self, seconds: float = INTERVAL) -> list[str]:
        """Look at it because it is time; give what was read besides the server itself."""
        self.clock.forward(seconds)
        queue = WorkQueue(lambda: 1.0)
        queue.add(ONE, -1.0)
        assert queue.get() == ONE
        reads: list[str] = []

        def config_map(namespace: str, name: str) -> Manifest | None:
            reads.append("ConfigMap")
            return FakeCluster.config_map(self.cluster, namespace, name)

        self.cluster.config_map = config_map  # type: ignore[method-assign]  # a method of this very object
        with queue.in_hand(ONE):
            self.look()
        return reads


@pytest.fixture
def world() -> Iterator[Quiet]:
    made = Quiet()
    yield made
    made.builder.let_go.set()
    assert made.builds.close(BOUND)


def test_where_everything_is_done_nothing_is_done_but_asking_again(world: Quiet) -> None:
    world.settle()
    asked = world.builder.questions
    assert world.due() == []
    assert world.builder.questions == asked + 1
    assert world.cluster.writes[-1] != "apply ConfigMap"


def test_another_answer_has_it_looked_at(world: Quiet) -> None:
    world.settle()
    world.builder.commit = "f" * 40
    world.due()
    assert world.woken == [ONE]


@pytest.mark.requirement("O-30")
def test_another_version_and_a_call_are_whole_looks(world: Quiet) -> None:
    world.settle()
    world.be("8")
    assert world.due() == ["ConfigMap"]
    assert world.due() == []
    world.cluster.remove("configmaps", world.status["manifest"])
    world.look()  # as the watch has it looked at
    assert world.builds.view(world.cluster.objects[PLACE]["metadata"]["uid"]) is not None


@pytest.mark.requirement("O-30")
def test_now_and_then_there_is_a_whole_look_whatever_happens(world: Quiet) -> None:
    world.settle()
    assert world.due(RESYNC) == ["ConfigMap"]
    assert world.due() == []


@pytest.mark.requirement("O-20")
def test_a_policy_that_does_not_allow_the_source_any_more_counts_at_once(world: Quiet) -> None:
    world.settle()
    world.cluster.add(POLICY, "cap", {"sources": {"allow": ["git:https://elsewhere.test/*"]}})
    asked = world.builder.questions
    world.due()
    assert world.builder.questions == asked
    assert world.condition("SourceReady") == ("False", "SourceNotAllowed")


@pytest.mark.requirement("O-05")
def test_what_is_given_secrets_is_looked_at_each_time(world: Quiet) -> None:
    world.cluster.give("Secret", "token", "value")
    world.settle(run={"envFrom": [{"secretRef": {"name": "token"}}]})
    del world.cluster.references["Secret", NAMESPACE, "token"]
    world.due()
    assert world.condition("InputsReady") == ("False", "SecretMissing")
