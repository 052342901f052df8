"""What only a kubelet decides about shared servers: guards let agents in, roll without losing calls, learn in time."""

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

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("demo"), pytest.mark.requirement("O-04")]

SECONDS = 300
"""Bound of every wait."""
AGENTS, SERVERS = "mcpagent.toolman.dev", "mcpserver.toolman.dev"
UNPRIVILEGED = {"runAsUser": 1000}
HELLO = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "e2e", "version": "1"}}
MESSAGES = (
    {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": HELLO},
    {"jsonrpc": "2.0", "method": "notifications/initialized"},
    {"jsonrpc": "2.0", "id": 1, "method": "tools/list"},
)


def _object(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "toolman.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def _server(url: str, **run: object) -> dict[str, Any]:
    spec = {"source": {"git": {"url": url}}, "run": {"placement": "Shared", "shared": {"replicas": 2}, **run}}
    return _object("MCPServer", "weather", spec)


def _ask(call: dict[str, Any]) -> str:
    """Write a shell command that makes a call through the wrapper and prints the answer in a line."""
    lines = " ".join(shlex.quote(json.dumps(message)) for message in (*MESSAGES[:2], call))
    return f"printf '%s\\n' {lines} | /mcp/bin/mcp-wrapper | tail -n 1"


def _agent(name: str, image: str, command: str, **named: object) -> dict[str, Any]:
    container = {"name": "agent", "image": image, "command": ["sh", "-c", command], "securityContext": UNPRIVILEGED}
    template = {"spec": {"terminationGracePeriodSeconds": 1, "containers": [container]}}
    return _object("MCPAgent", name, {"servers": [{"name": "weather", **named}], "template": template})


def _until(what: str, check: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not check():
        assert time.monotonic() < deadline, f"not within {SECONDS} s: {what}"


@pytest.fixture(scope="module")
def url(published_server: GitServer) -> str:
    return published_server.url("weather.git")


@pytest.fixture(scope="module")
def team(url: str) -> Iterator[Kubectl]:
    """A namespace with one shared server in two Pods."""
    with throwaway.namespace("shared") as kubectl:
        kubectl.apply(_server(url))
        kubectl.wait(SERVERS, "weather", "condition=Ready", SECONDS)
        yield kubectl


@pytest.fixture
def image(team: Kubectl) -> str:
    return str(team.get(SERVERS, "weather")["status"]["image"]["reference"])


def test_an_agent_reaches_the_server_with_its_own_tools_and_others_do_not(team: Kubectl, image: str) -> None:
    team.apply(_agent("blind", image, "exec sleep 100000", tools={"allow": []}))
    team.apply(_agent("seeing", image, "exec sleep 100000"))
    for name in ("blind", "seeing"):
        team.wait(AGENTS, name, "condition=Ready", SECONDS)
    listing = ("sh", "-c", _ask(MESSAGES[2]))
    _until("the agent sees tools", lambda: '"name"' in team.exec("seeing", "agent", *listing))
    assert '"name"' not in team.exec("blind", "agent", *listing)
    secret = team.get("secret", "weather-guard-tls")["metadata"]["ownerReferences"][0]
    assert secret["kind"] == "Deployment"


def test_a_rollout_loses_no_call(team: Kubectl, image: str, url: str) -> None:
    loop = f"while :; do {_ask(MESSAGES[2])}; done"
    team.apply(_agent("busy", image, loop))
    team.wait(AGENTS, "busy", "condition=Ready", SECONDS)
    _until("calls are answered", lambda: '"result"' in _log(team))
    before = team.get("deployment", "weather-guard")["status"]["observedGeneration"]
    team.apply(_server(url, env=[{"name": "ROLLED", "value": "yes"}]))
    _until("the rollout begins", lambda: team.get("deployment", "weather-guard")["metadata"]["generation"] > before)
    team("rollout", "status", "deployment/weather-guard", f"--timeout={SECONDS}s")
    answered = len(_log(team).splitlines())
    _until("calls go on", lambda: len(_log(team).splitlines()) > answered + 20)
    lines = _log(team).splitlines()
    assert [line for line in lines if '"result"' not in line] == []


def test_a_caller_that_is_gone_is_a_caller_no_more(team: Kubectl, image: str) -> None:
    team.apply(_agent("brief", image, "exec sleep 100000"))
    team.wait(AGENTS, "brief", "condition=Ready", SECONDS)
    uid = team.get("pod", "brief")["metadata"]["uid"]
    _until("it is a caller", lambda: uid in _guard(team))
    team("delete", AGENTS, "brief")
    _until("it is no caller", lambda: uid not in _guard(team))


def _guard(team: Kubectl) -> str:
    return str(team.get("configmap", "weather-guard")["data"])


def _log(team: Kubectl) -> str:
    try:
        return team("logs", "busy", "-c", "agent", "--tail=-1")
    except KubectlError:  # the container is not there yet
        return ""
