from __future__ import annotations

import json
import time

import pytest
from mcp_operator import names
from mcp_operator.images.detect import clients
from mcp_operator.images.detect.candidate import Hints, Setting


def server(**entry: object) -> str:
    return json.dumps({"mcpServers": {"x": entry}})


def fenced(text: str) -> str:
    return f"# Title\n\n```json\n{text}\n```\n"


@pytest.mark.requirement("B-02")
@pytest.mark.parametrize(
    ("command", "words", "args"),
    [
        ("npx", ["-y", "@a/b", "--stdio"], ("--stdio",)),
        ("npx", ["@a/b@latest", "stdio"], ("stdio",)),
        ("uvx", ["--from", "pkg", "program", "serve"], ("serve",)),
        ("uv", ["--directory", "/path/to/x", "run", "program", "--transport", "stdio"], ("--transport", "stdio")),
        ("python", ["-m", "package", "stdio"], ("stdio",)),
        ("python3.12", ["server.py"], ()),
        ("/usr/local/bin/demo", ["stdio"], ("stdio",)),
        ("uv", ["tool", "run", "program", "run"], ("run",)),
        ("npx", ["-y", "x", "--figma-api-key=YOUR-KEY", "--stdio"], ("--figma-api-key=placeholder", "--stdio")),
        ("npx", ["-y", "x", "--api-key", "<your key>", "--limit", "5"], ("--api-key", "placeholder", "--limit", "5")),
        (
            "npx",
            ["-y", "x", "--token", "abc123", "--pass-key=abc"],
            ("--token", "placeholder", "--pass-key=placeholder"),
        ),
        ("npx", ["-y", "x", "--db-path", "~/my.db"], ("--db-path", f"{names.SERVER_HOME}/placeholder.db")),
        ("npx", ["-y", "x", "/path/to/folder", "~/other"], (names.SERVER_HOME, names.SERVER_HOME)),
        ("npx", ["-y", "x", "postgresql://u:secret@h/db"], ("placeholder",)),
        ("docker", ["run", "-i", "image", "stdio"], ()),
    ],
)
def test_the_servers_own_arguments_are_taken_with_placeholders_for_what_is_the_users(
    command: str, words: list[str], args: tuple[str, ...]
) -> None:
    assert clients.read(server(command=command, args=words)).args == args


@pytest.mark.requirement("B-02")
def test_variables_are_read_from_the_table_and_from_a_containers_options() -> None:
    words = ["run", "-e", "TOKEN", "--env", "URL=x", "image"]

    found = clients.read(server(command="docker", args=words, env={"TOKEN": "your-token"}))

    assert found == Hints(transport="stdio", env=(Setting(name="TOKEN"), Setting(name="URL")))


@pytest.mark.parametrize(
    ("url", "hints"),
    [
        ("http://localhost:8000/mcp", Hints(transport="streamable-http", port=8000, path="/mcp")),
        ("http://127.0.0.1:3001/sse", Hints(transport="sse", port=3001, path="/sse")),
        ("https://example.com/mcp", Hints()),
        ("http://localhost:8000/a b", Hints()),
    ],
)
def test_an_address_of_this_machine_says_port_and_path(url: str, hints: Hints) -> None:
    assert clients.read(server(url=url)) == hints


@pytest.mark.requirement("B-02")
@pytest.mark.parametrize(
    "text",
    [
        server(command="npx", args=["x"], env={"A": "b"}),
        '{"mcpServers": {"x": {"command": "npx", "args": ["x"], // why\n "env": {"A": "b",},},},}',
        '"mcpServers": {"x": {"command": "npx", "args": ["x"], "env": {"A": "b"}}}',
        '{"mcp": {"servers": {"x": {"command": "npx", "args": ["x"], "env": {"A": "b"}}}}}',
        '{"x": {"command": "npx", "args": ["x"], "env": {"A": "b"}}}',
        '{"command": "npx", "args": ["x"], "env": {"A": "b"}}',
    ],
)
def test_a_readmes_block_is_read_as_people_write_it(text: str) -> None:
    assert clients.read_prose(fenced(text)) == Hints(transport="stdio", env=(Setting(name="A"),))


def test_a_command_is_preferred_to_an_address() -> None:
    text = fenced(server(url="http://localhost:1/mcp")) + fenced(server(command="npx", args=["x"]))

    assert clients.read_prose(text).transport == "stdio"
    assert clients.read_prose(fenced(server(url="http://localhost:1/mcp"))).port == 1


@pytest.mark.parametrize("text", ["", "```\n```\n", fenced('"command": ['), fenced('{"command": 1}'), "```\n" * 9999])
def test_other_prose_says_nothing(text: str) -> None:
    assert clients.read_prose(text) == Hints()


@pytest.mark.parametrize("text", ["", "[]", "{", '{"mcpServers": []}', '{"mcpServers": {"x": 1}}', "[" * 100_000])
def test_what_is_no_configuration_says_nothing(text: str) -> None:
    assert clients.read(text) == Hints()


def test_a_configuration_of_nothing_but_blanks_takes_no_time() -> None:
    began = time.monotonic()

    assert clients.read("{" + "\n" * 400_000) == Hints()
    assert clients.programs("{" + " " * 400_000) == []
    assert time.monotonic() - began < 5
