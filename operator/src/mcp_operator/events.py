"""Events: one for every change that a person would want to see, found by comparing two statuses.

Reconciliations that change nothing have two equal statuses and so give no events.
"""

from __future__ import annotations

import logging
import socket
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Literal

from mcp_operator import conditions, names
from mcp_operator.cluster import ClusterError, EndingError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from mcp_operator.cluster import Manifest, Objects
    from mcp_operator.models.status import (
        AgentTools,
        BuildStatus,
        Condition,
        MCPAgentStatus,
        MCPServerStatus,
        RunStatus,
    )

NOTE_LENGTH = 1000
"""Characters; the API server allows 1024 bytes."""
NAME_LENGTH = 200
"""Characters of the object's name in its Events' names."""

BUILD_STARTED: Final = "BuildStarted"
"""MCPServer: fetching and building began; of an image that is there already, trying it out."""
IMAGE_BUILT: Final = "ImageBuilt"
"""MCPServer: a new image is verified and in service; one that was built is in the registry, too."""
TOOLS_CHANGED: Final = "ToolsChanged"
"""MCPServer, remote: what it offers is known for the first time, or is something else than before."""
CHANGES_HELD: Final = "ChangesHeld"
"""MCPServer, warning: a new revision with other tools awaits approval; the note has the difference and the command."""
BUILD_FAILED: Final = "BuildFailed"
"""MCPServer, warning: the note has the step, the cause and what to do."""
POD_CREATED: Final = "PodCreated"
"""MCPAgent: its Pod was made."""
POD_REPLACED: Final = "PodReplaced"
"""MCPAgent: its Pod was deleted to be made anew; the note says why."""
SERVERS_CHANGED: Final = "ServersChanged"
"""MCPAgent: servers of its Pod were given other images or Secrets, and are started again in place."""
SUSPENDED: Final = "Suspended"
"""MCPAgent: its Pod was deleted because spec.suspend is set."""
AGENT_GONE: Final = "AgentGone"
"""Pod of another workload, warning: it was deleted, since the MCPAgent whose sidecars it has is gone."""
RUN_SUCCEEDED: Final = "RunSucceeded"
"""MCPAgent: it ran to completion; the note says how it ended."""
POLICY_CHANGED: Final = "PolicyChanged"
"""MCPAgent: other tools are visible than before; the note says which came and went."""
POLICY_REMOVED: Final = "PolicyRemoved"
"""MCPAgent, warning: a ToolPolicy no longer caps it, and it sees more tools for that; the note says which."""
BECAME_READY: Final = "Ready"
"""Any kind: it was not in service before, or not as written."""

ASKS_IN_VAIN: Final = "AsksInVain"
"""MCPAgent, warning: it asks for what no layer gives, or for more than its budget; the note says what."""

NAMED_TOOLS = 10
"""Tools that a note names; a status lists more."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Event:
    """One thing that happened."""

    reason: str
    note: str
    type: Literal["Normal", "Warning"] = "Normal"
    action: str = "Reconcile"


class Recorder:
    """Writes Events about objects. Failing to is logged and changes nothing else."""

    def __init__(self, objects: Objects, clock: Callable[[], datetime]) -> None:
        self._objects = objects
        self._clock = clock
        self._instance = socket.gethostname()

    def record(self, raw: Manifest, events: Iterable[Event]) -> None:
        """Write Events about the object ``raw``."""
        for event in events:
            try:
                self._objects.emit(self._manifest(raw, event))
            except EndingError:
                return  # nobody will look for them there
            except ClusterError as error:
                logger.warning("event %s of %s not written: %s", event.reason, raw["metadata"]["name"], error)

    def _manifest(self, raw: Manifest, event: Event) -> Manifest:
        metadata = raw["metadata"]
        return {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {
                "namespace": metadata.get("namespace", "default"),
                "generateName": f"{metadata['name'][:NAME_LENGTH]}-",
            },
            "eventTime": self._clock().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "reportingController": names.GROUP + "/" + names.MANAGER,
            "reportingInstance": self._instance[:128],
            "action": event.action,
            "type": event.type,
            "reason": event.reason,
            "note": event.note.encode()[:NOTE_LENGTH].decode(errors="ignore"),
            "regarding": {
                "apiVersion": raw["apiVersion"],
                "kind": raw["kind"],
                "namespace": metadata.get("namespace", ""),
                "name": metadata["name"],
                "uid": metadata["uid"],
                "resourceVersion": metadata.get("resourceVersion", ""),
            },
        }


def of_server(before: MCPServerStatus, after: MCPServerStatus) -> list[Event]:
    """Give the Events for a change of an MCPServer's status."""
    found = [
        _build_started(before.build, after.build, after.source_kind),
        _put_into_service(before, after),
        _held(before, after),
    ]
    failed = _build_failed(before.build, after.build)
    quiet = after.build is not None and after.build.failed_step is not None
    trouble = None if quiet else _trouble(before.conditions, after.conditions)
    told = [event for event in (*found, failed, trouble) if event is not None]
    return [*told, *_verdict(before.conditions, after.conditions, quiet=quiet)]


def of_policy(before: Sequence[Condition], after: Sequence[Condition]) -> list[Event]:
    """Give the Events for a change of a ToolPolicy's conditions."""
    noted, earlier = (conditions.find(each, conditions.MATCHES_NOTHING) for each in (after, before))
    new = noted is not None and (earlier is None or earlier.message != noted.message)
    told = [Event(noted.reason, noted.message, "Warning")] if noted is not None and new else []
    return [*told, *_verdict(before, after)]


def of_agent(before: MCPAgentStatus, after: MCPAgentStatus) -> list[Event]:
    """Give the Events for a change of an MCPAgent's status."""
    events = [*_widened(before, after), *_warned(before, after), *_over(before.run, after.run)]
    if before.pod_name and before.tools is not None and after.tools is not None and before.tools != after.tools:
        change = _change(before.tools, after.tools)
        note = f"{after.tools.visible} of {after.tools.total} tools are visible now: {change}"
        events.append(Event(POLICY_CHANGED, note))
    return [*events, *_waits(before.conditions, after.conditions), *_verdict(before.conditions, after.conditions)]


def _waits(before: Sequence[Condition], after: Sequence[Condition]) -> list[Event]:
    """Tell what an agent waits for that is somebody's work, and that no Event about its Pod tells."""
    ready, earlier = conditions.find(after, conditions.READY), conditions.find(before, conditions.READY)
    if ready is None or ready.reason not in conditions.SOMEBODYS_WORK:
        return []
    is_new = earlier is None or earlier.reason != ready.reason
    return [Event(ready.reason, ready.message, "Warning")] if is_new else []


def _over(before: RunStatus | None, after: RunStatus | None) -> list[Event]:
    """Tell of a run that succeeded; one that failed stalls, and that is told of anyway."""
    if after is None or after.result != "Succeeded" or (before is not None and before.result is not None):
        return []
    return [Event(RUN_SUCCEEDED, f"container {after.container} ended with exit code {after.exit_code}", action="Run")]


def _widened(before: MCPAgentStatus, after: MCPAgentStatus) -> list[Event]:
    """Tell of policies that are gone, or enforced no more, where tools came for it: nobody may miss that."""
    enforced = {each.name for each in after.policies or () if each.enforcement == "Enforce"}
    gone = [each.name for each in before.policies or () if each.enforcement == "Enforce" and each.name not in enforced]
    if not gone or before.tools is None or after.tools is None:
        return []
    came = [name for name in after.tools.names if name not in set(before.tools.names)]
    count = max(after.tools.visible - before.tools.visible, len(came))
    if count <= 0:
        return []
    named = f": {', '.join(came[:NAMED_TOOLS])}" + (" ..." if count > NAMED_TOOLS else "") if came else ""
    policies = ", ".join(f"ToolPolicy/{name}" for name in gone)
    return [Event(POLICY_REMOVED, f"{policies} no longer caps this agent; {count} tools came{named}", "Warning")]


def _warned(before: MCPAgentStatus, after: MCPAgentStatus) -> list[Event]:
    told = set(before.warnings or ())
    return [Event(ASKS_IN_VAIN, text, "Warning") for text in after.warnings or () if text not in told]


def _change(before: AgentTools, after: AgentTools) -> str:
    if any(len(tools.names) < tools.visible for tools in (before, after)):  # not all names are in a status
        return f"{before.visible} of {before.total} before"
    came = [name for name in after.names if name not in set(before.names)]
    gone = [name for name in before.names if name not in set(after.names)]
    return ", ".join(f"{len(some)} {what}{_named(some)}" for some, what in ((came, "came"), (gone, "went")))


def _named(tools: Sequence[str]) -> str:
    """Name some tools, behind how many they are."""
    more = ", ..." if len(tools) > NAMED_TOOLS else ""
    return f" ({', '.join(tools[:NAMED_TOOLS])}{more})" if tools else ""


def of_conditions(before: Sequence[Condition], after: Sequence[Condition]) -> list[Event]:
    """Give the Events for a change of the conditions alone."""
    return _verdict(before, after)


def _build_started(before: BuildStatus | None, after: BuildStatus | None, source: str | None) -> Event | None:
    if after is None or not _runs(after):
        return None
    if before is not None and _runs(before) and before.key == after.key:
        return None
    again = f", attempt {after.attempts}" if after.attempts > 1 else ""
    what = "Trying out image" if source == "image" else "Building"
    note = f"{what} {_short(after.revision)}, build number {after.number}{again}"
    return Event(BUILD_STARTED, note, action="Build")


def _put_into_service(before: MCPServerStatus, after: MCPServerStatus) -> Event | None:
    source = after.source
    if source is None or not after.tools_hash or _in_service(before) == _in_service(after):
        return None
    what = f"{_short(source.revision)} is in service: {after.tool_count} tools"
    if after.image is None:
        return Event(TOOLS_CHANGED, what)
    how = "tried out" if after.source_kind == "image" else "built"
    took = f", {how} in {after.build.seconds} s" if after.build is not None and after.build.seconds else ""
    return Event(IMAGE_BUILT, f"{what}, {after.image.reference}{took}", action="Build")


def _held(before: MCPServerStatus, after: MCPServerStatus) -> Event | None:
    waits = conditions.find(after.conditions, conditions.AWAITING_APPROVAL)
    if waits is None or after.held is None:
        return None
    if before.held is not None and before.held.tools_hash == after.held.tools_hash:
        return None
    return Event(CHANGES_HELD, waits.message, "Warning")


def _trouble(before: Sequence[Condition], after: Sequence[Condition]) -> Event | None:
    """Tell what is waited for and is nobody's work: a host that is down, a Secret that is missing."""
    ready, earlier = conditions.find(after, conditions.READY), conditions.find(before, conditions.READY)
    if ready is None or ready.status == "True" or conditions.is_true(after, conditions.STALLED):
        return None
    is_new = earlier is None or earlier.reason != ready.reason
    if not is_new or ready.reason in conditions.UNDER_WAY | {conditions.LOOKING_UP, conditions.NOT_REACHED}:
        return None
    return Event(ready.reason, ready.message, "Warning")


def _in_service(status: MCPServerStatus) -> tuple[str | None, str | None]:
    return status.image.build_key if status.image is not None else None, status.tools_hash


def _short(revision: str) -> str:
    return revision.removeprefix("sha256:")[:12]


def _build_failed(before: BuildStatus | None, after: BuildStatus | None) -> Event | None:
    if after is None or after.failed_step is None:
        return None
    if before is not None and before.finished_at == after.finished_at and before.key == after.key:
        return None
    note = f"{after.failed_step}: {after.message or after.reason}. {after.hint or ''}".strip()
    return Event(BUILD_FAILED, note, "Warning", "Build")


def _runs(build: BuildStatus) -> bool:
    return build.finished_at is None and not (build.progress or "").startswith(conditions.QUEUED)


def _verdict(before: Sequence[Condition], after: Sequence[Condition], *, quiet: bool = False) -> list[Event]:
    """Tell of becoming ready, and of stalling unless an Event about the very cause (``quiet``) is told already."""
    events = []
    stalled, earlier = conditions.find(after, conditions.STALLED), conditions.find(before, conditions.STALLED)
    if stalled is not None and not quiet and (earlier is None or earlier.reason != stalled.reason):
        events.append(Event(stalled.reason, stalled.message, "Warning"))
    if conditions.is_true(after, conditions.READY) and not conditions.is_true(before, conditions.READY):
        ready = conditions.find(after, conditions.READY)
        events.append(Event(BECAME_READY, ready.message or "In service" if ready is not None else ""))
    return events
