"""Shared servers: what is made of them, who may call, what is put back, and what is left when they are not shared."""

from __future__ import annotations

import dataclasses
from datetime import timedelta

import pytest
from agent_world import SETTINGS
from cryptography import x509
from fake_cluster import AGENT, SERVER
from mcp_operator import cluster, conditions, names, objects
from mcp_operator.models.agent import MCPAgentSpec
from mcp_operator.models.status import EndpointStatus, ProtocolStatus
from mcp_operator.outcomes import Done, Outcome, Stalled, Waiting
from mcp_operator.reconcile import agent_inputs
from mcp_operator.reconcile.guard_callers import News
from mcp_operator.reconcile.progress import Progress
from mcp_operator.reconcile.references import References
from mcp_operator.reconcile.shared import RECHECK
from shared_world import SharedWorld

from toolman import configfile

pytestmark = pytest.mark.requirement("O-04")


@pytest.fixture
def world() -> SharedWorld:
    return SharedWorld()


def reason(outcome: Outcome | None) -> str:
    assert outcome is not None
    return outcome.reason


def test_a_shared_server_gets_all_that_leads_to_it(world: SharedWorld) -> None:
    assert isinstance(world.look(), Waiting)
    assert world.kinds() == {
        "configmaps",
        "deployments",
        "networkpolicies",
        "secrets",
        "serviceaccounts",
        "services",
    }
    found = world.status.endpoint
    assert found is not None
    assert found.url == "https://git-guard.team.svc:8443/mcp"
    assert found.transport == "streamable-http"
    assert found.audience == f"toolman.dev/mcpserver/{world.resource.uid}"
    authority = world.made("configmaps", str(found.ca_config_map))["data"][names.CA_FILE]
    leaf = x509.load_pem_x509_certificate(world.cluster.secrets["team", "git-guard-tls"]["tls.crt"])
    leaf.verify_directly_issued_by(x509.load_pem_x509_certificate(authority.encode()))
    assert world.cluster.binding is not None
    assert world.cluster.binding["subjects"] == [
        {"kind": "ServiceAccount", "name": "git-guard", "namespace": "team"},
    ]


def test_toolman_takes_the_configuration_that_is_written_for_it(world: SharedWorld) -> None:
    world.look()
    text = world.made("configmaps")["data"][names.CONFIG_FILE]
    found = configfile.loads(text.encode())
    assert found.guard is not None
    assert found.guard.audience == names.guard_audience(world.resource.uid)
    assert found.servers[0].sessions == "shared"
    world.server(shared={"sessions": "PerSession"})
    world.look()
    assert world.config["servers"][0]["sessions"] == "perSession"


def test_reconciling_twice_writes_nothing(world: SharedWorld) -> None:
    world.look()
    world.guard_pod()
    world.look()
    world.rolled_out()
    assert isinstance(world.look(), Done)
    assert world.cluster.writes == []


def test_each_agent_that_names_it_is_a_caller_with_its_own_layers(world: SharedWorld) -> None:
    world.policy("base", tools={"deny": ["rm"]}, target={"servers": ["*"]})
    world.policy("elsewhere", tools={"deny": ["rm"]}, target={"servers": ["other"]})
    world.agent("ops", allow=["read"])
    world.agent("other", uses="files")
    world.agent("starting", pod=False)
    world.look()
    assert world.callers == {
        "pod-of-dev": ["ToolPolicy/base", "MCPAgent/dev"],
        "pod-of-ops": ["ToolPolicy/base", "MCPAgent/ops"],
    }
    ops = next(caller for caller in world.config["guard"]["callers"] if caller["pod"] == "pod-of-ops")
    assert ops["name"] == "MCPAgent/ops"
    assert ops["layers"][-1]["tools"] == {"allow": ["read"]}


def test_a_pod_that_is_not_its_agents_or_has_ended_is_no_caller(world: SharedWorld) -> None:
    world.pod("dev", "somebody-else")
    world.look()
    assert world.callers == {}
    world.pod("dev", world.cluster.objects["mcpagents", "team", "dev"]["metadata"]["uid"], phase="Failed")
    world.look()
    assert world.callers == {}


def _injected(world: SharedWorld, name: str, **metadata: object) -> None:
    world.cluster.add(AGENT, "web", {"servers": [{"name": "git"}]})
    world.pod(name, "")
    stored = world.cluster.objects["pods", "team", name]["metadata"]
    stored |= {"labels": {names.LABEL_AGENT: "web"}, "annotations": {names.ANNOTATION_INJECTED: "1"}, **metadata}
    del stored["ownerReferences"]


@pytest.mark.requirement("O-15")
def test_every_pod_that_an_agents_sidecars_were_put_into_is_a_caller() -> None:
    world = SharedWorld(dataclasses.replace(SETTINGS, webhook_port=9443))
    _injected(world, "web-1")
    _injected(world, "web-2")
    _injected(world, "forged", annotations={})
    world.look()
    web = ["MCPAgent/web"]
    assert world.callers == {"pod-of-dev": ["MCPAgent/dev"], "pod-of-web-1": web, "pod-of-web-2": web}


@pytest.mark.requirement("O-15")
def test_where_nothing_is_injected_nobody_can_say_so_of_his_pod(world: SharedWorld) -> None:
    _injected(world, "web-1")
    world.look()
    assert world.callers == {"pod-of-dev": ["MCPAgent/dev"]}


def test_while_a_policy_cannot_be_read_callers_stay_as_they_are_and_none_is_added(world: SharedWorld) -> None:
    world.look()
    world.policy("broken", tools={"allow": 5}, target={"servers": ["*"]})
    world.agent("new")
    world.look()
    assert world.callers == {"pod-of-dev": ["MCPAgent/dev"]}


def test_changed_callers_wake_the_kubelet_and_roll_nothing_out(world: SharedWorld) -> None:
    world.look()
    pod = world.guard_pod()
    world.look()
    before = pod["metadata"]["annotations"][names.ANNOTATION_CONFIG_HASH]
    world.agent("ops")
    world.look()
    assert pod["metadata"]["annotations"][names.ANNOTATION_CONFIG_HASH] != before
    assert "replace Deployment" not in world.cluster.writes
    assert world.cluster.writes == ["apply ConfigMap", "annotate Pod"]


def test_what_somebody_changed_is_put_back(world: SharedWorld) -> None:
    world.look()
    deployment = world.made("deployments")
    deployment["spec"]["template"]["spec"]["containers"].append({"name": "spy", "image": "spy"})
    deployment["spec"]["template"]["spec"]["hostNetwork"] = True
    deployment["metadata"] |= {"generation": 7, "resourceVersion": "x"}
    policy = world.made("networkpolicies")
    policy["spec"]["podSelector"]["matchLabels"]["nobody"] = "here"
    policy["metadata"] |= {"generation": 7, "resourceVersion": "x"}
    world.made("configmaps")["data"][names.CONFIG_FILE] = "{}"
    world.made("services")["spec"]["selector"][names.LABEL_SERVER] = "spy"
    world.look()
    pod = world.made("deployments")["spec"]["template"]["spec"]
    assert [container["name"] for container in pod["containers"]] == [names.GUARD_CONTAINER]
    assert "hostNetwork" not in pod
    assert set(world.made("networkpolicies")["spec"]["podSelector"]["matchLabels"]) == {
        names.MANAGED_BY,
        names.LABEL_SERVER,
    }
    assert world.callers
    assert world.made("services")["spec"]["selector"][names.LABEL_SERVER] == "git"


@pytest.mark.parametrize("kind", ["Deployment", "Service", "ConfigMap", "NetworkPolicy", "ServiceAccount"])
def test_what_is_somebody_elses_is_left_alone(world: SharedWorld, kind: str) -> None:
    plural = {"NetworkPolicy": "networkpolicies"}.get(kind, f"{kind.lower()}s")
    foreign = {"kind": kind, "metadata": {"name": "git-guard", "namespace": "team", "uid": "theirs"}, "data": {}}
    world.cluster.objects[plural, "team", "git-guard"] = foreign
    outcome = world.look()
    assert isinstance(outcome, Stalled)
    assert outcome.reason == conditions.GUARD_NAME_TAKEN
    assert kind in outcome.message
    assert world.made(plural) is foreign


def test_a_secret_of_somebody_elses_is_left_alone(world: SharedWorld) -> None:
    foreign = {"kind": "Secret", "metadata": {"name": "git-guard-tls", "namespace": "team", "uid": "theirs"}}
    world.cluster.objects["secrets", "team", "git-guard-tls"] = foreign
    assert reason(world.look()) == conditions.GUARD_NAME_TAKEN
    assert "data" not in foreign


def test_what_an_earlier_server_of_the_name_left_is_waited_for(world: SharedWorld) -> None:
    world.look()
    world.cluster.remove("mcpservers", "git")
    world.server()
    outcome = world.look()
    assert isinstance(outcome, Waiting)
    assert "earlier" in outcome.message


def test_a_server_that_is_not_shared_any_more_leaves_nothing(world: SharedWorld) -> None:
    world.server(shared={"replicas": 2})
    world.look()
    world.server(placement="Sidecar")
    assert world.look() is None
    assert world.status.endpoint is None
    assert world.kinds() == {"secrets"}, "it goes with its Deployment: the garbage collector's work"
    owner = cluster.controller(world.made("secrets", "git-guard-tls"))
    assert owner["kind"] == "Deployment"
    assert world.cluster.binding is not None
    assert world.cluster.binding["subjects"] == []
    assert world.look() is None
    assert world.cluster.writes == []


@pytest.mark.parametrize("by", ["a policy that takes it out of service", "another source"])
def test_a_server_that_has_nothing_to_run_any_more_leaves_nothing_either(world: SharedWorld, by: str) -> None:
    world.look()
    world.status.image = world.status.endpoint = None
    if by == "another source":
        world.status.endpoint = EndpointStatus(url="https://far.test/mcp", transport="sse")
    assert world.look() is None
    assert world.kinds() == {"secrets"}
    assert world.cluster.binding is not None
    assert world.cluster.binding["subjects"] == []
    assert (world.status.endpoint is not None) is (by == "another source"), "which is where it is by now"


def test_while_its_pods_are_replaced_one_after_the_other_it_stays_ready(world: SharedWorld) -> None:
    before = Progress({}, Done(conditions.SUCCEEDED, "2 tools"))
    starting = world.shared.add(world.resource, world.status, before)
    assert isinstance(starting.ready, Waiting)
    world.rolled_out()
    assert world.shared.add(world.resource, world.status, before).delay == RECHECK
    world.server(args=["--other"])
    replacing = world.shared.add(world.resource, world.status, before)
    assert replacing.found[conditions.AVAILABLE].reason == conditions.REPLACING_PODS
    assert replacing.ready == before.ready


def test_a_server_that_was_never_shared_costs_nothing(world: SharedWorld) -> None:
    world.server(placement="Sidecar")
    assert world.look() is None
    assert world.cluster.writes == []


def test_several_pods_get_a_budget_and_one_needs_none(world: SharedWorld) -> None:
    world.server(shared={"replicas": 3})
    world.look()
    assert world.made("poddisruptionbudgets")["spec"]["maxUnavailable"] == 1
    world.server(shared={"replicas": 1})
    world.look()
    assert "poddisruptionbudgets" not in world.kinds()


def test_a_changed_secret_rolls_the_pods(world: SharedWorld) -> None:
    world.cluster.references["Secret", "team", "token"] = ("1", frozenset({"key"}))
    source = {"name": "T", "valueFrom": {"secretKeyRef": {"name": "token", "key": "key"}}}
    world.server(env=[source])
    world.look()
    before = _image(world)
    world.cluster.references["Secret", "team", "token"] = ("2", frozenset({"key"}))
    world.look()
    assert _image(world) != before


def test_a_missing_secret_is_waited_for_and_callers_change_meanwhile(world: SharedWorld) -> None:
    world.look()
    world.server(env=[{"name": "T", "valueFrom": {"secretKeyRef": {"name": "token", "key": "key"}}}])
    world.agent("ops")
    generation = world.made("deployments")["metadata"]["generation"]
    outcome = world.look()
    assert reason(outcome) == conditions.SECRET_MISSING
    assert "pod-of-ops" in world.callers
    assert world.made("deployments")["metadata"]["generation"] == generation


def test_a_certificate_is_renewed_before_its_end(world: SharedWorld) -> None:
    world.look()
    before = world.cluster.secrets["team", "git-guard-tls"]
    world.clock.now += timedelta(days=70)
    world.look()
    assert world.cluster.secrets["team", "git-guard-tls"] != before
    assert "replace Deployment" not in world.cluster.writes


def test_without_the_binding_it_says_what_is_missing(world: SharedWorld) -> None:
    world.cluster.binding = None
    outcome = world.look()
    assert isinstance(outcome, Stalled)
    assert outcome.reason == conditions.GUARD_UNBOUND


def test_accounts_of_servers_that_went_unseen_are_taken_out_of_the_binding(world: SharedWorld) -> None:
    assert world.cluster.binding is not None
    world.cluster.binding["subjects"] = [{"kind": "ServiceAccount", "name": "old-guard", "namespace": "team"}]
    world.look()
    assert [each["name"] for each in world.cluster.binding["subjects"]] == ["git-guard"]


def test_a_server_that_is_gone_is_taken_out_of_the_binding(world: SharedWorld) -> None:
    world.look()
    world.shared.forget("team", "git")
    assert world.cluster.binding is not None
    assert world.cluster.binding["subjects"] == []


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (cluster.ForbiddenError("exceeded quota"), conditions.GUARD_FORBIDDEN),
        (cluster.InvalidError("spec.x: bad"), conditions.GUARD_FORBIDDEN),
    ],
)
def test_what_the_api_server_refuses_is_said_in_its_words(
    world: SharedWorld, failure: Exception, expected: str
) -> None:
    world.cluster.failures["apply Deployment"] = failure
    outcome = world.look()
    assert outcome is not None
    assert (outcome.reason, str(failure) in outcome.message) == (expected, True)


def test_an_http_server_is_told_to_listen_on_the_loopback_address(world: SharedWorld) -> None:
    world.status.protocol = ProtocolStatus(
        version="2025-11-25", transport="streamable-http", port=9000, path="/api", server_info="x"
    )
    world.server(placement=None)
    world.look()
    pod = world.made("deployments")["spec"]["template"]["spec"]
    container = next(each for each in pod["initContainers"] if each["name"] == "mcp-server-git")
    told = {variable["name"]: variable["value"] for variable in container["env"]}
    assert (told["HOST"], told["PORT"]) == ("127.0.0.1", "9000")
    assert container["command"] == ["serve", "$$HOME"]
    assert world.config["servers"][0]["upstream"] == {"kind": "http", "url": "http://127.0.0.1:9000/api"}
    assert all("pipes" not in volume["name"] for volume in pod["volumes"])


def test_news_of_an_agent_wake_its_shared_servers_once(world: SharedWorld) -> None:
    world.look()
    raw = world.cluster.objects["mcpservers", "team", "git"]
    raw["status"] = world.status.model_dump(mode="json", by_alias=True, exclude_none=True)
    agent = objects.parse(MCPAgentSpec, world.cluster.objects["mcpagents", "team", "dev"])
    servers = agent_inputs.servers(world.cluster, agent, References(world.cluster))
    layers = agent_inputs.layers_of(agent, servers, {}, [])
    news = News(world.services.wake)
    pod = world.cluster.objects["pods", "team", "dev"]
    for _ in range(3):
        news.note(agent, servers, layers, [pod])
    assert [str(key) for key in world.woken] == [f"{SERVER.kind}/team/git"]
    news.note(agent, servers, layers, [])
    news.note(agent, servers, layers[:-1], [])
    news.forget("team", "dev")
    assert len(world.woken) == 4


def _image(world: SharedWorld) -> str:
    pod = world.made("deployments")["spec"]["template"]["spec"]
    return str(next(each["image"] for each in pod["initContainers"] if each["name"] == "mcp-server-git"))
