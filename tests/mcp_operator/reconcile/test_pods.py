from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from mcp_operator import names, policies
from mcp_operator.outcomes import Done, Waiting
from mcp_operator.reconcile import pods

NOW = datetime(2026, 1, 2, tzinfo=UTC)
RUNNING = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
FINISHED = {"terminated": {"exitCode": 0}}


def container(name: str, state: dict[str, Any], **more: object) -> dict[str, Any]:
    return {"name": name, "state": state, "ready": False, **more}


def pod(phase: str = "Pending", **status: object) -> dict[str, Any]:
    return {"metadata": {"name": "dev", "namespace": "team"}, "spec": {}, "status": {"phase": phase, **status}}


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    return {"waiting": {"reason": reason, "message": message}}


@pytest.mark.requirement("F-08")
@pytest.mark.parametrize(
    ("found", "reason", "text"),
    [
        (pod(), "PodStarting", ""),
        (
            pod(conditions=[{"type": "PodScheduled", "status": "False", "message": "0/1 nodes: no memory"}]),
            "PodUnschedulable",
            "0/1 nodes: no memory",
        ),
        (
            pod(initContainerStatuses=[container("mcp-install", waiting("ImagePullBackOff", "not found"))]),
            "ContainerWaiting",
            "mcp-install: ImagePullBackOff: not found",
        ),
        (
            pod(containerStatuses=[container("agent", waiting("CreateContainerConfigError", 'secret "x" not found'))]),
            "ContainerWaiting",
            'agent: CreateContainerConfigError: secret "x" not found',
        ),
        (
            pod(
                containerStatuses=[
                    container(
                        "agent", waiting("CreateContainerConfigError", "runAsNonRoot and image will run as root")
                    ),
                ],
            ),
            "ContainerWaiting",
            "image will run as root. Set securityContext.runAsUser in the template",
        ),
        (pod(containerStatuses=[container("agent", waiting("ContainerCreating"))]), "PodStarting", ""),
        (
            pod(
                "Running",
                containerStatuses=[
                    container(
                        "agent",
                        waiting("CrashLoopBackOff"),
                        lastState={"terminated": {"exitCode": 137, "reason": "OOMKilled"}},
                    ),
                ],
            ),
            "ContainerCrashing",
            "agent ended with exit code 137 (OOMKilled), see kubectl logs dev -n team -c agent --previous",
        ),
        (
            pod(
                "Running",
                containerStatuses=[
                    container("agent", {"terminated": {"exitCode": 1, "message": "no\nsuch file\x1b[0m"}}),
                ],
            ),
            "ContainerCrashing",
            "agent ended with exit code 1: no such file [0m",
        ),
        (
            pod("Running", containerStatuses=[container("agent", RUNNING)]),
            "ContainerNotReady",
            "not ready yet: agent, see kubectl describe pod dev -n team",
        ),
        (
            pod(initContainerStatuses=[container("await-tools", RUNNING)]),
            "AwaitingTools",
            "waiting for files/read, see kubectl logs dev -n team -c await-tools",
        ),
        (
            pod(
                initContainerStatuses=[
                    container(
                        "await-tools",
                        waiting("CrashLoopBackOff"),
                        lastState={"terminated": {"exitCode": 1, "message": "missing: files/read"}},
                    ),
                ],
            ),
            "AwaitingTools",
            "missing: files/read",
        ),
        (
            pod(initContainerStatuses=[container("await-tools", waiting("ErrImagePull", "refused"))]),
            "ContainerWaiting",
            "await-tools: ErrImagePull: refused",
        ),
        (pod(initContainerStatuses=[container("await-tools", waiting("PodInitializing"))]), "PodStarting", ""),
        (
            pod(
                initContainerStatuses=[container("await-tools", FINISHED)],
                containerStatuses=[container("agent", waiting("PodInitializing"))],
            ),
            "PodStarting",
            "",
        ),
        (pod("Failed", reason="Evicted", message="low on memory"), "PodBackOff", "the Pod failed: Evicted: low"),
    ],
)
def test_the_real_cause_is_told(found: dict[str, Any], reason: str, text: str) -> None:
    outcome = pods.outcome(found, ["files/read"], NOW)
    assert outcome.reason == reason
    assert text in outcome.message


def test_a_ready_pod_is_ready_and_an_ending_one_is_not() -> None:
    ready = pod("Running", conditions=[{"type": "Ready", "status": "True"}])
    assert isinstance(pods.outcome(ready, [], NOW), Done)
    ready["metadata"]["deletionTimestamp"] = policies.format_time(NOW + timedelta(seconds=30))
    assert pods.outcome(ready, [], NOW).reason == "PodTerminating"


@pytest.mark.requirement("O-11")
def test_a_pod_that_should_long_be_gone_is_told_with_its_node_and_what_to_do() -> None:
    lost = pod("Running", conditions=[{"type": "Ready", "status": "False"}])
    lost["spec"]["nodeName"] = "node-1"
    lost["metadata"]["deletionTimestamp"] = policies.format_time(NOW - timedelta(seconds=90))
    outcome = pods.outcome(lost, [], NOW)
    assert outcome.reason == "PodStuckTerminating"
    assert "node node-1 does not say that it has ended" in outcome.message
    assert "kubectl delete pod dev -n team --force" in outcome.message
    lost["metadata"]["finalizers"] = ["example.com/keep"]
    assert (
        "held by finalizers of others, who must take them off: example.com/keep" in pods.outcome(lost, [], NOW).message
    )


@pytest.mark.requirement("O-11")
def test_a_node_that_does_not_answer_is_told_as_such_and_not_as_starting() -> None:
    lost = pod(
        "Running",
        conditions=[{"type": "Ready", "status": "False"}],
        containerStatuses=[container("agent", RUNNING) | {"ready": True}],
    )
    lost["spec"]["nodeName"] = "node-1"
    outcome = pods.outcome(lost, [], NOW)
    assert outcome.reason == "NodeUnreachable"
    assert "node node-1 does not answer" in outcome.message


@pytest.mark.requirement("O-11")
def test_an_eviction_under_way_is_told_with_its_cause() -> None:
    evicted = pod(
        "Running",
        conditions=[
            {"type": "Ready", "status": "False"},
            {"type": "DisruptionTarget", "status": "True", "message": "Eviction API: evicting"},
        ],
    )
    assert "being evicted: Eviction API: evicting" in pods.outcome(evicted, [], NOW).message


def test_a_moment_between_two_crashes_is_not_readiness() -> None:
    crashed = container("agent", RUNNING, ready=True, restartCount=3, lastState={"terminated": {"exitCode": 1}})
    found = pod("Running", conditions=[{"type": "Ready", "status": "True"}], containerStatuses=[crashed])
    started = datetime(2026, 1, 1, tzinfo=UTC)
    between = pods.outcome(found, [], started + timedelta(seconds=4))
    assert between.reason == "ContainerCrashing"
    assert "agent ended with exit code 1 and was started again" in between.message
    assert isinstance(between, Waiting)
    assert between.delay == pods.SETTLED_SECONDS - 4
    assert isinstance(pods.outcome(found, [], started + timedelta(seconds=pods.SETTLED_SECONDS)), Done)


def test_long_texts_of_the_kubelet_are_cut() -> None:
    found = pod(containerStatuses=[container("agent", waiting("ErrImagePull", "x" * 10_000))])
    message = pods.outcome(found, [], NOW).message
    assert len(message) <= pods.QUOTED_LENGTH + 100
    assert message.endswith("Correct the image or imagePullSecrets in spec.template")


@pytest.mark.requirement("O-02")
@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("toolman", "An admin corrects images.toolman and images.wrapper of the chart"),
        ("mcp-server-git", "spec.run.imagePullSecrets of MCPServer git"),
        ("agent", "imagePullSecrets in spec.template"),
    ],
)
def test_whoever_can_do_something_about_an_image_that_is_not_pulled_is_told(name: str, remedy: str) -> None:
    found = pod(containerStatuses=[container(name, waiting("ImagePullBackOff", "401 Unauthorized"))])
    assert remedy in pods.outcome(found, [], NOW).message


@pytest.mark.requirement("O-02")
def test_the_command_to_look_with_is_there_however_much_a_container_wrote() -> None:
    ended = {"lastState": {"terminated": {"exitCode": 1, "message": "line\n" * 1000}}}
    found = pod(containerStatuses=[container("agent", waiting("CrashLoopBackOff", ""), **ended)])
    assert pods.outcome(found, [], NOW).message.endswith("see kubectl logs dev -n team -c agent --previous")


def test_the_servers_of_a_pod_are_told_by_its_containers() -> None:
    found = pod()
    found["spec"]["initContainers"] = [{"name": "toolman"}, {"name": names.server_container("files")}]
    assert pods.server_names(found) == ["files"]
