from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from mcp_operator.images import recipes
from mcp_operator.images.contract import BuildError
from mcp_operator.images.detect import detect
from mcp_operator.images.reasons import Reason
from mcp_operator.images.recipes.recipe import Copy, Recipe, Run
from mcp_operator.images.sandbox import Interpreter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mcp_operator.images.tree import Tree

    Write = Callable[[Mapping[str, str]], Tree]

WHEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
PYTHON = Interpreter(path="/usr/local/bin/python3", version="3.11.7")
SERVER = "from mcp.server import Server\nrun()\n"
PROJECT = '[project]\nname = "x"\ndependencies = ["mcp"]\n'
SCRIPT = '[project.scripts]\nx = "x:main"\n[build-system]\nrequires = []\n'
NODE_SERVER = "import 'fastmcp'"


def made(tree: Tree, path: str = ".") -> Recipe:
    return recipes.recipe(detect(tree, path), "base:1", PYTHON, WHEN)


def steps(recipe: Recipe) -> list[str]:
    return [
        " ".join(step.words) if isinstance(step, Run) else f"copy {' '.join(step.names)}".strip()
        for step in recipe.steps
    ]


@pytest.mark.requirement("F-05")
def test_a_uv_lock_is_followed_to_the_letter_with_the_images_python(write: Write) -> None:
    recipe = made(write({"pyproject.toml": PROJECT + SCRIPT, "uv.lock": "", "x.py": SERVER, ".python-version": "3.14"}))

    assert steps(recipe) == [
        "copy pyproject.toml uv.lock",
        "uv sync --frozen --no-dev --no-editable --no-install-workspace",
        "copy",
        "uv sync --frozen --no-dev --no-editable",
    ]
    assert recipe.builder_env["UV_PYTHON"] == PYTHON.path
    assert recipe.builder_env["UV_PYTHON_DOWNLOADS"] == "never"
    assert recipe.keep == (".venv",)
    assert recipe.env["PYTHONUNBUFFERED"] == "1"


@pytest.mark.requirement("F-05")
def test_without_a_lock_nothing_newer_than_the_commit_is_taken_first(write: Write) -> None:
    recipe = made(write({"pyproject.toml": PROJECT + SCRIPT, "x.py": SERVER}))

    assert steps(recipe) == [
        "uv venv --quiet --python /usr/local/bin/python3 /app/.venv",
        "copy pyproject.toml",
        "uv pip install --python /app/.venv --exclude-newer 2026-01-02T03:04:05Z -r pyproject.toml",
        "copy",
        "uv pip install --python /app/.venv --exclude-newer 2026-01-02T03:04:05Z .",
    ]
    last = recipe.steps[-1]
    assert isinstance(last, Run)
    assert last.otherwise == (("uv", "pip", "install", "--python", "/app/.venv", "."),)


def test_requirements_come_before_the_sources_and_the_sources_stay(write: Write) -> None:
    recipe = made(write({"requirements.txt": "mcp\n", "server.py": SERVER}))

    assert [step.partition(" --exclude")[0] for step in steps(recipe)][1:] == [
        "copy requirements.txt",
        "uv pip install --python /app/.venv",
        "copy",
    ]
    assert recipe.keep == (".",)


def test_a_project_that_is_no_package_gets_its_dependencies_only(write: Write) -> None:
    assert steps(made(write({"pyproject.toml": PROJECT, "server.py": SERVER})))[-1] == "copy"


def test_a_file_without_manifest_gets_the_sdks(write: Write) -> None:
    assert steps(made(write({"server.py": SERVER})))[-1].endswith("mcp[cli] fastmcp")


def test_a_dependency_from_git_needs_git_while_building_only(write: Write) -> None:
    text = '[project]\nname = "x"\ndependencies = ["mcp", "y @ git+https://example.com/y"]\n'

    recipe = made(write({"pyproject.toml": text, "server.py": SERVER}))

    assert "git" in recipe.builder_packages
    assert recipe.system_packages == ()


@pytest.mark.requirement("F-08")
def test_a_python_that_cannot_fit_is_said_before_any_build(write: Write) -> None:
    tree = write({"pyproject.toml": PROJECT + 'requires-python = ">=3.13"\n', "server.py": SERVER})

    with pytest.raises(BuildError) as caught:
        made(tree)

    assert caught.value.reason == Reason.RUNTIME_VERSION
    assert caught.value.message == "it requires Python >=3.13, and the base image base:1 has 3.11.7"
    assert "TOOLMAN_BASE_PYTHON" in caught.value.hint


def node_package(**more: object) -> str:
    return json.dumps({"name": "x", "dependencies": {"fastmcp": "1"}, **more})


@pytest.mark.requirement("F-05")
def test_a_locked_typescript_server_is_installed_built_and_pruned(write: Write) -> None:
    tree = write(
        {
            "package.json": node_package(bin="dist/a.js", scripts={"build": "tsc"}),
            "package-lock.json": json.dumps({"packages": {"node_modules/sharp": {"hasInstallScript": True}}}),
            "tsconfig.json": "{}",
            "a.ts": NODE_SERVER,
        },
    )

    recipe = made(tree)

    assert steps(recipe) == [
        "copy package-lock.json package.json",
        "npm ci --ignore-scripts",
        "npm rebuild sharp",
        "copy",
        "npm run build",
        "npm prune --omit=dev --ignore-scripts",
    ]
    assert recipe.env == {"NODE_ENV": "production"}


@pytest.mark.requirement("F-05")
def test_without_a_lock_npm_takes_nothing_newer_than_the_commit_first(write: Write) -> None:
    recipe = made(write({"package.json": node_package(bin="a.js"), "a.js": NODE_SERVER}))

    assert steps(recipe) == [
        "copy package.json",
        "npm pkg delete devDependencies scripts.preinstall scripts.install scripts.postinstall scripts.prepare",
        "npm install --no-package-lock --ignore-scripts --omit=dev --before=2026-01-02T03:04:05Z",
        "npm rebuild",
        "copy",
    ]


def test_a_workspace_member_is_installed_alone_with_all_sources(write: Write) -> None:
    tree = write(
        {
            "package.json": '{"workspaces": ["p/*"]}',
            "package-lock.json": "{}",
            "p/x/package.json": node_package(bin="dist/a.js", scripts={"build": "tsc"}),
            "p/x/a.ts": NODE_SERVER,
        },
    )

    recipe = made(tree)

    assert steps(recipe) == [
        "copy",
        "npm ci --ignore-scripts --workspace p/x",
        "npm run build",
        "npm prune --omit=dev --ignore-scripts --workspace p/x",
    ]
    assert recipe.working_dir == "/app/p/x"


def test_pnpm_follows_its_lock(write: Write) -> None:
    tree = write({"package.json": node_package(bin="a.js"), "pnpm-lock.yaml": "", "a.js": NODE_SERVER})

    recipe = made(tree)

    assert recipe.tools[0].words[:3] == ("npm", "install", "--global")
    assert steps(recipe) == [
        "copy package.json pnpm-lock.yaml",
        "pnpm install --frozen-lockfile --ignore-scripts",
        "copy",
        "pnpm prune --prod --ignore-scripts",
    ]
    assert isinstance(recipe.steps[2], Copy)
