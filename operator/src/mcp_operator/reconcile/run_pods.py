"""What a Pod says of the run to completion that it is of: when that began, how it ended, who ended it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from mcp_operator import names, policies

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mcp_operator.cluster import Manifest
    from mcp_operator.models.agent import MCPAgentSpec

    Status = Mapping[str, Any]

DEADLINE: Final = "DeadlineExceeded"
"""The kubelet's reason for a Pod that ran for longer than it may."""


@dataclass(frozen=True, kw_only=True)
class End:
    """How the containers of a Pod's user ended.

    Attributes:
        succeeded: All of them did.
        finished_at: When; None where no container says so.
        container: The one that decided; None where none has ended.
        exit_code: Its exit code.
        message: In its own words, or why the Pod ended.
        interrupted: Something outside ended it: an eviction, a deletion, a node.
    """

    succeeded: bool
    finished_at: str | None = None
    container: str | None = None
    exit_code: int | None = None
    message: str = ""
    interrupted: bool = False


def key(pod: Manifest) -> str:
    """Tell of which run a Pod is; empty for one that is of none."""
    return str((pod["metadata"].get("annotations") or {}).get(names.ANNOTATION_RUN, ""))


def started_at(pod: Manifest, spec: MCPAgentSpec) -> str | None:
    """Say when the first of the user's containers was started; None while none has been."""
    return min((moment for each in _users(pod, spec) for moment in _starts(each)), default=None)


def end(pod: Manifest, spec: MCPAgentSpec) -> End | None:
    """Say how a Pod ended; None while it may still run."""
    current = _status(pod)
    if current.get("phase") not in policies.ENDED:
        return None
    last = _deciding(_users(pod, spec))
    finished_at = last.get("finishedAt")
    return End(
        succeeded=current["phase"] == "Succeeded",
        finished_at=finished_at,
        container=last.get("name"),
        exit_code=last.get("exitCode"),
        message=_why(current) or last.get("message") or last.get("reason") or "",
        interrupted=_is_interrupted(pod, current, finished_at),
    )


def _is_interrupted(pod: Manifest, current: Status, finished_at: str | None) -> bool:
    reason = current.get("reason")
    if reason == DEADLINE:
        return False
    if reason and current["phase"] == "Failed":
        return True  # Evicted, NodeShutdown, Preempting: a reason of the whole Pod
    conditions: Sequence[Status] = current.get("conditions") or []
    if any(each.get("type") == "DisruptionTarget" and each.get("status") == "True" for each in conditions):
        return True
    return _was_deleted_before(pod, finished_at)


def _was_deleted_before(pod: Manifest, finished_at: str | None) -> bool:
    """Tell whether a Pod ended because somebody deleted it. What it says of its deletion is when it must be over."""
    metadata = pod["metadata"]
    due = metadata.get("deletionTimestamp")
    if due is None:
        return False
    if finished_at is None:
        return True
    asked = policies.parse_time(due) - timedelta(seconds=metadata.get("deletionGracePeriodSeconds") or 0)
    return policies.parse_time(finished_at) > asked


def _users(pod: Manifest, spec: MCPAgentSpec) -> Iterator[Status]:
    """Give the statuses of the user's containers; what others have put into the Pod decides nothing."""
    written = (spec.template or {}).get("spec") or {}
    for listed, kind in (("initContainers", "initContainerStatuses"), ("containers", "containerStatuses")):
        own = {each.get("name") for each in written.get(listed) or []}
        yield from (each for each in _status(pod).get(kind) or [] if each.get("name") in own)


def _starts(container: Status) -> Iterator[str]:
    for time in ("lastState", "state"):
        state = container.get(time) or {}
        moment = (state.get("running") or state.get("terminated") or {}).get("startedAt")
        if moment:
            yield str(moment)


def _deciding(containers: Iterator[Status]) -> Status:
    """Give how the container ended that decides: the first that failed, else the last one."""
    states = [(each.get("name"), (each.get("state") or {}).get("terminated")) for each in containers]
    ends = [{"name": name, **state} for name, state in states if state]
    failed = [each for each in ends if each.get("exitCode")]
    return failed[0] if failed else max(ends, key=lambda each: str(each.get("finishedAt")), default={})


def _why(current: Status) -> str:
    return ": ".join(str(current[part]) for part in ("reason", "message") if current.get(part))


def _status(pod: Manifest) -> Status:
    return pod.get("status") or {}
