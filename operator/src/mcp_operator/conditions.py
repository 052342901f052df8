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
"""The resource as written is in service.

MCPServer: the newest revision that its source means is verified and is what agents get. While a new one is built, or
after it failed, it is false and the last good one stays in service. A source that cannot be looked up for a while
changes nothing; a remote server that does not answer makes it false. With a new revision that waits for approval it
stays true, and so it does while the same revision is built or verified once more for other settings or base images, and
while Pods of a shared server are replaced one after the other: `Reconciling` tells of both.
"""
STALLED: Final = "Stalled"
"""Present while nothing will happen until somebody changes something."""
RECONCILING: Final = "Reconciling"
"""Present while the operator is working on it or waiting for something."""
SOURCE_READY: Final = "SourceReady"
"""MCPServer: the source may be used, was found, and its commit, version, digest or address is known."""
BUILT: Final = "Built"
"""MCPServer from git, npm or PyPI: the source was recognised and its image built."""
VERIFIED: Final = "Verified"
"""MCPServer: the image or the remote server spoke MCP and listed its tools."""
PUSHED: Final = "Pushed"
"""MCPServer from git, npm or PyPI: the image is in the registry, where nodes can pull it."""
AWAITING_APPROVAL: Final = "AwaitingApproval"
"""MCPServer: present while a new revision with other tools waits for approval; the message has the difference."""
INPUTS_READY: Final = "InputsReady"
"""MCPServer with Secrets or ConfigMaps in `run`: all of them are there."""
AGENT_APPLIED: Final = "AgentApplied"
"""MCPServer, where an agent is written in it: there is an MCPAgent of its name, and it is as written."""
AVAILABLE: Final = "Available"
"""MCPServer with Pods of its own: at least one of them takes calls, and all are as they should be."""
TOOLS_DRIFTED: Final = "ToolsDrifted"
"""MCPServer: present while a toolman sees other tools than those that were verified; the message has the difference."""
POLICY_RESOLVED: Final = "PolicyResolved"
"""MCPAgent: every ToolPolicy that may concern it could be read."""
SERVERS_READY: Final = "ServersReady"
"""MCPAgent: every server that it names exists, can be used, and has the Secrets and ConfigMaps that it is given."""
TOOLS_READY: Final = "ToolsReady"
"""MCPAgent: every required tool exists and is allowed."""
POD_READY: Final = "PodReady"
"""MCPAgent: its Pod is as it should be and ready; without a template: its configuration is there for Pods of others."""

MATCHES_NOTHING: Final = "MatchesNothing"
"""ToolPolicy: present while globs of it match no tool of any server that it is about: very likely they are misspelt."""

TYPES: Final = frozenset(
    {READY, STALLED, RECONCILING, SOURCE_READY, BUILT, VERIFIED, PUSHED, AWAITING_APPROVAL, INPUTS_READY}
    | {AGENT_APPLIED, AVAILABLE, TOOLS_DRIFTED, POLICY_RESOLVED, SERVERS_READY, TOOLS_READY, POD_READY, MATCHES_NOTHING}
)
"""All types; every other constant of this module that is a text is a reason."""
SERVER_CONDITIONS: Final = (SOURCE_READY, BUILT, VERIFIED, PUSHED)
UNBUILT_CONDITIONS: Final = (SOURCE_READY, VERIFIED)
"""Of an MCPServer that is not built: an image that is there already, or a remote server."""
AGENT_CONDITIONS: Final = (POLICY_RESOLVED, SERVERS_READY, TOOLS_READY, POD_READY)

# --- reasons that conditions share
SUCCEEDED: Final = "Succeeded"
"""True: there is nothing more to say."""
NOT_REACHED: Final = "NotReached"
"""Nothing is known yet: a step before this one is not done."""
INVALID_SPEC: Final = "InvalidSpec"
"""The stored object does not fit the CRD of this version; the message names the field."""

# --- reasons of an MCPServer
LOOKING_UP: Final = "LookingUp"
"""The source is being asked which commit, version or digest it means now, or the remote server what it offers."""
SECRET_INVALID: Final = "SecretInvalid"  # noqa: S105 - a reason
"""A Secret that the spec names does not hold what it is used for; the message names the key."""
SECRET_UNREADABLE: Final = "SecretUnreadable"  # noqa: S105 - a reason
"""The operator could not read a Secret or ConfigMap; the message is the API server's."""
ADDRESS_REFUSED: Final = "AddressRefused"
"""The remote server is inside of the cluster, on the node, or where a cloud keeps its metadata."""
REMOTE_UNREACHABLE: Final = "RemoteUnreachable"
"""The remote server did not answer; it is asked again by itself."""
REMOTE_REFUSED: Final = "RemoteRefused"
"""The remote server answered, and not as an MCP server does: credentials, path or transport are wrong."""
IMAGE_NOT_FOUND: Final = "ImageNotFound"
"""The registry has no such image, or does not show it without credentials."""
CHANGES_HELD: Final = "ChangesHeld"
"""A new revision has other tools than the one in service, and waits for approval."""
MANIFEST_NAME_TAKEN: Final = "ManifestNameTaken"
"""A ConfigMap that the operator did not make for this server has the name that its list of tools needs."""
TOO_MANY_TOOLS: Final = "TooManyTools"
"""The server lists more tools than can be kept for agents to be held to."""
PULLING: Final = "Pulling"
"""The image is being pulled to be verified."""
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
UNDER_WAY = frozenset({QUEUED, FETCHING, PULLING, BUILDING, VERIFYING, PUSHING})
"""Reasons while a build has not ended."""

SOURCE_NOT_ALLOWED: Final = "SourceNotAllowed"
"""A ToolPolicy's `sources.allow` does not list the source for this namespace; the message names the policy. What was
made from it is taken out of service: agents get none of its tools."""

# --- reasons of a shared MCPServer
ROLLING_OUT: Final = "RollingOut"
"""Pods of the server are being made, and fewer than wanted take calls; the message has what they wait for."""
REPLACING_PODS: Final = "ReplacingPods"
"""As many Pods as wanted take calls, and are being replaced one after the other; `Ready` stays as it is meanwhile."""
SCALED_TO_ZERO: Final = "ScaledToZero"
"""run.shared.replicas is 0: there are no Pods."""
GUARD_NAME_TAKEN: Final = "GuardNameTaken"
"""An object that the operator did not make for this server has a name that it needs; the message says which."""
GUARD_FORBIDDEN: Final = "GuardForbidden"
"""The namespace's quota or Pod Security Standard, or the operator's rights, refuse what the server is made of."""
GUARD_UNBOUND: Final = "GuardUnbound"
"""The ClusterRoleBinding that lets guards ask whose a token is does not exist: an admin has to install it."""
ROLLOUT_FAILED: Final = "RolloutFailed"
"""New Pods of the server do not become ready; the earlier ones stay. The message says why."""
TOOLS_DIFFER: Final = "ToolsDiffer"
"""The server that runs lists other tools than its image did when it was verified."""

# --- reasons of a ToolPolicy
GLOBS_MATCH_NOTHING: Final = "GlobsMatchNothing"
"""Globs over tools match no tool of any server that the policy is about; the message lists them."""

# --- reasons of an MCPAgent
UNSAFE_TEMPLATE: Final = "UnsafeTemplate"
"""The Pod template would let the agent go around toolman; the message names the field."""
POLICY_INVALID: Final = "PolicyInvalid"
"""A ToolPolicy cannot be read, so nothing new is allowed until it is repaired or deleted."""
SERVERS_NOT_READY: Final = "ServersNotReady"
"""A server does not exist, or has no image or address yet; the message says which and why."""
SECRET_MISSING: Final = "SecretMissing"  # noqa: S105 - a reason
"""A Secret that a server needs, or a key of it, is not there; the message names it and how to make it."""
CONFIG_MAP_MISSING: Final = "ConfigMapMissing"
"""A ConfigMap that a server needs, or a key of it, is not there; the message names it and how to make it."""
FILES_TOO_LARGE: Final = "FilesTooLarge"
"""The files written into an MCPServer do not fit into one ConfigMap: put them into ConfigMaps of your own."""
TOOLS_WAITING: Final = "ToolsWaiting"
"""A required tool is of a server that is not ready; the message says which and why."""
TOOLS_UNKNOWN: Final = "ToolsUnknown"
"""A server does not have a required tool."""
TOOLS_DENIED: Final = "ToolsDenied"
"""A layer denies a required tool; the message names the layer."""
CONFIG_NAME_TAKEN: Final = "ConfigMapNameTaken"
"""A ConfigMap that the operator did not make for this agent has the name that toolman's configuration needs."""
CONFIG_TOO_LARGE: Final = "ConfigTooLarge"
"""toolman's configuration, with the hashes of all tools, does not fit into one ConfigMap."""
AGENT_NAME_TAKEN: Final = "AgentNameTaken"
"""MCPServer: an MCPAgent that was not made for it has its name, which the agent written in it needs."""
AGENT_GOING: Final = "AgentGoing"
"""MCPServer: an earlier MCPAgent of its name is being deleted."""
POD_NAME_TAKEN: Final = "PodNameTaken"
"""A Pod that the operator did not make for this agent has its name. It is left alone: delete it or rename the agent."""
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
POD_STUCK: Final = "PodStuckTerminating"
"""A Pod should be gone for some time: its node does not answer. The message says what to do."""
POD_OUTDATED: Final = "PodOutdated"
"""The Pod that runs should be another one, and by the updateStrategy, or because its run has begun, it stays. Of an
agent without a template: Pods of other workloads should be; the message has the commands that restart these."""
SERVERS_RESTARTING: Final = "ServersRestarting"
"""Images of servers were changed in place; their containers are being started again."""
NODE_UNREACHABLE: Final = "NodeUnreachable"
"""The Pod's containers ran when its node last answered."""
SUSPENDED: Final = "Suspended"
"""spec.suspend is set: there is no Pod, or, without a template, no further one."""
COMPLETED: Final = "Completed"
"""The agent ran to completion and succeeded; it runs again only when its spec changes."""
RUN_FAILED: Final = "RunFailed"
"""The agent ran to completion and failed; the message says how. It runs again only when its spec changes."""
INJECTION_DISABLED: Final = "InjectionDisabled"
"""The agent has no template, and this installation puts no sidecars into Pods of other workloads."""
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


SOMEBODYS_WORK: Final = frozenset(
    {SECRET_MISSING, CONFIG_MAP_MISSING, SECRET_UNREADABLE, FILES_TOO_LARGE, POD_FORBIDDEN, POD_STUCK, NODE_UNREACHABLE}
)
"""What an agent waits for and hardly passes by itself; what else a Pod waits for, the kubelet tells about the Pod."""


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


def noted(
    previous: Sequence[Condition],
    kind: str,
    outcome: Outcome,
    *,
    generation: int,
    now: str,
) -> Condition:
    """Give a condition that is only there while it is true, whatever ``Ready`` says, such as a warning."""
    return _keep_time(_flag(kind, outcome, generation, now), previous)


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
