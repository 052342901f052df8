"""What happens while an agent is connected: rules change, servers and toolman are killed."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import throwaway
from kubectl import KubectlError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kubectl import Kubectl

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("demo")]

POD = "assistant"
SECONDS = 60
"""Bound of every wait; what takes how long is measured in benchmarks."""


@pytest.fixture
def samples() -> Kubectl:
    return throwaway.cluster("toolman-demo")


def _until(what: str, check: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not check():
        assert time.monotonic() < deadline, f"not within {SECONDS} s: {what}"


def _tools(samples: Kubectl) -> set[str]:
    return {line.split()[0] for line in samples.exec(POD, "agent", "agent", "tools").splitlines() if line.strip()}


def _answers(samples: Kubectl) -> bool:
    try:
        return "UTC" in samples.exec(POD, "agent", "agent", "call", "time__get_current_time", '{"timezone": "UTC"}')
    except KubectlError:  # the call failed, or there is no such container at the moment
        return False


def _containers(samples: Kubectl) -> dict[str, int]:
    status: dict[str, Any] = samples.get("pod", POD)["status"]
    listed = [*status["initContainerStatuses"], *status["containerStatuses"]]
    return {container["name"]: container["restartCount"] for container in listed}


@pytest.fixture
def ceiling(samples: Kubectl) -> Iterator[None]:
    """A policy that takes the time away from everybody."""
    policy = {
        "apiVersion": "toolman.dev/v1alpha1",
        "kind": "ToolPolicy",
        "metadata": {"name": "no-time"},
        "spec": {"target": {"servers": ["time"]}, "tools": {"deny": ["convert_*"]}},
    }
    samples.apply(policy)
    yield
    samples("delete", "toolpolicy", "no-time", "--ignore-not-found")


@pytest.mark.requirement("F-04", "F-06")
def test_a_new_policy_reaches_a_connected_agent_without_a_restart(
    samples: Kubectl, request: pytest.FixtureRequest
) -> None:
    before = samples.get("pod", POD)["metadata"]["uid"], _containers(samples)
    assert "time__convert_time" in _tools(samples)

    request.getfixturevalue("ceiling")

    _until("the tool disappears", lambda: "time__convert_time" not in _tools(samples))
    log = "gone: time__convert_time"
    _until("the connected agent hears of it", lambda: log in samples("logs", POD, "-c", "agent", "--tail=5"))
    _until("the status says so", lambda: "ToolPolicy/no-time" in str(samples.get("mcpagent", POD)["status"]["denied"]))

    samples("delete", "toolpolicy", "no-time")
    _until("the tool is back", lambda: "time__convert_time" in _tools(samples))
    assert (samples.get("pod", POD)["metadata"]["uid"], _containers(samples)) == before


@pytest.mark.requirement("F-06", "F-07")
def test_a_killed_server_is_started_again_without_a_container_restart(samples: Kubectl) -> None:
    before = _containers(samples)
    assert _answers(samples)
    kill = (
        "for p in /proc/[0-9]*; do p=${p#/proc/}; [ $p -gt 1 ] && [ $p -ne $$ ] && kill -9 $p; done 2>/dev/null; true"
    )
    samples.exec(POD, "mcp-server-time", "/mcp/bin/busybox", "sh", "-c", kill)
    _until("the server answers again", lambda: _answers(samples))
    assert _containers(samples) == before


def _toolman_process() -> int:
    """Find, on this host, toolman's process of the agent's Pod."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().split(b"\0")
            environment = (folder / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"serve" in command and b"--config" in command and f"HOSTNAME={POD}".encode() in environment:
            return int(folder.name)
    pytest.fail("toolman's process was not found on this host")


@pytest.mark.requirement("F-06", "F-07")
def test_an_agent_survives_that_toolman_is_killed(samples: Kubectl) -> None:
    before = _containers(samples)
    os.kill(_toolman_process(), signal.SIGKILL)
    _until("toolman is started again", lambda: _containers(samples)["toolman"] == before["toolman"] + 1)
    _until("calls are answered", lambda: _answers(samples))
    after = _containers(samples)
    assert {name for name in after if after[name] != before[name]} == {"toolman"}
    _until("the resource is ready again", lambda: _is_ready(samples))


def _is_ready(samples: Kubectl) -> bool:
    conditions = samples.get("mcpagent", POD)["status"]["conditions"]
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


@pytest.mark.requirement("F-06")
def test_a_lost_pod_is_made_again(samples: Kubectl) -> None:
    before = samples.get("pod", POD)["metadata"]["uid"]
    samples("delete", "pod", POD, "--grace-period=1", "--wait=false")

    def replaced() -> bool:
        found = samples("get", "pod", POD, "--ignore-not-found", "-o", "jsonpath={.metadata.uid}")
        return found not in {"", before}

    _until("another Pod is there", replaced)
    _until("it answers", lambda: _answers(samples))
    _until("the resource is ready", lambda: _is_ready(samples))
