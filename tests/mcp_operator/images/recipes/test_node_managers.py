from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from mcp_operator.images import recipes
from mcp_operator.images.detect import detect
from mcp_operator.images.recipes.recipe import Recipe, Run
from mcp_operator.images.sandbox import Interpreter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mcp_operator.images.tree import Tree

    Write = Callable[[Mapping[str, str]], Tree]

WHEN = datetime(2026, 1, 2, tzinfo=UTC)
STRIP = "npm pkg delete scripts.preinstall scripts.install scripts.postinstall scripts.prepare"
SERVER = "import 'fastmcp'"


def package(**more: object) -> str:
    values = {"name": "x", "bin": "dist/a.js", "dependencies": {"fastmcp": "1"}, "scripts": {"build": "tsc"}, **more}
    return json.dumps(values)


def made(tree: Tree, path: str = ".") -> Recipe:
    return recipes.recipe(detect(tree, path), "base:1", Interpreter(path="", version="0"), WHEN)


def steps(recipe: Recipe) -> list[str]:
    return [
        " ".join(step.words) if isinstance(step, Run) else f"copy {' '.join(step.names)}".strip()
        for step in recipe.stages[0].steps
    ]


def tool(recipe: Recipe) -> tuple[str, ...]:
    return recipe.stages[0].tools[0].words[4:]


@pytest.mark.requirement("B-02")
def test_classic_yarn_installs_frozen_builds_and_leaves_out_what_only_built(write: Write) -> None:
    recipe = made(write({"package.json": package(), "yarn.lock": "# v1", "a.ts": SERVER}))

    assert tool(recipe) == ("yarn@1.22.22",)
    assert steps(recipe) == [
        "copy package.json yarn.lock",
        STRIP,
        "yarn install --non-interactive --frozen-lockfile",
        "copy",
        "yarn run build",
        "yarn install --production --ignore-scripts --prefer-offline --non-interactive",
    ]


@pytest.mark.requirement("B-02")
def test_modern_yarn_makes_plain_folders_and_never_runs_the_repositorys_own_release(write: Write) -> None:
    files = {"package.json": package(packageManager="yarn@4.5.1"), "yarn.lock": "__metadata:", "a.ts": SERVER}

    recipe = made(write(files))

    assert tool(recipe) == ("@yarnpkg/cli-dist@4.5.1",)
    assert steps(recipe)[2:] == [
        "yarn install --immutable",
        "copy",
        "yarn run build",
        STRIP,
        "yarn workspaces focus --production",
    ]
    assert recipe.stages[0].env["YARN_IGNORE_PATH"] == "1"
    assert recipe.stages[0].env["YARN_NODE_LINKER"] == "node-modules"


@pytest.mark.requirement("B-02")
def test_bun_installs_and_builds_and_node_runs_what_it_built(write: Write) -> None:
    recipe = made(write({"package.json": package(), "bun.lock": "{}", "a.ts": SERVER}))

    assert steps(recipe)[2:5] == ["bun install --frozen-lockfile", "copy", "bun run build"]
    assert steps(recipe)[-1] == "bun install --production"
    assert recipe.command == ("node", "/app/dist/a.js")


@pytest.mark.requirement("B-02")
def test_what_only_bun_runs_has_bun_in_its_image(write: Write) -> None:
    recipe = made(write({"package.json": package(bin="a.ts", scripts={}), "bun.lock": "{}", "a.ts": SERVER}))

    assert steps(recipe)[-2] == "npm install --prefix /app/.bun --no-save bun@1.2.21"
    assert recipe.command == ("/app/.bun/node_modules/.bin/bun", "/app/a.ts")


@pytest.mark.requirement("B-04")
def test_of_a_pnpm_workspace_only_what_the_server_needs_is_left(write: Write) -> None:
    tree = write(
        {
            "package.json": "{}",
            "pnpm-workspace.yaml": "packages: [p/*]",
            "pnpm-lock.yaml": "",
            "p/x/package.json": package(),
            "p/x/a.ts": SERVER,
        },
    )

    recipe = made(tree)

    assert steps(recipe)[2] == "pnpm --filter {.}... --include-workspace-root install --frozen-lockfile"
    assert steps(recipe)[4] == "pnpm --filter {.}... run build"
    assert steps(recipe)[5].startswith("find . -name node_modules")
    assert steps(recipe)[-1] == "pnpm --filter {.}... install --prod --prefer-offline --frozen-lockfile"


@pytest.mark.requirement("B-02")
def test_the_root_of_a_pnpm_workspace_can_be_the_server(write: Write) -> None:
    tree = write(
        {
            "package.json": package(),
            "pnpm-workspace.yaml": "packages: [p/*]",
            "pnpm-lock.yaml": "",
            "a.ts": SERVER,
            "p/x/package.json": "{}",
        },
    )

    said = steps(made(tree))

    assert "pnpm install --frozen-lockfile" in said
    assert "pnpm run build" in said
    assert said[-1] == "pnpm install --prod --prefer-offline --frozen-lockfile"


def test_without_a_lock_pnpm_takes_what_there_is(write: Write) -> None:
    files = {"package.json": package(packageManager="pnpm@9.1.0", bin="a.js"), "a.js": SERVER}

    recipe = made(write(files))

    assert tool(recipe) == ("pnpm@9.1.0",)
    assert "pnpm install --no-frozen-lockfile" in steps(recipe)


def test_where_installing_takes_the_sources_no_script_is_run(write: Write) -> None:
    text = package(dependencies={"fastmcp": "1", "y": "link:./y"})

    recipe = made(write({"package.json": text, "yarn.lock": "# v1", "a.ts": SERVER}))

    assert steps(recipe)[:2] == ["copy", "yarn install --non-interactive --frozen-lockfile --ignore-scripts"]


def test_a_manager_that_only_the_build_script_calls_is_there_for_it(write: Write) -> None:
    text = package(scripts={"build": "bun build a.ts"})

    recipe = made(write({"package.json": text, "package-lock.json": "{}", "a.ts": SERVER}))

    assert tool(recipe) == ("bun@1.2.21",)


@pytest.mark.requirement("B-02")
def test_a_server_that_tsx_starts_keeps_tsx(write: Write) -> None:
    text = package(bin=None, scripts={"start": "tsx a.ts"}, devDependencies={"tsx": "4"})

    recipe = made(write({"package.json": text, "package-lock.json": "{}", "a.ts": SERVER}))

    assert recipe.command == ("node", "--import", "tsx", "/app/a.ts")
    assert not any("prune" in step or "--omit=dev" in step for step in steps(recipe))
