"""Killed before any single write, the operator that comes next brings everything to the same end."""

from __future__ import annotations

import copy
import itertools
from typing import TYPE_CHECKING, Any

import agent_world
import pytest
import server_world
from fake_builder import BOUND
from fake_cluster import AGENT, POLICY, SERVER
from mcp_operator import names
from mcp_operator.jobs import State
from mcp_operator.reconcile.agent import AgentReconciler
from mcp_operator.reconcile.policy import PolicyReconciler

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fake_cluster import FakeCluster

pytestmark = [pytest.mark.requirement("O-31")]

LOOKS = 8
"""Many enough for anything to come to its end."""
VOLATILE = ("uid", "resourceVersion", "generation", "creationTimestamp")


class Killed(BaseException):
    """The process is gone: nothing after this is done, whatever is written to catch exceptions."""


class Mortal:
    """Kills before the given write of a cluster, once. ``count`` says how many there were."""

    def __init__(self, cluster: FakeCluster, at: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self._at = at
        self._written = cluster._written
        monkeypatch.setattr(cluster, "_written", self._write)

    def _write(self, what: str) -> None:
        self.count += 1
        if self.count == self._at:
            raise Killed
        self._written(what)


def end(cluster: FakeCluster) -> dict[Any, Any]:
    """Give everything that there is, without what differs from one object of a name to the next."""
    objects = copy.deepcopy(cluster.objects)
    for raw in objects.values():
        for field in VOLATILE:
            raw["metadata"].pop(field, None)
        raw["metadata"].get("annotations", {}).pop(names.ANNOTATION_IN_PLACE, None)  # it says when
        for owner in raw["metadata"].get("ownerReferences", []):
            owner.pop("uid", None)
        for condition in raw.get("status", {}).get("conditions", []):
            condition.pop("lastTransitionTime", None)
    return objects


def ends(run: Callable[[int], tuple[dict[Any, Any], int]]) -> Iterator[tuple[int, dict[Any, Any]]]:
    """Run without being killed, then killed before the first write, the second, and so on; give each end."""
    expected, writes = run(0)
    assert writes
    yield 0, expected
    for at in range(1, writes + 1):
        yield at, run(at)[0]


def same(run: Callable[[int], tuple[dict[Any, Any], int]]) -> None:
    every = list(ends(run))
    for at, found in every[1:]:
        assert found == every[0][1], f"killed before write {at}"


def agents(monkeypatch: pytest.MonkeyPatch, at: int, change: Callable[[agent_world.World], None]) -> Any:  # noqa: ANN401
    world = agent_world.World()
    change(world)
    mortal = Mortal(world.cluster, at, monkeypatch)
    for _ in range(LOOKS):
        try:
            world.look()
        except Killed:
            world.reconciler = AgentReconciler(world.reconciler._services)
        world.clock.forward(60)
    assert [place for place in world.cluster.objects if place[0] == "pods"] == [("pods", "team", "dev")]
    return end(world.cluster), mortal.count


def nothing(_: object) -> None:
    """Leave the world as it is."""


def other_image(world: agent_world.World) -> None:
    world.running()
    world.server("files", image="two")


def other_rules(world: agent_world.World) -> None:
    world.running()
    world.cluster.add(POLICY, "cap", {"target": {"servers": ["*"]}, "tools": {"deny": ["write"]}})


@pytest.mark.parametrize("change", [nothing, other_image, other_rules])
def test_an_agent_gets_one_pod_and_the_same_rules(
    monkeypatch: pytest.MonkeyPatch, change: Callable[[agent_world.World], None]
) -> None:
    same(lambda at: agents(monkeypatch, at, change))


def test_a_server_gets_the_same_image_with_one_build_more_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(at: int) -> tuple[dict[Any, Any], int]:
        world = server_world.World()
        uid = world.apply()
        mortal = Mortal(world.cluster, at, monkeypatch)
        for _ in range(LOOKS):
            try:
                world.look()
            except Killed:
                world.builds.close(BOUND)
                world.restart()
            view = world.builds.view(uid)
            if view is not None:
                world.wait(uid, State.ENDED)
        assert len(world.builder.requests) <= 2
        assert world.condition("Ready") == ("True", "Succeeded")
        found = end(world.cluster)
        for raw in found.values():
            raw.get("status", {}).pop("build", None)  # when it began, and how long it took
        return found, mortal.count

    same(run)


def test_a_policy_counts_the_same_agents(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(at: int) -> tuple[dict[Any, Any], int]:
        world = agent_world.World()
        other_rules(world)
        services = world.reconciler._services
        reconciler = PolicyReconciler(services)
        mortal = Mortal(world.cluster, at, monkeypatch)
        for _ in range(LOOKS):
            try:
                reconciler.reconcile("", "cap")
            except Killed:
                reconciler = PolicyReconciler(services)
        return end(world.cluster), mortal.count

    same(run)


@pytest.mark.requirement("O-30")
@pytest.mark.parametrize("kind", [AGENT, SERVER, POLICY], ids=str)
def test_looking_again_at_what_is_as_it_should_be_writes_nothing(kind: Any) -> None:  # noqa: ANN401
    if kind is SERVER:
        servers = server_world.World()
        servers.build(servers.apply())
        look, cluster = servers.look, servers.cluster
    else:
        world = agent_world.World()
        world.running()
        cluster = world.cluster
        if kind is AGENT:
            look = world.look
        else:
            cluster.add(POLICY, "cap", {"target": {"servers": ["*"]}, "tools": {"deny": ["write"]}})
            reconciler = PolicyReconciler(world.reconciler._services)
            look = lambda: reconciler.reconcile("", "cap")  # noqa: E731
    for _ in range(LOOKS):
        look()
    cluster.writes.clear()
    cluster.events.clear()
    for _ in itertools.repeat(None, LOOKS):
        look()
    assert cluster.writes == []
    assert cluster.events == []
