"""What only controllers and a kubelet decide about injected sidecars: who gets them, and that Jobs complete."""

from __future__ import annotations

import json
import shlex
import time
from typing import TYPE_CHECKING, Any

import pytest
import throwaway
from kubectl import KubectlError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kubectl import Kubectl
    from sources.server import GitServer

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("demo"), pytest.mark.requirement("O-15")]

SECONDS = 300
"""Bound of every wait."""
AGENTS, SERVERS, POLICIES = "mcpagent.toolman.dev", "mcpserver.toolman.dev", "toolpolicy.toolman.dev"
LABEL = "toolman.dev/agent"
HELLO = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "e2e", "version": "1"}}
MESSAGES = (
    {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": HELLO},
    {"jsonrpc": "2.0", "method": "notifications/initialized"},
    {"jsonrpc": "2.0", "id": 1, "method": "tools/list"},
)
ASK = (
    f"printf '%s\\n' {' '.join(shlex.quote(json.dumps(each)) for each in MESSAGES)} | /mcp/bin/mcp-wrapper | tail -n 1"
)


def _object(kind: str, name: str, spec: dict[str, Any], version: str = "toolman.dev/v1alpha1") -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name}, "spec": spec}


def _template(image: str, command: str, agent: str = "web", **spec: object) -> dict[str, Any]:
    security = {"runAsUser": 1000}
    container = {"name": "main", "image": image, "command": ["sh", "-c", command], "securityContext": security}
    whole = {"terminationGracePeriodSeconds": 1, "containers": [container], **spec}
    return {"metadata": {"labels": {"app": "web", LABEL: agent}}, "spec": whole}


def _until(what: str, check: Callable[[], object]) -> None:
    deadline = time.monotonic() + SECONDS
    while not check():
        assert time.monotonic() < deadline, f"not within {SECONDS} s: {what}"


@pytest.fixture(scope="module")
def team(published_server: GitServer) -> Iterator[Kubectl]:
    """A namespace with one server and one agent without a template, both ready."""
    with throwaway.namespace("injected") as kubectl:
        source = {"git": {"url": published_server.url("weather.git")}}
        kubectl.apply(_object("MCPServer", "weather", {"source": source}))
        kubectl.apply(_object("MCPAgent", "web", {"servers": [{"name": "weather"}]}))
        kubectl.wait(AGENTS, "web", "condition=Ready", SECONDS)
        yield kubectl


@pytest.fixture(scope="module")
def image(team: Kubectl) -> str:
    """An image that the nodes can pull and that has a shell: the server's own."""
    return str(team.get(SERVERS, "weather")["status"]["image"]["reference"])


@pytest.fixture(scope="module")
def deployment(team: Kubectl, image: str) -> Kubectl:
    """Two Pods of a Deployment, ready."""
    spec = {
        "replicas": 2,
        "selector": {"matchLabels": {"app": "web"}},
        "template": _template(image, "exec sleep 100000"),
    }
    team.apply(_object("Deployment", "web", spec, "apps/v1"))
    team("rollout", "status", "deployment/web", f"--timeout={SECONDS}s", seconds=SECONDS + 10)
    return team


def _tools(kubectl: Kubectl, pod: str) -> list[str]:
    answer = json.loads(kubectl.exec(pod, "main", "sh", "-c", ASK))
    return [str(tool["name"]) for tool in answer["result"]["tools"]]


def _names(kubectl: Kubectl) -> list[str]:
    return kubectl("get", "pods", "-l", "app=web", "-o", "jsonpath={.items[*].metadata.name}").split()


def test_pods_of_a_deployment_see_the_agents_tools_and_the_agent_names_them(deployment: Kubectl) -> None:
    pods = _names(deployment)
    assert len(pods) == 2
    for pod in pods:
        assert all(name.startswith("weather__") for name in _tools(deployment, pod))
    _until("both are named", lambda: deployment.get(AGENTS, "web")["status"]["injected"]["pods"] == sorted(pods))


@pytest.mark.requirement("O-14")
def test_a_policy_reaches_all_of_them_without_a_restart(deployment: Kubectl) -> None:
    pods = _names(deployment)
    before = {pod: _tools(deployment, pod) for pod in pods}
    denied = before[pods[0]][0].removeprefix("weather__")
    selector = {"matchLabels": {"kubernetes.io/metadata.name": deployment.namespace}}
    target = {"namespaceSelector": selector, "servers": ["*"]}
    policy = f"cap-{deployment.namespace}"
    try:
        deployment.apply(_object("ToolPolicy", policy, {"target": target, "tools": {"deny": [denied]}}))
        _until(
            "both see one less",
            lambda: not any(f"weather__{denied}" in _tools(deployment, pod) for pod in pods),
        )
        assert sorted(_names(deployment)) == sorted(pods)
    finally:
        deployment("delete", POLICIES, policy)


def test_a_job_completes_although_its_sidecars_would_run_for_ever(team: Kubectl, image: str) -> None:
    template = _template(image, ASK, restartPolicy="Never")
    schedule = {"schedule": "0 3 * * *", "jobTemplate": {"spec": {"template": template, "backoffLimit": 0}}}
    team.apply(_object("CronJob", "nightly", schedule, "batch/v1"))
    team("create", "job", "now", "--from=cronjob/nightly")
    team.wait("job", "now", "condition=Complete", SECONDS)
    answer = json.loads(team("logs", "job/now", "-c", "main").splitlines()[-1])
    assert answer["result"]["tools"]


def test_a_workload_waits_for_its_agent_and_says_what_for(team: Kubectl, image: str) -> None:
    spec = {
        "serviceName": "late",
        "selector": {"matchLabels": {"app": "web"}},
        "template": _template(image, "sleep 9", "late"),
    }
    team.apply(_object("StatefulSet", "late", spec, "apps/v1"))
    _until("an Event says so", lambda: "there is no MCPAgent late" in team("describe", "statefulset", "late"))
    team.apply(_object("MCPAgent", "late", {"servers": [{"name": "weather"}]}))
    _until("its Pod is there", lambda: team("get", "pod", "late-0", "--ignore-not-found", "-o", "name"))
    team("delete", "statefulset", "late")


def test_with_the_agent_go_its_pods_and_no_others_come(deployment: Kubectl, image: str) -> None:
    deployment.apply(_object("MCPAgent", "brief", {"servers": [{"name": "weather"}]}))
    deployment.wait(AGENTS, "brief", "condition=Ready", SECONDS)
    template = _template(image, "exec sleep 100000", "brief")
    pod = {"apiVersion": "v1", "kind": "Pod", **template, "metadata": {**template["metadata"], "name": "brief-1"}}
    deployment.apply(pod)
    deployment("delete", AGENTS, "brief")
    deployment.wait("pod", "brief-1", "delete", SECONDS)
    with pytest.raises(KubectlError, match="there is no MCPAgent brief"):
        deployment.apply(pod)
