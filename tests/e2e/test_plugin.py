"""``kubectl toolman`` about an agent that runs: what it says is what the agent gets."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING

import pytest
import throwaway
from kubectl import KubectlError
from mcp_operator.plugin import command

if TYPE_CHECKING:
    from kubectl import Kubectl

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("demo"), pytest.mark.requirement("O-21")]

AGENT = "assistant"


@pytest.fixture
def samples() -> Kubectl:
    return throwaway.cluster("toolman-demo")


def _run(samples: Kubectl, *words: str) -> int:
    return command.main([*words, "--kubeconfig", str(samples.kubeconfig), "-n", samples.namespace])


def test_explain_and_the_agent_agree_on_every_tool(samples: Kubectl, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(samples, "explain", f"mcpagent/{AGENT}", "-o", "json") == 0
    explained = json.loads(capsys.readouterr().out)
    listed = samples.exec(AGENT, "agent", "agent", "tools").splitlines()
    seen = {line.split()[0] for line in listed if line.strip()}
    assert {tool["name"] for tool in explained["tools"] if tool["visible"]} == seen
    assert explained["notes"] == []


def test_a_denied_call_is_in_the_log_with_who_denied_it(samples: Kubectl, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(samples, "explain", AGENT, "-o", "json") == 0
    denied = next(tool for tool in json.loads(capsys.readouterr().out)["tools"] if not tool["visible"])
    with contextlib.suppress(KubectlError):  # it is answered as a tool that does not exist is
        samples.exec(AGENT, "agent", "agent", "call", f"{denied['server']}__{denied['tool']}", "{}")
    assert _run(samples, "logs", AGENT, "--denied", "--tool", denied["tool"]) == 0
    assert f"{denied['reason']} {denied['by']}" in capsys.readouterr().out


def test_what_is_suggested_can_be_applied(samples: Kubectl, capsys: pytest.CaptureFixture[str]) -> None:
    samples.exec(AGENT, "agent", "agent", "call", "time__get_current_time", '{"timezone": "UTC"}')
    assert _run(samples, "suggest", AGENT) == 0
    suggested = capsys.readouterr().out
    assert "- get_current_time" in suggested
    samples("apply", "--dry-run=server", "--validate=strict", "-f", "-", stdin=suggested)
