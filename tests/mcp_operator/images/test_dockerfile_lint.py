"""Every kind of generated Dockerfile, read by a linter that others wrote."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from mcp_operator.images import dockerfile, recipes
from mcp_operator.images.detect import detect
from mcp_operator.images.detect.candidate import Hints
from mcp_operator.images.recipes.recipe import Run, instead
from mcp_operator.images.sandbox import Interpreter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mcp_operator.images.tree import Tree

    Write = Callable[[Mapping[str, str]], Tree]

LINTER = shutil.which("hadolint", path=f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin")
WHEN = datetime(2026, 1, 2, tzinfo=UTC)
PYTHON = Interpreter(path="/usr/local/bin/python3", version="3.12.1")
PROJECT = '[project]\nname = "x"\ndependencies = ["mcp", "gitpython"]\n'
SERVER = "import mcp.server\nrun()"
BUILT = {"bin": "dist/a.js", "dependencies": {"fastmcp": "1"}, "scripts": {"build": "tsc"}}
NODE = {"package.json": json.dumps(BUILT), "a.ts": "import 'fastmcp'"}
GONE = """
npm error 404 Not Found - GET https://r.example/@a/b/-/b-1.0.tgz - not found
npm error notarget No matching version found for c@99.0.0.
ERR_PNPM_FETCH_404  GET https://r.example/@a/b/-/b-1.0.tgz: Not Found - 404
d is not in the npm registry, or you have no permission to fetch it.
"""
KINDS: dict[str, dict[str, str]] = {
    "uv": {"pyproject.toml": PROJECT, "uv.lock": "", "server.py": SERVER},
    "package": {
        "pyproject.toml": f'{PROJECT}[project.scripts]\nx = "x:main"\n[build-system]\nrequires = []\n',
        "uv.lock": "",
        "x.py": SERVER,
    },
    "built": {
        "pyproject.toml": f'{PROJECT}[project.scripts]\nx = "x:main"\n[build-system]\nrequires = ["hatchling>=1"]\n',
        "x.py": SERVER,
    },
    "poetry": {"pyproject.toml": PROJECT, "poetry.lock": "", "server.py": SERVER},
    "requirements": {"requirements.txt": "mcp\n", "server.py": SERVER},
    "npm": {**NODE, "package-lock.json": '{"packages": {"node_modules/x": {"hasInstallScript": true}}}'},
    "unlocked": NODE,
    "pnpm": {**NODE, "pnpm-lock.yaml": "", "pnpm-workspace.yaml": ""},
    "yarn": {**NODE, "yarn.lock": "__metadata:"},
    "classic yarn": {**NODE, "yarn.lock": "# v1"},
    "workspace": {
        "package.json": '{"workspaces": ["p/*"]}',
        "package-lock.json": "{}",
        **{f"p/x/{name}": text for name, text in NODE.items()},
    },
    "bun": {**NODE, "bun.lock": "{}"},
    "go": {"go.mod": "module a/b\n", "main.go": "package main\nfunc main() { mcp.NewServer() }"},
    "manifest": {
        "manifest.json": '{"tools": [], "dependencies": {"npm": ["zod"], "python": ["mcp"]}}',
        "server.py": "",
        "tools/a.ts": "",
        "config.yaml": "",
    },
}


@pytest.mark.requirement("B-04", "B-05")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("base", ["node:22-slim", "python:3.12-slim"])
@pytest.mark.parametrize("hints", [Hints(), Hints(transport="streamable-http", port=8000, path="/mcp")])
def test_a_generated_dockerfile_is_lint_clean(write: Write, kind: str, base: str, hints: Hints) -> None:
    recipe = recipes.recipe(detect(write(KINDS[kind])), base, PYTHON, WHEN, final="debian:12")
    text = dockerfile.render(recipe, owner={"a/b": "1"}, labels={"c.d": "2"}, ca=True, hints=hints)

    assert_clean(text)


@pytest.mark.requirement("B-04")
@pytest.mark.parametrize("kind", KINDS)
def test_so_is_what_is_built_where_a_step_of_it_fails(write: Write, kind: str) -> None:
    planned = recipes.recipe(detect(write(KINDS[kind])), "python:3.12-slim", PYTHON, WHEN, final="debian:12")
    commands = [step for stage in planned.stages for step in stage.steps if isinstance(step, Run)]

    for failed in commands:
        recipe, following = planned, instead(failed, GONE)
        while following:
            recipe = recipe.with_instead(failed, following)
            text = dockerfile.render(recipe, owner={"a/b": "1"}, labels={"c.d": "2"}, ca=True)
            assert all(f"# {why}" in text.splitlines() for why in following.why)
            assert_clean(text)
            failed, following = following, instead(following, GONE)  # noqa: PLW2901 - what fails next


def assert_clean(text: str) -> None:
    done = subprocess.run(
        [str(LINTER), "--no-color", "-"], input=text, capture_output=True, text=True, check=False, timeout=60
    )

    assert (done.returncode, done.stdout) == (0, "")
