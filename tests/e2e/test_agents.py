"""What only a kubelet decides about agents: containers started again in place, Pods that complete, Pods that go."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
import throwaway
from mcp_operator import conditions, names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kubectl import Kubectl
    from sources.server import GitServer

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("demo")]

SECONDS = 240
"""Bound of every wait."""
UNPRIVILEGED = {"runAsUser": 1000}
AGENTS, SERVERS = "mcpagent.toolman.dev", "mcpserver.toolman.dev"


@pytest.fixture(scope="module")
def team(published_server: GitServer) -> Iterator[Kubectl]:
    """A namespace with one server that is ready and is given a Secret."""
    with throwaway.namespace("agents") as kubectl:
        kubectl("create", "secret", "generic", "given", "--from-literal=COLOUR=red")
        run = {"envFrom": [{"secretRef": {"name": "given"}}]}
        source = {"git": {"url": published_server.url("weather.git")}}
        kubectl.apply(_object("MCPServer", "weather", {"source": source, "run": run}))
        kubectl.wait(SERVERS, "weather", "condition=Ready", SECONDS)
        yield kubectl


@pytest.fixture
def image(team: Kubectl) -> str:
    """An image that the nodes can pull and that has a shell: the server's own."""
    return str(team.get(SERVERS, "weather")["status"]["image"]["reference"])


def _object(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "toolman.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def _template(image: str, command: str) -> dict[str, Any]:
    container = {"name": "agent", "image": image, "command": ["sh", "-c", command], "securityContext": UNPRIVILEGED}
    return {"spec": {"terminationGracePeriodSeconds": 1, "containers": [container]}}


def _agent(name: str, image: str, command: str = "exec sleep 100000", **spec: object) -> dict[str, Any]:
    return _object("MCPAgent", name, {"servers": [{"name": "weather"}], "template": _template(image, command), **spec})


def _until(kubectl: Kubectl, kind: str, name: str, check: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    deadline = time.monotonic() + SECONDS
    while True:
        found = kubectl.get(kind, name)
        if check(found):
            return found
        assert time.monotonic() < deadline, kubectl("describe", kind, name)


def _reason(resource: dict[str, Any], kind: str = "Ready") -> str:
    listed = resource.get("status", {}).get("conditions", [])
    return next((str(each["reason"]) for each in listed if each["type"] == kind), "")


def _containers(pod: dict[str, Any]) -> dict[str, str]:
    """Give the IDs of a Pod's containers."""
    status = pod["status"]
    return {
        each["name"]: each["containerID"] for each in (*status["initContainerStatuses"], *status["containerStatuses"])
    }


@pytest.mark.requirement("O-05", "O-11")
def test_a_changed_secret_starts_that_server_again_and_the_agent_lives_on(team: Kubectl, image: str) -> None:
    team.apply(_agent("keeps", image))
    team.wait(AGENTS, "keeps", "condition=Ready", SECONDS)
    before = team.get("pod", "keeps")
    team("patch", "secret", "given", "--type=merge", '-p={"stringData":{"COLOUR":"blue"}}')

    def restarted(pod: dict[str, Any]) -> bool:
        return _containers(pod)["mcp-server-weather"] != _containers(before)["mcp-server-weather"]

    after = _until(team, "pod", "keeps", restarted)
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    changed = {name for name, found in _containers(after).items() if _containers(before)[name] != found}
    assert changed == {"mcp-server-weather"}
    team.wait(AGENTS, "keeps", "condition=Ready", SECONDS)
    variables = team("exec", "keeps", "-c", "mcp-server-weather", "--", "/mcp/bin/busybox", "env")
    assert "COLOUR=blue" in variables
    assert "ServersChanged" in team("describe", AGENTS, "keeps")
    team("delete", AGENTS, "keeps")


@pytest.mark.requirement("O-05")
def test_a_server_whose_secret_is_missing_makes_no_pod_until_it_is_there(team: Kubectl, image: str) -> None:
    source = team.get(SERVERS, "weather")["spec"]["source"]
    variable = {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "later", "key": "token"}}}
    team.apply(_object("MCPServer", "needy", {"source": source, "run": {"env": [variable]}}))
    team.apply(_agent("patient", image, servers=[{"name": "needy"}]))
    agent = _until(team, AGENTS, "patient", lambda one: _reason(one, "ServersReady") == "SecretMissing")
    assert "podName" not in agent["status"]
    team("create", "secret", "generic", "later", "--from-literal=token=x")
    team.wait(AGENTS, "patient", "condition=Ready", SECONDS)
    team("delete", AGENTS, "patient")
    team("delete", SERVERS, "needy")


@pytest.mark.requirement("O-11")
@pytest.mark.parametrize(("code", "phase", "reason"), [(0, "Succeeded", "Completed"), (3, "Failed", "RunFailed")])
def test_an_agent_completes_although_its_sidecars_would_run_for_ever(
    team: Kubectl, image: str, code: int, phase: str, reason: str
) -> None:
    name = f"job-{code}"
    command = f"echo done > /dev/termination-log; exit {code}"
    team.apply(_agent(name, image, command, restartPolicy="Never"))
    agent = _until(team, AGENTS, name, lambda one: _reason(one) == reason)
    assert (agent["status"]["phase"], agent["status"]["run"]["exitCode"]) == (phase, code)
    pod = team.get("pod", name)
    assert pod["status"]["phase"] == phase
    team("delete", "pod", name)
    agent = _until(team, AGENTS, name, lambda one: "podName" not in one["status"])  # the operator has seen it go
    assert (agent["status"]["phase"], _reason(agent)) == (phase, reason)
    assert team("get", "pod", name, "--ignore-not-found", "-o", "name") == ""
    team("delete", AGENTS, name)


@pytest.mark.requirement("O-11")
def test_a_finished_agent_is_deleted_after_its_time_and_a_slow_one_ended_at_its_deadline(
    team: Kubectl, image: str
) -> None:
    team.apply(_agent("brief", image, "exit 0", restartPolicy="Never", ttlSecondsAfterFinished=1))
    team.apply(_agent("slow", image, restartPolicy="OnFailure", activeDeadlineSeconds=20))
    team.wait(AGENTS, "brief", "delete", SECONDS)
    team.wait("pod", "brief", "delete", SECONDS)
    agent = _until(team, AGENTS, "slow", lambda one: _reason(one) == "RunFailed")
    assert "DeadlineExceeded" in agent["status"]["run"]["message"]
    team("delete", AGENTS, "slow")


@pytest.mark.requirement("O-11")
def test_an_agent_whose_node_is_drained_runs_again_as_soon_as_there_is_a_node(team: Kubectl, image: str) -> None:
    team.apply(_agent("moved", image))
    team.wait(AGENTS, "moved", "condition=Ready", SECONDS)
    before = team.get("pod", "moved")
    node = before["spec"]["nodeName"]
    agents_only = f"--pod-selector={names.LABEL_AGENT}=moved"
    try:
        team("drain", node, agents_only, "--ignore-daemonsets", "--delete-emptydir-data", seconds=SECONDS)
        waiting = _until(team, AGENTS, "moved", lambda one: _reason(one, "PodReady") == conditions.POD_UNSCHEDULABLE)
        assert "unschedulable" in waiting["status"]["summary"]
    finally:
        team("uncordon", node)
    team.wait(AGENTS, "moved", "condition=Ready", SECONDS)
    assert team.get("pod", "moved")["metadata"]["uid"] != before["metadata"]["uid"]
    team("delete", AGENTS, "moved")


@pytest.mark.requirement("O-11")
def test_a_suspended_agent_has_no_pod_until_it_is_resumed(team: Kubectl, image: str) -> None:
    team.apply(_agent("paused", image))
    team.wait(AGENTS, "paused", "condition=Ready", SECONDS)
    team("patch", AGENTS, "paused", "--type=merge", '-p={"spec":{"suspend":true}}')
    team.wait("pod", "paused", "delete", SECONDS)
    _until(team, AGENTS, "paused", lambda one: _reason(one) == "Suspended")
    team("patch", AGENTS, "paused", "--type=merge", '-p={"spec":{"suspend":false}}')
    team.wait(AGENTS, "paused", "condition=Ready", SECONDS)
    team("delete", AGENTS, "paused")


@pytest.mark.requirement("O-11")
def test_clients_find_their_configuration_and_the_address_of_toolman(team: Kubectl, image: str) -> None:
    team.apply(_agent("told", image))
    team.wait(AGENTS, "told", "condition=Ready", SECONDS)
    listed = team("exec", "told", "-c", "agent", "--", "/mcp/bin/busybox", "ls", "/mcp/config")
    assert listed.split()
    variables = team("exec", "told", "-c", "agent", "--", "/mcp/bin/busybox", "env")
    assert "MCP_TOOLMAN_SERVER_URL=http://127.0.0.1:3000/mcp" in variables
    assert "COLOUR" not in variables
    team("delete", AGENTS, "told")


@pytest.mark.requirement("F-06", "O-12")
def test_an_agent_that_runs_as_root_cannot_change_what_names_mean_to_its_sidecars(team: Kubectl, image: str) -> None:
    # Where an agent's image may run as root at all.
    team("label", "namespace", team.namespace, "pod-security.kubernetes.io/enforce=baseline", "--overwrite")
    agent = _agent("root", image)
    agent["spec"]["template"]["spec"]["containers"][0]["securityContext"] = {"runAsUser": 0}
    team.apply(agent)
    team.wait(AGENTS, "root", "condition=Ready", SECONDS)
    script = (
        "id -u; cat /etc/hosts; for f in hosts resolv.conf; do echo 127.0.0.1 stolen >> /etc/$f && echo WRITTEN; done"
    )
    said = team("exec", "root", "-c", "agent", "--", "sh", "-c", f"({script}) 2>&1; true")
    seen = team("exec", "root", "-c", "mcp-server-weather", "--", "/mcp/bin/busybox", "cat", "/etc/hosts")
    assert said.startswith("0\n")
    assert seen.splitlines()[-1] in said  # the name of the Pod means the same to both
    assert "WRITTEN" not in said
    assert "stolen" not in seen


@pytest.mark.requirement("O-13")
def test_an_agent_that_is_written_in_a_server_runs_and_goes_with_it(team: Kubectl, image: str) -> None:
    source = team.get(SERVERS, "weather")["spec"]["source"]
    agent = {"template": _template(image, "exec sleep 100000")}
    team.apply(_object("MCPServer", "both", {"source": source, "agent": agent}))
    team.wait(SERVERS, "both", "condition=Ready", SECONDS)
    team.wait(AGENTS, "both", "condition=Ready", SECONDS)
    team("delete", AGENTS, "both")
    team.wait(AGENTS, "both", "condition=Ready", SECONDS)
    team("delete", SERVERS, "both")
    team.wait(AGENTS, "both", "delete", SECONDS)
    team.wait("pod", "both", "delete", SECONDS)
