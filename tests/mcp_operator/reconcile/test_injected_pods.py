"""Agents without a template: the configuration is there before their Pods are, and all of these are told of changes."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

import pytest
from agent_world import SETTINGS
from fake_cluster import AGENT, POLICY
from injection_world import DEPLOYMENT, InjectionWorld
from mcp_operator import cluster, names

if TYPE_CHECKING:
    from collections.abc import Sequence

pytestmark = pytest.mark.requirement("O-15")


@pytest.fixture
def world() -> InjectionWorld:
    """Give a world whose agent was looked at."""
    found = InjectionWorld()
    found.look()
    return found


def test_it_is_ready_when_its_configuration_is_there_and_makes_no_pod(world: InjectionWorld) -> None:
    assert world.condition("Ready") == ("True", "Succeeded")
    assert "MCPAgent/dev" in world.sources
    assert "create Pod" not in world.cluster.writes
    assert "podName" not in world.status
    assert "phase" not in world.status
    assert world.status["injected"] == {"count": 0, "pods": []}
    assert world.status["tools"]["visible"] == 2


def test_looking_twice_writes_nothing(world: InjectionWorld) -> None:
    world.made()
    world.look()
    world.cluster.writes.clear()
    world.look(times=2)
    assert world.cluster.writes == []


def test_where_nothing_is_injected_it_says_what_to_do() -> None:
    class Disabled(InjectionWorld):
        settings = dataclasses.replace(SETTINGS, webhook_port=0)

    world = Disabled()
    world.look()
    assert world.condition("PodReady") == ("False", "InjectionDisabled")
    assert "injection.enabled=true" in world.message("PodReady")
    assert names.config_map("dev") not in {name for _, _, name in world.cluster.objects}


def test_its_pods_are_counted_and_named_while_they_live(world: InjectionWorld) -> None:
    for number in range(52):
        world.made(f"web-{number:02}")
    world.look()
    assert world.status["injected"]["count"] == 52
    assert world.status["injected"]["pods"] == [f"web-{number:02}" for number in range(50)]
    for number in range(51):
        world.cluster.objects["pods", "team", f"web-{number:02}"]["status"]["phase"] = "Succeeded"
    world.look()
    assert world.status["injected"] == {"count": 1, "pods": ["web-51"]}


def test_a_pod_that_only_has_the_label_is_not_one_of_them(world: InjectionWorld) -> None:
    del world.made()["metadata"]["annotations"][names.ANNOTATION_INJECTED]
    world.look()
    assert world.status["injected"]["count"] == 0


@pytest.mark.requirement("O-14")
def test_a_policy_reaches_every_pod_that_runs_without_a_restart(world: InjectionWorld) -> None:
    pods = [world.made("web-1"), world.made("web-2")]
    before = [pod["metadata"]["annotations"][names.ANNOTATION_CONFIG_HASH] for pod in pods]
    world.cluster.add(POLICY, "cap", {"target": {"servers": ["*"]}, "tools": {"deny": ["write"]}})
    world.cluster.writes.clear()
    world.look()
    after = [pod["metadata"]["annotations"][names.ANNOTATION_CONFIG_HASH] for pod in pods]
    assert after[0] == after[1] != before[0] == before[1]
    assert "ToolPolicy/cap" in world.sources
    assert sorted(world.cluster.writes) == ["annotate Pod", "annotate Pod", "apply ConfigMap", "status MCPAgent"]


def test_a_pod_that_is_gone_meanwhile_keeps_the_others_from_nothing(world: InjectionWorld) -> None:
    world.made("web-1")
    other = world.made("web-2")
    world.cluster.add(POLICY, "cap", {"target": {"servers": ["*"]}, "tools": {"deny": ["write"]}})
    world.cluster.failures["annotate Pod"] = cluster.NotFoundError("gone")
    before = other["metadata"]["annotations"][names.ANNOTATION_CONFIG_HASH]
    world.look()
    assert other["metadata"]["annotations"][names.ANNOTATION_CONFIG_HASH] != before


_OWNERS: Sequence[tuple[dict[str, Any], str]] = (
    (DEPLOYMENT, "kubectl rollout restart deployment/web -n team"),
    ({**DEPLOYMENT, "name": "bare"}, "kubectl delete pod web-1 -n team"),
    ({**DEPLOYMENT, "kind": "StatefulSet", "name": "db"}, "kubectl rollout restart statefulset/db -n team"),
    ({**DEPLOYMENT, "kind": "DaemonSet", "name": "each"}, "kubectl rollout restart daemonset/each -n team"),
)


@pytest.mark.parametrize(("owner", "command"), _OWNERS)
def test_another_image_is_told_with_the_command_that_brings_it_into_service(
    world: InjectionWorld, owner: dict[str, Any], command: str
) -> None:
    world.made("web-1", owner)
    world.server("files", image="two")
    world.look()
    assert world.condition("PodReady") == ("False", "PodOutdated")
    assert world.message("PodReady").startswith("1 of 1 Pods were made before its servers or their Secrets changed: ")
    assert world.message("PodReady").endswith(command)
    world.made("web-1", owner)
    world.look()
    assert world.condition("Ready") == ("True", "Succeeded")


def test_the_run_of_a_job_goes_on_as_it_began(world: InjectionWorld) -> None:
    world.made("run-1", {**DEPLOYMENT, "kind": "Job", "name": "run"})
    world.server("files", image="two")
    world.look()
    assert world.condition("Ready") == ("True", "Succeeded")


def test_tools_are_those_that_run_until_the_first_pod_runs_the_next_image(world: InjectionWorld) -> None:
    world.made("web-1")
    world.server("files", image="two", tools=("read", "search"))
    world.look()
    assert [tool["name"] for tool in world.config["servers"][0]["manifest"]] == ["read", "write"]
    world.made("web-2")
    world.look()
    assert [tool["name"] for tool in world.config["servers"][0]["manifest"]] == ["read", "search"]


def test_users_of_all_server_containers_are_refused_as_callers_while_they_run(world: InjectionWorld) -> None:
    world.server("more")
    world.agent("files", "more")
    world.look()
    world.made("web-1")
    world.agent("files")
    world.look()
    assert len(world.config["listen"]["refuseUids"]) == 2


def test_a_server_that_is_gone_is_closed_in_pods_that_run(world: InjectionWorld) -> None:
    world.made("web-1")
    world.cluster.remove("mcpservers", "files")
    world.look()
    assert world.condition("ServersReady")[0] == "False"
    denying = [layer for layer in world.config["layers"] if layer["source"] == "MCPServer/files"]
    assert denying[-1]["tools"]["allow"] == []


def test_suspended_it_goes_on_to_serve_the_pods_that_run(world: InjectionWorld) -> None:
    world.made("web-1")
    world.agent(suspend=True)
    world.cluster.add(POLICY, "cap", {"target": {"servers": ["*"]}, "tools": {"deny": ["write"]}})
    world.look()
    assert world.condition("PodReady") == ("False", "Suspended")
    assert "ToolPolicy/cap" in world.sources


def test_pods_of_an_agent_that_is_gone_go_too_for_no_policy_would_reach_them(world: InjectionWorld) -> None:
    world.made("web-1")
    other = world.made("other")
    other["metadata"]["labels"][names.LABEL_AGENT] = "somebody"
    world.cluster.remove("mcpagents", "dev")
    world.restart()  # it was deleted while no operator ran
    world.look()
    assert world.pods == ["other"]
    assert world.cluster.reasons[-1] == "AgentGone"


def test_pods_that_already_go_are_neither_deleted_nor_spoken_of_again(
    world: InjectionWorld, caplog: pytest.LogCaptureFixture
) -> None:
    world.made("web-1")["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    world.cluster.remove("mcpagents", "dev")
    caplog.set_level("INFO")
    world.look()
    assert world.pods == ["web-1"]
    assert "AgentGone" not in world.cluster.reasons
    assert "is gone" not in caplog.text


def test_nothing_is_deleted_while_agents_cannot_be_told_from_absent_ones(
    world: InjectionWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.made("web-1")
    monkeypatch.setattr(world.cluster, "get", lambda *_: None)  # as while the definition is not served

    def fail(*_: object) -> None:
        raise cluster.NotFoundError("the server could not find the requested resource")

    with monkeypatch.context() as patch:
        patch.setattr(world.cluster, "list", fail)
        with pytest.raises(cluster.NotFoundError):
            world.look()
    world.look()  # it is listed, though it was not found
    assert world.pods == ["web-1"]


def test_what_its_toolmans_report_is_asked_of_each_and_told_as_the_worst(world: InjectionWorld) -> None:
    first, second = world.made("web-1"), world.made("web-2")
    world.look()
    report = {"entries": [], "servers": [{"name": "files", "running": True}]}
    broken = {**report, "servers": [{"name": "files", "running": False, "problem": "it stopped"}]}
    world.answer(first, json.dumps(report).encode())
    world.answer(second, json.dumps(broken).encode())
    world.look()
    assert world.status["seen"]["servers"] == [{"name": "files", "running": False, "problem": "it stopped"}]


def test_the_pod_of_an_agent_that_lost_its_template_goes(world: InjectionWorld) -> None:
    uid = world.cluster.objects[AGENT.plural, "team", "dev"]["metadata"]["uid"]
    owner = {"apiVersion": names.API_VERSION, "kind": "MCPAgent", "name": "dev", "uid": uid, "controller": True}
    metadata = {"name": "dev", "namespace": "team", "uid": "p", "ownerReferences": [owner], "annotations": {}}
    world.cluster.objects["pods", "team", "dev"] = {"metadata": metadata, "spec": {}, "status": {}}
    world.look()
    assert world.pods == []
