from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

import pytest
from mcp_operator.images.detect import detect
from mcp_operator.images.recipes import bases
from mcp_operator.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mcp_operator.images.tree import Tree

    Write = Callable[[Mapping[str, str]], Tree]

SETTINGS = Settings(registry="r", image_toolman="t", image_wrapper="w")


def python(write: Write, requires: str) -> Tree:
    text = f'[project]\nname = "x"\ndependencies = ["mcp"]\nrequires-python = "{requires}"\n'
    return write({"pyproject.toml": text, "server.py": "import mcp.server\nrun()"})


def node(write: Write, engines: str, **more: object) -> Tree:
    text = json.dumps({"name": "x", "bin": "a.js", "dependencies": {"fastmcp": "1"}, "engines": {"node": engines}})
    return write({"package.json": text, "a.js": "import 'fastmcp'", "package-lock.json": json.dumps(more)})


@pytest.mark.requirement("B-04")
@pytest.mark.parametrize(
    ("requires", "first"),
    [
        ("", "python:3.12-slim"),
        (">=3.10", "python:3.12-slim"),
        (">=3.12.4", "python:3.12-slim"),
        (">=3.13", "python:3.13-slim"),
        (">=3.10,<3.12", "python:3.11-slim"),
        ("~=3.10.0", "python:3.10-slim"),
        (">=4", "python:3.12-slim"),
    ],
)
def test_both_bounds_of_requires_python_choose_the_base(write: Write, requires: str, first: str) -> None:
    choices = bases.preference(detect(python(write, requires)), SETTINGS)

    assert choices[0] == first
    assert choices[-1] == SETTINGS.base_python


@pytest.mark.requirement("B-04")
@pytest.mark.parametrize(
    ("engines", "first"),
    [
        (">=18", "node:22-slim"),
        (">=24", "node:24-slim"),
        ("^20 || ^18", "node:20-slim"),
        (">=18 <21", "node:20-slim"),
        ("18 - 20", "node:20-slim"),
        ("nonsense", "node:22-slim"),
        (">=99", "node:22-slim"),
    ],
)
def test_both_bounds_of_engines_choose_the_base(write: Write, engines: str, first: str) -> None:
    assert bases.preference(detect(node(write, engines)), SETTINGS)[0] == first


@pytest.mark.requirement("B-04")
def test_alpine_is_used_where_asked_for_and_nothing_native_is_installed(write: Write) -> None:
    settings = dataclasses.replace(SETTINGS, base_node="node:22-alpine", more_bases_node=("node:22-slim",))
    native = {"node_modules/sharp": {"hasInstallScript": True}}

    assert bases.preference(detect(node(write, "")), settings)[0] == "node:22-alpine"
    assert bases.preference(detect(node(write, "", packages=native)), settings)[0] == "node:22-slim"


def test_alpine_is_known_by_the_tag_and_not_by_a_folder() -> None:
    assert bases.alpine("node:22-alpine")
    assert bases.alpine("registry:5000/node:alpine3.20")
    assert bases.alpine("alpine:3")
    assert not bases.alpine("example.com/alpine/node:22-slim")
    assert not bases.alpine("registry:5000/node")


def test_a_tag_without_a_version_is_taken_for_the_newest(write: Write) -> None:
    settings = dataclasses.replace(SETTINGS, base_python="registry:5000/python")

    assert bases.preference(detect(python(write, ">=3.14")), settings) == ("registry:5000/python",)


@pytest.mark.requirement("B-05")
def test_the_manifest_driven_form_has_bases_of_its_own(write: Write) -> None:
    text = json.dumps({"tools": [], "entry": "server.py"})
    files = {"manifest.json": text, "server.py": "", "tools/a.py": ""}

    only = detect(write(files))
    both = detect(write({**files, "connectors/b.ts": ""}))

    assert bases.preference(only, SETTINGS) == ("python:3.11-slim", "python:3.12-slim")
    assert (bases.second(only, SETTINGS), bases.second(both, SETTINGS)) == ("", "node:22-slim")


@pytest.mark.requirement("B-05")
def test_typescript_alone_is_on_alpine(write: Write) -> None:
    candidate = detect(write({"manifest.json": '{"tools": []}', "server.ts": "", "tools/a.ts": ""}))

    assert bases.preference(candidate, SETTINGS)[0] == "node:20-alpine"


def test_go_is_compiled_in_one_image_and_runs_in_another(write: Write) -> None:
    candidate = detect(write({"go.mod": "module a/b\n", "main.go": "package main\nfunc main() { mcp.NewServer() }"}))

    assert bases.preference(candidate, SETTINGS) == (SETTINGS.base_go, SETTINGS.base_python)
    assert bases.second(candidate, SETTINGS) == SETTINGS.base_debian


def test_a_dockerfile_of_its_own_names_its_own(write: Write) -> None:
    candidate = detect(write({"Dockerfile": "FROM x\nCMD y"}), runtime="dockerfile")

    assert (bases.preference(candidate, SETTINGS), bases.second(candidate, SETTINGS)) == ((), "")
