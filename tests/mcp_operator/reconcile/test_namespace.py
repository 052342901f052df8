from __future__ import annotations

from fake_builder import FakeClock
from fake_cluster import AGENT, POLICY, SERVER, FakeCluster
from mcp_operator.events import Recorder
from mcp_operator.reconcile.namespace import NamespaceReconciler
from mcp_operator.reconcile.services import Services
from mcp_operator.settings import Settings
from mcp_operator.workqueue import Key


def test_agents_servers_and_policies_are_looked_at_when_labels_change_and_only_then() -> None:
    cluster, clock = FakeCluster(), FakeClock()
    woken: list[Key] = []
    services = Services(
        api=cluster,
        recorder=Recorder(cluster, clock),
        settings=Settings(registry="r", image_toolman="t", image_wrapper="w"),
        clock=clock,
        wake=lambda key, _: woken.append(key),
    )
    cluster.add(AGENT, "dev", {"servers": []})
    cluster.add(AGENT, "ops", {"servers": []}, namespace="other")
    cluster.add(SERVER, "git", {"source": {}})
    cluster.add(SERVER, "git", {"source": {}}, namespace="other")
    cluster.add(POLICY, "cap", {"tools": {}})
    reconciler = NamespaceReconciler(services)
    its = [Key("Layers", "", "team"), Key("MCPServer", "team", "git"), Key("ToolPolicy", "", "cap")]
    reconciler.reconcile("", "team")
    reconciler.reconcile("", "team")
    assert woken == its
    cluster.namespaces["team"] = {"team": "b"}
    reconciler.reconcile("", "team")
    assert woken == its * 2
    cluster.namespaces.clear()
    assert reconciler.reconcile("", "team") is None
    assert woken == its * 2
