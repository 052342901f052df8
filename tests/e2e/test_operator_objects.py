"""What the operator does with its objects on a real API server: tells the cause, leaves alone what is not its own."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
import throwaway

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kubectl import Kubectl
    from sources.server import GitServer

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("demo"), pytest.mark.requirement("F-08")]

SECONDS = 240
"""Bound of every wait."""
OPERATOR = ("mcp-system", "app.kubernetes.io/name=mcp-operator")
"""Namespace and label of the operator's Pod."""
UNPRIVILEGED = {"runAsUser": 1000}


@pytest.fixture(scope="module")
def team(published_server: GitServer) -> Iterator[Kubectl]:
    """A namespace with one server that is ready."""
    with throwaway.namespace("objects") as kubectl:
        kubectl.apply(_server("weather", published_server.url("weather.git")))
        kubectl.wait("mcpserver.toolman.dev", "weather", "condition=Ready", SECONDS)
        yield kubectl


def _object(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "toolman.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def _server(name: str, url: str) -> dict[str, Any]:
    return _object("MCPServer", name, {"source": {"git": {"url": url}}})


def _agent(name: str, image: str, **spec: object) -> dict[str, Any]:
    container = {"name": "agent", "image": image, "command": ["sleep", "100000"], "securityContext": UNPRIVILEGED}
    template = {"spec": {"terminationGracePeriodSeconds": 1, "containers": [container]}}
    return _object("MCPAgent", name, {"servers": [{"name": "weather"}], "template": template, **spec})


def _condition(resource: dict[str, Any], kind: str) -> dict[str, Any]:
    conditions: list[dict[str, Any]] = resource.get("status", {}).get("conditions", [])
    return next((condition for condition in conditions if condition["type"] == kind), {})


def _until(kubectl: Kubectl, resource: str, name: str, check: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    deadline = time.monotonic() + SECONDS
    while True:
        found = kubectl.get(resource, name)
        if check(found):
            return found
        assert time.monotonic() < deadline, kubectl("describe", resource, name)


def _agent_until(kubectl: Kubectl, name: str, kind: str, reason: str) -> dict[str, Any]:
    return _until(kubectl, "mcpagent.toolman.dev", name, lambda one: _condition(one, kind).get("reason") == reason)


def _image(kubectl: Kubectl) -> str:
    """Give an image that the nodes can pull and that has ``sleep``: the server's own."""
    image: str = kubectl.get("mcpserver.toolman.dev", "weather")["status"]["image"]["reference"]
    return image


def test_nothing_is_put_on_peoples_objects(team: Kubectl) -> None:
    metadata = team.get("mcpserver.toolman.dev", "weather")["metadata"]
    assert "finalizers" not in metadata
    assert set(metadata.get("annotations", {})) <= {"kubectl.kubernetes.io/last-applied-configuration"}
    described = team("describe", "mcpserver.toolman.dev", "weather")
    for event in ("BuildStarted", "ImageBuilt", "Ready"):
        assert event in described


def test_an_image_that_cannot_be_pulled_is_told_in_the_registrys_words(team: Kubectl) -> None:
    team.apply(_agent("pulling", _image(team).partition("/")[0] + "/nobody/nothing:1"))
    agent = _agent_until(team, "pulling", "PodReady", "ContainerWaiting")
    message = _condition(agent, "Ready")["message"]
    assert "agent: " in message
    assert "nobody/nothing:1" in message
    assert agent["status"]["podName"] == "pulling"
    team("delete", "mcpagent.toolman.dev", "pulling")


def test_somebody_elses_pod_of_an_agents_name_is_left_alone(team: Kubectl) -> None:
    image = _image(team)
    security = {
        "runAsNonRoot": True,
        "runAsUser": 1000,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    container = {"name": "x", "image": image, "command": ["sleep", "100000"], "securityContext": security}
    spec = {"terminationGracePeriodSeconds": 1, "containers": [container]}
    team.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "taken"}, "spec": spec})
    uid = team.get("pod", "taken")["metadata"]["uid"]
    team.apply(_agent("taken", image))
    agent = _agent_until(team, "taken", "Ready", "PodNameTaken")
    assert "podName" not in agent["status"]
    assert team.get("pod", "taken")["metadata"]["uid"] == uid
    team("delete", "mcpagent.toolman.dev/taken", "pod/taken")


def test_a_denied_required_tool_holds_the_agent_until_the_policy_lets_it_through(team: Kubectl) -> None:
    tool = team.get("mcpserver.toolman.dev", "weather")["status"]["tools"][0]["name"]
    target = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": team.namespace}}}
    ceiling = _object("ToolPolicy", team.namespace, {"target": target, "tools": {"deny": [tool]}})
    team.apply(ceiling)
    try:
        team.apply(_agent("held", _image(team), requiredTools=[f"weather/{tool}"]))
        agent = _agent_until(team, "held", "PodReady", "AwaitingTools")
        assert _condition(agent, "ToolsReady")["reason"] == "ToolsDenied"
        assert f"ToolPolicy/{team.namespace}" in _condition(agent, "Ready")["message"]
        uid = team.get("pod", "held")["metadata"]["uid"]
    finally:
        team("delete", "toolpolicy.toolman.dev", team.namespace)
    team.wait("mcpagent.toolman.dev", "held", "condition=Ready", SECONDS)
    assert team.get("pod", "held")["metadata"]["uid"] == uid


def test_deleting_an_agent_takes_its_pod_and_configuration_with_it(team: Kubectl) -> None:
    team.apply(_agent("leaving", _image(team)))
    _until(team, "mcpagent.toolman.dev", "leaving", lambda agent: agent.get("status", {}).get("podName") == "leaving")
    team("delete", "mcpagent.toolman.dev", "leaving", "--timeout=20s")
    team.wait("pod", "leaving", "delete", SECONDS)
    team.wait("configmap", "leaving-toolman", "delete", SECONDS)


def test_an_operator_that_is_killed_in_the_middle_of_a_build_builds_it_after_its_restart(
    team: Kubectl, published_server: GitServer
) -> None:
    before = team.get("mcpserver.toolman.dev", "weather")["metadata"]["resourceVersion"]
    team.apply(_server("again", published_server.url("weather.git")))
    _until(team, "mcpserver.toolman.dev", "again", lambda one: "build" in one.get("status", {}))
    namespace, label = OPERATOR
    system = throwaway.cluster(namespace)
    system("delete", "pods", "-l", label, "--force", "--grace-period=0", "--wait=false")
    team.wait("mcpserver.toolman.dev", "again", "condition=Ready", SECONDS)
    assert team.get("mcpserver.toolman.dev", "weather")["metadata"]["resourceVersion"] == before
