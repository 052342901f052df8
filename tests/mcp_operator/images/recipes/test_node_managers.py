from __future__ import annotations

import json
import os
import subprocess
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from mcp_operator.images import recipes
from mcp_operator.images.detect import detect
from mcp_operator.images.recipes import node_managers
from mcp_operator.images.recipes.recipe import Copy, Recipe, Run
from mcp_operator.images.sandbox import Interpreter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from mcp_operator.images.tree import Tree

    Write = Callable[[Mapping[str, str]], Tree]

WHEN = datetime(2026, 1, 2, tzinfo=UTC)
STRIP = "strip package.json"
CLEAN = "find . -name node_modules -prune -exec rm -rf {} +"
ASIDE = (
    "sh -c mkdir -p /own/app && tar -cf /tmp/own.tar --exclude=node_modules ."
    " && tar -xpf /tmp/own.tar -C /own/app && rm /tmp/own.tar"
)
SERVER = "import 'fastmcp'"


def package(**more: object) -> str:
    values = {"name": "x", "bin": "dist/a.js", "dependencies": {"fastmcp": "1"}, "scripts": {"build": "tsc"}, **more}
    return json.dumps(values)


def made(tree: Tree, path: str = ".") -> Recipe:
    return recipes.recipe(detect(tree, path), "base:1", Interpreter(path="", version="0"), WHEN)


def steps(recipe: Recipe) -> list[str]:
    return [said(step) for stage in recipe.stages for step in (Run((f"[{stage.name}]",)), *stage.steps)]


def said(step: Copy | Run) -> str:
    """Show a step; how manifests are stripped is shown by which ones."""
    if isinstance(step, Copy):
        return f"copy {' '.join(step.names)}".strip()
    return f"strip {step.words[3]}" if step.words[:2] == ("node", "-e") else " ".join(step.words)


def tool(recipe: Recipe) -> tuple[str, ...]:
    return recipe.stages[0].tools[0].words[4:]


@pytest.mark.requirement("B-02")
def test_classic_yarn_installs_frozen_builds_and_leaves_out_what_only_built(write: Write) -> None:
    recipe = made(write({"package.json": package(), "yarn.lock": "# v1", "a.ts": SERVER}))

    assert tool(recipe) == ("yarn@1.22.22",)
    assert steps(recipe) == [
        "[dependencies]",
        "copy package.json yarn.lock",
        STRIP,
        "yarn install --non-interactive --frozen-lockfile",
        "[production]",
        "yarn install --production --ignore-scripts --prefer-offline --non-interactive",
        "[builder]",
        "copy",
        "yarn run build",
        ASIDE,
    ]
    assert [stage.keep for stage in recipe.stages] == [(), (".",), (".",)]


@pytest.mark.requirement("B-02")
def test_modern_yarn_makes_plain_folders_and_never_runs_the_repositorys_own_release(write: Write) -> None:
    files = {"package.json": package(packageManager="yarn@4.5.1"), "yarn.lock": "__metadata:", "a.ts": SERVER}

    recipe = made(write(files))

    assert tool(recipe) == ("@yarnpkg/cli-dist@4.5.1",)
    assert steps(recipe)[2:] == [
        STRIP,
        "yarn install --immutable",
        "[production]",
        "yarn workspaces focus --production",
        "[builder]",
        "copy",
        "yarn run build",
        ASIDE,
    ]
    assert recipe.stages[0].env["YARN_IGNORE_PATH"] == "1"
    assert recipe.stages[0].env["YARN_NODE_LINKER"] == "node-modules"


@pytest.mark.requirement("B-02")
def test_bun_installs_and_builds_and_node_runs_what_it_built(write: Write) -> None:
    recipe = made(write({"package.json": package(), "bun.lock": "{}", "a.ts": SERVER}))

    assert steps(recipe)[3:] == [
        "bun install --frozen-lockfile",
        "[production]",
        CLEAN,
        "bun install --production",
        "[builder]",
        "copy",
        "bun run build",
        ASIDE,
    ]
    assert recipe.command == ("node", "/app/dist/a.js")


@pytest.mark.requirement("B-02")
def test_what_only_bun_runs_has_bun_in_its_image(write: Write) -> None:
    recipe = made(write({"package.json": package(bin="a.ts", scripts={}), "bun.lock": "{}", "a.ts": SERVER}))

    assert "npm install --prefix /app/.bun --no-save bun@1.2.21" in steps(recipe)
    assert [stage.name for stage in recipe.stages if stage.keep] == ["production", "sources"]
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

    assert steps(recipe)[3:] == [
        "pnpm --filter {.}... --include-workspace-root install --frozen-lockfile",
        "[production]",
        CLEAN,
        "pnpm --filter {.}... install --prod --prefer-offline --frozen-lockfile",
        "[builder]",
        "copy",
        "pnpm --filter {.}... run build",
        ASIDE,
    ]


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

    found = steps(made(tree))

    assert "pnpm install --frozen-lockfile" in found
    assert "pnpm run build" in found
    assert "pnpm install --prod --prefer-offline --frozen-lockfile" in found


def test_without_a_lock_pnpm_takes_what_there_is(write: Write) -> None:
    files = {"package.json": package(packageManager="pnpm@9.1.0", bin="a.js"), "a.js": SERVER}

    recipe = made(write(files))

    assert tool(recipe) == ("pnpm@9.1.0",)
    assert "pnpm install --no-frozen-lockfile" in steps(recipe)


def test_where_installing_takes_the_sources_no_script_is_run(write: Write) -> None:
    text = package(dependencies={"fastmcp": "1", "y": "link:./y"})

    recipe = made(write({"package.json": text, "yarn.lock": "# v1", "a.ts": SERVER}))

    assert steps(recipe)[:3] == [
        "[builder]",
        "copy",
        "yarn install --non-interactive --frozen-lockfile --ignore-scripts",
    ]


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


@pytest.mark.requirement("B-02")
def test_of_a_lock_only_what_is_not_there_any_more_is_chosen_anew(write: Write, tmp_path: Path) -> None:
    """A package manager that misses one archive until another version of it was chosen."""
    pnpm = made(write({"package.json": package(), "pnpm-lock.yaml": "", "a.ts": SERVER}))
    npm = made(write({"package.json": package(), "package-lock.json": "{}", "a.ts": SERVER}))

    for manager, recipe, line in (
        ("pnpm", pnpm, "ERR_PNPM_FETCH_404  GET https://r.example/@a/b/-/b-1.0.tgz: Not Found - 404"),
        ("npm", npm, "npm error 404 Not Found - GET https://r.example/@a/b/-/b-1.0.tgz - not found"),
    ):
        work = tmp_path / manager
        work.mkdir()
        install = f"[ -e fixed ] || {{ echo '{line}'; exit 1; }}"
        (work / manager).write_text(f"#!/bin/sh\necho $@ >> calls\ncase $* in *update*) >fixed;; *) {install};; esac\n")
        (work / manager).chmod(0o755)
        first = next(
            step for stage in recipe.stages for step in stage.steps if isinstance(step, Run) and step.otherwise
        )

        subprocess.run(first.otherwise[0], cwd=work, env={"PATH": f"{work}:/usr/bin:/bin"}, check=True, timeout=60)

        calls = (work / "calls").read_text().splitlines()
        assert [call.split()[-1] for call in calls if "update" in call] == ["@a/b"]
        assert calls[-1] == " ".join(first.words[1:])


def test_manifests_keep_their_time_when_they_are_stripped(write: Write, tmp_path: Path) -> None:
    recipe = made(write({"package.json": package(), "yarn.lock": "# v1", "a.ts": SERVER}))
    strip = next(step for step in recipe.stages[0].steps if isinstance(step, Run))
    file = tmp_path / "package.json"
    file.write_text('\ufeff{"scripts": {"prepare": "husky", "build": "tsc"}}')
    os.utime(file, (1000, 1000))

    subprocess.run(strip.words, cwd=tmp_path, check=True, timeout=60)

    assert json.loads(file.read_text()) == {"scripts": {"build": "tsc"}}
    assert file.stat().st_mtime == 1000


@pytest.mark.requirement("B-02")
def test_what_is_gone_altogether_is_left_out_where_it_only_builds_or_others_want_it(tmp_path: Path) -> None:
    for name in ("own.json", "other.json"):
        (tmp_path / name).write_text('{"devDependencies": {"x": "1"}, "dependencies": {"x": "1", "y": "1"}}')

    words = ["node", "-e", node_managers._WITHOUT, "own.json,other.json", "own.json", "x"]
    subprocess.run(words, cwd=tmp_path, check=True, timeout=60)

    kept = [json.loads((tmp_path / name).read_text()) for name in ("own.json", "other.json")]
    assert kept == [
        {"devDependencies": {}, "dependencies": {"x": "1", "y": "1"}},
        {"devDependencies": {}, "dependencies": {"y": "1"}},
    ]
