from __future__ import annotations

import json
from typing import Any

import pytest
from examples import agent, ceiling, server
from mcp_operator import layers
from mcp_operator.explain import explanation, tables
from mcp_operator.explain.gather import Gathered
from mcp_operator.models.status import MCPServerStatus, ToolStatus
from mcp_operator.reconcile.agent_inputs import Server

from toolman import policy

pytestmark = pytest.mark.requirement("O-21")

TOOLS = tuple(ToolStatus(name=name, hash="", tokens=100) for name in ("read", "write", "push", "odd\x1b[31m"))
BOT = agent({"name": "git", "tools": {"allow": ["read", "push", "odd*"]}})
GIT = server("git", tools={"deny": ["push"]})
POLICIES = (
    ceiling("base", tools={"deny": ["write"]}, limits={"callsPerMinute": 10}),
    ceiling("other", target={"servers": ["time"]}, tools={"deny": ["*"]}),
    ceiling("trial", enforcement="Audit", tools={"allow": ["push"]}, limits={"maxTools": 1}),
)


def found(*policies: Any, problem: str = "", notes: tuple[str, ...] = ()) -> Gathered:  # noqa: ANN401 - resources
    its = Server(name="git", resource=GIT, status=MCPServerStatus(tool_count=4), tools=TOOLS, problem=problem)
    return Gathered(
        agent=BOT, servers=[its], layers=layers.layers({}, BOT, [GIT], policies or POLICIES), notes=list(notes)
    )


def test_every_layer_says_what_it_thinks_of_every_tool() -> None:
    result = explanation.explain(found())
    assert [each.source for each in result.authors] == [
        "ToolPolicy/base",
        "ToolPolicy/trial",
        "MCPServer/git",
        "MCPAgent/dev",
    ]
    assert {row.verdict.tool: row.opinions for row in result.rows[:3]} == {
        "read": ("allows", "does not list", "allows", "allows"),
        "write": ("denies", "does not list", "allows", "does not list"),
        "push": ("allows", "allows", "denies", "allows"),
    }


def test_the_verdict_is_the_one_of_toolmans_own_decision() -> None:
    gathered = found()
    for row in explanation.explain(gathered).rows:
        decision = policy.decide(gathered.layers, row.verdict.server, "tools", row.verdict.tool)
        assert row.verdict.is_visible is decision.allowed
        assert row.verdict.by == decision.source


def test_one_tool_can_be_asked_about_whether_it_exists_or_not() -> None:
    (row,) = explanation.explain(found(), "git/write").rows
    assert (row.verdict.by, row.verdict.reason) == ("ToolPolicy/base", "Denied")
    (row,) = explanation.explain(found(), "git/reed").rows
    assert (row.verdict.reason, row.verdict.by) == ("NotListed", "MCPAgent/dev")
    (row,) = explanation.explain(found(), "git/oddity").rows
    assert (row.verdict.reason, row.verdict.is_visible) == ("Unknown", False)
    (row,) = explanation.explain(found(), "time/now").rows
    assert (row.verdict.reason, row.verdict.is_visible) == ("NoSuchServer", False)


def test_limits_are_named_with_who_sets_them() -> None:
    (bound,) = explanation.explain(found()).bounds
    assert (bound.server, bound.limit, bound.value, bound.by) == ("git", "callsPerMinute", 10, "ToolPolicy/base")
    assert explanation.explain(found(), "time/now").bounds == ()


def test_a_program_gets_the_same_as_json() -> None:
    document = json.loads(json.dumps(explanation.explain(found(problem="down", notes=("noted",))).document()))
    assert document["agent"] == {"namespace": "team", "name": "dev"}
    write = document["tools"][1]
    assert (write["server"], write["tool"], write["visible"], write["by"]) == ("git", "write", False, "ToolPolicy/base")
    assert write["layers"]["ToolPolicy/trial"] == "does not list"
    assert document["problems"] == ["git: down"]
    assert document["notes"] == ["noted"]


def test_people_get_one_table_and_what_else_is_to_be_known() -> None:
    text = tables.explanation(explanation.explain(found(problem="down", notes=("noted",))), rich=False)
    lines = text.splitlines()
    assert lines[0] == "MCPAgent team/dev: 2 of 4 tools"
    assert lines[2].split() == [
        *("TOOL", "SEEN", "AS", "GETS", "IT", "WHY"),
        *("ToolPolicy/base", "ToolPolicy/trial", "(audit)", "MCPServer/git", "MCPAgent/dev"),
    ]
    assert lines[3].split() == [
        "git/read",
        "git__read",
        "yes",
        "Allowed",
        "allows",
        "NOT",
        "LISTED",
        "allows",
        "allows",
    ]
    assert lines[4].split()[:5] == ["git/write", "-", "NO", "Denied", "ToolPolicy/base"]
    assert "no tools of git: down\n" in text
    assert "note: noted\n" in text
    assert "\x1b" not in text


def test_rich_draws_the_same_cells() -> None:
    text = tables.table(("TOOL", "GETS IT"), [("git/read", "yes"), ("git/[red]x", "NO")], rich=True)
    assert "git/read" in text
    assert "git/[red]x" in text


def test_a_table_without_rows_is_nothing() -> None:
    assert tables.table(("A",), []) == ""
