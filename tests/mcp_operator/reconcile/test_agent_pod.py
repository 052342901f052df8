from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from agent_world import TEMPLATE, World, condition
from fake_cluster import POLICY, SERVER
from mcp_operator import cluster, names
from mcp_operator.reconcile import in_place


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


def _server_container(world: World, name: str = "files") -> dict[str, Any]:
    listed: list[dict[str, Any]] = world.pod["spec"]["initContainers"]
    return next(each for each in listed if each["name"] == names.server_container(name))


def _runs(world: World, container_id: str) -> None:
    """Let the server's container run."""
    running = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
    found = {"name": names.server_container("files"), "containerID": container_id, "ready": True, "state": running}
    world.pod["status"]["initContainerStatuses"] = [found]


@pytest.mark.requirement("O-11")
def test_a_new_image_of_a_server_is_given_to_the_pod_that_runs_and_the_rest_of_it_stays(world: World) -> None:
    world.running()
    _runs(world, "c1")
    uid, spec = world.pod["metadata"]["uid"], copy.deepcopy(world.pod["spec"])
    world.server("files", image="two", tools=("read", "write", "new"))
    assert world.look() == 10.0
    assert world.cluster.writes == ["apply ConfigMap", "change images", "status MCPAgent"]
    assert _server_container(world)["image"] == "registry.test/files@sha256:two"
    _server_container(world)["image"] = "registry.test/files@sha256:one"
    assert world.pod["spec"] == spec
    _server_container(world)["image"] = "registry.test/files@sha256:two"
    assert world.condition("Ready") == ("False", "ServersRestarting")
    assert world.cluster.reasons == ["ServersChanged", "PolicyChanged"]
    world.look()
    assert world.condition("Ready") == ("False", "ServersRestarting")
    _runs(world, "c2")
    world.look()
    assert world.condition("Ready") == ("True", "Succeeded")
    assert world.pod["metadata"]["uid"] == uid
    assert world.config["servers"][0]["manifest"][-1]["name"] == "new"


@pytest.mark.requirement("O-11")
def test_a_kubelet_that_does_not_start_the_server_again_costs_the_pod_and_not_the_change(world: World) -> None:
    world.running()
    _runs(world, "c1")
    world.server("files", image="two")
    world.look()
    world.clock.forward(in_place.DUE + 1)
    world.look(times=2)
    assert world.cluster.writes.count("delete Pod") == 1
    assert "its node did not start the servers again" in world.cluster.events[-2]["note"]
    assert _server_container(world)["image"] == "registry.test/files@sha256:two"
    assert names.ANNOTATION_IN_PLACE not in world.pod["metadata"]["annotations"]


@pytest.mark.requirement("O-11")
def test_recreate_replaces_the_pod_for_a_new_image(world: World) -> None:
    world.agent(updateStrategy="Recreate")
    world.running()
    world.server("files", image="two")
    world.look(times=2)
    assert "change images" not in world.cluster.writes
    assert world.cluster.writes.count("delete Pod") == 1
    assert "registry.test/files@sha256:two" in json.dumps(world.pod)


@pytest.mark.requirement("O-11")
def test_on_delete_says_that_the_pod_is_outdated_and_pins_the_tools_that_it_has(world: World) -> None:
    world.agent(updateStrategy="OnDelete")
    world.running()
    world.server("files", image="two", tools=("other",))
    world.cluster.add(POLICY, "cap", {"tools": {"deny": ["write"]}})
    world.look()
    assert world.condition("Ready") == ("False", "PodOutdated")
    assert "when it suits: kubectl delete pod dev -n team" in world.message()
    assert [tool["name"] for tool in world.config["servers"][0]["manifest"]] == ["read", "write"]
    assert world.sources == ["ToolPolicy/cap", "MCPAgent/dev"]
    assert world.cluster.writes == ["apply ConfigMap", "annotate Pod", "status MCPAgent"]
    world.cluster.remove("pods", "dev")
    world.look()
    assert "registry.test/files@sha256:two" in json.dumps(world.pod)
    assert [tool["name"] for tool in world.config["servers"][0]["manifest"]] == ["other"]


@pytest.mark.requirement("O-05")
def test_a_changed_secret_starts_that_server_again_in_place_and_no_other(world: World) -> None:
    world.server("files", image="one", run={"envFrom": [{"secretRef": {"name": "given"}}]})
    world.server("git")
    world.agent("files", "git")
    world.cluster.give("Secret", "given")
    world.running()
    before = _server_container(world)["image"]
    assert before.startswith("registry.test/files:r-")
    assert before.endswith("@sha256:one")
    assert _server_container(world, "git")["image"] == "registry.test/git@sha256:one"
    world.look()
    assert world.cluster.writes == []
    world.cluster.give("Secret", "given", version="2")
    world.look()
    assert world.cluster.writes == ["change images", "status MCPAgent"]
    after = _server_container(world)["image"]
    assert after != before
    assert after.endswith("@sha256:one")


@pytest.mark.requirement("O-11")
def test_an_image_in_the_pod_that_somebody_changed_is_put_back(world: World) -> None:
    world.running()
    _server_container(world)["image"] = "evil.test/x@sha256:evil"
    world.look()
    assert _server_container(world)["image"] == "registry.test/files@sha256:one"


@pytest.mark.requirement("O-11")
def test_images_that_the_api_server_refuses_to_change_are_told(world: World) -> None:
    world.running()
    world.server("files", image="two")
    world.cluster.failures["change images"] = cluster.ForbiddenError("denied by a policy")
    world.look()
    assert world.condition("PodReady") == ("False", "PodForbidden")
    world.look()
    assert _server_container(world)["image"] == "registry.test/files@sha256:two"


@pytest.mark.requirement("O-14")
def test_a_remote_server_that_needs_no_secret_comes_and_goes_without_another_pod(world: World) -> None:
    world.running()
    uid = world.pod["metadata"]["uid"]
    world.outside("far")
    world.agent("files", "far")
    world.look()
    assert [server["name"] for server in world.config["servers"]] == ["files", "far"]
    assert world.status["tools"]["total"] == 4
    world.agent("files")
    world.look()
    assert [server["name"] for server in world.config["servers"]] == ["files"]
    assert world.pod["metadata"]["uid"] == uid


@pytest.mark.requirement("O-14")
def test_a_remote_server_with_a_secret_goes_without_another_pod_and_comes_with_one(world: World) -> None:
    header = {"name": "Authorization", "valueFrom": {"secretKeyRef": {"name": "bearer", "key": "token"}}}
    world.outside("far", headers=[header])
    world.cluster.give("Secret", "bearer", "token")
    world.agent("files", "far")
    world.running()
    uid = world.pod["metadata"]["uid"]
    told = world.pod["metadata"]["annotations"][names.ANNOTATION_CONFIG_HASH]
    world.cluster.give("Secret", "bearer", "token", version="2")
    world.look()
    assert world.cluster.writes == ["annotate Pod"]  # which wakes the kubelet, which refreshes the file
    assert world.pod["metadata"]["annotations"][names.ANNOTATION_CONFIG_HASH] != told
    world.agent("files")
    world.look()
    assert (world.pod["metadata"]["uid"], [server["name"] for server in world.config["servers"]]) == (uid, ["files"])
    world.agent("files", "far")
    world.look()
    assert world.pod["metadata"]["uid"] == uid
    assert [server["name"] for server in world.config["servers"]] == ["files", "far"]
    world.outside("more", headers=[header])
    world.agent("files", "far", "more")
    world.look(times=2)
    assert world.cluster.writes.count("delete Pod") == 1
    assert world.pod["metadata"]["uid"] != uid


@pytest.mark.requirement("O-30")
@pytest.mark.parametrize("write", ["annotate Pod", "change images"])
def test_a_pod_that_goes_at_this_very_moment_is_told_as_that_and_as_nothing_else(world: World, write: str) -> None:
    world.running()
    if write == "annotate Pod":
        world.agent("files", toolNames="Plain")
    else:
        world.server("files", image="two")
    world.cluster.failures[write] = cluster.NotFoundError("gone")
    assert world.look() == 1
    assert write in world.cluster.writes
    assert world.condition("PolicyResolved")[0] == "True"
    assert world.condition("PodReady") == ("False", "PodTerminating")


@pytest.mark.requirement("O-02", "O-30")
def test_a_change_that_the_api_server_does_not_take_now_is_told_in_its_words(world: World) -> None:
    world.running()
    world.server("files", image="two")
    world.cluster.failures["change images"] = cluster.ConflictError("the object has been modified")
    assert world.look() == 1
    assert world.condition("PodReady") == ("False", "PodOutdated")
    assert "the object has been modified" in world.message()


def test_a_configuration_that_is_too_large_is_told_and_not_written(world: World) -> None:
    world.server("files", tools=tuple(f"tool_{number}_{'x' * 100}" for number in range(8000)))
    world.look()
    assert world.condition("PodReady") == ("False", "ConfigTooLarge")
    assert ("configmaps", "team", names.config_map("dev")) not in world.cluster.objects


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
        ("files/read", {"deny": ["read"]}, "ToolsDenied", "files/read (by ToolPolicy/cap: Denied)"),
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


@pytest.mark.requirement("O-11")
def test_no_second_pod_is_made_while_one_is_on_a_node_that_does_not_answer(world: World) -> None:
    world.running()
    world.pod["metadata"]["deletionTimestamp"] = "2025-12-31T23:50:00Z"
    world.pod["spec"]["nodeName"] = "node-1"
    world.look()
    assert world.condition("Ready") == ("False", "PodStuckTerminating")
    assert "node node-1 does not say that it has ended" in world.message()
    assert "create Pod" not in world.cluster.writes
    world.cluster.remove("pods", "dev")
    world.look()
    assert "create Pod" in world.cluster.writes


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
