from __future__ import annotations

import pytest
from mcp_operator import access
from mcp_operator.metrics import Metrics

pytestmark = [pytest.mark.requirement("O-35")]


def lines(metrics: Metrics, name: str) -> list[str]:
    return [line for line in metrics.text().splitlines() if line.startswith(f"mcp_operator_{name}")]


def condition(status: str, reason: str = "Succeeded") -> dict[str, str]:
    return {"type": "Ready", "status": status, "reason": reason}


def test_reconciliations_are_counted_in_buckets_by_kind_and_result() -> None:
    metrics = Metrics()
    for seconds in (0.001, 0.02, 100.0):
        metrics.reconcile_seconds.observe(seconds, "MCPServer", "done")
    found = lines(metrics, "reconcile_seconds")
    assert 'mcp_operator_reconcile_seconds_bucket{kind="MCPServer",result="done",le="0.005"} 1' in found
    assert 'mcp_operator_reconcile_seconds_bucket{kind="MCPServer",result="done",le="60"} 2' in found
    assert 'mcp_operator_reconcile_seconds_bucket{kind="MCPServer",result="done",le="+Inf"} 3' in found
    assert 'mcp_operator_reconcile_seconds_count{kind="MCPServer",result="done"} 3' in found
    assert metrics.reconcile_seconds.count("MCPServer", "done") == 3


def test_conditions_are_counted_over_all_objects_and_forgotten_with_them() -> None:
    metrics = Metrics()
    metrics.holds("MCPServer", "a", "one", [condition("True")])
    metrics.holds("MCPServer", "b", "one", [condition("True")])
    metrics.holds("MCPServer", "b", "two", [condition("False", "BuildFailed")])
    metrics.holds("MCPServer", "b", "two", [condition("True")])
    metrics.holds("MCPServer", "a", "one", [])
    assert lines(metrics, "conditions") == [
        'mcp_operator_conditions{kind="MCPServer",type="Ready",status="True",reason="Succeeded"} 2'
    ]


def test_what_strangers_write_into_a_status_makes_no_more_metrics_than_there_is_room_for() -> None:
    metrics = Metrics()
    for number in range(5000):
        metrics.holds("MCPServer", "a", f"s{number}", [condition("True", f"Reason{number}")])
    metrics.holds("MCPServer", "a", "odd", [{"type": 'x"\n', "status": 3}])
    assert len(lines(metrics, "conditions")) < 2000
    assert sum(int(line.rpartition(" ")[2]) for line in lines(metrics, "conditions")) == 5001
    for number in range(5000):
        metrics.holds("MCPServer", "a", f"s{number}", [])
    assert len(lines(metrics, "conditions")) == 1


def test_requests_are_counted_by_verb_resource_and_code() -> None:
    metrics = Metrics()
    metrics.requested(access.GET_POD, 200, 0.1)
    metrics.requested(access.GET_POD, 200, 0.1)
    metrics.requested(access.CREATE_POD, 0, 5.0)
    assert lines(metrics, "api_requests_total") == [
        'mcp_operator_api_requests_total{verb="create",resource="pods",code="0"} 1',
        'mcp_operator_api_requests_total{verb="get",resource="pods",code="200"} 2',
    ]


def test_what_is_a_state_is_asked_for_when_it_is_shown() -> None:
    metrics = Metrics()
    metrics.refresh_with(lambda: metrics.queue_depth.set(7))
    assert lines(metrics, "queue_depth") == ["mcp_operator_queue_depth 7"]


def test_every_metric_says_what_it_is() -> None:
    metrics = Metrics()
    text = metrics.text()
    for metric in metrics.every():
        assert f"# HELP {metric.name} " in text
        assert f"# TYPE {metric.name} {metric.kind}\n" in text
