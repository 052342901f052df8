from __future__ import annotations

import json
from typing import Any

import pytest
from fake_builder import COMMIT, FakeClock
from fake_cluster import AGENT, POLICY, SERVER, FakeCluster
from mcp_operator import cluster, names
from mcp_operator.events import Recorder
from mcp_operator.reconcile.agent import RESYNC, AgentReconciler
from mcp_operator.reconcile.services import Services
from mcp_operator.settings import Settings
from mcp_operator.workqueue import Key

SETTINGS = Settings(registry="registry.test", image_toolman="toolman:1", image_wrapper="wrapper:1")
TEMPLATE: dict[str, Any] = {"spec": {"containers": [{"name": "agent", "image": "agent:1"}]}}


class World:
    """A reconciler over a cluster in memory with one server that is ready and one agent that uses it."""

    def __init__(self) -> None:
        self.cluster = FakeCluster()
        self.clock = FakeClock()
        self.woken: list[Key] = []
        services = Services(
            api=self.cluster,
            recorder=Recorder(self.cluster, self.clock),
            settings=SETTINGS,
            clock=self.clock,
            wake=lambda key, _: self.woken.append(key),
        )
        self.reconciler = AgentReconciler(services)
        self.server("files")
        self.agent()

    def server(self, name: str, *, image: str = "one", tools: tuple[str, ...] = ("read", "write"), **spec: Any) -> None:
        """Put a server there that is in service."""
        raw = self.cluster.add(SERVER, name, {"source": {"git": {"url": f"https://git.test/{name}"}}, **spec})
        raw["status"] = {
            "observedGeneration": raw["metadata"]["generation"],
            "conditions": [_condition("Ready", "True")],
            "source": {"commit": COMMIT},
            "image": {
                "reference": f"registry.test/{name}@sha256:{image}",
                "id": "sha256:1",
                "size": 1,
                "command": ["serve"],
                "workingDir": "/app",
                "buildKey": image,
            },
            "tools": [{"name": tool, "hash": "sha256:0"} for tool in tools],
            "toolCount": len(tools),
        }

    def agent(self, *servers: str, **spec: Any) -> None:
        """Apply the agent."""
        named = [{"name": name} for name in servers or ("files",)]
        self.cluster.add(AGENT, "dev", {"servers": named, "template": TEMPLATE, **spec}, labels={"tier": "gold"})

    def look(self, *, times: int = 1) -> float | None:
        """Reconcile."""
        delay = None
        for _ in range(times):
            delay = self.reconciler.reconcile("team", "dev")
        return delay

    def running(self) -> None:
        """Let the Pod become ready."""
        self.look()
        self.pod["status"] = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
        self.look()
        self.cluster.writes.clear()
        self.cluster.events.clear()

    def condition(self, kind: str) -> tuple[str, str]:
        return self.cluster.condition(AGENT, "dev", kind)

    @property
    def status(self) -> dict[str, Any]:
        return self.cluster.status(AGENT, "dev")

    @property
    def pod(self) -> dict[str, Any]:
        return self.cluster.objects["pods", "team", "dev"]

    @property
    def config(self) -> dict[str, Any]:
        stored = self.cluster.objects["configmaps", "team", names.config_map("dev")]
        config: dict[str, Any] = json.loads(stored["data"][names.CONFIG_FILE])
        return config

    @property
    def sources(self) -> list[str]:
        """Who has a layer in toolman's configuration."""
        return [layer["source"] for layer in self.config["layers"]]

    def message(self, kind: str = "Ready") -> str:
        return next(str(each["message"]) for each in self.status["conditions"] if each["type"] == kind)


def _condition(kind: str, status: str, reason: str = "Succeeded") -> dict[str, Any]:
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": "",
        "observedGeneration": 1,
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }


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
    raw["status"] = {"conditions": [_condition("Ready", "False", "Building")]}
    world.look()
    assert world.condition("ServersReady") == ("False", "ServersNotReady")
    assert "nowhere: there is no MCPServer of this name" in world.message()
    assert "building: it has no image yet (Building" in world.message()
    assert ("pods", "team", "dev") not in world.cluster.objects


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
    raw["status"]["conditions"] = [_condition("Ready", "False", "Building")]
    world.look()
    assert world.condition("Ready") == ("True", "Succeeded")
    raw["status"] |= {"observedGeneration": 2, "conditions": [_condition("Ready", "False"), _condition("Stalled", "True")]}
    world.look()
    assert world.pod["metadata"]["uid"] == uid
    assert world.condition("Ready") == ("True", "Succeeded")


def test_a_change_that_must_wait_for_a_server_is_not_told_as_done(world: World) -> None:
    world.running()
    raw = world.cluster.add(
        SERVER, "files", {"source": {"git": {"url": "https://git.test/files"}}, "run": {"args": ["--new"]}}
    )
    assert raw["status"]["observedGeneration"] == 1
    world.look()
    assert "delete Pod" not in world.cluster.writes
    assert world.condition("Ready") == ("False", "ServersNotReady")
    assert "until these servers are built: files" in world.message()


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
    assert world.sources == ["ToolPolicy/cap"]
    assert "delete Pod" not in world.cluster.writes


def test_the_agent_may_not_read_its_servers_secrets(world: World) -> None:
    token = {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "files-token", "key": "k"}}}
    world.server("files", run={"env": [token]})
    stolen = {"name": "agent", "image": "a", "envFrom": [{"secretRef": {"name": "files-token"}}]}
    world.agent(template={"spec": {"containers": [stolen]}})
    world.look()
    assert world.condition("Ready") == ("False", "UnsafeTemplate")


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


def test_a_policy_that_cannot_be_read_is_no_matter_to_agents_that_it_does_not_target(world: World) -> None:
    target = {"namespaceSelector": {"matchLabels": {"team": "b"}}}
    world.cluster.add(POLICY, "broken", {"target": target, "tools": {"deny": "write"}})
    world.running()
    assert world.condition("Ready")[0] == "True"


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
