"""An agent and what is around it, over a cluster in memory."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from fake_builder import COMMIT, FakeClock
from fake_cluster import AGENT, SERVER, FakeCluster
from mcp_operator import names
from mcp_operator.events import Recorder
from mcp_operator.policies import format_time
from mcp_operator.reconcile.agent import AgentReconciler
from mcp_operator.reconcile.services import Services
from mcp_operator.settings import Settings

if TYPE_CHECKING:
    from mcp_operator.workqueue import Key

SETTINGS = Settings(registry="registry.test", image_toolman="toolman:1", image_wrapper="wrapper:1")
TEMPLATE: dict[str, Any] = {"spec": {"containers": [{"name": "agent", "image": "agent:1"}]}}


class World:
    """A reconciler over a cluster in memory with one server that is ready and one agent that uses it."""

    def __init__(self) -> None:
        self.cluster = FakeCluster()
        self.clock = FakeClock()
        self.woken: list[Key] = []
        self.restart()
        self.server("files")
        self.agent()

    def restart(self) -> None:
        """Begin with nothing in memory, as a new process does."""
        services = Services(
            api=self.cluster,
            recorder=Recorder(self.cluster, self.clock),
            settings=SETTINGS,
            clock=self.clock,
            wake=lambda key, _: self.woken.append(key),
        )
        self.reconciler = AgentReconciler(services)

    def server(
        self, name: str, *, image: str = "one", tools: tuple[str, ...] = ("read", "write"), **spec: object
    ) -> None:
        """Put a server there that is in service."""
        source = {"git": {"url": f"https://git.test/{name}"}}
        raw = self.cluster.add(SERVER, name, {"source": source, **spec})
        raw["status"] = {
            "observedGeneration": raw["metadata"]["generation"],
            "conditions": [condition("Ready", "True")],
            "source": {"commit": COMMIT},
            "image": {
                "reference": f"registry.test/{name}@sha256:{image}",
                "id": "sha256:1",
                "size": 1,
                "command": ["serve"],
                "workingDir": "/app",
                "buildKey": image,
            },
            "tools": [{"name": tool, "hash": "sha256:0"} for tool in tools],
            "toolCount": len(tools),
        }

    def outside(self, name: str, *, transport: str = "streamable-http", **source: object) -> None:
        """Put a remote server there that is in service."""
        self.server(name, source={"remote": {"url": f"https://{name}.test/mcp", **source}})
        stored = self.cluster.objects["mcpservers", "team", name]["status"]
        del stored["image"]
        stored["endpoint"] = {"url": f"https://{name}.test/mcp", "transport": transport}

    def agent(self, *servers: str, **spec: object) -> None:
        """Apply the agent."""
        named = [{"name": name} for name in servers or ("files",)]
        self.cluster.add(AGENT, "dev", {"servers": named, "template": TEMPLATE, **spec}, labels={"tier": "gold"})

    def look(self, *, times: int = 1) -> float | None:
        """Reconcile."""
        delay = None
        for _ in range(times):
            delay = self.reconciler.reconcile("team", "dev")
        return delay

    def running(self) -> None:
        """Let the Pod become ready."""
        self.look()
        self.pod["status"] = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
        self.look()
        self.cluster.writes.clear()
        self.cluster.events.clear()

    def started(self) -> None:
        """Let the agent's own container start."""
        self.look()
        running = {"running": {"startedAt": format_time(self.clock())}}
        self.pod["status"] = {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [{"name": "agent", "ready": True, "state": running}],
        }
        self.look()
        self.cluster.writes.clear()
        self.cluster.events.clear()

    def ended(self, code: int = 0, *, phase: str | None = None, **status: object) -> None:
        """Let the agent's own container end, and the Pod with it."""
        end = {"exitCode": code, "startedAt": format_time(self.clock()), "finishedAt": format_time(self.clock())}
        self.pod["status"] = {
            "phase": phase or ("Failed" if code else "Succeeded"),
            "containerStatuses": [{"name": "agent", "state": {"terminated": end}}],
            **status,
        }

    def condition(self, kind: str) -> tuple[str, str]:
        return self.cluster.condition(AGENT, "dev", kind)

    @property
    def status(self) -> dict[str, Any]:
        return self.cluster.status(AGENT, "dev")

    @property
    def pod(self) -> dict[str, Any]:
        return self.cluster.objects["pods", "team", "dev"]

    @property
    def config(self) -> dict[str, Any]:
        stored = self.cluster.objects["configmaps", "team", names.config_map("dev")]
        config: dict[str, Any] = json.loads(stored["data"][names.CONFIG_FILE])
        return config

    @property
    def sources(self) -> list[str]:
        """Who has a layer in toolman's configuration."""
        return [layer["source"] for layer in self.config["layers"]]

    def message(self, kind: str = "Ready") -> str:
        return next(str(each["message"]) for each in self.status["conditions"] if each["type"] == kind)


def condition(kind: str, status: str, reason: str = "Succeeded") -> dict[str, Any]:
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": "",
        "observedGeneration": 1,
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
