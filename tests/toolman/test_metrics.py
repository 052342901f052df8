from __future__ import annotations

import re

import pytest
from toolman.metrics import BUCKETS, METHODS, Metrics

pytestmark = pytest.mark.requirement("T-30")

VALUE = r'"(?:[^"\\]|\\.)*"'
LINE = re.compile(rf"[a-z_]+(\{{[a-z_]+={VALUE}(,[a-z_]+={VALUE})*\}})? [0-9.e+-]+")


def values(metrics: Metrics, name: str) -> dict[str, float]:
    lines = [line.rpartition(" ") for line in metrics.text().splitlines() if line.startswith(name)]
    return {key: float(value) for key, _, value in lines}


def test_every_line_is_one_that_prometheus_reads() -> None:
    metrics = Metrics()
    metrics.requested("legacy", "tools/call", "ok")
    metrics.calls.observe(0.004, "git", "ok")
    metrics.up.set(1, "git")
    metrics.build.set(1, '0.1"\n\\')
    for line in metrics.text().splitlines():
        assert line.startswith(("# HELP toolman_", "# TYPE toolman_")) or LINE.fullmatch(line), line


def test_each_metric_says_what_it_is_even_before_it_has_a_value() -> None:
    text = Metrics().text()
    for metric in Metrics():
        assert f"# HELP {metric.name} {metric.help}\n# TYPE {metric.name} {metric.kind}\n" in text


def test_a_method_that_a_client_made_up_is_not_named() -> None:
    metrics = Metrics()
    for method in (*METHODS, "x" * 1000, 'a"} 1\n', None):
        metrics.requested("legacy", method, "ok")
    found = values(metrics, "toolman_requests_total")
    assert len(found) == len(METHODS) + 1
    assert found['toolman_requests_total{era="legacy",method="other",outcome="ok"}'] == 3


def test_durations_are_counted_up_to_each_bound() -> None:
    metrics = Metrics()
    for seconds in (0.001, 0.0011, 7, 1000):
        metrics.calls.observe(seconds, "git", "ok")
    found = values(metrics, "toolman_call_seconds")
    labels = 'server="git",outcome="ok"'
    assert found[f'toolman_call_seconds_bucket{{{labels},le="0.001"}}'] == 1
    assert found[f'toolman_call_seconds_bucket{{{labels},le="10"}}'] == 3
    assert found[f'toolman_call_seconds_bucket{{{labels},le="+Inf"}}'] == 4
    assert found[f"toolman_call_seconds_count{{{labels}}}"] == 4
    assert found[f"toolman_call_seconds_sum{{{labels}}}"] == pytest.approx(1007.0021)
    assert len(found) == len(BUCKETS) + 3


def test_a_gauge_that_is_said_anew_forgets_what_is_gone() -> None:
    metrics = Metrics()
    metrics.up.set(1, "git")
    metrics.up.clear()
    metrics.up.set(0, "time")
    assert values(metrics, "toolman_upstream_up") == {'toolman_upstream_up{server="time"}': 0}
