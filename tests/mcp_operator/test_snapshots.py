from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from fake_cluster import NAMESPACE, POLICY, FakeCluster
from mcp_operator import snapshots
from mcp_operator.snapshots import Snapshots

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mcp_operator.cluster import Kind, Manifest

pytestmark = [pytest.mark.requirement("O-36")]

BOUND = 10


class Counted(FakeCluster):
    def __init__(self) -> None:
        super().__init__()
        self.read_count = 0

    def list(self, kind: Kind, namespace: str = "") -> Sequence[Manifest]:
        self.read_count += 1
        return super().list(kind, namespace)

    def namespace_labels(self, namespace: str) -> Mapping[str, str]:
        self.read_count += 1
        return super().namespace_labels(namespace)


class World:
    def __init__(self) -> None:
        self.now = 0.0
        self.cluster = Counted()
        self.api = Snapshots(self.cluster, lambda: self.now)


def test_all_who_were_woken_before_a_read_share_it() -> None:
    world = World()
    world.now = 10
    for moment in (3, 10, 5):
        with snapshots.since(moment):
            assert world.api.list(POLICY) == []
            assert world.api.namespace_labels(NAMESPACE) == {"team": "a"}
    assert world.cluster.read_count == 2


@pytest.mark.requirement("O-20")
def test_nobody_is_given_what_is_older_than_the_event_that_woke_him() -> None:
    world = World()
    with snapshots.since(0):
        assert world.api.list(POLICY) == []
    world.cluster.add(POLICY, "cap", {})
    world.now = 1
    with snapshots.since(0):
        assert world.api.list(POLICY) == []  # the event of the new policy is still to come, and wakes again
    with snapshots.since(1):
        assert len(world.api.list(POLICY)) == 1


def test_without_an_event_everything_is_read_anew() -> None:
    world = World()
    with snapshots.since(0):
        world.api.list(POLICY)
        with snapshots.since(None):
            world.api.list(POLICY)
    world.api.list(POLICY)
    assert world.cluster.read_count == 3


def test_what_nobody_needs_any_more_is_dropped() -> None:
    world = World()
    with snapshots.since(0):
        world.api.list(POLICY)
        world.now = snapshots.KEPT + 1
        world.api.namespace_labels(NAMESPACE)
    assert len(world.api._held) == 1


def test_everything_else_goes_to_the_cluster() -> None:
    world = World()
    assert world.api.pod(NAMESPACE, "dev") is None


def test_many_at_once_wait_for_one_answer() -> None:
    world = World()
    let_go = threading.Event()
    real = world.cluster.list

    def slow(kind: Kind, namespace: str = "") -> Sequence[Manifest]:
        let_go.wait(BOUND)
        return real(kind, namespace)

    world.cluster.list = slow  # type: ignore[method-assign]  # a method of this very object

    def ask() -> None:
        with snapshots.since(0):
            world.api.list(POLICY)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    let_go.set()
    for thread in threads:
        thread.join(BOUND)
    assert world.cluster.read_count == 1


def test_what_is_found_is_shared_like_what_is_read_and_what_it_was_found_from_is_not_kept() -> None:
    world = World()
    world.now = 10

    def find() -> int:
        return len(world.api.list(POLICY))

    for moment, expected in ((3, 0), (10, 0), (11, 1)):
        with snapshots.since(moment):
            assert snapshots.shared(world.api, "count", find) == expected
        world.cluster.objects["toolpolicies", "", "cap"] = {}
        world.now = 11
    assert world.cluster.read_count == 2
    assert list(world.api._held) == [("", "count")]


def test_where_nothing_is_shared_it_is_found_each_time() -> None:
    world = World()
    for _ in range(2):
        assert list(snapshots.shared(world.cluster, "all", lambda: world.cluster.list(POLICY))) == []
    assert world.cluster.read_count == 2
