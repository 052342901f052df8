"""``status``: one screen about a namespace: its servers, its agents, what caps them, and what is to be done."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from mcp_operator import cluster, conditions, status
from mcp_operator.explain import tables
from mcp_operator.models.status import MCPAgentStatus, MCPServerStatus, ToolPolicyStatus

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from mcp_operator.cluster import Manifest
    from mcp_operator.models.status import Condition
    from mcp_operator.plugin.person import Person

FINE: Final = "True"
_UNKNOWN: Final = (
    "the operator has not looked at it yet: does it run? kubectl get pods -A -l app.kubernetes.io/name=mcp-operator"
)


def run(given: argparse.Namespace, asking: Person) -> str:
    """Give what is to be printed."""
    if given.all_namespaces:
        asking = replace(asking, namespace="")
    found = overview(asking)
    return json.dumps(found, indent=2) + "\n" if given.output == "json" else text(asking.namespace, found)


def overview(asking: Person) -> dict[str, list[dict[str, Any]]]:
    """Look at the namespace that is asked about, or at all of them."""
    agents = asking.api.list(cluster.AGENT, asking.namespace)
    return {
        "servers": [_server(raw) for raw in _sorted(asking.api.list(cluster.SERVER, asking.namespace))],
        "agents": [_agent(raw) for raw in _sorted(agents)],
        "policies": _policies(asking, agents),
    }


def text(namespace: str, found: dict[str, list[dict[str, Any]]], *, rich: bool | None = None) -> str:
    """Give it as tables; without a namespace each row says its own."""
    if not found["servers"] and not found["agents"]:
        where = f"in namespace {namespace}" if namespace else "in this cluster"
        return f"no MCPServers and no MCPAgents {where}\n"
    columns = {
        "servers": ("name", "ready", "tools", "do"),
        "agents": ("name", "ready", "tools", "denied", "pod", "do"),
        "policies": ("name", "enforcement", "ready", "do"),
    }
    titles = {"name": "", "do": "WHAT TO DO"}
    parts = []
    for kind, own in columns.items():
        fields = own if namespace or kind == "policies" else ("namespace", *own)
        headers = [titles.get(field) or (kind.upper() if field == "name" else field.upper()) for field in fields]
        rows = [[str(entry.get(field, "")) for field in fields] for entry in found[kind]]
        parts.append(tables.table(headers, rows, rich=rich))
    return "\n".join(part for part in parts if part)


def _sorted(some: Sequence[Manifest]) -> list[Manifest]:
    return sorted(some, key=lambda raw: (str(raw["metadata"]["namespace"]), str(raw["metadata"]["name"])))


def _server(raw: Manifest) -> dict[str, Any]:
    found = status.read(MCPServerStatus, raw)
    return {**_verdict(raw, found.conditions), "tools": found.tool_count or 0}


def _agent(raw: Manifest) -> dict[str, Any]:
    found = status.read(MCPAgentStatus, raw)
    entry = _verdict(raw, found.conditions)
    if entry["ready"] == FINE and found.warnings:
        entry["do"] = found.warnings[0]
    tools = f"{found.tools.visible}/{found.tools.total}" if found.tools is not None else ""
    return {**entry, "tools": tools, "denied": found.denied_count or 0, "pod": _pods(found)}


def _pods(found: MCPAgentStatus) -> str:
    """Name an agent's Pod; those of other workloads, that have its sidecars, are counted."""
    if found.pod_name or found.injected is None:
        return found.pod_name or ""
    return f"{found.injected.count} injected"


def _policies(asking: Person, agents: Sequence[Manifest]) -> list[dict[str, Any]]:
    """Look at the policies that cap the agents, and of all namespaces at those that cap nobody, too.

    Who may not read them sees what the agents say.
    """
    capping: dict[str, str] = {}
    for raw in agents:
        for each in status.read(MCPAgentStatus, raw).policies or ():
            capping[each.name] = each.enforcement
    try:
        readable = {raw["metadata"]["name"]: raw for raw in asking.api.list(cluster.POLICY)}
    except cluster.ForbiddenError:
        readable = {}
    if not asking.namespace:
        capping |= {name: raw["spec"].get("enforcement", "Enforce") for name, raw in readable.items()}
    found = []
    for name, enforcement in sorted(capping.items()):
        entry: dict[str, Any] = {"name": name, "ready": "", "do": ""}
        if name in readable:
            current = status.read(ToolPolicyStatus, readable[name])
            entry = _verdict(readable[name], current.conditions)
            noted = conditions.find(current.conditions, conditions.MATCHES_NOTHING)
            entry["do"] = entry["do"] or (noted.message if noted is not None else "")
        found.append({**entry, "enforcement": enforcement})
    return found


def _verdict(raw: Manifest, found: Sequence[Condition]) -> dict[str, Any]:
    """Give name, readiness and, where it is not ready, what its own condition says."""
    metadata = raw["metadata"]
    place = {key: metadata[key] for key in ("namespace", "name") if key in metadata}
    ready = conditions.find(found, conditions.READY)
    if ready is None or ready.observed_generation < metadata.get("generation", 1):
        return {**place, "ready": "Unknown", "do": _UNKNOWN}
    todo = "" if ready.status == FINE else f"{ready.reason}: {ready.message}".removesuffix(": ")
    return {**place, "ready": ready.status, "do": todo}
