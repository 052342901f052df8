"""An agent without a template over a cluster in memory, and workloads whose Pods get its sidecars."""

from __future__ import annotations

import copy
import dataclasses
from typing import TYPE_CHECKING, Any

from agent_world import SETTINGS, World
from fake_cluster import AGENT
from mcp_operator import names
from mcp_operator.admission.answers import Answer, Request
from mcp_operator.admission.injecting import Injecting
from mcp_operator.events import Recorder
from mcp_operator.own_secrets import ReportTokens
from mcp_operator.reconcile.agent import AgentReconciler
from mcp_operator.reconcile.services import Services
from mcp_operator.reports import Reports, Target

if TYPE_CHECKING:
    from mcp_operator.cluster import Manifest
    from mcp_operator.settings import Settings

INJECTING = dataclasses.replace(SETTINGS, webhook_port=9443)
POD: dict[str, Any] = {
    "metadata": {"generateName": "web-5d9c-", "labels": {names.LABEL_AGENT: "dev", "pod-template-hash": "5d9c"}},
    "spec": {"containers": [{"name": "web", "image": "web:1"}]},
}
DEPLOYMENT = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-5d9c", "uid": "rs", "controller": True}


class InjectionWorld(World):
    """A reconciler and the webhook, a server that is ready, and an agent without a template that uses it."""

    settings: Settings = INJECTING
    says = b""

    def restart(self) -> None:
        """Begin with nothing in memory, as a new process does."""
        tokens = ReportTokens(self.cluster, "mcp-system", lambda size: b"k" * size)
        self.reports = Reports(tokens, self.woken.append, fetch=lambda _address, _token: self.says)
        services = Services(
            api=self.cluster,
            recorder=Recorder(self.cluster, self.clock),
            settings=self.settings,
            clock=self.clock,
            wake=lambda key, _: self.woken.append(key),
            reports=self.reports,
        )
        self.reconciler = AgentReconciler(services)
        self.injecting = Injecting(self.cluster, self.settings)

    def agent(self, *servers: str, **spec: object) -> None:
        """Apply the agent."""
        named = [{"name": name} for name in servers or ("files",)]
        self.cluster.add(AGENT, "dev", {"servers": named, **spec}, labels={"tier": "gold"})

    def ask(self, pod: dict[str, Any] | None = None) -> Answer:
        """Ask the webhook whether a Pod may be made."""
        return self.injecting(
            Request(uid="1", operation="CREATE", namespace="team", object=copy.deepcopy(pod or POD)),
        )

    def made(self, name: str = "web-5d9c-1", owner: dict[str, Any] | None = None, **change: object) -> dict[str, Any]:
        """Let a workload make a Pod, which runs; give it as it is stored."""
        pod = copy.deepcopy(POD)
        answer = self.ask({**pod, **change})
        assert not answer.denied, answer.denied
        stored = patched({**pod, **change}, answer)
        stored["metadata"] |= {"name": name, "namespace": "team", "uid": f"uid-of-{name}"}
        stored["metadata"]["ownerReferences"] = [owner or DEPLOYMENT]
        stored["status"] = {"phase": "Running", "podIP": "192.0.2.9"}
        self.cluster.objects["pods", "team", name] = stored
        return stored

    def answer(self, pod: dict[str, Any], report: bytes) -> None:
        """Let the toolman of a Pod report."""
        self.says = report
        uid = self.cluster.objects["mcpagents", "team", "dev"]["metadata"]["uid"]
        self.reports.ask(("team", "dev"), Target(uid, pod["metadata"]["uid"], pod["status"]["podIP"]))

    @property
    def pods(self) -> list[str]:
        """Names of all Pods."""
        return [name for plural, _, name in self.cluster.objects if plural == "pods"]


class Registered:
    """The two configurations."""

    def __init__(self, **client: object) -> None:
        service = {"service": {"name": "mcp-operator-webhooks", "namespace": "mcp-system", "port": 443}}
        entry = {"clientConfig": client or service, "failurePolicy": "Fail"}
        self.stored: dict[str, Any] = {
            "Mutating": {"webhooks": [{"name": names.WEBHOOK_INJECT, **entry}, {"name": "of.others", **entry}]},
            "Validating": {"webhooks": [{"name": names.WEBHOOK_KEEP, **entry}, {"name": names.WEBHOOK_WARN, **entry}]},
        }
        self.writes: list[str] = []

    def webhooks(self, kind: str) -> Manifest | None:
        return self.stored.get(kind)

    def patch_webhooks(self, kind: str, patch: Manifest) -> None:
        """As a strategic merge does: items by name, objects key by key."""
        self.writes.append(kind)
        changed = {each["name"]: each["clientConfig"] for each in patch["webhooks"]}
        for each in self.stored[kind]["webhooks"]:
            each["clientConfig"] = {**each["clientConfig"], **changed.get(each["name"], {})}

    def client(self, kind: str, number: int) -> dict[str, Any]:
        found: dict[str, Any] = self.stored[kind]["webhooks"][number]["clientConfig"]
        return found


def patched(pod: dict[str, Any], answer: Answer) -> dict[str, Any]:
    """Apply the patch as the API server does; ``add`` is the only operation."""
    result = copy.deepcopy(pod)
    for operation in answer.patch:
        assert operation["op"] == "add"
        *parents, last = operation["path"].strip("/").split("/")
        place = result
        for parent in parents:
            place = place[parent]
        place[last] = copy.deepcopy(operation["value"])
    return result
