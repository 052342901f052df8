"""What toolmans report is seen in the status of the MCPAgent and of the MCPServer, and nobody is asked in vain."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from agent_world import SETTINGS, World
from fake_cluster import AGENT
from mcp_operator import cluster, names
from mcp_operator.events import Recorder
from mcp_operator.own_secrets import ReportTokens
from mcp_operator.reconcile.agent import AgentReconciler
from mcp_operator.reconcile.server import ServerReconciler
from mcp_operator.reconcile.services import Services
from mcp_operator.reports import Reports, Target
from server_world import World as ServerWorld

if TYPE_CHECKING:
    from mcp_operator.workqueue import Key

pytestmark = pytest.mark.requirement("O-03")

PLACE = ("team", "dev")


class Toolmans:
    """Toolmans that say what a test wants, and an agent's world that hears them."""

    def __init__(self) -> None:
        self.world = World()
        self.says: dict[str, Any] = {"entries": [], "servers": []}
        self.woken: list[Key] = []
        self.tokens = ReportTokens(self.world.cluster, "mcp-system")
        self.restart()

    def restart(self) -> None:
        """Begin with nothing in memory, as a new process does."""
        self.reports = Reports(self.tokens, self.woken.append, fetch=lambda *_: json.dumps(self.says).encode())
        services = Services(
            api=self.world.cluster,
            recorder=Recorder(self.world.cluster, self.world.clock),
            settings=SETTINGS,
            clock=self.world.clock,
            wake=lambda *_: None,
            tokens=self.tokens,
            reports=self.reports,
        )
        self.world.reconciler = AgentReconciler(services)

    def running(self) -> None:
        """Let the Pod run, and its toolman be asked twice."""
        self.world.look()
        self.world.pod["status"] = {"phase": "Running", "podIP": "192.0.2.9", "conditions": []}
        self.world.look()
        self.ask()
        self.world.look()

    def ask(self) -> None:
        """Have it asked until it is believed."""
        uid = self.world.cluster.objects["mcpagents", *PLACE]["metadata"]["uid"]
        for _ in range(2):
            self.reports.ask(PLACE, Target(uid, self.world.pod["metadata"]["uid"], "192.0.2.9"))


@pytest.fixture
def toolmans() -> Toolmans:
    return Toolmans()


def test_toolman_knows_the_hash_of_the_token_and_not_the_token(toolmans: Toolmans) -> None:
    toolmans.world.look()
    uid = toolmans.world.cluster.objects["mcpagents", *PLACE]["metadata"]["uid"]
    token = toolmans.tokens.token(uid)
    assert toolmans.world.config["admin"]["token"] == {"sha256": hashlib.sha256(token.encode()).hexdigest()}
    assert token not in json.dumps(list(toolmans.world.cluster.objects.values()))


def test_without_the_right_to_its_secret_everything_else_goes_on(toolmans: Toolmans) -> None:
    toolmans.world.cluster.failures["create own Secret"] = cluster.ForbiddenError("no")
    toolmans.world.look()
    assert "token" not in toolmans.world.config["admin"]
    assert toolmans.world.pod


def test_what_the_toolman_sees_is_in_the_agents_status(toolmans: Toolmans) -> None:
    server = {"name": "files", "running": False, "problem": "it stopped (exit code 1)"}
    toolmans.says = {"servers": [server], "entries": [], "configuration": {"inForce": False, "problem": "bad"}}
    toolmans.running()
    assert toolmans.world.status["seen"] == {
        "visible": 0,
        "total": 0,
        "servers": [{"name": "files", "running": False, "problem": "it stopped (exit code 1)"}],
        "problem": "bad",
    }
    toolmans.world.cluster.writes.clear()
    toolmans.ask()
    toolmans.world.look()
    assert toolmans.world.cluster.writes == [], "the same report is no news"


@pytest.mark.requirement("O-36")
def test_a_new_operator_writes_nothing_before_and_after_it_hears_the_same(toolmans: Toolmans) -> None:
    toolmans.running()
    before = toolmans.world.status["seen"]
    toolmans.world.cluster.writes.clear()
    toolmans.restart()
    toolmans.world.look()
    toolmans.ask()
    toolmans.world.look()
    assert toolmans.world.cluster.writes == []
    assert toolmans.world.status["seen"] == before


def test_a_pod_that_is_gone_is_not_asked(toolmans: Toolmans) -> None:
    toolmans.running()
    assert toolmans.reports.of_agent(*PLACE) is not None
    toolmans.world.pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    toolmans.world.look()
    assert toolmans.reports.of_agent(*PLACE) is None
    assert "seen" not in toolmans.world.status


def test_an_agent_that_is_gone_is_not_asked(toolmans: Toolmans) -> None:
    toolmans.running()
    toolmans.world.cluster.remove("mcpagents", "dev")
    toolmans.world.look()
    assert toolmans.reports.of_agent(*PLACE) is None


def test_a_difference_is_a_condition_of_the_server_while_it_lasts(toolmans: Toolmans) -> None:
    servers = ServerWorld()
    uid = servers.apply()
    servers.build(uid)
    _hear(servers, toolmans.reports)
    pinned = {"server": "one", "kind": "tools", "name": "look\x1b[2J", "allowed": False, "pin": "differs"}
    toolmans.says = {"entries": [pinned], "servers": []}
    toolmans.running()
    servers.look()
    assert servers.condition("ToolsDrifted") == ("True", "ToolsDiffer")
    assert servers.message("ToolsDrifted") == "changed: look [2J. Seen by MCPAgent/dev"
    assert servers.condition("Ready")[0] == "True", "agents are held to what was verified: it is a warning"
    toolmans.says = {"entries": [], "servers": []}
    toolmans.ask()
    servers.look()
    assert servers.condition("ToolsDrifted") == ("absent", "")


@pytest.mark.requirement("O-04")
def test_a_shared_server_is_ready_when_its_pods_are_and_its_agents_hear_of_its_endpoint() -> None:
    servers = ServerWorld()
    uid = servers.apply(run={"placement": "Shared"})
    servers.build(uid)
    assert servers.condition("Available") == ("False", "RollingOut")
    assert servers.condition("Ready")[0] == "False"
    assert servers.status["endpoint"]["url"] == "https://one-guard.team.svc:8443/mcp"
    deployment = servers.cluster.objects["deployments", "team", names.guard("one")]
    counts = dict.fromkeys(("replicas", "updatedReplicas", "availableReplicas"), 1)
    deployment["status"] = {"observedGeneration": deployment["metadata"]["generation"], **counts}
    servers.look()
    assert servers.condition("Available") == ("True", "Succeeded")
    assert servers.condition("Ready")[0] == "True"
    servers.cluster.remove("mcpservers", "one")
    servers.look()
    assert servers.cluster.binding is not None
    assert servers.cluster.binding["subjects"] == []


@pytest.mark.requirement("O-04")
def test_callers_of_a_shared_server_do_not_wait_for_a_git_host() -> None:
    servers = ServerWorld()
    uid = servers.apply(run={"placement": "Shared"})
    servers.build(uid)
    servers.clock.forward(3600)
    servers.slow = []
    raw = servers.cluster.add(AGENT, "dev", {"servers": [{"name": "one"}], "template": {"spec": {}}})
    owner = {"apiVersion": names.API_VERSION, "kind": "MCPAgent", "name": "dev", "controller": True}
    metadata = {
        "name": "dev",
        "namespace": "team",
        "uid": "pod-uid",
        "labels": {names.LABEL_AGENT: "dev"},
        "ownerReferences": [{**owner, "uid": raw["metadata"]["uid"]}],
    }
    servers.cluster.objects["pods", "team", "dev"] = {"metadata": metadata, "spec": {}, "status": {"phase": "Running"}}
    servers.look()
    config = json.loads(servers.cluster.objects["configmaps", "team", names.guard("one")]["data"][names.CONFIG_FILE])
    assert [caller["pod"] for caller in config["guard"]["callers"]] == ["pod-uid"]


def _hear(servers: ServerWorld, reports: Reports) -> None:
    services = replace(servers.reconciler._services, reports=reports)
    made = ServerReconciler(services, servers.builds, servers.builder, servers.builder, servers.reconciler._lookups)
    servers.reconciler = made
