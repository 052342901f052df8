"""The demo takes what it shows from the agent's own status."""

from __future__ import annotations

from typing import Any

import pytest

from demo import look
from demo.console import DemoError
from demo.programs import Programs

pytestmark = pytest.mark.requirement("F-02")


class Cluster(Programs):
    """Answers with one agent, or none."""

    def __init__(self, *agents: dict[str, Any]) -> None:
        super().__init__({})
        self._agents = list(agents)

    def objects(self, namespace: str, kinds: str) -> list[dict[str, Any]]:
        assert (namespace, kinds) == ("toolman-demo", "mcpagents.toolman.dev")
        return self._agents


def agent(names: str, *denied: str) -> dict[str, Any]:
    return {
        "spec": {"servers": [{"name": "git"}], "toolNames": names},
        "status": {
            "podName": "assistant",
            "tools": {"visible": 1, "total": 2, "names": ["git__git_log"]},
            "denied": [{"tool": tool, "by": "ToolPolicy/base", "reason": "Denied"} for tool in denied],
        },
    }


@pytest.mark.parametrize(("names", "seen"), [("Prefixed", "git__git_add"), ("Plain", "git_add")])
def test_a_denied_tool_is_tried_under_the_name_that_the_agent_would_use(names: str, seen: str) -> None:
    found = look.find(Cluster(agent(names, "git/git_add")))
    assert (found.pod, found.servers, found.visible) == ("assistant", ("git",), ("git__git_log",))
    assert found.hidden() == (seen, "ToolPolicy/base")


def test_nothing_to_show_is_an_error_that_says_what_is_missing() -> None:
    with pytest.raises(DemoError, match="no MCPAgent"):
        look.find(Cluster())
    with pytest.raises(DemoError, match="no denied tool"):
        look.find(Cluster(agent("Plain")))
