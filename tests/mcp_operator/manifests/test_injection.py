"""Sidecars in somebody else's Pod: what is put there, that asking twice changes nothing, and what is refused."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from examples import agent, manifests, running
from mcp_operator import names
from mcp_operator.manifests.injection import Injection, inject
from mcp_operator.manifests.template import Refused
from mcp_operator.settings import Settings

pytestmark = pytest.mark.requirement("O-15")

SETTINGS = Settings(registry="r.test", image_toolman="t:1", image_wrapper="w:1")
TOKEN: dict[str, Any] = {
    "name": "kube-api-access-x",
    "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount",
    "readOnly": True,
}
POD: dict[str, Any] = {
    "metadata": {"generateName": "web-", "labels": {names.LABEL_AGENT: "dev", "app": "web"}},
    "spec": {
        "restartPolicy": "Never",
        "serviceAccountName": "web",
        "initContainers": [{"name": "prepare", "image": "p:1"}],
        "containers": [{"name": "web", "image": "w:1", "volumeMounts": [TOKEN]}],
        "volumes": [{"name": "kube-api-access-x", "projected": {"sources": []}}],
    },
}


def _inject(pod: dict[str, Any], secrets: frozenset[str] = frozenset()) -> Injection:
    return inject(pod, agent("git"), [running("git")], "hash", SETTINGS, Refused(secrets=secrets))


def _patched(pod: dict[str, Any], injection: Injection) -> dict[str, Any]:
    """Apply the patch as the API server does; ``add`` is the only operation."""
    result = copy.deepcopy(pod)
    for operation in injection.patch:
        assert operation["op"] == "add"
        *parents, last = operation["path"].strip("/").split("/")
        place = result
        for parent in parents:
            place = place[parent]
        place[last] = copy.deepcopy(operation["value"])
    return result


def test_the_same_containers_and_volumes_as_in_an_agents_own_pod_are_put_there() -> None:
    made = _patched(POD, _inject(POD))
    own, _ = manifests(agent("git"), running("git"))
    ours = [each["name"] for each in own["spec"]["initContainers"]]
    assert [each["name"] for each in made["spec"]["initContainers"]] == [*ours, "prepare"]
    assert [each["name"] for each in made["spec"]["volumes"]] == [
        "kube-api-access-x",
        *(each["name"] for each in own["spec"]["volumes"]),
    ]
    web = made["spec"]["containers"][0]
    assert {each["name"] for each in web["env"]} == {"MCP_TOOLMAN_SERVER_URL", "MCP_TOOLMAN_UID"}
    assert web["securityContext"]["allowPrivilegeEscalation"] is False
    assert made["metadata"]["annotations"][names.ANNOTATION_CONFIG_HASH] == "hash"


def test_what_the_workload_says_stays_as_it_is() -> None:
    made = _patched(POD, _inject(POD))
    assert made["metadata"]["labels"] == POD["metadata"]["labels"]
    assert made["spec"]["restartPolicy"] == "Never"
    assert made["spec"]["serviceAccountName"] == "web"
    assert made["spec"]["containers"][0]["volumeMounts"][0] == TOKEN


def test_the_sidecars_get_no_token_of_the_service_account() -> None:
    made = _patched(POD, _inject(POD))
    assert made["spec"]["automountServiceAccountToken"] is False
    for each in made["spec"]["initContainers"][:-1]:
        assert TOKEN["mountPath"] not in str(each.get("volumeMounts"))


def test_asking_again_changes_nothing() -> None:
    made = _patched(POD, _inject(POD))
    assert _inject(made) == Injection()


def test_asking_again_about_a_container_that_runs_as_root_changes_nothing() -> None:
    root = {"name": "web", "image": "w:1", "securityContext": {"runAsUser": 0}}
    pod = {**POD, "spec": {**POD["spec"], "containers": [root]}}
    made = _patched(pod, _inject(pod))
    mounts = [each["mountPath"] for each in made["spec"]["containers"][0]["volumeMounts"]]
    assert mounts == [names.INSTALL_PATH, "/etc/hosts", "/etc/resolv.conf"]
    assert _inject(made) == Injection()


def test_asking_again_after_the_api_server_filled_in_defaults_gives_the_same_pod() -> None:
    made = _patched(POD, _inject(POD))
    defaulted = copy.deepcopy(made)
    for each in defaulted["spec"]["initContainers"]:
        each["terminationMessagePath"] = "/dev/termination-log"
    for each in defaulted["spec"]["volumes"]:
        if "configMap" in each:
            each["configMap"]["defaultMode"] = 420
    assert (
        _patched(defaulted, _inject(defaulted))["spec"]["initContainers"][:-1] == (made["spec"]["initContainers"][:-1])
    )


def test_a_container_that_another_webhook_added_is_hardened_as_well() -> None:
    made = _patched(POD, _inject(POD))
    made["spec"]["containers"].append({"name": "mesh", "image": "m:1"})
    again = _patched(made, _inject(made))
    assert again["spec"]["containers"][1]["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert [each["name"] for each in again["spec"]["containers"]] == ["web", "mesh"]


def test_a_look_alike_of_our_sidecar_is_replaced_by_ours() -> None:
    made = _patched(POD, _inject(POD))
    hostile = copy.deepcopy(made)
    toolman = next(each for each in hostile["spec"]["initContainers"] if each["name"] == "toolman")
    toolman["image"] = "evil:1"
    again = _patched(hostile, _inject(hostile))
    assert again["spec"]["initContainers"] == made["spec"]["initContainers"]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"hostPID": True}, "spec.hostPID"),
        ({"shareProcessNamespace": True}, "spec.shareProcessNamespace"),
        (
            {
                "containers": [
                    {"name": "x", "image": "x", "volumeMounts": [{"name": "mcp-pipes-git", "mountPath": "/p"}]}
                ]
            },
            "volumeMounts[0].name",
        ),
        (
            {"containers": [{"name": "x", "image": "x", "volumeMounts": [{"name": "mcp", "mountPath": "/mcp"}]}]},
            "volumeMounts[0].name",
        ),
        (
            {"containers": [{"name": "x", "image": "x", "envFrom": [{"secretRef": {"name": "git-token"}}]}]},
            "envFrom[0].secretRef.name",
        ),
        ({"initContainers": [{"name": "mcp-server-other", "image": "x"}]}, "spec.initContainers[0].name"),
    ],
)
@pytest.mark.parametrize("claims", [False, True], ids=["new", "claims-to-be-injected"])
def test_a_pod_that_could_go_around_the_sidecars_is_refused_with_the_field(
    change: dict[str, Any],
    named: str,
    claims: bool,  # noqa: FBT001 - a column of the table
) -> None:
    pod = {"metadata": copy.deepcopy(POD["metadata"]), "spec": {**copy.deepcopy(POD["spec"]), **change}}
    if claims:
        pod["metadata"]["annotations"] = {names.ANNOTATION_SERVER_IMAGES: "{}"}
    injection = _inject(pod, secrets=frozenset({"git-token"}))
    assert injection.patch == []
    assert named in injection.refused


def test_only_the_one_label_that_names_this_agent_is_no_matter() -> None:
    pod = {**POD, "metadata": {"labels": {names.LABEL_AGENT: "dev", "toolman.dev/other": "x"}}}
    assert "metadata.labels.toolman.dev/other" in _inject(pod).refused
    pod = {**POD, "metadata": {"labels": {names.LABEL_AGENT: "somebody"}}}
    assert "metadata.labels.toolman.dev/agent" in _inject(pod).refused
