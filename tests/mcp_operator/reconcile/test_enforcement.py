from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from agent_world import World
from fake_cluster import AGENT, POLICY
from injection_world import InjectionWorld
from mcp_operator import cluster, names
from mcp_operator.reconcile.enforcement import Enforcer
from mcp_operator.workqueue import Key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from mcp_operator.cluster import Manifest

pytestmark = [pytest.mark.requirement("O-14", "O-36")]

DEV = Key(AGENT.kind, "team", "dev")
CONFIG_MAP = ("configmaps", "team", names.config_map("dev"))
WRITES = ["replace data", "annotate Pod"]


@pytest.fixture
def world() -> World:
    made = World()
    made.running()
    made.woken.clear()
    return made


@pytest.fixture
def enforce(world: World) -> Iterator[Callable[[], None]]:
    yield from enforcing(world)


def enforcing(world: World) -> Iterator[Callable[[], None]]:
    enforcer = Enforcer(world.reconciler._services)
    yield lambda: none(enforcer.reconcile("", "team"))
    enforcer.close()


def none(delay: float | None) -> None:
    assert delay is None


def deny(world: World, *tools: str, **target: object) -> None:
    world.cluster.add(POLICY, "cap", {"target": target, "tools": {"deny": list(tools)}})


def test_a_policy_is_in_the_configuration_and_the_pod_told_before_the_agent_is_looked_at(
    world: World, enforce: Callable[[], None]
) -> None:
    deny(world, "write")
    before, told = world.config, annotation(world.pod)
    enforce()
    assert world.cluster.writes == WRITES
    assert world.woken == [DEV]
    assert world.sources == ["ToolPolicy/cap", "MCPAgent/dev"]
    assert {**world.config, "layers": []} == {**before, "layers": []}
    assert annotation(world.pod) != told
    assert world.status["tools"]["visible"] == 2  # its status follows


def test_the_look_that_follows_writes_the_status_and_nothing_else(world: World, enforce: Callable[[], None]) -> None:
    deny(world, "write")
    enforce()
    world.cluster.writes.clear()
    world.look()
    assert world.cluster.writes == ["status MCPAgent"]
    assert world.status["tools"]["visible"] == 1
    assert world.cluster.reasons == ["PolicyChanged"]


def test_whom_a_policy_does_not_concern_is_not_looked_at(world: World, enforce: Callable[[], None]) -> None:
    deny(world, "write", agentSelector={"matchLabels": {"tier": "silver"}})
    enforce()
    assert (world.cluster.writes, world.woken) == ([], [])


@pytest.mark.requirement("O-30")
def test_enforcing_again_writes_nothing(world: World, enforce: Callable[[], None]) -> None:
    deny(world, "write")
    for _ in range(3):
        enforce()
    assert world.cluster.writes == WRITES
    assert world.woken == [DEV]


@pytest.mark.requirement("O-30")
def test_a_pod_that_was_not_told_is_told_the_next_time(world: World, enforce: Callable[[], None]) -> None:
    deny(world, "write")
    world.cluster.failures["annotate Pod"] = cluster.UnreachableError("down")
    with pytest.raises(cluster.UnreachableError):
        enforce()
    assert world.woken == [DEV]
    enforce()
    assert world.cluster.writes == [*WRITES, "annotate Pod"]
    world.cluster.writes.clear()
    world.look()
    assert world.cluster.writes == ["status MCPAgent"]


def broken_policy(world: World) -> None:
    world.cluster.add(POLICY, "cap", {"tools": {"deny": "x"}})


def broken_agent(world: World) -> None:
    world.cluster.objects["mcpagents", "team", "dev"]["spec"]["colour"] = 1


def no_pod(world: World) -> None:
    world.cluster.remove("pods", "dev")


def pod_of_somebody_else(world: World) -> None:
    world.pod["metadata"]["ownerReferences"] = []


def no_configuration(world: World) -> None:
    world.cluster.remove("configmaps", names.config_map("dev"))


def unreadable_configuration(world: World) -> None:
    world.cluster.objects[CONFIG_MAP]["data"] = {names.CONFIG_FILE: "{}}"}


def configuration_of_another(world: World) -> None:
    world.cluster.objects[CONFIG_MAP]["metadata"]["ownerReferences"] = []


def too_large(world: World) -> None:
    deny(world, *(f"{'x' * 250}{number}" for number in range(5000)))


def unresolved(world: World) -> None:
    for each in world.status["conditions"]:
        each["status"] = "False" if each["type"] == "PolicyResolved" else each["status"]


@pytest.mark.parametrize(
    "change",
    [
        broken_policy,
        broken_agent,
        no_pod,
        pod_of_somebody_else,
        no_configuration,
        unreadable_configuration,
        configuration_of_another,
        too_large,
        unresolved,
    ],
)
def test_what_is_not_plain_is_left_to_a_whole_look(
    world: World, enforce: Callable[[], None], change: Callable[[World], None]
) -> None:
    deny(world, "write")
    change(world)
    enforce()
    assert (world.cluster.writes, world.woken) == ([], [DEV])


def test_who_is_going_or_has_run_to_completion_is_left_alone(world: World, enforce: Callable[[], None]) -> None:
    deny(world, "write")
    agent = world.cluster.objects["mcpagents", "team", "dev"]
    agent["status"]["run"] = {"key": "1", "podUid": "1", "result": "Succeeded"}
    enforce()
    agent["status"].pop("run")
    agent["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    enforce()
    assert (world.cluster.writes, world.woken) == ([], [])


def test_a_run_that_another_spec_has_begun_is_not_over(world: World, enforce: Callable[[], None]) -> None:
    deny(world, "write")
    agent = world.cluster.objects["mcpagents", "team", "dev"]
    agent["status"]["run"] = {"key": "1", "podUid": "1", "result": "Succeeded"}
    agent["metadata"]["generation"] += 1
    enforce()
    assert world.cluster.writes == WRITES


def test_there_is_nothing_to_do_in_a_namespace_that_is_gone(world: World, enforce: Callable[[], None]) -> None:
    world.cluster.namespaces.clear()
    enforce()
    assert world.woken == []


@pytest.mark.requirement("O-20")
def test_a_look_by_policies_of_before_does_not_overrule_what_was_brought_in_meanwhile(
    world: World, enforce: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    world.agent(toolNames="Plain")  # so that the look has something to write
    real = world.cluster.namespace_labels

    def meanwhile(namespace: str) -> Mapping[str, str]:
        monkeypatch.setattr(world.cluster, "namespace_labels", real)
        before = world.cluster.list(POLICY)
        deny(world, "write")
        enforce()
        monkeypatch.setattr(world.cluster, "list", lambda *_: before)
        return real(namespace)

    monkeypatch.setattr(world.cluster, "namespace_labels", meanwhile)
    with pytest.raises(cluster.ConflictError):
        world.look()
    assert "ToolPolicy/cap" in world.sources


@pytest.mark.requirement("O-30")
def test_a_configuration_that_has_changed_since_it_was_read_is_left_to_a_whole_look(
    world: World, enforce: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    deny(world, "write")
    real = world.cluster.agent_pods

    def meanwhile(namespace: str) -> Sequence[Manifest]:
        world.cluster.objects[CONFIG_MAP]["metadata"]["resourceVersion"] = "another"
        return real(namespace)

    monkeypatch.setattr(world.cluster, "agent_pods", meanwhile)
    enforce()
    assert world.sources == ["MCPAgent/dev"]
    assert world.cluster.writes == ["replace data"]
    assert world.woken == [DEV]


@pytest.mark.requirement("O-04")
def test_the_guards_of_shared_servers_are_looked_at_as_well(world: World, enforce: Callable[[], None]) -> None:
    deny(world, "write")
    server = world.cluster.objects["mcpservers", "team", "files"]
    server["status"]["endpoint"] = {"url": "https://x", "transport": "streamable-http", "audience": "a"}
    enforce()
    assert world.woken == [DEV, Key("MCPServer", "team", "files")]


@pytest.mark.requirement("O-15")
def test_pods_of_other_workloads_are_told_where_sidecars_are_put_into_them() -> None:
    world = InjectionWorld()
    world.look()
    for number in range(2):
        world.made(f"web-{number}")
    world.look()
    world.cluster.writes.clear()
    deny(world, "write")
    for enforce in enforcing(world):
        enforce()
    assert world.cluster.writes == ["replace data", "annotate Pod", "annotate Pod"]


def annotation(pod: dict[str, Any]) -> str:
    return str(pod["metadata"]["annotations"][names.ANNOTATION_CONFIG_HASH])


@pytest.mark.requirement("O-20")
def test_pods_of_a_namespace_that_is_going_are_under_policies_until_they_end(
    world: World, enforce: Callable[[], None]
) -> None:
    deny(world, "write", namespaceSelector={"matchLabels": {"team": "a"}})
    world.cluster.ending.add("team")
    enforce()
    assert world.cluster.writes == WRITES
