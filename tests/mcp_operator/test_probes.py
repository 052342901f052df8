from __future__ import annotations

import httpx
import pytest
from mcp_operator import probes
from mcp_operator.metrics import Metrics
from mcp_operator.probes import Probes

pytestmark = [pytest.mark.requirement("O-35")]


def test_standing_by_is_healthy_and_ready_and_the_port_is_free_afterwards() -> None:
    with probes.answering("127.0.0.1", 0, Probes(Metrics())) as port:
        for path in ("/healthz", "/readyz"):
            answer = httpx.get(f"http://127.0.0.1:{port}{path}")
            assert (answer.status_code, answer.text) == (200, "ok\n")
    with probes.answering("127.0.0.1", port, Probes(Metrics())) as again:
        assert again == port


def test_what_only_a_restart_mends_makes_it_unhealthy_and_says_what_it_is() -> None:
    asked = Probes(Metrics())
    problem = [""]
    asked.alive_while(lambda: problem[0])
    assert asked.answer("/healthz")[0] == 200
    problem[0] = "worker-3 has ended"
    assert asked.answer("/healthz") == (503, probes.TEXT, "worker-3 has ended\n")
    assert asked.answer("/readyz")[0] == 503


def test_why_it_is_to_be_started_again_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    asked = Probes(Metrics())
    problem = ["worker-3 has ended"]
    asked.alive_while(lambda: problem[0])
    for path in ("/readyz", "/healthz", "/healthz"):
        asked.answer(path)
    assert caplog.messages == ["not healthy, to be started again: worker-3 has ended"]
    problem[0] = ""
    asked.answer("/healthz")
    assert len(caplog.messages) == 1


def test_what_passes_makes_it_unready_and_never_unhealthy() -> None:
    asked = Probes(Metrics())
    asked.ready_while(lambda: "not watching pods")
    assert asked.answer("/readyz") == (503, probes.TEXT, "not watching pods\n")
    assert asked.answer("/healthz")[0] == 200


def test_prometheus_gets_the_metrics_and_strangers_a_hint() -> None:
    shown = Metrics()
    shown.leader.set(1)
    with probes.answering("127.0.0.1", 0, Probes(shown)) as port:
        answer = httpx.get(f"http://127.0.0.1:{port}/metrics?x=1")
        assert "\nmcp_operator_leader 1\n" in answer.text
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        assert httpx.get(f"http://127.0.0.1:{port}/").status_code == 404
