"""A shared server and the agents that use it, over a cluster in memory."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from agent_world import SETTINGS, TEMPLATE
from fake_builder import FakeClock
from fake_cluster import AGENT, POLICY, SERVER, FakeCluster
from mcp_operator import names, objects
from mcp_operator.events import Recorder
from mcp_operator.models.server import MCPServerSpec
from mcp_operator.models.status import ImageStatus, MCPServerStatus
from mcp_operator.reconcile.services import Services
from mcp_operator.reconcile.shared import SharedServers

if TYPE_CHECKING:
    from mcp_operator.objects import Resource
    from mcp_operator.outcomes import Outcome
    from mcp_operator.settings import Settings
    from mcp_operator.workqueue import Key

IMAGE = f"registry.test/git@sha256:{'1' * 64}"
SOURCE = {"git": {"url": "https://git.test/git"}}


class SharedWorld:
    """The part of the operator that makes shared servers, one such server, and one agent with a Pod."""

    def __init__(self, settings: Settings = SETTINGS) -> None:
        self.cluster = FakeCluster()
        self.clock = FakeClock()
        self.woken: list[Key] = []
        self.services = Services(
            api=self.cluster,
            recorder=Recorder(self.cluster, self.clock),
            settings=settings,
            clock=self.clock,
            wake=lambda key, _: self.woken.append(key),
        )
        self.shared = SharedServers(self.services)
        self.status = MCPServerStatus(
            image=ImageStatus(
                reference=IMAGE, id="sha256:1", size=1, command=["serve", "$HOME"], working_dir="/app", build_key="k"
            )
        )
        self.server()
        self.agent("dev")

    def server(self, tools: dict[str, Any] | None = None, **run: object) -> None:
        """Apply the MCPServer."""
        spec = {"source": SOURCE, "run": {"placement": "Shared", **run}, "tools": tools or {}}
        self.cluster.add(SERVER, "git", spec)

    def agent(self, name: str, *, uses: str = "git", allow: list[str] | None = None, pod: bool = True) -> None:
        """Apply an agent, with a Pod that runs."""
        named = {"name": uses, **({"tools": {"allow": allow}} if allow is not None else {})}
        raw = self.cluster.add(AGENT, name, {"servers": [named], "template": TEMPLATE})
        if pod:
            self.pod(name, raw["metadata"]["uid"])

    def pod(self, name: str, owner: str, phase: str = "Running") -> None:
        """Put an agent's Pod there."""
        reference = {
            "apiVersion": names.API_VERSION,
            "kind": "MCPAgent",
            "name": name,
            "uid": owner,
            "controller": True,
        }
        metadata = {
            "name": name,
            "namespace": "team",
            "uid": f"pod-of-{name}",
            "labels": {names.LABEL_AGENT: name, names.MANAGED_BY: names.MANAGER},
            "annotations": {},
            "ownerReferences": [reference],
        }
        self.cluster.objects["pods", "team", name] = {"metadata": metadata, "spec": {}, "status": {"phase": phase}}

    def guard_pod(self, name: str = "git-guard-1", **status: object) -> dict[str, Any]:
        """Put one of the server's Pods there."""
        metadata = {
            "name": name,
            "namespace": "team",
            "uid": name,
            "labels": {names.LABEL_SERVER: "git", names.MANAGED_BY: names.MANAGER},
            "annotations": {},
        }
        raw = {"metadata": metadata, "spec": {}, "status": {"phase": "Running", **status}}
        self.cluster.objects["pods", "team", name] = raw
        return raw

    def policy(self, name: str, **spec: object) -> None:
        """Apply a ToolPolicy."""
        self.cluster.add(POLICY, name, dict(spec))

    @property
    def resource(self) -> Resource[MCPServerSpec]:
        return objects.parse(MCPServerSpec, self.cluster.objects["mcpservers", "team", "git"])

    def look(self) -> Outcome | None:
        """Reconcile, and write the status down."""
        self.cluster.writes.clear()
        found = self.shared.reconcile(self.resource, self.status)
        stored = self.status.model_dump(mode="json", by_alias=True, exclude_none=True)
        self.cluster.objects["mcpservers", "team", "git"]["status"] = stored
        return found

    def rolled_out(self, replicas: int = 1) -> None:
        """Let the Deployment have what it wants."""
        deployment = self.made("deployments")
        deployment["status"] = {
            "observedGeneration": deployment["metadata"]["generation"],
            **dict.fromkeys(("replicas", "updatedReplicas", "availableReplicas"), replicas),
        }

    def made(self, plural: str, name: str = "git-guard") -> dict[str, Any]:
        """Give something that was made."""
        return self.cluster.objects["" + plural, "team", name]

    def kinds(self) -> set[str]:
        """Name the kinds of everything that was made."""
        own = {"mcpservers", "mcpagents", "toolpolicies", "pods"}
        return {plural for plural, _, _ in self.cluster.objects if plural not in own}

    @property
    def config(self) -> dict[str, Any]:
        """Give the guard's configuration."""
        config: dict[str, Any] = json.loads(self.made("configmaps")["data"][names.CONFIG_FILE])
        return config

    @property
    def callers(self) -> dict[str, list[str]]:
        """Give the Pods that may call, each with the sources of its layers."""
        listed = self.config["guard"].get("callers", [])
        return {caller["pod"]: [layer["source"] for layer in caller.get("layers", [])] for caller in listed}
