from __future__ import annotations

import logging
import threading

import pytest
from mcp_operator import cluster
from mcp_operator.definitions import KINDS, Definitions

pytestmark = pytest.mark.requirement("O-31")


class Api:
    """Gives one answer after the other; the last one stays."""

    def __init__(self, *answers: frozenset[str] | Exception) -> None:
        self.answers = list(answers)

    def served(self) -> frozenset[str]:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def test_nothing_is_watched_before_every_kind_is_served(caplog: pytest.LogCaptureFixture) -> None:
    some = KINDS - {"mcpagents"}
    api = Api(frozenset(), cluster.UnreachableError("refused"), some, some, KINDS)
    definitions = Definitions(api, pause=0)
    with caplog.at_level(logging.WARNING):
        assert definitions.wait(threading.Event())
    assert definitions.missing() == ""
    first, second, third = caplog.messages
    assert first.startswith("waiting for the definitions mcpagents.toolman.dev, mcpservers.toolman.dev, toolpolicies.")
    assert second == "cannot ask which kinds are served: refused"
    assert (
        third
        == "waiting for the definitions mcpagents.toolman.dev: install the chart, or kubectl apply -f deploy/crds/"
    )


def test_whoever_is_told_to_stop_waits_no_longer() -> None:
    stop = threading.Event()
    stop.set()
    definitions = Definitions(Api(frozenset()))
    assert not definitions.wait(stop)
    assert "mcpservers" in definitions.missing()
