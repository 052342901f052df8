"""Each claim of the page about security names a test that there is, and the policy says nothing twice."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "tests"
PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
NAMED = re.findall(r"`([\w/]+\.py)::(\w+)`", PAGE)
ATTACKERS = (
    "A shell in the agent container",
    "A hostile MCP server",
    "A compromised remote server",
    "A stolen guard token",
    "A hostile repository at build time",
    "A tenant with `edit` in a namespace",
    "A curious person with `view`",
)

pytestmark = pytest.mark.requirement("F-09")


@cache
def _tests(path: Path) -> frozenset[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return frozenset(function.name for function in functions if function.name.startswith("test_"))


def test_every_test_that_is_named_exists() -> None:
    assert NAMED
    gone = [
        f"{file}::{name}" for file, name in NAMED if not (TESTS / file).is_file() or name not in _tests(TESTS / file)
    ]
    assert gone == []


def test_every_claim_of_what_somebody_cannot_do_names_a_test() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| ") and not re.match(r"\| (he|it|who) ?", line)]
    assert rows
    assert [row for row in rows if "::" not in row.rsplit(" | ", 1)[-1]] == []


@pytest.mark.parametrize("attacker", ATTACKERS)
def test_every_attacker_has_what_he_can_and_what_he_cannot_do(attacker: str) -> None:
    part = PAGE.partition(f"## {attacker}\n")[2].partition("\n## ")[0]
    assert "He can" in part or "he can" in part
    assert "| he cannot | test |" in part


def test_the_policy_points_to_the_page_and_repeats_nothing_of_it() -> None:
    policy = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    assert "(docs/security.md)" in policy
    assert "|" not in policy
