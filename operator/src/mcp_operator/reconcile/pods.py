"""What an agent's Pod is doing and, when it is not ready, the real cause. Pure: from the Pod as it was read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mcp_operator import cluster, conditions, names, policies
from mcp_operator.outcomes import Done, Outcome, Waiting
from mcp_operator.policies import PodFacts
from mcp_operator.reconcile import in_place
from mcp_operator.status import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from mcp_operator.cluster import Manifest
    from mcp_operator.models.agent import MCPAgentSpec
    from mcp_operator.objects import Resource

HARMLESS_WAITING = frozenset({"PodInitializing", "ContainerCreating", ""})
"""Reasons of a waiting container that pass by themselves."""
STARTING = "containers are being started"
ROOT_HINT = ". Set securityContext.runAsUser in the template: a number, and 0 only where the namespace allows root."
"""After the kubelet's text about an image that would run as root, or whose user has no number."""
SETTLED_SECONDS = 10.0
"""A container that has crashed counts as running again after so long: a moment between two crashes is not readiness."""
UNPULLED = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"})
"""Reasons of a container whose image is not there."""
QUOTED_LENGTH = 300
"""Characters of the kubelet's text that are quoted."""

STUCK_SECONDS = 60.0
"""How long a Pod may be there after it should be gone until that is told as what it is."""

Status = dict[str, Any]


def facts(
    pod: Manifest | None,
    agent: Resource[MCPAgentSpec],
    wanted: Manifest | None,
    config_hash: str,
    now: datetime,
) -> PodFacts:
    """Put together what the decision about a Pod depends on.

    Args:
        pod: The Pod of the agent's name, if there is one.
        agent: The agent.
        wanted: The Pod that would now be made; None when none can be made now.
        config_hash: Of the configuration in the ConfigMap.
        now: For changes in place that take too long.
    """
    if pod is None:
        return PodFacts(exists=False)
    metadata = pod["metadata"]
    owner = cluster.controller(pod)
    annotations = metadata.get("annotations") or {}
    to_be = wanted["metadata"]["annotations"] if wanted is not None else annotations
    return PodFacts(
        exists=True,
        controller_uid=str(owner.get("uid", "")),
        controlled_by_agent_kind=owner.get("kind") == cluster.AGENT.kind
        and str(owner.get("apiVersion", "")).startswith(f"{names.GROUP}/"),
        agent_uid=agent.uid,
        deleting="deletionTimestamp" in metadata,
        phase=phase(pod),
        differs=in_place.difference(pod, wanted),
        config_hash=(annotations.get(names.ANNOTATION_CONFIG_HASH, ""), config_hash),
        complete=wanted is not None,
        strategy=agent.spec.update_strategy,
        run=(annotations.get(names.ANNOTATION_RUN, ""), to_be.get(names.ANNOTATION_RUN, "")),
        overdue=in_place.is_overdue(pod, now),
    )


def is_ours(pod: Manifest | None, agent_uid: str) -> bool:
    """Tell whether a Pod belongs to this very agent."""
    return pod is not None and cluster.controller(pod).get("uid") == agent_uid


def phase(pod: Manifest) -> str:
    """Give the Pod's phase."""
    return str((pod.get("status") or {}).get("phase") or "Pending")


def server_names(pod: Manifest) -> list[str]:
    """Name the servers that have a container in a Pod."""
    containers = pod["spec"].get("initContainers") or []
    prefix = names.SERVER_CONTAINER_PREFIX
    return [each["name"].removeprefix(prefix) for each in containers if each["name"].startswith(prefix)]


def lifetime(pod: Manifest, now: str) -> float:
    """Give the seconds for which a Pod has been there."""
    created = pod["metadata"].get("creationTimestamp") or now
    return (policies.parse_time(now) - policies.parse_time(created)).total_seconds()


def outcome(pod: Manifest, required: Sequence[str], now: datetime) -> Outcome:
    """Say whether a Pod is ready and, if not, why.

    Args:
        pod: The Pod.
        required: The tools for which the agent's containers wait.
        now: For telling a container that has just been started again.
    """
    current: Status = pod.get("status") or {}
    if "deletionTimestamp" in pod["metadata"]:
        return ending(pod, now)
    if phase(pod) in policies.ENDED:
        return Waiting(conditions.POD_BACK_OFF, ended(pod))
    if _condition(current, "Ready").get("status") == "True":
        return _unsettled(pod, current, now) or Done(conditions.SUCCEEDED)
    scheduled = _condition(current, "PodScheduled")
    if scheduled.get("status") == "False":
        text = _quoted(scheduled.get("message") or scheduled.get("reason") or "no node takes the Pod")
        return _waiting(conditions.POD_UNSCHEDULABLE, f"{text.rstrip('.')}, see kubectl describe pod {_place(pod)}")
    return _first_trouble(_place(pod), current, required) or _unready(pod, current)


def ending(pod: Manifest, now: datetime) -> Waiting:
    """Say that a Pod is ending, and what to do when it should long be gone."""
    due = pod["metadata"].get("deletionTimestamp")
    late = (now - policies.parse_time(due)).total_seconds() if due else 0.0
    if late <= STUCK_SECONDS:
        return Waiting(conditions.POD_TERMINATING, "the Pod is ending; another one follows when it is gone")
    node = (pod.get("spec") or {}).get("nodeName") or "?"
    finalizers = pod["metadata"].get("finalizers") or []
    if finalizers:
        text = (
            f"the Pod is held by finalizers of others, who must take them off: {', '.join(finalizers)}, "
            f"see kubectl get pod {_place(pod)} -o yaml"
        )
    else:
        text = (
            f"the Pod should be gone by now: node {node} does not say that it has ended. No second one is made while "
            f"it may still run. If that node is off for good: kubectl delete node {node}, or kubectl taint node {node} "
            f"node.kubernetes.io/out-of-service=now:NoExecute, or kubectl delete pod {_place(pod)} --force"
        )
    return Waiting(conditions.POD_STUCK, printable(text), delay=STUCK_SECONDS)


def ended(pod: Manifest) -> str:
    """Say how a Pod ended."""
    current: Status = pod.get("status") or {}
    parts = [str(current[key]) for key in ("reason", "message") if current.get(key)]
    return _quoted(": ".join([f"the Pod {phase(pod).lower()}", *parts]))


def _restarting(pod: Manifest) -> Outcome | None:
    servers = [name.removeprefix(names.SERVER_CONTAINER_PREFIX) for name in in_place.unfinished(pod)]
    if not servers:
        return None
    text = f"their images or Secrets changed, so they are being started again: {', '.join(servers)}"
    return Waiting(conditions.SERVERS_RESTARTING, text, delay=in_place.DUE)


def _unsettled(pod: Manifest, current: Status, now: datetime) -> Outcome | None:
    return _restarting(pod) or _just_crashed(_place(pod), current, now)


def _just_crashed(pod: str, current: Status, now: datetime) -> Outcome | None:
    for container in _containers(current):
        since = (_state(container).get("running") or {}).get("startedAt")
        last = _last_end(container)
        if not since or not last.get("exitCode"):
            continue
        left = SETTLED_SECONDS - (now - policies.parse_time(since)).total_seconds()
        if left > 0:
            name = container["name"]
            text = f"{name} {_exit(last)} and was started again, see kubectl logs {pod} -c {name} --previous"
            return Waiting(conditions.CONTAINER_CRASHING, printable(text), delay=left)
    return None


def _first_trouble(pod: str, current: Status, required: Sequence[str]) -> Outcome | None:
    for container in _containers(current):
        if container["name"] == names.AWAIT_CONTAINER and not _completed(container):
            return _awaiting(pod, container, required)
        trouble = _trouble(pod, container)
        if trouble is not None:
            return trouble
    unready = [each["name"] for each in _containers(current) if "running" in _state(each) and not each.get("ready")]
    if unready and phase({"status": current}) == "Running":
        return _waiting(
            conditions.CONTAINER_NOT_READY, f"not ready yet: {', '.join(unready)}, see kubectl describe pod {pod}"
        )
    return None


def _unready(pod: Manifest, current: Status) -> Outcome:
    """Say why a Pod is not ready although nothing is wrong with its containers."""
    disrupted = _condition(current, "DisruptionTarget")
    if disrupted.get("status") == "True":
        return _waiting(conditions.POD_TERMINATING, f"the Pod is being evicted: {disrupted.get('message') or ''}")
    mine = current.get("containerStatuses") or []
    if mine and all(each.get("ready") for each in mine) and _condition(current, "Ready").get("status") == "False":
        node = (pod.get("spec") or {}).get("nodeName") or "?"
        text = f"node {node} does not answer; the Pod is evicted by Kubernetes if that lasts, see kubectl describe node"
        return _waiting(conditions.NODE_UNREACHABLE, f"{text} {node}")
    return _waiting(conditions.POD_STARTING, STARTING)


def _trouble(pod: str, container: Status) -> Outcome | None:
    name, state = container["name"], _state(container)
    waiting = state.get("waiting") or {}
    reason = str(waiting.get("reason") or "")
    if reason == "CrashLoopBackOff" or _crashed(container):
        end = _exit(_last_end(container))
        return _waiting(conditions.CONTAINER_CRASHING, f"{name} {end}, see kubectl logs {pod} -c {name} --previous")
    if reason not in HARMLESS_WAITING:
        text = str(waiting.get("message") or "")
        hint = ROOT_HINT if "runAsNonRoot" in text else f", see kubectl describe pod {pod}"
        if reason in UNPULLED:
            hint = f". {_pulling(name)}"
        return _waiting(conditions.CONTAINER_WAITING, f"{name}: {reason}: {_quoted(text).rstrip('.')}{hint}")
    return None


def _pulling(container: str) -> str:
    """Say what can be done about an image that cannot be pulled, and by whom."""
    if container in {*names.RESERVED_CONTAINER_NAMES, names.GUARD_CONTAINER}:
        return "An admin corrects images.toolman and images.wrapper of the chart, or lets nodes pull them"
    prefix = names.SERVER_CONTAINER_PREFIX
    if container.startswith(prefix):
        server = container.removeprefix(prefix)
        return f"Where it takes credentials: spec.run.imagePullSecrets of MCPServer {server}"
    return "Correct the image or imagePullSecrets in spec.template"


def _awaiting(pod: str, container: Status, required: Sequence[str]) -> Outcome:
    """Say what the agent's containers wait for: in the words of the container that waits, where it has ended before."""
    state = _state(container)
    waiting = str((state.get("waiting") or {}).get("reason") or "")
    if waiting not in HARMLESS_WAITING | {"CrashLoopBackOff"}:
        return _trouble(pod, container) or _waiting(conditions.POD_STARTING, STARTING)
    last = _last_end(container)
    if "running" not in state and not last:
        return _waiting(conditions.POD_STARTING, STARTING)
    missing = str(last.get("message") or "").strip()
    log = f"see kubectl logs {pod} -c {names.AWAIT_CONTAINER}"
    return _waiting(conditions.AWAITING_TOOLS, missing or f"waiting for {', '.join(required) or 'the servers'}, {log}")


def _last_end(container: Status) -> Status:
    return _state(container).get("terminated") or (container.get("lastState") or {}).get("terminated") or {}


def _crashed(container: Status) -> bool:
    return bool((_state(container).get("terminated") or {}).get("exitCode"))


def _containers(current: Status) -> Iterator[Status]:
    yield from current.get("initContainerStatuses") or []
    yield from current.get("containerStatuses") or []


def _place(pod: Manifest) -> str:
    """Give a Pod as commands name it, for people whose context is in another namespace."""
    return f"{pod['metadata']['name']} -n {pod['metadata']['namespace']}"


def _state(container: Status) -> Status:
    return container.get("state") or {}


def _completed(container: Status) -> bool:
    return (_state(container).get("terminated") or {}).get("exitCode") == 0


def _exit(last: Status) -> str:
    detail = " ".join(str(last.get("message") or "").split())[-QUOTED_LENGTH:]
    why = f" ({last['reason']})" if last.get("reason") else ""
    return f"ended with exit code {last.get('exitCode', '?')}{why}" + (f": {detail}" if detail else "")


def _condition(current: Status, kind: str) -> Status:
    listed: list[Status] = current.get("conditions") or []
    return next((each for each in listed if each.get("type") == kind), {})


def _waiting(reason: str, message: str) -> Waiting:
    return Waiting(reason, printable(message), delay=None)


def _quoted(text: object) -> str:
    """Give others' words bounded, as what to do comes after them."""
    return printable(str(text), QUOTED_LENGTH)
