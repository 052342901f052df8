"""Conditions: their types, their reasons, and the one function that writes them.

A failed build's reasons come from the builder (``images.contract.BuildError.reason``); all others are here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from mcp_operator.models.status import Condition
from mcp_operator.outcomes import Done, Outcome, Stalled, Waiting

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

# --- types
READY: Final = "Ready"
"""The resource as written is in service."""
STALLED: Final = "Stalled"
"""Present while nothing will happen until somebody changes something."""
RECONCILING: Final = "Reconciling"
"""Present while the operator is working on it or waiting for something."""
SOURCE_READY: Final = "SourceReady"
"""MCPServer: the source was found and its commit is known."""
BUILT: Final = "Built"
"""MCPServer: the source was recognised and its image built."""
VERIFIED: Final = "Verified"
"""MCPServer: the image spoke MCP and listed its tools."""
PUSHED: Final = "Pushed"
"""MCPServer: the image is in the registry, where nodes can pull it."""
POLICY_RESOLVED: Final = "PolicyResolved"
"""MCPAgent: every ToolPolicy that may concern it could be read."""
SERVERS_READY: Final = "ServersReady"
"""MCPAgent: every server that it names exists and has an image."""
TOOLS_READY: Final = "ToolsReady"
"""MCPAgent: every required tool exists and is allowed."""
POD_READY: Final = "PodReady"
"""MCPAgent: its Pod is as it should be and ready."""

SERVER_CONDITIONS: Final = (SOURCE_READY, BUILT, VERIFIED, PUSHED)
AGENT_CONDITIONS: Final = (POLICY_RESOLVED, SERVERS_READY, TOOLS_READY, POD_READY)

# --- reasons that conditions share
SUCCEEDED: Final = "Succeeded"
"""True: there is nothing more to say."""
NOT_REACHED: Final = "NotReached"
"""Unknown: something before it is not done."""
INVALID_SPEC: Final = "InvalidSpec"
"""The stored object does not fit the CRD of this version; the message names the field."""

# --- reasons of an MCPServer
QUEUED: Final = "Queued"
"""Other builds are running; this one will start by itself."""
FETCHING: Final = "Fetching"
"""The source is being cloned."""
BUILDING: Final = "Building"
"""The source is being looked at and its image built."""
LOOKING_AT_BASE_IMAGES: Final = "LookingAtBaseImages"
"""The operator has just started and looks at the base images, or pulls them."""
VERIFYING: Final = "Verifying"
"""The image runs in a container without network and is asked for its tools."""
PUSHING: Final = "Pushing"
"""The image is going to the registry."""
INTERNAL_ERROR: Final = "InternalError"
"""A bug in the operator; its log has the trace."""

# --- reasons of an MCPAgent
UNSAFE_TEMPLATE: Final = "UnsafeTemplate"
"""The Pod template would let the agent go around toolman; the message names the field."""
POLICY_INVALID: Final = "PolicyInvalid"
"""A ToolPolicy cannot be read, so nothing new is allowed until it is repaired or deleted."""
SERVERS_NOT_READY: Final = "ServersNotReady"
"""A server is missing or has no image yet; the message says which and why."""
TOOLS_UNKNOWN: Final = "ToolsUnknown"
"""A server does not have a required tool."""
TOOLS_DENIED: Final = "ToolsDenied"
"""A layer denies a required tool; the message names the layer."""
CONFIG_NAME_TAKEN: Final = "ConfigMapNameTaken"
"""A ConfigMap that is not ours has the name that toolman's configuration needs."""
POD_NAME_TAKEN: Final = "PodNameTaken"
"""A Pod that is not ours has the agent's name. It is left alone: delete it or rename the agent."""
POD_REJECTED: Final = "PodRejected"
"""The API server refuses the Pod made from the template as invalid; the message is its own."""
POD_FORBIDDEN: Final = "PodForbidden"
"""The namespace's quota or Pod Security Standard refuses the Pod, or the operator may not create it."""
POD_CREATED: Final = "PodCreated"
"""The Pod was created and has not been scheduled yet."""
POD_TERMINATING: Final = "PodTerminating"
"""An earlier Pod of the agent is ending; the next one is made when it is gone."""
POD_BACK_OFF: Final = "PodBackOff"
"""The Pod ended again and again; the next one is made after a growing delay."""
POD_UNSCHEDULABLE: Final = "PodUnschedulable"
"""No node takes the Pod; the message is the scheduler's."""
POD_STARTING: Final = "PodStarting"
"""Containers are being created or started."""
AWAITING_TOOLS: Final = "AwaitingTools"
"""toolman runs; the agent's containers start when the required tools are there."""
CONTAINER_WAITING: Final = "ContainerWaiting"
"""A container cannot start (its image, its configuration); the message has the kubelet's reason and text."""
CONTAINER_CRASHING: Final = "ContainerCrashing"
"""A container ends again and again; the message says which, how, and where to look."""
CONTAINER_NOT_READY: Final = "ContainerNotReady"
"""A container runs and its readiness probe fails."""


def summarise(
    previous: Sequence[Condition],
    outcomes: Mapping[str, Outcome],
    *,
    order: Sequence[str],
    generation: int,
    now: str,
    ready: Outcome | None = None,
) -> list[Condition]:
    """Turn what the steps came to into conditions; the only place where conditions are made.

    Args:
        previous: The conditions as stored; a condition whose status stays keeps its time.
        outcomes: By condition type. One without an entry was not reached.
        order: The condition types in the order of their steps.
        generation: Of the spec that was looked at.
        now: RFC 3339.
        ready: What ``Ready`` says, where that is not simply the first problem, those before others that stall.
    """
    problems = _problems(outcomes[kind] for kind in order if kind in outcomes)
    if ready is None:
        complete = all(kind in outcomes for kind in order)
        ready = next(iter(problems), Done(SUCCEEDED) if complete else Waiting(NOT_REACHED, ""))
    pairs: list[tuple[str, Outcome | None]] = [(READY, ready), *((kind, outcomes.get(kind)) for kind in order)]
    wanted = [_condition(kind, outcome, generation, now) for kind, outcome in pairs]
    worst = next(iter(_problems([*problems, ready])), None)
    if worst is not None:
        wanted.append(_flag(STALLED if isinstance(worst, Stalled) else RECONCILING, worst, generation, now))
    return [_keep_time(condition, previous) for condition in wanted]


def find(conditions: Sequence[Condition], kind: str) -> Condition | None:
    """Give the condition of a type."""
    return next((condition for condition in conditions if condition.type == kind), None)


def is_true(conditions: Sequence[Condition], kind: str) -> bool:
    """Tell whether the condition of a type is there and true."""
    condition = find(conditions, kind)
    return condition is not None and condition.status == "True"


def _problems(outcomes: Iterable[Outcome]) -> list[Outcome]:
    """Give those that are not done, in their order but what stalls before what only waits."""
    found = [outcome for outcome in outcomes if not isinstance(outcome, Done)]
    return sorted(found, key=lambda problem: isinstance(problem, Waiting))


def _condition(kind: str, outcome: Outcome | None, generation: int, now: str) -> Condition:
    status: Literal["True", "False", "Unknown"] = "False"
    if outcome is None:
        status, reason, message = "Unknown", NOT_REACHED, ""
    else:
        reason, message = outcome.reason, outcome.message
        if isinstance(outcome, Done):
            status = "True"
    return Condition(
        type=kind,
        status=status,
        reason=reason,
        message=message,
        observed_generation=generation,
        last_transition_time=now,
    )


def _flag(kind: str, problem: Outcome, generation: int, now: str) -> Condition:
    return Condition(
        type=kind,
        status="True",
        reason=problem.reason,
        message=problem.message,
        observed_generation=generation,
        last_transition_time=now,
    )


def _keep_time(condition: Condition, previous: Sequence[Condition]) -> Condition:
    before = find(previous, condition.type)
    if before is None or before.status != condition.status:
        return condition
    return condition.model_copy(update={"last_transition_time": before.last_transition_time})
