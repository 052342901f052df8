from __future__ import annotations

import pytest
from fake_cluster import FakeCluster, _merge
from mcp_operator import cluster
from mcp_operator.cluster import Manifest, merge_patch


@pytest.mark.parametrize(
    ("before", "after", "patch"),
    [
        ({}, {}, {}),
        ({"a": 1}, {"a": 1}, {}),
        ({"a": 1}, {}, {"a": None}),
        ({}, {"a": {"b": 1}}, {"a": {"b": 1}}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "d": 3}}, {"a": {"c": None, "d": 3}}),
        ({"a": [1, 2]}, {"a": [2]}, {"a": [2]}),
        ({"a": {"b": 1}}, {"a": [1]}, {"a": [1]}),
    ],
)
def test_a_merge_patch_says_what_changed_and_nothing_else(before: Manifest, after: Manifest, patch: Manifest) -> None:
    assert merge_patch(before, after) == patch
    _merge(before, patch)
    assert before == after


def test_the_controller_is_the_owner_that_says_so() -> None:
    owners = [{"kind": "A", "uid": "1"}, {"kind": "B", "uid": "2", "controller": True}]
    assert cluster.controller({"metadata": {"ownerReferences": owners}})["kind"] == "B"
    assert cluster.controller({"metadata": {}}) == {}


@pytest.mark.requirement("F-08")
def test_there_is_no_way_to_list_or_watch_secrets() -> None:
    ways = [name for name in dir(cluster.Cluster) if "secret" in name.lower()]
    assert not [name for name in ways if name.endswith("secrets") or "list" in name or "watch" in name]
    protocol: cluster.Cluster = FakeCluster()
    assert protocol.list(cluster.SERVER) == []
