"""How the Pods of a shared server are and, when they are not as they should be, the real cause. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mcp_operator import conditions
from mcp_operator.outcomes import Done, Outcome, Stalled, Waiting
from mcp_operator.reconcile import pods as looks
from mcp_operator.status import printable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from mcp_operator.cluster import Manifest


def outcome(deployment: Manifest, pods: Sequence[Manifest], now: datetime) -> Outcome:
    """Say whether a Deployment is rolled out and, if not, why.

    Args:
        deployment: As it was read, or as it is after it was written.
        pods: Of the server.
        now: For telling a container that has just been started again.
    """
    wanted = int(deployment["spec"].get("replicas", 1))
    if not wanted:
        return Waiting(conditions.SCALED_TO_ZERO, "run.shared.replicas is 0: there are no Pods", delay=None)
    status: dict[str, Any] = deployment.get("status") or {}
    updated, available, every = (_number(status, key) for key in ("updatedReplicas", "availableReplicas", "replicas"))
    text = f"{available} of {wanted} Pods take calls"
    is_seen = _number(status, "observedGeneration") >= _number(deployment["metadata"], "generation")
    if is_seen and updated == available == every == wanted:
        return Done(conditions.SUCCEEDED, text)
    failure = _condition(status, "ReplicaFailure")
    if failure.get("status") == "True":
        refused = printable(str(failure.get("message", "")), looks.QUOTED_LENGTH)
        remedy = "An admin can raise the quota or standard that is named; or correct run.shared.podTemplate."
        return Stalled(conditions.GUARD_FORBIDDEN, f"{text}: {refused}. {remedy}")
    message = printable("; ".join(filter(None, (text, _trouble(pods, now)))))
    if is_seen and _condition(status, "Progressing").get("reason") == "ProgressDeadlineExceeded":
        return Stalled(conditions.ROLLOUT_FAILED, message)
    return Waiting(conditions.REPLACING_PODS if available >= wanted else conditions.ROLLING_OUT, message, delay=None)


def _number(holder: dict[str, Any], key: str) -> int:
    return int(holder.get(key) or 0)


def _trouble(pods: Sequence[Manifest], now: datetime) -> str:
    """Say what the newest Pod that is not ready waits for."""
    newest = sorted(pods, key=lambda pod: str(pod["metadata"].get("creationTimestamp") or ""), reverse=True)
    for pod in newest:
        if "deletionTimestamp" in pod["metadata"]:
            continue
        found = looks.outcome(pod, (), now)
        if not isinstance(found, Done):
            return f"{pod['metadata']['name']}: {found.message}"
    return ""


def _condition(status: dict[str, Any], kind: str) -> dict[str, Any]:
    listed: list[dict[str, Any]] = status.get("conditions") or []
    return next((each for each in listed if each.get("type") == kind), {})
