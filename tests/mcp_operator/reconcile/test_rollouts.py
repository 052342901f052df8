"""A shared server's state tells the real cause: who waits for what, and whether anybody has to act."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from mcp_operator import conditions
from mcp_operator.outcomes import Done, Stalled, Waiting
from mcp_operator.reconcile import rollouts

pytestmark = [pytest.mark.requirement("O-04"), pytest.mark.requirement("O-02")]

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def deployment(
    wanted: int = 2, *, generation: int = 3, conditions: list[dict[str, str]] | None = None, **counts: int
) -> dict[str, Any]:
    status = {"observedGeneration": 3, "conditions": conditions or [], **counts}
    return {"metadata": {"generation": generation}, "spec": {"replicas": wanted}, "status": status}


def pod(name: str, reason: str, message: str, created: str = "2026-01-01T00:00:00Z") -> dict[str, Any]:
    waiting = {"name": "mcp-server-git", "state": {"waiting": {"reason": reason, "message": message}}}
    status = {"phase": "Pending", "conditions": [], "initContainerStatuses": [waiting]}
    return {"metadata": {"name": name, "namespace": "team", "creationTimestamp": created}, "spec": {}, "status": status}


FULL: dict[str, Any] = {"replicas": 2, "updatedReplicas": 2, "availableReplicas": 2}


def test_it_is_done_when_all_pods_are_new_and_take_calls() -> None:
    found = rollouts.outcome(deployment(**FULL), [], NOW)
    assert (type(found), found.message) == (Done, "2 of 2 Pods take calls")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"generation": 4}, conditions.REPLACING_PODS),
        ({"replicas": 3}, conditions.REPLACING_PODS),
        ({"updatedReplicas": 1}, conditions.REPLACING_PODS),
        ({"availableReplicas": 1}, conditions.ROLLING_OUT),
        ({"generation": 4, "availableReplicas": 0}, conditions.ROLLING_OUT),
    ],
)
def test_until_then_it_says_whether_as_many_as_wanted_take_calls(changes: dict[str, int], reason: str) -> None:
    made = deployment(2, generation=changes.pop("generation", 3))
    made["status"] |= {**FULL, **changes}
    found = rollouts.outcome(made, [], NOW)
    assert (type(found), found.reason) == (Waiting, reason)


def test_it_says_what_the_newest_pod_waits_for() -> None:
    old = pod("old", "ImagePullBackOff", "of yesterday", "2025-12-31T00:00:00Z")
    new = pod("new", "CreateContainerConfigError", 'secret "x" not found')
    going = pod("going", "ErrImagePull", "never mind", "2026-01-02T00:00:00Z")
    going["metadata"]["deletionTimestamp"] = "2026-01-02T00:00:00Z"
    found = rollouts.outcome(deployment(), [old, new, going], NOW)
    assert found.message == (
        '0 of 2 Pods take calls; new: mcp-server-git: CreateContainerConfigError: secret "x" not found, '
        "see kubectl describe pod new -n team"
    )


def test_somebody_has_to_act_when_pods_are_refused_or_do_not_become_ready() -> None:
    refused = [{"type": "ReplicaFailure", "status": "True", "message": "exceeded quota\x1b[31m"}]
    found = rollouts.outcome(deployment(conditions=refused), [], NOW)
    assert (type(found), found.reason) == (Stalled, conditions.GUARD_FORBIDDEN)
    assert "exceeded quota [31m. An admin can raise the quota" in found.message
    late = [{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}]
    found = rollouts.outcome(deployment(conditions=late), [pod("new", "ImagePullBackOff", "no such image")], NOW)
    assert (type(found), found.reason) == (Stalled, conditions.ROLLOUT_FAILED)
    assert "no such image" in found.message


def test_no_replicas_are_none() -> None:
    found = rollouts.outcome(deployment(0), [], NOW)
    assert (type(found), found.reason) == (Waiting, conditions.SCALED_TO_ZERO)
