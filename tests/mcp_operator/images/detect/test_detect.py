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


@pytest.mark.requirement("B-03")
@pytest.mark.parametrize(
    "files",
    [
        {"pyproject.toml": '[project]\nname = "FastMCP"\n[project.scripts]\nfastmcp = "a:main"\n', "a.py": "FastMCP()"},
        {"package.json": '{"name": "@modelcontextprotocol/sdk", "main": "a.js"}', "a.js": "new McpServer()"},
        {"go.mod": "module github.com/mark3labs/mcp-go\n", "main.go": "package main\nfunc main() { mcp.NewServer() }"},
    ],
)
def test_what_servers_are_made_with_is_no_server_nor_is_what_lies_beside_it(
    write: Write, files: dict[str, str]
) -> None:
    tree = write({**files, **below("tools/one", PYTHON)})

    error = problem(tree)

    assert error.reason == Reason.NOT_AN_MCP_SERVER
    assert "with which others make servers" in error.message
    assert detect(tree, "tools/one").folder == "tools/one"


@pytest.mark.requirement("B-03")
def test_a_client_is_not_built_by_its_own_dockerfile_because_its_readme_speaks_of_mcp(write: Write) -> None:
    docker = {"Dockerfile": "FROM x\nCMD run", "README.md": "An MCP inspector."}
    client = {"package.json": '{"main": "a.js"}', "a.js": 'import "@modelcontextprotocol/sdk/client/index.js"'}

    assert problem(write({**docker, **client})).reason == Reason.NOT_AN_MCP_SERVER
    assert detect(write({**docker, "Cargo.toml": "rmcp, an mcp server"})).runtime == "dockerfile"


@pytest.mark.requirement("B-03")
@pytest.mark.parametrize("name", ["test-servers/a.js", "mocks/a.js", "a.stories.tsx", "samples/a.js"])
def test_a_server_that_is_there_to_try_something_on_proves_nothing(write: Write, name: str) -> None:
    tree = write({"package.json": '{"main": "b.js"}', "b.js": "", name: NODE["a.js"]})

    assert problem(tree).reason == Reason.NOT_AN_MCP_SERVER


@pytest.mark.requirement("B-03")
def test_a_runtime_that_nothing_there_is_for_is_named(write: Write) -> None:
    with pytest.raises(BuildError) as caught:
        detect(write(NODE), runtime="go")

    assert caught.value.reason == Reason.NOTHING_DETECTED
    assert caught.value.message == "the repository has no project for the runtime go: looked for go.mod"
    assert "leave spec.build.runtime out" in caught.value.hint


@pytest.mark.requirement("B-02")
def test_a_library_with_a_part_for_servers_gives_way_to_the_server_beside_it(write: Write) -> None:
    library = {
        "pyproject.toml": '[project]\nname = "lib"\ndependencies = ["httpx"]\n[project.scripts]\nlib = "lib:main"\n',
        "lib/session.py": "def session():\n    from mcp.server.lowlevel.server import request_ctx\n",
    }

    assert detect(write(library)).folder == "."
    assert detect(write({**library, **below("lib-mcp", PYTHON)})).folder == "lib-mcp"


@pytest.mark.requirement("B-02")
def test_a_server_with_several_commands_does_not_give_way_to_what_lies_below_it(write: Write) -> None:
    root = {**PYTHON, "pyproject.toml": PYTHON["pyproject.toml"] + '[project.scripts]\none = "a:b"\ntwo = "a:c"\n'}

    error = problem(write({**root, **below("app", NODE)}))

    assert error.reason == Reason.SEVERAL_SERVERS
    assert ".: " in error.log_tail


@pytest.mark.requirement("B-02")
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("server.json", '{"name": "io.example/x", "packages": [{"registryType": "npm", "identifier": "x"}]}'),
        ("smithery.yaml", "startCommand:\n  type: stdio\n"),
        ("README.md", "# X\n<!-- mcp-name: io.example/x -->\n"),
        ("package.json", '{"main": "a.js", "mcpName": "io.example/x"}'),
    ],
)
def test_a_server_by_its_own_account_needs_no_sdk_that_we_know(write: Write, name: str, text: str) -> None:
    docker = {"Dockerfile": "FROM x\nCMD run"}
    tree = write({"package.json": '{"main": "a.js"}', "a.js": "", **docker, name: text})

    candidate = detect(tree)

    assert candidate.runtime == "node"
    assert any(f"{name} " in line and "no known SDK" in line for line in candidate.evidence)


@pytest.mark.requirement("B-03")
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("server.json", '{"port": 3000}'),
        ("server.json", "[" * 100_000),
        ("smithery.yaml", "a: [\n"),
        ("README.md", "an mcp-name: none"),
    ],
)
def test_files_of_those_names_that_say_nothing_of_the_kind_claim_nothing(write: Write, name: str, text: str) -> None:
    tree = write({"package.json": '{"main": "a.js"}', "a.js": "", name: text})

    assert problem(tree).reason == Reason.NOT_AN_MCP_SERVER


def test_what_makes_a_server_is_believed_before_what_says_so(write: Write) -> None:
    claim = {"package.json": '{"main": "a.js", "mcpName": "io.example/x"}', "a.js": ""}

    assert detect(write({**claim, **below("server", PYTHON)})).folder == "server"


@pytest.mark.requirement("B-02")
@pytest.mark.parametrize(
    "server",
    [
        '{"command": "uvx", "args": ["--from", "x[agent]", "x-tool", "--fast"]}',
        '{"command": "uv", "args": ["run", "--project", "/path/to/x", "x-tool"]}',
        '{"command": "npx", "args": ["-y", "-p", "x", "x-tool"]}',
        '{"command": "/usr/local/bin/x-tool"}',
    ],
)
def test_of_several_programs_the_one_is_started_that_clients_are_told_to(write: Write, server: str) -> None:
    readme = {"README.md": f'# X\n```json\n{{"mcpServers": {{"x": {server}}}}}\n```\n'}
    scripts = '[project.scripts]\nx = "a:main"\nx-mcp = "c:main"\nx-tool = "b:main"\n'
    build = '[build-system]\nrequires = ["hatchling"]\n'
    python = {**PYTHON, "pyproject.toml": PYTHON["pyproject.toml"] + scripts + build}
    node = {
        **NODE,
        "package.json": '{"name": "x", "bin": {"x": "a.js", "x-tool": "b.js"}, "dependencies": {"fastmcp": "1"}}',
    }

    assert detect(write(python)).command[0].endswith("/x")
    assert detect(write({**python, **readme})).command[0].endswith("/x-tool")
    assert detect(write({**node, "b.js": "", **readme}), runtime="node").command[-1].endswith("/b.js")


def test_a_manifest_of_another_language_that_cannot_be_read_claims_nothing(write: Write) -> None:
    tree = write({"pyproject.toml": '[project]\nname = "x"\n', "a.py": "", "package.json": "{"})

    with pytest.raises(BuildError) as caught:
        detect(tree, runtime="python")

    assert caught.value.reason == Reason.NOT_AN_MCP_SERVER
