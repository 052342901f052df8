from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from mcp_operator.images import dockerfile, recipes
from mcp_operator.images.detect import detect
from mcp_operator.images.recipes.recipe import Recipe, Run, Stage
from mcp_operator.images.sandbox import Interpreter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mcp_operator.images.tree import Tree

    Write = Callable[[Mapping[str, str]], Tree]

WHEN = datetime(2026, 1, 2, tzinfo=UTC)
DEPENDENCIES = {"npm": {"zod": "3.0.0"}, "python": ["mcp==1.2"]}


def made(tree: Tree, base: str, second: str = "") -> Recipe:
    return recipes.recipe(detect(tree), base, Interpreter(path="", version="0"), WHEN, final=second)


def steps(stage: Stage) -> list[str]:
    return [" ".join(step.words) if isinstance(step, Run) else "copy" for step in stage.steps]


@pytest.mark.requirement("B-05")
def test_typescript_only_is_one_language(write: Write) -> None:
    text = json.dumps({"tools": [], "dependencies": {"npm": {"zod": "3.0.0"}}})

    recipe = made(
        write({"manifest.json": text, "server.ts": "", "tools/a.ts": "", "config.yaml": ""}), "node:20-alpine"
    )

    assert [stage.base for stage in recipe.stages] == ["node:20-alpine"]
    assert recipe.base == "node:20-alpine"
    assert steps(recipe.stages[0]) == [
        "npm install --no-save --no-package-lock zod@3.0.0 tsx@4.20.6 --before=2026-01-02T00:00:00Z",
        "copy",
        "mkdir -p config",
        "cp config.yaml config/config.yaml",
    ]
    assert recipe.env == {"NODE_ENV": "production"}


@pytest.mark.requirement("B-05")
def test_python_only_is_one_language(write: Write) -> None:
    text = json.dumps({"tools": [], "dependencies": {"python": ["mcp==1.2"]}})

    recipe = made(write({"manifest.json": text, "server.py": "", "tools/a.py": ""}), "python:3.11-slim")

    assert steps(recipe.stages[0]) == [
        "uv venv --quiet --python python3 /app/.venv",
        "uv pip install --python /app/.venv --exclude-newer 2026-01-02T00:00:00Z mcp==1.2",
        "copy",
    ]
    assert recipe.env["PYTHONUNBUFFERED"] == "1"


@pytest.mark.requirement("B-05")
def test_both_languages_become_one_image_of_two_stages(write: Write) -> None:
    text = json.dumps({"tools": [], "dependencies": DEPENDENCIES})
    files = {"manifest.json": text, "server.py": "", "tools/a.py": "", "connectors/b.js": ""}

    recipe = made(write(files), "python:3.11-slim", "node:22-slim")
    written = dockerfile.render(recipe, owner={"o": "1"}, labels={"l": "1"}, ca=False)

    assert "FROM node:22-slim AS node" in written
    assert "FROM python:3.11-slim AS builder" in written
    assert written.rpartition("FROM ")[2].startswith("python:3.11-slim\n")
    assert "COPY --from=node /usr/local/bin/node /usr/local/bin/node" in written
    assert "NODE_ENV=production" in written
    assert "PYTHONUNBUFFERED=1" in written


def test_a_server_without_packages_installs_none(write: Write) -> None:
    both = {"manifest.json": '{"tools": []}', "server.py": "", "tools/a.py": "", "tools/b.js": ""}

    recipe = made(write(both), "p", "n")

    assert steps(recipe.stages[0]) == ["mkdir -p node_modules"]
    assert steps(recipe.stages[1]) == ["uv venv --quiet --python python3 /app/.venv", "copy"]


def test_a_manifest_that_names_tsx_gets_its_own(write: Write) -> None:
    text = json.dumps({"tools": [], "dependencies": {"npm": ["tsx@4.0.0"]}})

    recipe = made(write({"manifest.json": text, "server.ts": "", "tools/a.ts": ""}), "n")

    assert steps(recipe.stages[0])[0].count("tsx@") == 1
