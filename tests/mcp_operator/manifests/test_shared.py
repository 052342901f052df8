"""Shared servers' manifests: who mounts what, who runs as whom, who reaches whom, and what owners may say."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from examples import SETTINGS
from mcp_operator import names
from mcp_operator.manifests import shared, shared_network
from shared_examples import API_SERVER, FILE, everything, example, server

pytestmark = pytest.mark.requirement("O-04")


def _pod(transport: str = "stdio", **run: object) -> dict[str, Any]:
    pod: dict[str, Any] = shared.deployment(example(transport, **run), SETTINGS)["spec"]["template"]
    return pod


def _containers(pod: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in [*pod["spec"]["initContainers"], *pod["spec"]["containers"]]}


def test_the_manifests_are_as_they_were() -> None:
    """If this change is meant: ``python tests/shared_examples.py``, and read the difference."""
    assert list(yaml.safe_load_all(FILE.read_text())) == everything(example())


def test_secrets_are_the_servers_alone_and_tokens_the_guards() -> None:
    containers = _containers(_pod())
    mounts = {name: {each["name"] for each in found["volumeMounts"]} for name, found in containers.items()}
    ours = {names.GUARD_ACCOUNT_VOLUME, names.GUARD_TLS_VOLUME, names.CONFIG_VOLUME}
    assert {name for name, found in mounts.items() if found & ours} == {names.GUARD_CONTAINER}
    assert [name for name, found in containers.items() if "TOKEN" in str(found.get("env"))] == ["mcp-server-git"]
    assert _pod()["spec"]["automountServiceAccountToken"] is False


def test_a_servers_pipes_are_read_only_for_it() -> None:
    containers = _containers(_pod())
    mounts = {
        name: mount.get("readOnly", False)
        for name, found in containers.items()
        for mount in found["volumeMounts"]
        if mount["name"] == names.pipes_volume("git")
    }
    assert mounts == {"mcp-server-git": True, names.GUARD_CONTAINER: False}


def test_the_server_runs_under_a_reserved_user_and_starts_before_its_guard_and_ends_after_it() -> None:
    pod = _pod()
    found = _containers(pod)["mcp-server-git"]
    assert found["securityContext"]["runAsUser"] == names.SERVER_UID_FIRST
    assert found["restartPolicy"] == "Always"
    assert [each["name"] for each in pod["spec"]["initContainers"]] == [names.INSTALL_CONTAINER, "mcp-server-git"]


@pytest.mark.parametrize("transport", ["stdio", "streamable-http", "sse"])
def test_every_container_passes_the_restricted_standard(transport: str) -> None:
    for container in _containers(_pod(transport)).values():
        context = container["securityContext"]
        assert context["runAsNonRoot"] is True
        assert context["readOnlyRootFilesystem"] is True
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}


def test_owners_say_where_pods_run_and_nothing_of_what_they_are() -> None:
    wild = {
        "metadata": {"labels": {names.LABEL_SERVER: "other", names.LABEL_AGENT: "dev"}},
        "spec": {"hostNetwork": True, "serviceAccountName": "admin", "containers": [], "tolerations": [{"key": "a"}]},
    }
    pod = _pod(shared={"podTemplate": wild})
    assert pod["metadata"]["labels"] == {names.MANAGED_BY: names.MANAGER, names.LABEL_SERVER: "git"}
    assert "hostNetwork" not in pod["spec"]
    assert pod["spec"]["serviceAccountName"] == "git-guard"
    assert len(pod["spec"]["containers"]) == 1
    assert pod["spec"]["tolerations"] == [{"key": "a"}]


def test_what_the_owner_says_of_affinity_counts_more_than_ours() -> None:
    assert _pod(shared={"podTemplate": {"spec": {"affinity": {"nodeAffinity": {}}}}})["spec"]["affinity"] == {
        "nodeAffinity": {}
    }
    assert "podAntiAffinity" in _pod()["spec"]["affinity"]


def test_a_variable_of_the_owners_is_not_changed() -> None:
    pod = _pod("sse", env=[{"name": "HOST", "value": "localhost"}])
    variables = [each for each in _containers(pod)["mcp-server-git"]["env"] if each["name"] == "HOST"]
    assert variables == [{"name": "HOST", "value": "localhost"}]


def test_only_agents_reach_the_guard_and_only_the_operator_its_report() -> None:
    rules = shared_network.network_policy(server(), API_SERVER, "mcp-system")["spec"]["ingress"]
    assert [[port["port"] for port in rule["ports"]] for rule in rules] == [[8443], [9464]]
    assert rules[0]["from"] == [
        {"podSelector": {"matchExpressions": [{"key": names.LABEL_AGENT, "operator": "Exists"}]}}
    ]


def test_an_isolated_server_reaches_dns_and_the_api_server_and_nothing_else() -> None:
    dns, api = shared_network.network_policy(server(), API_SERVER, "mcp-system")["spec"]["egress"]
    assert {port["port"] for port in dns["ports"]} == {53}
    assert dns["to"], "DNS everywhere would be a way out"
    assert [each["ipBlock"]["cidr"] for each in api["to"]] == ["192.0.2.1/32", "192.0.2.2/32", "2001:db8::1/128"]
    assert len(shared_network.network_policy(server(), (), "mcp-system")["spec"]["egress"]) == 1


def test_an_open_server_reaches_everything() -> None:
    found = server(shared={"network": "Open"})
    assert shared_network.network_policy(found, API_SERVER, "mcp-system")["spec"]["egress"] == [{}]


def test_a_new_pod_takes_calls_before_an_old_one_stops() -> None:
    spec = shared.deployment(example(), SETTINGS)["spec"]
    assert spec["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    guard = spec["template"]["spec"]["containers"][0]
    assert guard["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert spec["template"]["spec"]["terminationGracePeriodSeconds"] > 40 + 30
