from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast

import pytest
from mcp_operator.images import from_sources, recipes
from mcp_operator.images.checkout import Checkout
from mcp_operator.images.detect import detect
from mcp_operator.images.plan import Plan
from mcp_operator.images.recipes.recipe import Recipe, Run
from mcp_operator.images.sandbox import Interpreter
from mcp_operator.images.tree import Tree

if TYPE_CHECKING:
    from pathlib import Path

    from mcp_operator.images.detect.candidate import Candidate, PythonFacts

pytestmark = pytest.mark.requirement("B-15")

FILES = ("pyproject.toml", "src/demo/server.py", "src/demo/prompts/system.md", "config.yaml", "helpers/__init__.py")
LOST = "FileNotFoundError: [Errno 2] No such file or directory: '/app/.venv/lib/python3.11/site-packages/{}'"
WHEN = datetime(2026, 1, 2, tzinfo=UTC)
PROJECT = """
[project]
name = "demo"
dependencies = ["mcp"]
[project.scripts]
demo = "demo.server:main"
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
"""


@pytest.mark.parametrize(
    ("said", "lacking"),
    [
        (LOST.format("demo/prompts/system.md"), "system.md"),
        ("FileNotFoundError: [Errno 2] No such file or directory: 'config.yaml'", "config.yaml"),
        ("Error: configuration file not found: /app/config.yaml", "config.yaml"),
        ("ModuleNotFoundError: No module named 'helpers.words'", "the module helpers.words"),
        ("ModuleNotFoundError: No module named 'demo'", "the module demo"),
        ("ModuleNotFoundError: No module named 'requests'", ""),
        ("FileNotFoundError: [Errno 2] No such file or directory: '/etc/demo/config.yaml'", ""),
        ("FileNotFoundError: [Errno 2] No such file or directory: 'credentials.json'", ""),
        ("I do not find config.yaml. It was not found in /app/config.yaml.", "config.yaml"),
        (f"{'a' * 100_000} not found", ""),
        ("reading config.yaml", ""),
        ("", ""),
    ],
)
def test_what_a_server_misses_is_told_where_its_repository_has_it(said: str, lacking: str) -> None:
    assert from_sources.missing(f"Traceback\n{said}\n", FILES) == lacking


def again(candidate: Candidate) -> Recipe:
    return recipes.recipe(candidate, "base:1", Interpreter(path="/usr/bin/python3", version="3.11"), WHEN)


def text(recipe: Recipe) -> str:
    runs = (step for stage in recipe.stages for step in stage.steps if isinstance(step, Run))
    return "\n".join(" ".join(step.words) for step in runs)


def planned(folder: Path, *names: str) -> Plan:
    for name in (*FILES[1:], *names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("from mcp.server import Server\n" if name.endswith("server.py") else "")
    (folder / "pyproject.toml").write_text(PROJECT)
    candidate = detect(Tree(folder))
    recipe = again(candidate)
    checkout = Checkout(commit="", root=folder, committed=WHEN)
    return Plan(
        checkout=checkout, candidate=candidate, dockerfile=text(recipe), recipe=recipe, render=text, again=again
    )


@pytest.mark.parametrize("names", [(), ("uv.lock",)])
def test_the_project_is_linked_instead_of_copied_and_its_sources_stay(tmp_path: Path, names: tuple[str, ...]) -> None:
    first = planned(tmp_path, *names)
    found = from_sources.instead(first, LOST.format("demo/prompts/system.md"))

    assert found
    plan, why = found
    assert why == "it is started from its sources: what was installed of it lacks system.md"
    assert plan.evidence[-1] == why
    assert plan.recipe
    assert first.recipe
    assert "sources" in [stage.name for stage in plan.recipe.stages]
    assert "sources" not in [stage.name for stage in first.recipe.stages]
    project = plan.dockerfile.splitlines()[-1]
    assert "--editable ." in project if not names else "uv sync --frozen --no-dev" in project
    assert "--no-editable" not in plan.dockerfile
    assert from_sources.instead(plan, LOST.format("demo/prompts/system.md")) is None


def test_what_is_no_installed_project_of_a_repository_is_left_alone(tmp_path: Path) -> None:
    first = planned(tmp_path)
    said = LOST.format("demo/prompts/system.md")
    published = dataclasses.replace(first.checkout, package=first.candidate)

    assert from_sources.instead(dataclasses.replace(first, checkout=published), said) is None
    assert from_sources.instead(dataclasses.replace(first, again=None), said) is None
    assert from_sources.instead(first, "it just ends") is None
    facts = dataclasses.replace(cast("PythonFacts", first.candidate.facts), package=False)
    candidate = dataclasses.replace(first.candidate, facts=facts)
    assert from_sources.instead(dataclasses.replace(first, candidate=candidate), said) is None
