"""What a user sees when something is wrong, and what is left when it is deleted."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
import throwaway

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import docker
    from kubectl import Kubectl
    from sources.server import GitServer

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("demo"), pytest.mark.requirement("F-08")]

SECONDS = 240


@pytest.fixture(scope="module")
def namespace() -> Iterator[Kubectl]:
    with throwaway.namespace("failures") as kubectl:
        yield kubectl


def _server(name: str, url: str, **spec: object) -> dict[str, Any]:
    return {
        "apiVersion": "toolman.dev/v1alpha1",
        "kind": "MCPServer",
        "metadata": {"name": name},
        "spec": {"source": {"git": {"url": url}}, **spec},
    }


def _agent(name: str, server: str, **pod: object) -> dict[str, Any]:
    container = {"name": "agent", "image": "example.invalid/agent:1"}
    return {
        "apiVersion": "toolman.dev/v1alpha1",
        "kind": "MCPAgent",
        "metadata": {"name": name},
        "spec": {"servers": [{"name": server}], "template": {"spec": {"containers": [container], **pod}}},
    }


def _condition(resource: dict[str, Any], kind: str) -> dict[str, Any]:
    conditions: list[dict[str, Any]] = resource.get("status", {}).get("conditions", [])
    return next((condition for condition in conditions if condition["type"] == kind), {})


def _wait(kubectl: Kubectl, kind: str, name: str, check: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    deadline = time.monotonic() + SECONDS
    while True:
        resource = kubectl.get(kind, name)
        if check(resource):
            return resource
        assert time.monotonic() < deadline, kubectl("describe", kind, name)


def _failed(kubectl: Kubectl, name: str, reason: str) -> dict[str, Any]:
    return _wait(kubectl, "mcpserver", name, lambda server: _condition(server, "Ready").get("reason") == reason)


def test_a_host_that_does_not_exist_is_named_with_what_to_do(namespace: Kubectl) -> None:
    namespace.apply(_server("nowhere", "https://git.example.invalid/x.git"))
    server = _failed(namespace, "nowhere", "HostUnknown")
    assert "git.example.invalid" in _condition(server, "Ready")["message"]


def test_a_repository_that_is_no_mcp_server_is_not_built(namespace: Kubectl, published_server: GitServer) -> None:
    namespace.apply(_server("library", published_server.url("not-a-server.git")))
    server = _failed(namespace, "library", "NotAnMCPServer")
    assert _condition(server, "Stalled")["status"] == "True"
    assert "image" not in server["status"]


def test_a_failed_build_says_the_step_the_last_lines_and_what_to_try(
    namespace: Kubectl, published_server: GitServer
) -> None:
    namespace.apply(_server("broken", published_server.url("broken-build.git")))
    server = _failed(namespace, "broken", "CompileFailed")
    build = server["status"]["build"]
    assert build["failedStep"] == "Build"
    assert "error TS" in build["logTail"]
    assert build["hint"]
    assert "CompileFailed" in namespace("get", "mcpserver", "broken", "-o", "wide")
    assert "BuildFailed" in namespace("describe", "mcpserver", "broken")


def test_a_server_that_needs_a_setting_names_it_and_works_once_it_is_there(
    namespace: Kubectl, published_server: GitServer
) -> None:
    url = published_server.url("needs-setting.git")
    namespace.apply(_server("asking", url))
    server = _failed(namespace, "asking", "SettingMissing")
    assert "spec.run.env" in server["status"]["build"]["hint"]
    assert "NOTES_API_KEY" in server["status"]["build"]["hint"]
    namespace.apply(_server("asking", url, run={"env": [{"name": "NOTES_API_KEY", "value": "anything"}]}))
    namespace.wait("mcpserver", "asking", "condition=Ready", SECONDS)


@pytest.mark.parametrize(
    ("pod", "field"),
    [
        ({"hostNetwork": True}, "hostNetwork"),
        ({"shareProcessNamespace": True}, "shareProcessNamespace"),
        ({"volumes": [{"name": "x", "hostPath": {"path": "/"}}]}, "hostPath"),
        ({"volumes": [{"name": "x", "configMap": {"name": "open-toolman"}}]}, "configMap"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_template_that_opens_the_pod_is_refused_naming_the_field(
    namespace: Kubectl, pod: dict[str, Any], field: str
) -> None:
    namespace.apply(_agent("open", "nowhere", **pod))
    try:
        unsafe = "UnsafeTemplate"
        agent = _wait(namespace, "mcpagent", "open", lambda one: _condition(one, "Ready").get("reason") == unsafe)
        assert field in _condition(agent, "Ready")["message"]
        assert not namespace("get", "pods", "-o", "name")
    finally:
        namespace("delete", "mcpagent", "open")


def _wait_until_nothing_is_left(engine: docker.DockerClient, uid: str) -> None:
    label = {"label": [f"toolman.dev/uid={uid}"]}
    deadline = time.monotonic() + SECONDS
    while left := [*engine.api.containers(all=True, filters=label), *engine.api.images(all=True, filters=label)]:
        assert time.monotonic() < deadline, f"the engine still has {left}"


def test_deletion_in_the_middle_of_a_build_leaves_nothing(
    namespace: Kubectl, published_server: GitServer, engine: docker.DockerClient
) -> None:
    namespace.apply(_server("weather", published_server.url("weather.git")))

    def building(server: dict[str, Any]) -> bool:
        return str(server.get("status", {}).get("summary", "")).startswith("Build ")

    uid = _wait(namespace, "mcpserver", "weather", building)["metadata"]["uid"]
    namespace("delete", "mcpserver", "weather", "--timeout=20s")
    _wait_until_nothing_is_left(engine, uid)
    operator = throwaway.cluster("mcp-system")
    folders = ("exec", "deployment/mcp-operator", "--", "ls", "/tmp")  # noqa: S108 - only listed
    deadline = time.monotonic() + SECONDS
    while uid in operator(*folders):  # the last thing that a cancelled build removes
        assert time.monotonic() < deadline, "a temporary folder of the deleted server is left"


def test_a_server_in_typescript_becomes_ready(namespace: Kubectl, published_server: GitServer) -> None:
    namespace.apply(_server("forecast", published_server.url("weather.git")))
    namespace.wait("mcpserver", "forecast", "condition=Ready", SECONDS)
    assert namespace.get("mcpserver", "forecast")["status"]["toolCount"] >= 1


def test_deleting_a_namespace_takes_everything_with_it(
    published_server: GitServer, engine: docker.DockerClient
) -> None:
    with throwaway.namespace("leaving") as kubectl:
        kubectl.apply(_server("forecast", published_server.url("weather.git")), _agent("assistant", "forecast"))
        kubectl.wait("mcpserver", "forecast", "condition=Ready", SECONDS)
        uid = kubectl.get("mcpserver", "forecast")["metadata"]["uid"]
        kubectl("delete", "namespace", kubectl.namespace, "--timeout=60s", seconds=70)
        _wait_until_nothing_is_left(engine, uid)
