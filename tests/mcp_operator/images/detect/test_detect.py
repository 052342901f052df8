from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from mcp_operator.images.contract import BuildError
from mcp_operator.images.detect import detect
from mcp_operator.images.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mcp_operator.images.tree import Tree

    Write = Callable[[Mapping[str, str]], Tree]

PYTHON = {
    "pyproject.toml": '[project]\nname = "x"\ndependencies = ["mcp"]\n',
    "server.py": "from mcp.server import Server\nrun()",
}
NODE = {"package.json": '{"main": "a.js", "dependencies": {"fastmcp": "1"}}', "a.js": "import 'fastmcp'"}


def below(folder: str, files: Mapping[str, str]) -> dict[str, str]:
    return {f"{folder}/{name}": text for name, text in files.items()}


def problem(tree: Tree, path: str = ".") -> BuildError:
    with pytest.raises(BuildError) as caught:
        detect(tree, path)
    assert caught.value.hint
    return caught.value


@pytest.mark.requirement("F-08")
def test_nothing_detected_says_what_was_looked_for(write: Write) -> None:
    error = problem(write({"Cargo.toml": ""}))

    assert error.reason == Reason.NOTHING_DETECTED
    assert "package.json" in error.message
    assert "pyproject.toml" in error.message


@pytest.mark.requirement("F-08")
def test_a_project_that_is_no_server_is_said_before_any_build(write: Write) -> None:
    error = problem(write({"package.json": '{"main": "a.js"}', "a.js": ""}))

    assert error.reason == Reason.NOT_AN_MCP_SERVER
    assert "package.json (Node)" in error.log_tail


def test_the_only_server_of_a_repository_is_found(write: Write) -> None:
    tree = write({"package.json": "{}", **below("deep/server", PYTHON), **below("client", {"package.json": "{}"})})

    assert detect(tree).folder == "deep/server"


@pytest.mark.requirement("F-08")
def test_several_servers_are_listed_with_the_path_to_use(write: Write) -> None:
    error = problem(write({**below("src/a", PYTHON), **below("src/b", NODE)}))

    assert error.reason == Reason.SEVERAL_SERVERS
    assert "src/a, src/b" in error.message
    assert "spec.source.git.path" in error.hint


def test_a_path_chooses_one_of_them(write: Write) -> None:
    tree = write({**below("src/a", PYTHON), **below("src/b", NODE)})

    assert detect(tree, "src/b").runtime == "node"


def test_examples_and_tests_are_not_what_a_repository_is_for(write: Write) -> None:
    tree = write({**below("src/a", PYTHON), **below("examples/b", NODE), **below("tests/c", NODE)})

    assert detect(tree).folder == "src/a"
    assert detect(tree, "examples/b").folder == "examples/b"


def test_two_languages_in_one_folder_are_decided_by_where_the_server_is_made(write: Write) -> None:
    tree = write({**PYTHON, "package.json": '{"main": "a.js"}', "a.js": ""})

    assert detect(tree).runtime == "python"


def test_a_server_in_each_language_asks_for_the_runtime(write: Write) -> None:
    tree = write({**PYTHON, **NODE})

    assert "spec.build.runtime" in problem(tree).hint
    assert detect(tree, runtime="node").runtime == "node"


def test_a_given_command_is_taken_even_where_no_server_is_seen(write: Write) -> None:
    tree = write({"package.json": '{"main": "a.js"}', "a.js": ""})

    candidate = detect(tree, command=("node", "hidden.js"))

    assert candidate.command == ("node", "hidden.js")
    assert "start command given by spec.build.command" in candidate.evidence


def test_a_root_that_only_depends_on_an_sdk_gives_way_to_a_folder_that_makes_a_server(write: Write) -> None:
    root = {"package.json": '{"dependencies": {"@modelcontextprotocol/sdk": "1"}}'}

    assert detect(write({**root, **below("server", PYTHON)})).folder == "server"
