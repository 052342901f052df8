from __future__ import annotations

import queue
from typing import TYPE_CHECKING, Any

import pytest
from mcp_operator import access, cluster, watches
from mcp_operator.metrics import Metrics
from mcp_operator.own_writes import OwnWrites, Place
from mcp_operator.watches import Watched, Watches
from mcp_operator.workqueue import Key

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mcp_operator.access import Access

pytestmark = [pytest.mark.requirement("O-30")]

BOUND = 10
PODS = (Watched(access.LIST_PODS_METADATA, access.WATCH_PODS),)
DEV, OTHER = Key("MCPAgent", "team", "dev"), Key("MCPAgent", "team", "other")


def pod(name: str, owner: str = "dev", kind: str = "MCPAgent", version: str = "1") -> dict[str, Any]:
    reference = {"apiVersion": "toolman.dev/v1alpha1", "kind": kind, "name": owner, "controller": True}
    metadata = {"namespace": "team", "name": name, "resourceVersion": version, "ownerReferences": [reference]}
    return {"metadata": metadata}


def page(*pods: dict[str, Any], version: str = "10", proceed: str = "") -> dict[str, Any]:
    return {"items": list(pods) or None, "metadata": {"resourceVersion": version, "continue": proceed}}


class Api:
    """Answers lists with pages or errors, and watches with lists of events; then it lets wait for ever."""

    def __init__(self, *answers: Any) -> None:  # noqa: ANN401 - pages, events, errors
        self.pages: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.events: queue.SimpleQueue[list[Any]] = queue.SimpleQueue()
        for answer in answers:
            (self.events if isinstance(answer, list) else self.pages).put(answer)
        self.asked: queue.SimpleQueue[tuple[str, str, dict[str, str]]] = queue.SimpleQueue()

    def __call__(self, right: Access, namespace: str = "", *, query: Mapping[str, str] | None = None) -> Any:  # noqa: ANN401
        self.asked.put((right.verb, namespace, dict(query or {})))
        answer = self.pages.get()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def stream(self, right: Access, namespace: str, query: Mapping[str, str]) -> Iterator[Any]:
        self.asked.put((right.verb, namespace, dict(query)))
        yield from self.events.get()


class World:
    def __init__(self, *answers: Any, **arguments: Any) -> None:  # noqa: ANN401
        self.api = Api(*answers)
        self.woken: queue.SimpleQueue[Key] = queue.SimpleQueue()
        self.metrics = Metrics()
        self.watches = Watches(self.api, self.woken.put, metrics=self.metrics, owned=PODS, **arguments)
        self.watches.start()

    def key(self) -> Key:
        return self.woken.get(timeout=BOUND)

    def question(self) -> tuple[str, str, dict[str, str]]:
        return self.api.asked.get(timeout=BOUND)


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watches, "RETRY_FIRST", 0.01)
    monkeypatch.setattr(watches, "RETRY_CAP", 0.01)


def test_a_change_of_what_we_made_wakes_its_owner_and_the_server_sends_nothing_else() -> None:
    world = World(page(pod("dev")), [{"type": "MODIFIED", "object": pod("dev-2", "other", version="11")}])
    assert world.key() == DEV
    assert world.key() == OTHER
    verb, _, query = world.question()
    assert (verb, query["labelSelector"]) == ("list", "app.kubernetes.io/managed-by=mcp-operator")
    verb, _, query = world.question()
    assert (verb, query["resourceVersion"], query["labelSelector"]) == ("watch", "10", watches.SELECTOR)
    assert world.question()[2]["resourceVersion"] == "11"  # goes on where the last event was
    world.watches.stop()


def test_what_is_gone_wakes_its_owner_and_so_does_what_was_given_to_another_one() -> None:
    world = World(
        page(pod("a"), pod("b")),
        [{"type": "DELETED", "object": pod("a")}, {"type": "MODIFIED", "object": pod("b", "other")}],
    )
    keys = [world.key() for _ in range(5)]
    assert keys[:3] == [DEV, DEV, DEV]
    assert set(keys[3:]) == {DEV, OTHER}
    world.watches.stop()


def test_after_a_gap_everything_is_listed_and_what_went_meanwhile_wakes_its_owner() -> None:
    gone = {"type": "ERROR", "object": {"code": 410, "message": "too old resource version"}}
    world = World(page(pod("a"), pod("b", "other")), [gone], cluster.UnreachableError("still down"), page(pod("a")))
    assert [world.key() for _ in range(4)] == [DEV, OTHER, DEV, OTHER]
    assert world.metrics.watch_restarts.value("pods", "expired") == 1
    world.watches.stop()


def test_an_api_server_that_is_down_is_asked_until_it_answers() -> None:
    world = World(cluster.UnreachableError("down"), cluster.UnreachableError("down"), page(pod("dev")))
    assert world.watches.behind() == "not watching pods"
    assert world.key() == DEV
    for _ in range(4):
        world.question()  # the fourth is the watch: by now the list has been read
    assert world.watches.behind() == ""
    assert world.watches.dead() == ""
    world.watches.stop()


def test_what_the_operator_has_written_itself_wakes_nobody_unless_it_is_listed() -> None:
    woken: queue.SimpleQueue[Key] = queue.SimpleQueue()
    own = OwnWrites(woken.put)
    with own.writing(Place("pods", "team", "dev")) as came_to:
        came_to("7")
    changes = [("dev", "7"), ("new", "8"), ("dev", "9")]
    events = [{"type": "MODIFIED", "object": pod(name, version=version)} for name, version in changes]
    world = World(page(pod("dev", version="7")), events, own=own)
    assert world.key() == DEV  # it was listed
    assert [woken.get(timeout=BOUND), woken.get(timeout=BOUND)] == [DEV, DEV]
    for _ in range(3):
        world.question()  # by the third, all events have been told
    assert woken.empty()
    world.watches.stop()


def test_bookmarks_move_on_and_wake_nobody() -> None:
    mark = {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "99"}}}
    world = World(page(), [mark], [])
    versions = [world.question()[2].get("resourceVersion") for _ in range(3)]
    assert versions == [None, "10", "99"]
    assert world.woken.empty()
    world.watches.stop()


def test_lists_are_read_page_by_page() -> None:
    world = World(page(pod("a"), proceed="more"), page(pod("b", "other")))
    assert [world.key(), world.key()] == [DEV, OTHER]
    assert world.question()[2].get("continue") is None
    assert world.question()[2]["continue"] == "more"
    world.watches.stop()


def test_what_is_owned_by_somebody_else_is_nothing_to_us() -> None:
    stranger = pod("x")
    stranger["metadata"]["ownerReferences"][0]["apiVersion"] = "apps/v1"
    world = World(page(stranger, pod("y", kind="ReplicaSet"), {"metadata": {"name": "z"}}, pod("dev")))
    assert world.key() == DEV
    world.watches.stop()


def test_each_served_namespace_is_watched_by_itself() -> None:
    world = World(page(), page(), namespaces=("a", "b"))
    asked = [world.question()[:2] for _ in range(4)]
    assert sorted(asked) == [("list", "a"), ("list", "b"), ("watch", "a"), ("watch", "b")]
    world.watches.stop()


@pytest.mark.requirement("O-15")
def test_a_pod_of_another_workload_wakes_the_agent_whose_sidecars_it_has() -> None:
    labelled = {"metadata": {"namespace": "team", "name": "web-1", "labels": {"toolman.dev/agent": "dev"}}}
    api = Api(page(labelled))
    woken: queue.SimpleQueue[Key] = queue.SimpleQueue()
    found = Watches(api, woken.put, owned=watches.INJECTED)
    found.start()
    assert woken.get(timeout=BOUND) == DEV
    selector = api.asked.get(timeout=BOUND)[2]["labelSelector"]
    assert selector == "toolman.dev/agent,app.kubernetes.io/managed-by!=mcp-operator", "not those of our own making"
    found.stop()


def policy(name: str, version: str = "1") -> dict[str, Any]:
    return {"metadata": {"name": name, "resourceVersion": version}}


def test_of_our_own_kinds_only_what_is_gone_is_told_also_what_went_while_nobody_watched() -> None:
    expired = {"type": "ERROR", "object": {"code": 410, "message": "too old resource version"}}
    policies = [each for each in watches.OURS if each.watch.resource.plural == "toolpolicies"]
    api = Api(
        page(policy("a"), policy("b"), policy("c")),
        [{"type": "MODIFIED", "object": policy("a", "11")}, {"type": "DELETED", "object": policy("b", "12")}, expired],
        page(policy("a")),
    )
    woken: queue.SimpleQueue[Key] = queue.SimpleQueue()
    metrics = Metrics()
    metrics.holds("ToolPolicy", "", "c", [{"type": "Ready", "status": "True", "reason": "Succeeded"}])
    found = Watches(api, woken.put, ("team",), metrics, policies)
    found.start()
    assert [woken.get(timeout=BOUND), woken.get(timeout=BOUND)] == [Key("ToolPolicy", "", name) for name in "bc"]
    assert api.asked.get(timeout=BOUND)[:2] == ("list", ""), "policies are in no namespace"
    assert 'kind="ToolPolicy"' not in metrics.text()
    assert woken.empty()
    found.stop()
