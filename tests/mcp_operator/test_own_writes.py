from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest
from agent_world import TEMPLATE, World
from fake_cluster import AGENT, NAMESPACE, POLICY, SERVER, FakeCluster
from mcp_operator import cluster, own_writes
from mcp_operator.own_writes import NotedCluster, OwnWrites, Place
from mcp_operator.workqueue import Key

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mcp_operator.cluster import Kind, Manifest

pytestmark = [pytest.mark.requirement("O-36")]

DEV = Key(AGENT.kind, NAMESPACE, "dev")
AGENTS = Place(AGENT.plural, NAMESPACE, "dev")
PODS = Place("pods", NAMESPACE, "dev")
CONFIG_MAPS = Place("configmaps", NAMESPACE, "dev-mcp")
CONFIG: dict[str, Any] = {
    "metadata": {"name": "dev-mcp", "namespace": NAMESPACE, "labels": {"a": "b"}, "ownerReferences": [{"uid": "1"}]},
    "data": {"config.json": "{}"},
}


class Versioned(FakeCluster):
    """Gives versions as an API server does, tells a watch of each, and lets somebody be quicker than a write."""

    def __init__(self) -> None:
        super().__init__()
        self.woken: list[Key] = []
        self.own = OwnWrites(self.woken.append)
        self.noted = NotedCluster(self, self.own)
        self.meanwhile: Manifest = {}
        self._version = 0

    def change(self, place: Place, change: Manifest) -> Manifest:
        """Let somebody else change an object."""
        stored = self.objects[place]
        for part, fields in change.items():
            stored.setdefault(part, {}).update(fields)
        self._version += 1
        stored["metadata"]["resourceVersion"] = str(self._version)
        self.own.told(DEV, place, str(self._version))
        return copy.deepcopy(stored)

    def patch_status(self, kind: Kind, raw: Manifest, patch: Manifest) -> Manifest | None:
        place = Place(kind.plural, raw["metadata"].get("namespace", ""), raw["metadata"]["name"])
        self._be_quicker(place)
        super().patch_status(kind, raw, patch)
        return self.change(place, {})

    def apply_config_map(self, manifest: Manifest) -> Manifest | None:
        place = Place("configmaps", manifest["metadata"]["namespace"], manifest["metadata"]["name"])
        super().apply_config_map(manifest)
        self._be_quicker(place)
        return self.change(place, {})

    def annotate_pod(self, namespace: str, name: str, uid: str, annotations: Mapping[str, str]) -> Manifest | None:
        place = Place("pods", namespace, name)
        self._be_quicker(place)
        super().annotate_pod(namespace, name, uid, annotations)
        return self.change(place, {})

    def _be_quicker(self, place: Place) -> None:
        if self.meanwhile:
            change, self.meanwhile = self.meanwhile, {}
            self.change(place, change)


@pytest.fixture
def world() -> Versioned:
    made = Versioned()
    made.add(AGENT, "dev", {"servers": [{"name": "files"}], "template": TEMPLATE})
    made.create_pod({"metadata": {"name": "dev", "namespace": NAMESPACE, "annotations": {"a": "b"}}, "spec": {}})
    return made


def write_all(world: Versioned) -> None:
    raw = world.noted.get(AGENT, NAMESPACE, "dev")
    world.noted.patch_status(AGENT, raw, {"summary": "Ready"})
    world.noted.apply_config_map(CONFIG)
    pod = world.noted.pod(NAMESPACE, "dev")
    assert pod is not None
    world.noted.annotate_pod(NAMESPACE, "dev", pod["metadata"]["uid"], {"hash": "1"})


def test_what_was_written_here_wakes_nobody_whether_it_is_told_before_the_answer_or_after(world: Versioned) -> None:
    write_all(world)  # the event comes before the answer
    for place in (AGENTS, CONFIG_MAPS, PODS):
        world.own.told(DEV, place, world.objects[place]["metadata"]["resourceVersion"])
    assert world.woken == []
    assert world.objects[AGENTS]["status"] == {"summary": "Ready"}
    assert world.objects[PODS]["metadata"]["annotations"] == {"a": "b", "hash": "1"}


@pytest.mark.requirement("O-30")
@pytest.mark.parametrize("place", [AGENTS, CONFIG_MAPS, PODS])
def test_what_somebody_else_changes_afterwards_wakes(world: Versioned, place: Place) -> None:
    write_all(world)
    world.change(place, {"metadata": {"labels": {"colour": "red"}}})
    assert world.woken == [DEV]


@pytest.mark.requirement("O-30")
@pytest.mark.parametrize(
    "change",
    [{"spec": {"suspend": True}}, {"metadata": {"labels": {"tier": "gold"}}}, {"status": {"phase": "Running"}}],
)
def test_a_version_that_holds_what_somebody_else_has_changed_meanwhile_wakes(
    world: Versioned, change: dict[str, Any]
) -> None:
    """Of several versions that come at once, a watch may be told of the last one only."""
    raw = world.noted.get(AGENT, NAMESPACE, "dev")
    pod = world.noted.pod(NAMESPACE, "dev")
    assert pod is not None
    for place in (AGENTS, PODS):
        world.meanwhile = change
        if place is AGENTS:
            world.noted.patch_status(AGENT, raw, {"summary": "Ready"})
        else:
            world.noted.annotate_pod(NAMESPACE, "dev", pod["metadata"]["uid"], {"hash": "1"})
        world.woken.clear()
        world.own.told(DEV, place, world.objects[place]["metadata"]["resourceVersion"])
        assert world.woken == [DEV]


@pytest.mark.requirement("O-30")
@pytest.mark.parametrize("change", [{"data": {"more": "x"}}, {"metadata": {"labels": {"colour": "red"}}}])
def test_a_config_map_that_is_not_all_as_it_was_applied_wakes(world: Versioned, change: dict[str, Any]) -> None:
    world.meanwhile = change
    world.noted.apply_config_map(CONFIG)
    world.woken.clear()
    world.own.told(DEV, CONFIG_MAPS, world.objects[CONFIG_MAPS]["metadata"]["resourceVersion"])
    assert world.woken == [DEV]


@pytest.mark.requirement("O-30")
def test_a_write_that_fails_keeps_no_event_back(world: Versioned) -> None:
    world.failures["status MCPAgent"] = cluster.UnreachableError("down")
    world.meanwhile = {"spec": {"suspend": True}}
    raw = world.noted.get(AGENT, NAMESPACE, "dev")
    with pytest.raises(cluster.UnreachableError):
        world.noted.patch_status(AGENT, raw, {"summary": "Ready"})
    assert world.woken == [DEV]


def test_servers_are_looked_at_again_after_each_change_of_their_status() -> None:
    world = Versioned()
    raw = world.add(SERVER, "files", {})
    world.noted.patch_status(SERVER, raw, {"summary": "Ready"})
    assert world.woken == [DEV]


def test_policies_are_not(world: Versioned) -> None:
    raw = world.add(POLICY, "cap", {})
    world.noted.patch_status(POLICY, copy.deepcopy(raw), {"summary": "Ready"})
    assert world.woken == []


def test_without_a_known_version_everything_wakes(monkeypatch: pytest.MonkeyPatch) -> None:
    woken: list[Key] = []
    own, plain = OwnWrites(woken.append), World().cluster
    monkeypatch.setattr(plain, "apply_config_map", lambda _: None)
    NotedCluster(plain, own).apply_config_map(CONFIG)
    own.told(DEV, CONFIG_MAPS, "1")
    assert woken == [DEV]


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_writes, "REMEMBERED", 2)
    woken: list[Key] = []
    own = OwnWrites(woken.append)
    for number in range(3):
        with own.writing(Place("pods", NAMESPACE, str(number))) as came_to:
            came_to("1")
    for number in range(3):
        own.told(Key(AGENT.kind, NAMESPACE, str(number)), Place("pods", NAMESPACE, str(number)), "1")
    assert woken == [Key(AGENT.kind, NAMESPACE, "0")]
