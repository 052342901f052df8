"""Who gets an agent's sidecars, and that whoever does not is told why and what to do."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest
from fake_cluster import AGENT, POLICY
from injection_world import POD, InjectionWorld, patched
from mcp_operator import cluster, names
from mcp_operator.admission.answers import Answer, Request
from mcp_operator.admission.injecting import keeping

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.requirement("O-15")

RETRIED = "tries again by itself"


@pytest.fixture
def world() -> InjectionWorld:
    """Give a world whose agent is ready."""
    found = InjectionWorld()
    found.look()
    return found


def _labelled(agent: str) -> dict[str, Any]:
    return {**POD, "metadata": {"name": "x", "labels": {names.LABEL_AGENT: agent}}}


def test_a_labelled_pod_gets_the_sidecars_and_the_mark_of_its_agent(world: InjectionWorld) -> None:
    made = patched(POD, world.ask())
    containers = [each["name"] for each in made["spec"]["initContainers"]]
    assert containers == ["mcp-install", "toolman", "mcp-server-files", "await-tools"]
    annotations = made["metadata"]["annotations"]
    assert (
        annotations[names.ANNOTATION_INJECTED] == world.cluster.objects["mcpagents", "team", "dev"]["metadata"]["uid"]
    )


def test_asked_again_it_changes_nothing(world: InjectionWorld) -> None:
    assert world.ask(patched(POD, world.ask())) == Answer()


def test_asking_reads_and_writes_nothing(world: InjectionWorld) -> None:
    world.cluster.writes.clear()
    world.ask()
    assert world.cluster.writes == []


def test_a_pod_without_the_label_is_nothing_to_us(world: InjectionWorld) -> None:
    assert world.ask({**POD, "metadata": {"name": "x"}}) == Answer()


def test_an_empty_label_is_refused(world: InjectionWorld) -> None:
    assert world.ask(_labelled("")).denied.startswith("the label toolman.dev/agent is empty")


@pytest.mark.parametrize(
    "label", ["../../../team/mcpagents/dev", "..", "dev/status", "Dev", "a b", "dev\n\x1b[31mforged", "x" * 51]
)
def test_a_label_that_is_no_name_is_refused_unread_and_not_repeated(
    world: InjectionWorld, monkeypatch: pytest.MonkeyPatch, label: str
) -> None:
    # The API server asks before it has looked at the label itself.
    def asked(*_: object) -> None:
        raise AssertionError("nothing of this name may be asked for")

    monkeypatch.setattr(world.cluster, "get", asked)
    denied = world.ask(_labelled(label)).denied
    assert denied.startswith("the label toolman.dev/agent is not the name of an MCPAgent")
    assert label not in denied


def test_a_label_that_names_no_agent_says_to_create_it(world: InjectionWorld) -> None:
    denied = world.ask(_labelled("nobody")).denied
    assert denied.startswith("there is no MCPAgent nobody in namespace team: create it, without a template")


def test_an_agent_with_a_template_serves_no_pods_of_others(world: InjectionWorld) -> None:
    world.agent(template={"spec": {"containers": [{"name": "a", "image": "a"}]}})
    assert "has a template, so the operator makes its only Pod" in world.ask().denied


def test_a_suspended_agent_gets_no_further_pod(world: InjectionWorld) -> None:
    world.agent(suspend=True)
    assert "is suspended: set its spec.suspend to false" in world.ask().denied


def test_servers_that_are_not_ready_are_named_and_the_workload_tries_again(world: InjectionWorld) -> None:
    del world.cluster.objects["mcpservers", "team", "files"]["status"]["image"]
    denied = world.ask().denied
    assert "files: it has no image yet" in denied
    assert RETRIED in denied


def test_a_missing_secret_is_named_with_the_command_that_makes_it(world: InjectionWorld) -> None:
    secret = {"secretKeyRef": {"name": "token", "key": "value"}}
    world.server("files", run={"env": [{"name": "TOKEN", "valueFrom": secret}]})
    assert "Secret token is not there: kubectl create secret generic token -n team" in world.ask().denied


def test_before_the_configuration_is_written_no_pod_is_made() -> None:
    world = InjectionWorld()
    denied = world.ask().denied
    assert "the configuration of MCPAgent dev is being written" in denied
    assert RETRIED in denied


def test_a_configuration_of_an_earlier_agent_or_of_somebody_else_is_none(world: InjectionWorld) -> None:
    stored = world.cluster.objects["configmaps", "team", names.config_map("dev")]
    stored["metadata"]["ownerReferences"][0]["uid"] = "another"
    assert "is being written" in world.ask().denied


@pytest.mark.requirement("O-20")
@pytest.mark.parametrize("change", [{"immutable": True}, {"metadata": {"labels": {}}}, {"metadata": {"labels": None}}])
def test_a_configuration_that_somebody_else_may_have_made_is_none(
    world: InjectionWorld, change: dict[str, Any]
) -> None:
    stored = world.cluster.objects["configmaps", "team", names.config_map("dev")]
    stored.update({**change, "metadata": {**stored["metadata"], **change.get("metadata", {})}})
    assert "is being written" in world.ask().denied


def _policy(world: InjectionWorld) -> None:
    world.cluster.add(POLICY, "cap", {"target": {"servers": ["*"]}, "tools": {"deny": ["write"]}})


def _agent(world: InjectionWorld) -> None:
    world.agent("files", "more")


def _server(world: InjectionWorld) -> None:
    world.cluster.objects["mcpservers", "team", "files"]["spec"]["tools"] = {"deny": ["read"]}


@pytest.mark.requirement("O-20")
@pytest.mark.parametrize("change", [_policy, _agent, _server])
def test_nothing_starts_under_rules_that_were(world: InjectionWorld, change: Callable[[InjectionWorld], None]) -> None:
    world.server("more")
    change(world)
    assert "is being written" in world.ask().denied
    world.look()
    assert not world.ask().denied


def test_nothing_starts_while_a_server_has_moved_into_its_pod_and_its_user_may_still_call(
    world: InjectionWorld,
) -> None:
    world.outside("files", headers=[])
    world.look()
    assert not world.ask().denied
    world.server("files")
    assert "is being written" in world.ask().denied
    world.look()
    assert not world.ask().denied


def test_a_pod_may_start_under_a_configuration_that_serves_older_pods_as_well(world: InjectionWorld) -> None:
    world.server("more")
    world.agent("files", "more")
    world.look()
    world.made("web-1")
    world.server("more", image="two", tools=("other",))
    world.agent("more")
    world.look()
    assert len(world.config["listen"]["refuseUids"]) == 2
    assert not world.ask().denied


def test_a_policy_that_cannot_be_read_stops_every_pod(world: InjectionWorld) -> None:
    world.cluster.add(POLICY, "broken", {"target": {"servers": ["*"]}, "tools": {"deny": 7}})
    assert "ToolPolicy broken" in world.ask().denied


def test_a_cluster_that_does_not_answer_stops_every_pod(world: InjectionWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise cluster.UnreachableError("timed out")

    monkeypatch.setattr(world.cluster, "config_map", fail)
    denied = world.ask().denied
    assert "cannot be read now: timed out" in denied
    assert RETRIED in denied


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"hostNetwork": True}, "spec.hostNetwork"),
        ({"shareProcessNamespace": True}, "spec.shareProcessNamespace"),
        ({"containers": [{"name": "toolman", "image": "evil:1"}]}, "spec.containers[0].name"),
        ({"initContainers": [{"name": "mcp-server-files", "image": "evil:1"}]}, "spec.initContainers[0].name"),
        ({"volumes": [{"name": "mcp", "emptyDir": {}}]}, "spec.volumes[0].name"),
        ({"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}, "spec.volumes[0].hostPath"),
        ({"volumes": [{"name": "v", "configMap": {"name": "dev-toolman"}}]}, "spec.volumes[0].configMap"),
    ],
)
def test_what_would_go_around_the_sidecars_is_refused_by_its_field(
    world: InjectionWorld, change: dict[str, Any], named: str
) -> None:
    assert named in world.ask({**POD, "spec": {**POD["spec"], **change}}).denied


def test_the_secret_of_a_server_is_refused_to_the_workload(world: InjectionWorld) -> None:
    world.cluster.give("Secret", "token", "value")
    secret = {"secretKeyRef": {"name": "token", "key": "value"}}
    world.cluster.objects["mcpservers", "team", "files"]["spec"]["run"] = {
        "env": [{"name": "TOKEN", "valueFrom": secret}]
    }
    world.look()
    theft = {"containers": [{"name": "web", "image": "web:1", "envFrom": [{"secretRef": {"name": "token"}}]}]}
    assert "envFrom[0].secretRef.name" in world.ask({**POD, "spec": theft}).denied


@pytest.mark.parametrize(
    "metadata",
    [
        {"labels": {names.LABEL_AGENT: "dev", names.MANAGED_BY: names.MANAGER}},
        {"labels": {names.LABEL_AGENT: "dev"}, "annotations": {names.ANNOTATION_INJECTED: "x"}},
    ],
)
def test_nobody_says_of_his_pod_that_the_operator_made_it(world: InjectionWorld, metadata: dict[str, Any]) -> None:
    assert world.ask({**POD, "metadata": metadata}).denied


def test_files_that_are_not_yet_as_written_stop_the_pod(world: InjectionWorld) -> None:
    raw = world.cluster.objects["mcpservers", "team", "files"]
    raw["spec"]["run"] = {"files": [{"path": "/etc/a", "content": "one"}]}
    assert "is being written" in world.ask().denied
    world.look()
    assert not world.ask().denied
    raw["spec"]["run"] = {"files": [{"path": "/etc/a", "content": "two"}]}
    assert "is being written" in world.ask().denied


def test_an_agent_that_is_going_gets_no_further_pod(world: InjectionWorld) -> None:
    world.cluster.objects[AGENT.plural, "team", "dev"]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert "is being deleted" in world.ask().denied


def test_changing_what_is_ours_in_a_pod_is_always_refused() -> None:
    before = {"metadata": {"name": "web-1"}}
    request = Request(uid="1", operation="UPDATE", namespace="team", object=copy.deepcopy(before), before=before)
    assert keeping(request).denied.startswith("Pod web-1: the label toolman.dev/agent")
