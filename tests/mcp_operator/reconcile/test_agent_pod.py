from __future__ import annotations

import json
from typing import Any

import pytest
from agent_world import TEMPLATE, World, condition
from fake_cluster import POLICY, SERVER
from mcp_operator import cluster, names


@pytest.fixture
def world() -> World:
    return World()


@pytest.mark.requirement("F-06", "F-08")
def test_an_agent_gets_a_config_map_and_then_a_pod_and_is_ready_when_the_pod_is(world: World) -> None:
    world.look()
    assert world.cluster.writes == ["apply ConfigMap", "create Pod", "status MCPAgent"]
    assert world.condition("PodReady") == ("False", "PodCreated")
    world.running()
    assert world.condition("Ready") == ("True", "Succeeded")
    assert world.status["tools"] == {"visible": 2, "total": 2, "names": ["files__read", "files__write"]}
    assert (world.status["phase"], world.status["podName"], world.status["summary"]) == ("Running", "dev", "Ready")


@pytest.mark.requirement("F-04", "F-08")
def test_a_policy_reaches_a_running_pod_without_another_pod(world: World) -> None:
    world.running()
    uid = world.pod["metadata"]["uid"]
    before = world.pod["metadata"]["annotations"][names.ANNOTATION_CONFIG_HASH]
    world.cluster.add(POLICY, "cap", {"tools": {"deny": ["write"]}})
    world.look()
    assert world.cluster.writes == ["apply ConfigMap", "annotate Pod", "status MCPAgent"]
    assert world.pod["metadata"]["uid"] == uid
    assert world.pod["metadata"]["annotations"][names.ANNOTATION_CONFIG_HASH] != before
    assert world.status["denied"] == [{"tool": "files/write", "by": "ToolPolicy/cap", "reason": "Denied"}]
    assert world.status["tools"]["names"] == ["files__read"]
    assert world.cluster.reasons == ["PolicyChanged"]
    assert "0 came, 1 went" in world.cluster.events[0]["note"]


def test_another_template_makes_another_pod_and_never_two(world: World) -> None:
    world.running()
    world.agent(template={"spec": {"containers": [{"name": "agent", "image": "agent:2"}]}})
    world.look()
    assert world.cluster.writes == ["judge Pod", "delete Pod", "status MCPAgent"]
    assert world.condition("PodReady") == ("False", "PodTerminating")
    world.look()
    assert world.pod["spec"]["containers"][0]["image"] == "agent:2"
    assert world.cluster.reasons == ["PodReplaced", "PodCreated"]


@pytest.mark.requirement("F-08")
def test_a_pod_that_the_api_server_would_refuse_does_not_cost_the_one_that_runs(world: World) -> None:
    world.running()
    world.cluster.failures["judge Pod"] = cluster.InvalidError("spec.containers[0].image: Required value")
    world.agent(template={"spec": {"containers": [{"name": "agent", "image": ""}]}})
    world.look()
    assert world.condition("PodReady") == ("False", "PodRejected")
    assert "spec.containers[0].image: Required value" in world.message()
    assert ("pods", "team", "dev") in world.cluster.objects


@pytest.mark.parametrize(
    ("text", "kept"), [("violates PodSecurity", True), ("exceeded quota: pods, requested: 1, used: 1", False)]
)
def test_only_a_quota_that_counts_the_old_pod_does_not_stand_in_the_way_of_the_new_one(
    world: World,
    text: str,
    kept: bool,  # noqa: FBT001 - a column of the table
) -> None:
    world.running()
    world.cluster.failures["judge Pod"] = cluster.ForbiddenError(text)
    world.agent(template={"spec": {"containers": [{"name": "agent", "image": "agent:2"}]}})
    world.look()
    assert (("pods", "team", "dev") in world.cluster.objects) is kept


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (cluster.InvalidError("no"), "PodRejected"),
        (cluster.ForbiddenError("quota"), "PodForbidden"),
        (cluster.ConflictError("there"), "PodTerminating"),
    ],
)
def test_why_a_pod_cannot_be_made_is_told(world: World, error: Exception, reason: str) -> None:
    world.cluster.failures["create Pod"] = error
    world.look()
    assert world.condition("Ready") == ("False", reason)
    world.look()
    assert ("pods", "team", "dev") in world.cluster.objects


def test_a_new_image_of_a_server_makes_another_pod(world: World) -> None:
    world.running()
    world.server("files", image="two")
    world.look(times=2)
    assert "registry.test/files@sha256:two" in json.dumps(world.pod)


@pytest.mark.requirement("F-08")
def test_a_pod_stays_while_one_of_its_servers_is_built_again_and_after_that_failed(world: World) -> None:
    world.running()
    uid = world.pod["metadata"]["uid"]
    raw = world.cluster.add(SERVER, "files", {"source": {"git": {"url": "https://git.test/new"}}})
    raw["status"]["conditions"] = [condition("Ready", "False", "Building")]
    world.look()
    assert world.condition("Ready") == ("True", "Succeeded")
    raw["status"] |= {
        "observedGeneration": 2,
        "conditions": [condition("Ready", "False"), condition("Stalled", "True")],
    }
    world.look()
    assert world.pod["metadata"]["uid"] == uid
    assert world.condition("Ready") == ("True", "Succeeded")


@pytest.mark.requirement("F-04")
def test_the_tools_of_a_deleted_server_vanish_from_a_pod_that_goes_on(world: World) -> None:
    world.server("git", tools=("log",))
    world.agent("files", "git")
    world.running()
    uid = world.pod["metadata"]["uid"]
    world.cluster.remove("mcpservers", "files")
    world.look()
    assert world.pod["metadata"]["uid"] == uid
    denied = next(layer for layer in world.config["layers"] if layer["source"] == "MCPServer/files")
    assert (denied["servers"], denied["tools"]["allow"]) == (["files"], [])
    assert [server["name"] for server in world.config["servers"]] == ["files", "git"]
    assert len(world.config["listen"]["refuseUids"]) == 2
    assert world.condition("ServersReady")[0] == "False"


def test_a_server_that_the_running_pod_does_not_have_is_not_in_its_configuration(world: World) -> None:
    world.running()
    world.agent("extra", "files")
    world.look()
    assert [server["name"] for server in world.config["servers"]] == ["files"]
    assert len(world.config["listen"]["refuseUids"]) == 2
    assert "delete Pod" not in world.cluster.writes


def test_users_of_servers_that_still_run_stay_refused_until_their_pod_is_gone(world: World) -> None:
    world.server("git")
    world.agent("files", "git")
    world.running()
    world.cluster.failures["judge Pod"] = cluster.InvalidError("no")
    world.agent("git")
    world.look()
    assert len(world.config["listen"]["refuseUids"]) == 2


@pytest.mark.requirement("F-08")
def test_somebody_elses_pod_of_that_name_is_never_touched(world: World) -> None:
    foreign = {"metadata": {"name": "dev", "namespace": "team", "uid": "x"}, "spec": {"containers": []}}
    world.cluster.objects["pods", "team", "dev"] = foreign
    world.look()
    assert world.condition("Ready") == ("False", "PodNameTaken")
    assert world.cluster.writes == ["status MCPAgent"]
    assert world.pod is foreign


def test_somebody_elses_config_map_is_never_overwritten(world: World) -> None:
    name = names.config_map("dev")
    world.cluster.objects["configmaps", "team", name] = {"metadata": {"name": name}, "data": {"mine": "1"}}
    world.look()
    assert world.condition("Ready") == ("False", "ConfigMapNameTaken")
    assert world.cluster.writes == ["status MCPAgent"]


def test_the_pod_of_an_earlier_agent_of_that_name_is_waited_for(world: World) -> None:
    world.running()
    world.cluster.remove("mcpagents", "dev")
    world.look()
    world.agent()
    world.look()
    assert world.condition("Ready") == ("False", "PodTerminating")
    assert "delete Pod" not in world.cluster.writes


@pytest.mark.requirement("F-06")
def test_an_unsafe_template_is_told_even_before_the_servers_are_there(world: World) -> None:
    world.agent("nowhere", template={"spec": {**TEMPLATE["spec"], "hostPID": True}})
    world.look()
    assert world.condition("Ready") == ("False", "UnsafeTemplate")
    assert world.condition("ServersReady") == ("False", "ServersNotReady")


@pytest.mark.requirement("F-06")
def test_an_unsafe_template_makes_no_pod_and_names_the_field(world: World) -> None:
    world.agent(template={"spec": {**TEMPLATE["spec"], "hostNetwork": True}})
    world.look()
    assert world.condition("Ready") == ("False", "UnsafeTemplate")
    assert "template.spec.hostNetwork" in world.message()
    assert ("pods", "team", "dev") not in world.cluster.objects


@pytest.mark.requirement("F-06")
def test_a_template_that_became_unsafe_leaves_the_pod_and_policies_still_reach_it(world: World) -> None:
    world.running()
    world.agent(template={"spec": {**TEMPLATE["spec"], "hostNetwork": True}})
    world.cluster.add(POLICY, "cap", {"tools": {"deny": ["write"]}})
    world.look()
    assert world.condition("PodReady") == ("False", "UnsafeTemplate")
    assert world.sources == ["ToolPolicy/cap", "MCPAgent/dev"]
    assert "delete Pod" not in world.cluster.writes


@pytest.mark.requirement("F-04")
@pytest.mark.parametrize("target", [{}, {"namespaceSelector": {"matchLabels": {"team": "a"}}}, {"colour": 1}])
def test_a_policy_that_cannot_be_read_stops_new_pods_and_leaves_running_ones_as_they_are(
    world: World, target: dict[str, Any]
) -> None:
    world.running()
    world.cluster.add(POLICY, "broken", {"target": target, "tools": {"deny": "write"}})
    world.server("files", tools=("read", "write", "new"))
    world.look()
    assert world.condition("PolicyResolved") == ("False", "PolicyInvalid")
    assert "ToolPolicy broken: spec." in world.message()
    assert world.cluster.writes == ["status MCPAgent"]
    assert world.condition("PodReady")[0] == "True"


@pytest.mark.requirement("F-08")
@pytest.mark.parametrize(
    ("required", "policy", "reason", "text"),
    [
        ("files/read", {}, "Succeeded", ""),
        ("files/fly", {}, "ToolsUnknown", "no such tool: files/fly"),
        ("files/read", {"deny": ["read"]}, "ToolsDenied", "files/read (ToolPolicy/cap: Denied)"),
    ],
)
def test_required_tools_are_checked_and_the_pod_is_made_all_the_same(
    world: World, required: str, policy: dict[str, Any], reason: str, text: str
) -> None:
    world.cluster.add(POLICY, "cap", {"tools": policy})
    world.agent(requiredTools=[required])
    world.look()
    assert world.condition("ToolsReady")[1] == reason
    assert text in world.message("ToolsReady")
    assert ("pods", "team", "dev") in world.cluster.objects


@pytest.mark.requirement("F-08")
def test_a_pod_that_ended_is_made_anew_each_time_later(world: World) -> None:
    world.running()
    for delay in (1, 2, 4):
        world.pod["status"] = {"phase": "Failed", "reason": "Evicted", "message": "low on memory"}
        world.look()
        assert "Evicted: low on memory" in world.message()
        world.look()
        assert world.condition("PodReady") == ("False", "PodBackOff")
        world.clock.forward(delay)
        world.look()
        assert world.condition("PodReady") == ("False", "PodCreated")


def test_a_pod_that_somebody_deleted_is_made_anew_at_once(world: World) -> None:
    world.running()
    del world.cluster.objects["pods", "team", "dev"]
    world.look()
    assert world.condition("PodReady") == ("False", "PodCreated")
