"""What the read API says of an object: a few fields in a list, and of one also its spec and status. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from mcp_operator.cluster import AGENT, POLICY, SERVER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mcp_operator.cluster import Kind, Manifest

_FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    SERVER.kind: ("summary", "source", "toolCount", "endpoint"),
    AGENT.kind: ("summary", "phase", "podName", "tools", "tokens", "deniedCount", "policies", "warnings"),
    POLICY.kind: ("summary", "matchedAgents", "matchedServers", "denied", "wouldDeny", "unmatched"),
}
"""Of each kind's status, what a list shows; lists in them are bounded."""
_SPEC: Final[Mapping[str, tuple[str, ...]]] = {
    SERVER.kind: (),
    AGENT.kind: ("restartPolicy", "suspend"),
    POLICY.kind: ("enforcement",),
}
_VERDICT: Final = ("status", "reason", "message", "lastTransitionTime")


def summary(kind: Kind, raw: Manifest) -> dict[str, Any]:
    """Give what a list shows of an object: who it is, whether it is ready and, if not, why."""
    metadata, status, spec = raw["metadata"], raw.get("status") or {}, raw.get("spec") or {}
    conditions = status.get("conditions") or ()
    ready: Mapping[str, Any] = next((each for each in conditions if each.get("type") == "Ready"), {})
    identity = {"namespace": metadata["namespace"]} if metadata.get("namespace") else {}
    return {
        **identity,
        "name": metadata["name"],
        "uid": metadata["uid"],
        "generation": metadata.get("generation", 1),
        "observedGeneration": status.get("observedGeneration"),
        "createdAt": metadata.get("creationTimestamp"),
        "ready": {key: ready[key] for key in _VERDICT if key in ready} or {"status": "Unknown"},
        **{field: spec[field] for field in _SPEC[kind.kind] if field in spec},
        **{field: status[field] for field in _FIELDS[kind.kind] if field in status},
    }


def whole(kind: Kind, raw: Manifest) -> dict[str, Any]:
    """Give all of an object that its owner wrote and the operator reports."""
    return {**summary(kind, raw), "spec": raw.get("spec") or {}, "status": raw.get("status") or {}}
