from __future__ import annotations

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as some
from mcp_operator.models.policy import ToolPolicySpec
from toolman.policy import Layer, decide
from toolman.suggest import read, write

from toolman import audit

pytestmark = pytest.mark.requirement("T-15")


def line(tool: str, server: str = "git", decision: str = "allowed", **more: str) -> bytes:
    record = {
        "time": "2026-11-21T00:00:00Z",
        "session": "s",
        "tool": f"{server}__{tool}",
        "server": server,
        "name": tool,
    }
    return msgspec.json.encode(record | {"decision": decision, "reason": "x", "outcome": "ok", "ms": 1.0} | more)


def layers(text: str) -> list[Layer]:
    return msgspec.convert(yaml.safe_load(text)["layers"], list[Layer])


def test_exactly_the_tools_that_were_called_are_allowed() -> None:
    text = write(read([line("log"), line("log"), line("status"), line("now", "time"), b"", b"noise"]), {})
    found = layers(text)
    allowed = {
        (server, tool)
        for server in ("git", "time")
        for tool in ("log", "status", "now", "push")
        if decide(found, server, "tools", tool).allowed
    }
    assert allowed == {("git", "log"), ("git", "status"), ("time", "now")}
    assert "# 4 calls of 3 tools" in text
    assert "- log # 2 calls" in text
    assert "# 1 lines were not understood" in text


def test_what_was_denied_or_never_called_is_a_comment_and_not_allowed() -> None:
    text = write(read([line("log"), line("push", decision="denied")]), {"git": ["log", "push", "status"]})
    assert "# denied 1 times: git__push" in text
    assert text.count("# never called:") == 2
    assert not decide(layers(text), "git", "tools", "push").allowed


def test_a_resource_can_be_applied() -> None:
    text = write(read([line("log"), line("now", "time")]), {}, "ToolPolicy", "least")
    first, second = yaml.safe_load_all(text)
    assert first["metadata"]["name"] == "least-git"
    assert second["metadata"]["name"] == "least-time"
    spec = ToolPolicySpec.model_validate(first["spec"])
    assert spec.tools is not None
    assert (list(spec.target.servers), list(spec.tools.allow or ())) == (["git"], ["log"])


def test_a_log_without_calls_allows_nothing() -> None:
    assert layers(write(read([]), {})) == []


def test_other_things_than_tools_are_left_out() -> None:
    assert layers(write(read([line("x", kind="prompts")]), {})) == []


@given(some.text(max_size=20))
def test_whatever_a_tool_is_called_it_alone_is_allowed(tool: str) -> None:
    record = audit.Record(
        time=audit.now(),
        session="s",
        tool=tool,
        server="git",
        name=tool,
        decision="allowed",
        reason="x",
        outcome="ok",
        ms=1,
    )
    found = layers(write(read([msgspec.json.encode(record)]), {"git": [tool, "\n- '*'"]}))
    assert decide(found, "git", "tools", tool).allowed
    for other in ("*", "x" + tool, tool + "x"):
        assert other == tool or not decide(found, "git", "tools", other).allowed
