from __future__ import annotations

import pytest
from fake_cluster import FakeCluster
from mcp_operator import cluster, installations, names
from mcp_operator.installations import Alone

pytestmark = pytest.mark.requirement("O-34")


def _belonging_to(namespace: str) -> FakeCluster:
    api = FakeCluster()
    assert api.binding is not None
    api.binding["metadata"]["annotations"] = {names.ANNOTATION_OPERATOR_NAMESPACE: namespace}
    return api


def test_a_cluster_of_another_installation_is_left_alone_and_both_are_named() -> None:
    problem = installations.rival(_belonging_to("platform"), "mcp-system")
    assert "belongs to the mcp-operator in namespace platform" in problem
    assert "helm list -A" in problem


@pytest.mark.parametrize("owner", ["mcp-system", ""])
def test_ones_own_cluster_and_one_that_nobody_claims_are_served(owner: str) -> None:
    assert installations.rival(_belonging_to(owner), "mcp-system") == ""


def test_a_cluster_without_the_charts_binding_is_served() -> None:
    api = FakeCluster()
    api.binding = None
    assert installations.rival(api, "mcp-system") == ""


def test_another_installation_that_is_put_over_this_one_is_noticed() -> None:
    api = _belonging_to("mcp-system")
    alone = Alone(api, "mcp-system")
    assert alone.reconcile("", "") == installations.RECHECK
    assert alone.problem == ""
    api.binding = _belonging_to("platform").binding
    alone.reconcile("", "")
    assert "platform" in alone.problem


def test_while_the_api_server_is_away_an_operator_starts_and_looks_again_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def away() -> None:
        raise cluster.UnreachableError("connection refused")

    api = FakeCluster()
    monkeypatch.setattr(api, "guard_binding", away)
    assert installations.refusal(api, "mcp-system") == ""
    with pytest.raises(cluster.UnreachableError):
        Alone(api, "mcp-system").reconcile("", "")
