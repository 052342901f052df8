"""Agents that run to completion: which run a Pod is of, how it ended, and that none is ever repeated. Pure.

A run begins when the agent's own containers start, and is known by a hash of the spec: as long as the spec stays, a run
that is over is not repeated, whatever happens to its Pod, the servers' images or the operator. What ends a Pod from
outside (an eviction, a drained or lost node) ends a run with ``Never``; with ``OnFailure`` another Pod goes on with it.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from mcp_operator import conditions, names, policies
from mcp_operator.manifests.metadata import digest
from mcp_operator.manifests.pod import Run
from mcp_operator.models.status import RunStatus
from mcp_operator.outcomes import Done, Outcome, Stalled
from mcp_operator.reconcile import run_pods
from mcp_operator.status import printable

if TYPE_CHECKING:
    from datetime import datetime

    from mcp_operator.cluster import Manifest
    from mcp_operator.models.agent import MCPAgentSpec
    from mcp_operator.objects import Resource
    from mcp_operator.reconcile.run_pods import End

NOT_OF_THE_RUN: Final = {"suspend", "ttl_seconds_after_finished", "update_strategy"}
"""Fields of the spec that say nothing of what is run: to change them does not run it again."""
DELETED: Final = "the Pod was deleted before the run was over: by somebody, or with its node"
MESSAGE_LENGTH: Final = 500
"""Characters of a container's termination message."""


def key(spec: MCPAgentSpec) -> str:
    """Name the run that a spec asks for; a field that a later operator adds is no other run until somebody uses it."""
    return digest(spec.model_dump(mode="json", exclude=NOT_OF_THE_RUN, exclude_defaults=True))[:16]


def observe(
    before: RunStatus | None, pod: Manifest | None, agent: Resource[MCPAgentSpec], now: datetime
) -> RunStatus | None:
    """Say how far the run of an agent has come; None for one that has not begun, or that keeps its Pod.

    Args:
        before: The same, as it was last written down.
        pod: The agent's own Pod as it is now; None where there is none.
        agent: Whose run.
        now: For what ends without saying when.
    """
    spec = agent.spec
    if spec.restart_policy == "Always":
        return None
    run_key = key(spec)
    known = before if before is not None and before.key == run_key else None
    run = known if is_over(known) else _look(known, pod, spec, run_key, now)
    return None if spec.suspend and not is_over(run) else run


def is_over(run: RunStatus | None) -> bool:
    """Tell whether a run is finished."""
    return run is not None and run.result is not None


def wanted(agent: Resource[MCPAgentSpec], run: RunStatus | None, now: datetime) -> Run | None:
    """Give the run that the agent's next Pod would be of; None for an agent that keeps its Pod."""
    spec = agent.spec
    if spec.restart_policy == "Always":
        return None
    seconds = spec.active_deadline_seconds
    if seconds is not None and run is not None and run.started_at is not None:
        gone = (now - policies.parse_time(run.started_at)).total_seconds()
        seconds = max(1, int(seconds - gone))
    return Run(key=key(spec), seconds=seconds)


def outcome(run: RunStatus, agent: Resource[MCPAgentSpec]) -> Outcome:
    """Say how a run of an agent that is over went."""
    where = f"container {run.container} ended with exit code {run.exit_code}" if run.container is not None else ""
    text = ": ".join(part for part in (where, run.message) if part)
    if run.result == "Succeeded":
        return Done(conditions.COMPLETED, text)
    log = f"kubectl logs {names.pod(agent.name)} -n {agent.namespace}" + (f" -c {run.container}" if where else "")
    return Stalled(conditions.RUN_FAILED, f"{text or 'it failed'}, see {log}. It runs again when its spec changes.")


def left(run: RunStatus, spec: MCPAgentSpec, now: datetime) -> float | None:
    """Give the seconds until a finished agent is to be deleted; None for never."""
    if spec.ttl_seconds_after_finished is None or run.finished_at is None:
        return None
    due = policies.parse_time(run.finished_at) + timedelta(seconds=spec.ttl_seconds_after_finished)
    return max(0.0, (due - now).total_seconds())


def _look(
    known: RunStatus | None, pod: Manifest | None, spec: MCPAgentSpec, run_key: str, now: datetime
) -> RunStatus | None:
    if pod is None:
        return None if known is None else _without_pod(known, spec, now)
    if run_pods.key(pod) != run_key:
        return known
    return _of_pod(known or RunStatus(key=run_key, pod_uid=""), pod, spec, now)


def _of_pod(known: RunStatus, pod: Manifest, spec: MCPAgentSpec, now: datetime) -> RunStatus:
    started_at = known.started_at or run_pods.started_at(pod, spec)
    run = known.model_copy(update={"pod_uid": pod["metadata"]["uid"], "started_at": started_at})
    end = run_pods.end(pod, spec)
    if end is None or _goes_on(end, spec, has_begun=started_at is not None):
        return run
    at = end.finished_at or policies.format_time(now)
    if end.interrupted:
        return _finished(run, "Failed", at, message=end.message or DELETED)
    how = {"container": end.container, "exit_code": end.exit_code}
    return _finished(run, "Succeeded" if end.succeeded else "Failed", at, message=end.message, **how)


def _goes_on(end: End, spec: MCPAgentSpec, *, has_begun: bool) -> bool:
    """Tell whether a run goes on with another Pod: it has not even begun, or it may."""
    if not has_begun:
        return not end.succeeded and not end.message.startswith(run_pods.DEADLINE)
    return end.interrupted and (spec.suspend or spec.restart_policy == "OnFailure")


def _without_pod(run: RunStatus, spec: MCPAgentSpec, now: datetime) -> RunStatus:
    """Go on with a run whose Pod is gone, if that may be."""
    if run.started_at is None or spec.suspend:
        return run
    if spec.restart_policy == "Never":
        return _finished(run, "Failed", policies.format_time(now), message=DELETED)
    if spec.active_deadline_seconds is None:
        return run
    end = policies.parse_time(run.started_at) + timedelta(seconds=spec.active_deadline_seconds)
    if now < end:
        return run
    return _finished(run, "Failed", policies.format_time(end), message=f"{run_pods.DEADLINE}: its Pod was lost before")


def _finished(run: RunStatus, result: str, at: str, *, message: str, **how: object) -> RunStatus:
    said = printable(message, MESSAGE_LENGTH) or None
    return run.model_copy(update={"result": result, "finished_at": at, "message": said, **how})
