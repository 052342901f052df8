from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from mcp_operator.images import development, recipes
from mcp_operator.images.checkout import Checkout
from mcp_operator.images.detect import detect
from mcp_operator.images.plan import Plan
from mcp_operator.images.sandbox import Interpreter
from mcp_operator.images.tree import Tree

if TYPE_CHECKING:
    from pathlib import Path

    from mcp_operator.images.detect.candidate import Candidate
    from mcp_operator.images.recipes.recipe import Recipe

pytestmark = pytest.mark.requirement("B-04")

WHEN = datetime(2026, 1, 1, tzinfo=UTC)
NO_SDK = "Error [ERR_MODULE_NOT_FOUND]: Cannot find package '@modelcontextprotocol/sdk' imported from /app/dist/a.js"
MANIFEST = {
    "name": "x",
    "bin": "dist/a.js",
    "scripts": {"build": "tsc"},
    "dependencies": {"zod": "4"},
    "devDependencies": {"@modelcontextprotocol/sdk": "1", "typescript": "5"},
    "peerDependencies": {"pg": "8"},
}


def again(candidate: Candidate) -> Recipe:
    return recipes.recipe(candidate, "base:1", Interpreter(path="", version="0"), WHEN)


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    (tmp_path / "package.json").write_text(json.dumps(MANIFEST))
    (tmp_path / "a.ts").write_text("new McpServer()")
    candidate = detect(Tree(tmp_path))
    checkout = Checkout(commit="", root=tmp_path, committed=WHEN)
    return Plan(checkout=checkout, candidate=candidate, dockerfile="", recipe=again(candidate), render=str, again=again)


@pytest.mark.parametrize("said", [NO_SDK, "Error: Cannot find module 'pg'", "Cannot find module 'typescript/lib/x.js'"])
def test_what_a_server_misses_and_names_for_development_or_others_stays(plan: Plan, said: str) -> None:
    found = development.instead(plan, said)

    assert found
    other, why = found
    assert "names for development" in why
    assert other.evidence[-1] == why
    assert "omit=dev" in str(plan.recipe)
    assert "omit=dev" not in other.dockerfile
    assert development.instead(other, said) is None


@pytest.mark.parametrize("said", ["Cannot find package 'zod'", "Cannot find module './b.js'", "it just ends", ""])
def test_what_it_misses_otherwise_is_its_own_fault(plan: Plan, said: str) -> None:
    assert development.instead(plan, said) is None


def test_a_dockerfile_of_the_repositorys_own_is_not_ours_to_change(plan: Plan) -> None:
    assert development.instead(dataclasses.replace(plan, again=None), NO_SDK) is None
