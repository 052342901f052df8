"""The API server takes the Pods that we make, under the strictest Pod Security Standard."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import throwaway
from examples import agent, manifests, running
from kubectl import Kubectl, KubectlError
from mcp_operator import names

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.e2e, pytest.mark.requirement("F-06")]


@pytest.fixture(scope="module")
def api() -> Iterator[Kubectl]:
    with throwaway.namespace("pods") as kubectl:
        # The controller that makes this one may not have come round yet, and no Pod is taken without it.
        kubectl("wait", "--for=create", "serviceaccount/default", "--timeout=60s", seconds=70)
        yield kubectl


def _judge(api: Kubectl, manifest: dict[str, Any]) -> dict[str, Any]:
    # An installed operator's webhook takes its label from the operator alone, and it is not what is judged here.
    labels = {name: value for name, value in manifest["metadata"]["labels"].items() if name != names.LABEL_AGENT}
    manifest = {**manifest, "metadata": {**manifest["metadata"], "namespace": api.namespace, "labels": labels}}
    text = api("create", "--dry-run=server", "--validate=strict", "-o", "json", "-f", "-", stdin=json.dumps(manifest))
    answer: dict[str, Any] = json.loads(text)
    return answer


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"automountServiceAccountToken": True},
        {"securityContext": {"runAsUser": 1000, "fsGroup": 2000}},
        {"initContainers": [{"name": "prepare", "image": "prepare:1", "restartPolicy": "Always"}]},
    ],
    ids=["plain", "token", "user", "sidecar"],
)
def test_a_pod_and_its_config_map_are_taken_in_a_restricted_namespace(api: Kubectl, spec: dict[str, Any]) -> None:
    secret = {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "git-token", "key": "token"}}}
    template = {"spec": {"containers": [{"name": "agent", "image": "agent:1"}], **spec}}
    of = agent("git", "time", requiredTools=["git/git_log"], template=template)
    pod, config_map = manifests(of, running("git", env=[secret]), running("time"))
    answer = _judge(api, pod)
    assert _judge(api, config_map)["data"] == config_map["data"]
    mounts = {each["name"]: each.get("volumeMounts", []) for each in answer["spec"]["initContainers"]}
    assert not any("serviceaccount" in str(mounts[name]) for name in ("toolman", "mcp-server-git", "await-tools"))


def test_the_standard_of_the_namespace_still_judges_the_users_own_part(api: Kubectl) -> None:
    container = {"name": "agent", "image": "agent:1", "securityContext": {"runAsUser": 0}}
    pod, _ = manifests(agent("git", template={"spec": {"containers": [container]}}), running("git"))
    with pytest.raises(KubectlError, match="violates PodSecurity") as refusal:
        _judge(api, pod)
    assert "toolman" not in str(refusal.value).partition("violates")[2]
