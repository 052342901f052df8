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
from mcp_operator.cluster import ClusterError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from mcp_operator.cluster import Manifest, Objects
    from mcp_operator.models.status import AgentTools, BuildStatus, Condition, MCPAgentStatus, MCPServerStatus

NOTE_LENGTH = 1000
"""Characters; the API server allows 1024 bytes."""
NAME_LENGTH = 200
"""Characters of the object's name in its Events' names."""

BUILD_STARTED: Final = "BuildStarted"
"""MCPServer: fetching and building began."""
IMAGE_BUILT: Final = "ImageBuilt"
"""MCPServer: a new image is verified, pushed and in service."""
BUILD_FAILED: Final = "BuildFailed"
"""MCPServer, warning: the note has the step, the cause and what to do."""
POD_CREATED: Final = "PodCreated"
"""MCPAgent: its Pod was made."""
POD_REPLACED: Final = "PodReplaced"
"""MCPAgent: its Pod was deleted to be made anew; the note says why."""
POLICY_CHANGED: Final = "PolicyChanged"
"""MCPAgent: other tools are visible than before; the note says how many came and went."""
BECAME_READY: Final = "Ready"
"""Any kind: it was not in service before, or not as written."""

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
    found = [_build_started(before.build, after.build), _image_built(before, after)]
    failed = _build_failed(before.build, after.build)
    quiet = after.build is not None and after.build.failed_step is not None
    told = [event for event in (*found, failed) if event is not None]
    return [*told, *_verdict(before.conditions, after.conditions, quiet=quiet)]


def of_agent(before: MCPAgentStatus, after: MCPAgentStatus) -> list[Event]:
    """Give the Events for a change of an MCPAgent's status."""
    events = []
    if before.pod_name and before.tools is not None and after.tools is not None and before.tools != after.tools:
        change = _change(before.tools, after.tools)
        note = f"{after.tools.visible} of {after.tools.total} tools are visible now: {change}"
        events.append(Event(POLICY_CHANGED, note))
    return [*events, *_verdict(before.conditions, after.conditions)]


def _change(before: AgentTools, after: AgentTools) -> str:
    if any(len(tools.names) < tools.visible for tools in (before, after)):  # not all names are in a status
        return f"{before.visible} of {before.total} before"
    gone = len(set(before.names) - set(after.names))
    came = len(set(after.names) - set(before.names))
    return f"{came} came, {gone} went"


def of_conditions(before: Sequence[Condition], after: Sequence[Condition]) -> list[Event]:
    """Give the Events for a change of the conditions alone."""
    return _verdict(before, after)


def _build_started(before: BuildStatus | None, after: BuildStatus | None) -> Event | None:
    if after is None or not _runs(after):
        return None
    if before is not None and _runs(before) and before.key == after.key:
        return None
    again = f", attempt {after.attempts}" if after.attempts > 1 else ""
    return Event(BUILD_STARTED, f"Building commit {after.commit[:12]}{again}", action="Build")


def _image_built(before: MCPServerStatus, after: MCPServerStatus) -> Event | None:
    image, build = after.image, after.build
    if image is None or build is None or (before.image is not None and before.image.build_key == image.build_key):
        return None
    commit = after.source.commit[:12] if after.source is not None else ""
    note = f"Built {commit} in {build.seconds or 0} s: {after.tool_count} tools, {image.reference}"
    return Event(IMAGE_BUILT, note, action="Build")


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
