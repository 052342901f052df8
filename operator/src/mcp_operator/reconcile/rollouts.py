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

DETAIL_LENGTH = 400
"""Characters of others' texts that are quoted."""


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
    counts = {key: int(status.get(key) or 0) for key in ("updatedReplicas", "availableReplicas", "replicas")}
    text = f"{counts['availableReplicas']} of {wanted} Pods take calls"
    seen = int(status.get("observedGeneration") or 0) >= int(deployment["metadata"].get("generation") or 0)
    if seen and set(counts.values()) == {wanted}:
        return Done(conditions.SUCCEEDED, text)
    failure = _condition(status, "ReplicaFailure")
    if failure.get("status") == "True":
        return Stalled(conditions.GUARD_FORBIDDEN, _text(f"{text}: {failure.get('message', '')}"))
    return _unfinished(status, _text("; ".join(part for part in (text, _trouble(pods, now)) if part)), seen=seen)


def _unfinished(status: dict[str, Any], message: str, *, seen: bool) -> Outcome:
    if seen and _condition(status, "Progressing").get("reason") == "ProgressDeadlineExceeded":
        return Stalled(conditions.ROLLOUT_FAILED, message)
    return Waiting(conditions.ROLLING_OUT, message, delay=None)


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


def _text(text: str) -> str:
    return printable(text, DETAIL_LENGTH)
