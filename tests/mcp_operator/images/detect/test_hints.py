from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from mcp_operator.images.detect import detect, hints
from mcp_operator.images.detect.candidate import Candidate, GoFacts, Hints, Setting, Use

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mcp_operator.images.tree import Tree

    Write = Callable[[Mapping[str, str]], Tree]

ENTRY = json.dumps(
    {
        "packages": [
            {
                "registryType": "npm",
                "transport": {"type": "stdio"},
                "environmentVariables": [{"name": "KEY", "isRequired": True, "isSecret": True}],
                "packageArguments": [{"type": "positional", "value": "--stdio"}],
            },
        ],
    },
)
README = 'Use:\n```json\n{"mcpServers": {"x": {"command": "npx", "args": ["-y", "x"], "env": {"URL": "u"}}}}\n```\n'
SERVER = {"package.json": '{"bin": "a.js", "dependencies": {"fastmcp": "1"}}', "a.js": "import 'fastmcp'"}


def server(folder: str = ".") -> Candidate:
    facts = GoFacts(package=".", requires="", manifests=())
    return Candidate(
        runtime="node",
        folder=folder,
        root=".",
        name="@a/x",
        use=Use.SERVER,
        evidence=(),
        command=("/app/.venv/bin/x-serve",),
        facts=facts,
    )


@pytest.mark.requirement("B-02")
def test_all_that_a_repository_says_of_its_server_is_put_together(write: Write) -> None:
    found, evidence = hints.gather(write({"server.json": ENTRY, "README.md": README}), server())

    assert found == Hints(
        transport="stdio",
        args=("--stdio",),
        env=(Setting(name="KEY", required=True, secret=True), Setting(name="URL")),
    )
    assert evidence == (
        "server.json: transport stdio; needs KEY; arguments --stdio",
        "README.md: transport stdio; reads 1 optional variable",
    )
    assert found.required == ("KEY",)


def test_the_servers_own_folder_comes_before_the_root(write: Write) -> None:
    tree = write({"smithery.yaml": "startCommand: {type: http}", "s/smithery.yaml": "startCommand: {type: stdio}"})

    assert hints.gather(tree, server("s"))[0].transport == "stdio"
    assert hints.gather(tree, server("t"))[0].transport == "streamable-http"


def test_they_are_part_of_what_is_detected(write: Write) -> None:
    candidate = detect(write({**SERVER, "server.json": ENTRY}))

    assert candidate.hints.args == ("--stdio",)
    assert candidate.evidence[-1].startswith("server.json: ")


@pytest.mark.parametrize(
    "entry",
    [
        {"transport": {"type": "sse", "url": "http://x:99999/sse"}},
        {"environmentVariables": [{"name": "A=B"}, {"name": "a b"}, {"name": ""}, {"name": "X" * 200}, "text"]},
        {"packageArguments": [{"type": "positional", "value": f"a{index}"} for index in range(30)]},
        {"packageArguments": [{"type": "positional", "value": "a\nb"}]},
        {"packageArguments": [{"type": "positional", "value": "x" * 300}]},
    ],
)
def test_what_cannot_be_meant_is_left_out(write: Write, entry: dict[str, object]) -> None:
    found, _ = hints.gather(write({"server.json": json.dumps({"packages": [entry]})}), server())

    assert (found.port, found.env, found.args) == (None, (), ())


def test_a_repository_that_says_nothing_gives_no_hints(write: Write) -> None:
    assert hints.gather(write({"README.md": "Hello."}), server()) == (Hints(), ())


@pytest.mark.requirement("B-02")
@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("npx -y @a/x --tools=all --api-key=YOUR_KEY", Hints(args=("--tools=all", "--api-key=placeholder"))),
        ("$ API_KEY=abc npx @a/x@latest", Hints(env=(Setting(name="API_KEY"),))),
        ("uvx --from x x-serve --fast # quickly", Hints(args=("--fast",))),
        ("npx -y @a/x \\\n  --fast", Hints(args=("--fast",))),
        ("npx @modelcontextprotocol/inspector npx @a/x --fast", Hints()),
        ("npx -y @a/x", Hints()),
        ("npx 'unclosed", Hints()),
    ],
)
def test_command_lines_of_a_readme_that_start_the_server_say_how(write: Write, line: str, found: Hints) -> None:
    said, _ = hints.gather(write({"README.md": f"Run:\n```sh\nnpm install\n{line}\n```\n"}), server())

    assert (said.args, said.env) == (found.args, found.env)
