from __future__ import annotations

from typing import Any

import pytest
from agent_world import TEMPLATE, World, condition
from fake_cluster import POLICY, SERVER, FakeCluster
from mcp_operator import cluster
from mcp_operator.models.run import Run
from mcp_operator.reconcile import references, run_settings
from mcp_operator.reconcile.agent import RESYNC
from mcp_operator.workqueue import Key


@pytest.fixture
def world() -> World:
    return World()


@pytest.mark.requirement("F-08")
def test_reconciling_again_writes_nothing_and_tells_nothing(world: World) -> None:
    world.running()
    assert world.look(times=3) == RESYNC
    assert world.cluster.writes == []
    assert world.cluster.events == []


@pytest.mark.requirement("F-08")
def test_an_agent_waits_for_its_servers_and_says_which_and_why(world: World) -> None:
    world.agent("files", "nowhere", "building")
    raw = world.cluster.add(SERVER, "building", {"source": {"git": {"url": "https://git.test/b"}}})
    raw["status"] = {"conditions": [condition("Ready", "False", "Building")]}
    world.look()
    assert world.condition("ServersReady") == ("False", "ServersNotReady")
    assert "nowhere: there is no such MCPServer" in world.message()
    assert "building: it has no image yet (Building" in world.message()
    assert ("pods", "team", "dev") not in world.cluster.objects


def test_a_change_that_must_wait_for_a_server_is_not_told_as_done(world: World) -> None:
    world.running()
    raw = world.cluster.add(
        SERVER, "files", {"source": {"git": {"url": "https://git.test/files"}}, "run": {"args": ["--new"]}}
    )
    assert raw["status"]["observedGeneration"] == 1
    world.look()
    assert "delete Pod" not in world.cluster.writes
    assert world.condition("Ready") == ("False", "ServersNotReady")
    assert "built and verified as written, see kubectl describe mcps files -n team" in world.message()


@pytest.mark.requirement("O-11")
def test_settings_with_which_a_server_could_not_be_verified_reach_no_pod_that_runs(world: World) -> None:
    good = run_settings.fingerprint(Run())
    world.cluster.objects["mcpservers", "team", "files"]["status"]["image"]["verifiedWith"] = good
    world.running()
    world.server("files", run={"args": ["--broken"]})
    status = world.cluster.objects["mcpservers", "team", "files"]["status"]
    status["image"]["verifiedWith"] = good
    status["conditions"] = [condition("Ready", "False", "NotAnMcpServer"), condition("Stalled", "True")]
    world.look()
    assert "delete Pod" not in world.cluster.writes
    assert "built and verified as written, see kubectl describe mcps files -n team" in world.message()

    status["image"]["verifiedWith"] = run_settings.fingerprint(Run(args=["--broken"]))
    world.look()
    assert "delete Pod" in world.cluster.writes


@pytest.mark.requirement("O-05", "O-11")
def test_a_pod_that_has_unverified_settings_already_gets_a_rotated_secret(world: World) -> None:
    token = {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "files", "key": "k"}}}
    world.cluster.give("Secret", "files", "k")
    world.server("files", image="1" * 64, run={"env": [token]})
    world.cluster.objects["mcpservers", "team", "files"]["status"]["image"]["verifiedWith"] = "something else"
    world.running()
    world.cluster.give("Secret", "files", "k", version="2")
    world.look()
    assert "change images" in world.cluster.writes


def test_the_agent_may_not_read_its_servers_secrets(world: World) -> None:
    token = {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "files-token", "key": "k"}}}
    world.server("files", run={"env": [token]})
    stolen = {"name": "agent", "image": "a", "envFrom": [{"secretRef": {"name": "files-token"}}]}
    world.agent(template={"spec": {"containers": [stolen]}})
    world.look()
    assert world.condition("Ready") == ("False", "UnsafeTemplate")


def test_a_policy_that_cannot_be_read_is_no_matter_to_agents_that_it_does_not_target(world: World) -> None:
    target = {"namespaceSelector": {"matchLabels": {"team": "b"}}}
    world.cluster.add(POLICY, "broken", {"target": target, "tools": {"deny": "write"}})
    world.running()
    assert world.condition("Ready")[0] == "True"


@pytest.mark.requirement("F-08")
def test_an_agent_that_was_deleted_in_the_middle_is_not_brought_back(world: World) -> None:
    class Gone(FakeCluster):
        def pod(self, namespace: str, name: str) -> cluster.Manifest | None:
            del self.objects["mcpagents", namespace, name]
            return None

    world.cluster.__class__ = Gone
    world.look()
    assert ("mcpagents", "team", "dev") not in world.cluster.objects
    owner = world.pod["metadata"]["ownerReferences"][0]
    assert (owner["kind"], owner["controller"]) == ("MCPAgent", True)
    assert world.look() is None


def test_an_agent_that_is_being_deleted_is_left_alone(world: World) -> None:
    world.cluster.objects["mcpagents", "team", "dev"]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert world.look() is None
    assert world.cluster.writes == []


def test_policies_are_counted_again_when_agents_come_change_their_labels_and_go(world: World) -> None:
    world.cluster.add(POLICY, "cap", {"tools": {}})
    cap = Key("ToolPolicy", "", "cap")
    world.look()
    assert world.woken == [cap]
    world.look()
    assert world.woken == [cap]
    world.cluster.objects["mcpagents", "team", "dev"]["metadata"]["labels"] = {}
    world.look()
    world.cluster.remove("mcpagents", "dev")
    world.look()
    assert world.woken == [cap] * 3


def test_a_spec_that_does_not_fit_is_told_by_field(world: World) -> None:
    world.agent(colour="blue")
    world.look()
    assert world.condition("Ready") == ("False", "InvalidSpec")
    assert "spec.colour" in world.message()


def test_a_namespace_that_is_going_is_no_error(world: World) -> None:
    world.cluster.namespaces.clear()
    world.look()
    assert world.condition("Ready")[0] == "False"


# --- several servers, and what they are given


@pytest.mark.requirement("O-10")
def test_several_servers_are_narrowed_each_by_its_own_filter(world: World) -> None:
    world.server("git", tools=("log", "push"))
    world.outside("far")
    narrowed = [{"name": "files", "tools": {"allow": ["read"]}}, {"name": "git", "tools": {"deny": ["push"]}}]
    world.agent(servers=[*narrowed, {"name": "far"}])
    world.running()
    assert world.status["tools"]["names"] == ["files__read", "git__log", "far__read", "far__write"]
    assert [server["name"] for server in world.config["servers"]] == ["files", "git", "far"]
    assert [(each["tool"], each["by"]) for each in world.status["denied"]] == [
        ("files/write", "MCPAgent/dev"),
        ("git/push", "MCPAgent/dev"),
    ]


@pytest.mark.requirement("O-10")
def test_required_tools_are_told_even_while_a_server_is_missing(world: World) -> None:
    world.agent("files", "nowhere", requiredTools=["nowhere/x", "files/read"])
    world.look()
    assert world.condition("ToolsReady") == ("False", "ToolsWaiting")
    assert "nowhere/x (there is no such MCPServer" in world.message("ToolsReady")


@pytest.mark.requirement("O-14")
def test_the_tools_that_were_verified_are_pinned_in_toolmans_configuration(world: World) -> None:
    world.running()
    assert world.config["servers"][0]["manifest"] == [
        {"name": "read", "hash": "sha256:0"},
        {"name": "write", "hash": "sha256:0"},
    ]


@pytest.mark.requirement("O-05")
@pytest.mark.parametrize(
    ("run", "kind", "reason"),
    [
        (
            {"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "given", "key": "k"}}}]},
            "Secret",
            "SecretMissing",
        ),
        ({"envFrom": [{"secretRef": {"name": "given"}}]}, "Secret", "SecretMissing"),
        (
            {"files": [{"path": "/etc/x", "configMapKeyRef": {"name": "given", "key": "k"}}]},
            "ConfigMap",
            "ConfigMapMissing",
        ),
        ({"imagePullSecrets": [{"name": "given"}]}, "Secret", "SecretMissing"),
    ],
)
def test_what_a_server_is_to_be_given_is_waited_for_before_a_pod_is_made(
    world: World, run: dict[str, Any], kind: cluster.ReferenceKind, reason: str
) -> None:
    world.server("files", run=run)
    assert world.look() == references.RECHECK
    assert world.condition("ServersReady") == ("False", reason)
    assert f"files: {kind} given is not there: kubectl create" in world.message()
    assert ("pods", "team", "dev") not in world.cluster.objects
    world.cluster.give(kind, "given", "k")
    world.running()
    assert world.condition("Ready")[0] == "True"
    assert world.look() == references.RECHECK


@pytest.mark.requirement("O-02", "O-05")
def test_a_missing_secret_is_the_reason_only_where_nothing_else_is_missing(world: World) -> None:
    world.server("files", run={"envFrom": [{"secretRef": {"name": "given"}}]})
    world.agent(servers=[{"name": "gone"}, {"name": "files"}])
    world.look()
    assert world.condition("ServersReady") == ("False", "ServersNotReady")
    assert "gone: there is no such MCPServer" in world.message()
    assert "files: Secret given is not there: kubectl create" in world.message()
    assert world.status["summary"].startswith("ServersNotReady: gone: there is no such MCPServer")


@pytest.mark.requirement("O-05")
def test_a_secret_that_vanishes_leaves_the_pod_that_runs_and_its_tools(world: World) -> None:
    world.server("files", run={"envFrom": [{"secretRef": {"name": "given"}}]})
    world.cluster.give("Secret", "given")
    world.running()
    world.cluster.references.clear()
    world.look()
    assert world.condition("ServersReady") == ("False", "SecretMissing")
    assert "delete Pod" not in world.cluster.writes
    assert "change images" not in world.cluster.writes
    assert world.status["tools"]["visible"] == 2


@pytest.mark.requirement("O-05", "O-12")
@pytest.mark.parametrize(
    "container",
    [
        {"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "whole", "key": "k"}}}]},
        {"envFrom": [{"secretRef": {"name": "file"}}]},
        {"envFrom": [{"secretRef": {"name": "pull"}}]},
    ],
)
def test_no_secret_of_a_server_is_given_to_the_agent_by_any_route(world: World, container: dict[str, Any]) -> None:
    run = {
        "envFrom": [{"secretRef": {"name": "whole"}}],
        "files": [{"path": "/etc/x", "secretKeyRef": {"name": "file", "key": "k"}}],
        "imagePullSecrets": [{"name": "pull"}],
    }
    world.server("files", run=run)
    world.agent(template={"spec": {"containers": [{"name": "agent", "image": "a", **container}]}})
    world.look()
    assert world.condition("Ready") == ("False", "UnsafeTemplate")


@pytest.mark.requirement("O-05")
def test_files_written_in_a_server_are_there_before_its_container_is(world: World) -> None:
    world.server("files", run={"files": [{"path": "/etc/x", "content": "hello"}]})
    world.look()
    assert world.cluster.writes == ["apply ConfigMap", "apply ConfigMap", "create Pod", "status MCPAgent"]
    assert world.cluster.objects["configmaps", "team", "files-files"]["data"] == {"file-0": "hello"}
    world.running()
    world.look()
    assert world.cluster.writes == []


@pytest.mark.requirement("O-05")
def test_files_that_are_too_large_are_told_with_what_to_do(world: World) -> None:
    run = {"files": [{"path": f"/etc/x{number}", "content": "x" * 65_000} for number in range(14)]}
    world.server("files", run=run)
    world.look()
    assert world.condition("ServersReady") == ("False", "FilesTooLarge")
    assert "put them into ConfigMaps of your own" in world.message()


# --- running to completion, and not running


@pytest.mark.requirement("O-11")
@pytest.mark.parametrize(("code", "ready", "phase"), [(0, "Completed", "Succeeded"), (3, "RunFailed", "Failed")])
def test_a_run_that_ended_while_no_operator_looked_is_told_from_its_pod(
    world: World, code: int, ready: str, phase: str
) -> None:
    world.agent(restartPolicy="Never")
    world.look()
    world.ended(code)
    world.status.clear()  # as if nobody had ever seen it run
    world.restart()
    world.look()
    assert (world.status["phase"], world.status["run"]["exitCode"]) == (phase, code)
    assert world.condition("Ready")[1] == ready
    assert world.cluster.writes.count("create Pod") == 1


@pytest.mark.requirement("O-11")
@pytest.mark.parametrize(("code", "ready", "phase"), [(0, "Completed", "Succeeded"), (3, "RunFailed", "Failed")])
def test_an_agent_runs_to_completion_once_and_says_how_it_ended(
    world: World, code: int, ready: str, phase: str
) -> None:
    world.agent(restartPolicy="Never")
    world.started()
    assert world.pod["spec"]["restartPolicy"] == "Never"
    assert world.condition("Ready") == ("True", "Succeeded")
    world.ended(code)
    world.look(times=3)
    assert world.condition("Ready")[1] == ready
    assert (world.status["phase"], world.status["run"]["exitCode"]) == (phase, code)
    assert world.cluster.writes == ["status MCPAgent"]
    assert world.cluster.reasons == ["RunSucceeded" if code == 0 else "RunFailed"]


@pytest.mark.requirement("O-11")
@pytest.mark.parametrize("policy", ["Never", "OnFailure"])
def test_no_second_run_follows_whatever_happens_after_the_first(world: World, policy: str) -> None:
    world.agent(restartPolicy=policy)
    world.started()
    world.ended()
    world.look()
    world.cluster.remove("pods", "dev")
    world.server("files", image="two")
    world.restart()
    world.look(times=2)
    assert "create Pod" not in world.cluster.writes
    world.agent(restartPolicy=policy, suspend=True)
    world.agent(restartPolicy=policy, ttlSecondsAfterFinished=999_999)
    world.look(times=2)
    assert "create Pod" not in world.cluster.writes
    world.agent(restartPolicy=policy, template={"spec": {"containers": [{"name": "agent", "image": "agent:2"}]}})
    world.look()
    assert "create Pod" in world.cluster.writes


@pytest.mark.requirement("O-11")
def test_another_spec_replaces_what_is_left_of_the_run_before(world: World) -> None:
    world.agent(restartPolicy="Never")
    world.started()
    world.ended()
    world.look()
    world.agent(restartPolicy="Never", template={"spec": {"containers": [{"name": "agent", "image": "agent:2"}]}})
    world.look(times=3)
    assert world.pod["spec"]["containers"][0]["image"] == "agent:2"
    assert world.status["phase"] == "Pending"


@pytest.mark.requirement("O-11")
def test_an_evicted_run_is_gone_on_with_by_another_pod_with_on_failure(world: World) -> None:
    world.agent(restartPolicy="OnFailure", activeDeadlineSeconds=100)
    world.started()
    world.clock.forward(40)
    world.ended(143, reason="Evicted")
    world.look()
    world.clock.forward(1)
    world.look()
    assert world.condition("PodReady") == ("False", "PodCreated")
    assert world.pod["spec"]["activeDeadlineSeconds"] == 59


@pytest.mark.requirement("O-11")
def test_a_run_that_has_begun_goes_on_whatever_its_pod_would_be_made_from_now(world: World) -> None:
    world.agent(restartPolicy="Never")
    world.started()
    uid = world.pod["metadata"]["uid"]
    world.server("files", run={"args": ["--new"]})
    world.look()
    assert world.pod["metadata"]["uid"] == uid
    assert world.condition("PodReady") == ("False", "PodOutdated")
    assert "its run goes on as it began" in world.message()


@pytest.mark.requirement("O-11")
def test_a_finished_agent_is_deleted_when_its_time_is_over_and_not_before_that_is_written_down(world: World) -> None:
    world.agent(restartPolicy="Never", ttlSecondsAfterFinished=0)
    world.started()
    world.ended()
    assert world.look() == 1.0
    assert world.cluster.writes == ["status MCPAgent"]
    world.look()
    assert ("mcpagents", "team", "dev") not in world.cluster.objects


@pytest.mark.requirement("O-11", "O-13")
def test_of_a_finished_agent_that_an_mcpserver_has_written_only_the_pod_goes(world: World) -> None:
    owner = {"apiVersion": "toolman.dev/v1alpha1", "kind": "MCPServer", "name": "files", "uid": "u", "controller": True}
    world.agent(restartPolicy="Never", ttlSecondsAfterFinished=5)
    world.cluster.objects["mcpagents", "team", "dev"]["metadata"]["ownerReferences"] = [owner]
    world.started()
    world.ended()
    assert world.look() == 5.0
    world.clock.forward(5)
    world.look(times=2)
    assert ("pods", "team", "dev") not in world.cluster.objects
    assert ("mcpagents", "team", "dev") in world.cluster.objects
    assert "create Pod" not in world.cluster.writes
    assert world.status["phase"] == "Succeeded"


@pytest.mark.requirement("O-11")
def test_a_suspended_agent_has_no_pod_and_gets_one_again_afterwards(world: World) -> None:
    world.running()
    world.agent(suspend=True)
    world.look(times=3)
    assert world.cluster.writes.count("delete Pod") == 1
    assert ("pods", "team", "dev") not in world.cluster.objects
    assert world.condition("Ready") == ("False", "Suspended")
    assert world.condition("Stalled") == ("absent", "")
    assert world.cluster.reasons == ["Suspended"]
    world.agent()
    world.look()
    assert ("pods", "team", "dev") in world.cluster.objects


@pytest.mark.requirement("O-11")
def test_a_template_that_says_something_else_about_restarts_is_refused(world: World) -> None:
    world.agent(restartPolicy="Never", template={"spec": {**TEMPLATE["spec"], "restartPolicy": "OnFailure"}})
    world.look()
    assert "the agent's own spec.restartPolicy says Never" in world.message()


@pytest.mark.requirement("O-13")
def test_the_server_that_has_written_an_agent_is_told_when_that_changes_or_goes(world: World) -> None:
    owner = {"apiVersion": "toolman.dev/v1alpha1", "kind": "MCPServer", "name": "files", "uid": "u", "controller": True}
    world.cluster.objects["mcpagents", "team", "dev"]["metadata"]["ownerReferences"] = [owner]
    files = Key("MCPServer", "team", "files")
    world.look(times=2)
    assert world.woken.count(files) == 1
    world.cluster.remove("mcpagents", "dev")
    world.look()
    assert world.woken.count(files) == 2


@pytest.mark.requirement("O-32")
def test_in_a_namespace_that_is_going_nothing_is_made_or_written_down(world: World) -> None:
    world.running()
    world.cluster.remove("pods", "dev")
    world.cluster.ending.add("team")
    with pytest.raises(cluster.EndingError):
        world.look()
    assert (world.cluster.writes, world.cluster.events) == ([], [])


@pytest.mark.requirement("O-32")
def test_a_namespace_that_begins_to_go_during_a_look_ends_it(world: World) -> None:
    world.cluster.failures["create Pod"] = cluster.EndingError("terminating")
    with pytest.raises(cluster.EndingError):
        world.look()
    assert world.cluster.events == []
