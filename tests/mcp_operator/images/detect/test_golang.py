from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from mcp_operator.images.contract import BuildError
from mcp_operator.images.detect import detect
from mcp_operator.images.detect.candidate import Candidate, GoFacts
from mcp_operator.images.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mcp_operator.images.tree import Tree

    Write = Callable[[Mapping[str, str]], Tree]

MODULE = "module example.com/demo-mcp/v2\n\ngo 1.23.2\n\nrequire (\n\tgithub.com/mark3labs/mcp-go v0.1.0\n)\n"
SDK = "github.com/mark3labs/mcp-go/server"
MAIN = "package main\n\nfunc main() {}\n"
HAND = 'package demo\n\nfunc serve(r io.Reader) { "initialize"; "tools/list"; serverInfo }\n'
"""Of a server without an SDK."""
SERVER = 'package main\n\nimport "github.com/mark3labs/mcp-go/server"\n\nfunc main() {}\n'


def facts(candidate: Candidate) -> GoFacts:
    assert isinstance(candidate.facts, GoFacts)
    return candidate.facts


@pytest.mark.requirement("B-02")
def test_a_program_at_the_root_of_a_module_is_compiled(write: Write) -> None:
    candidate = detect(write({"go.mod": MODULE, "go.sum": "", "main.go": SERVER}))

    assert candidate.runtime == "go"
    assert candidate.name == "demo-mcp"
    assert candidate.command == ("/app/.bin/server",)
    assert facts(candidate) == GoFacts(package=".", requires="1.23.2", manifests=("go.mod", "go.sum"), imports=(SDK,))
    assert "depends on github.com/mark3labs/mcp-go" in candidate.evidence


@pytest.mark.requirement("B-02")
@pytest.mark.parametrize(
    ("files", "package"),
    [
        ({"cmd/demo-mcp/main.go": MAIN, "cmd/mcp-tool/main.go": SERVER, "pkg/s.go": SERVER}, "./cmd/demo-mcp"),
        ({"cmd/one/main.go": MAIN, "cmd/two/main.go": SERVER}, "./cmd/two"),
        ({"cmd/one/main.go": MAIN, "cmd/a-server/main.go": MAIN, "lib/s.go": SERVER[:60]}, "./cmd/a-server"),
        ({"main.go": SERVER, "cmd/x/main.go": MAIN, "examples/demo-mcp/main.go": SERVER}, "."),
        (
            {"cmd/a-mcp/main.go": MAIN, "cmd/a-mcp-http/main.go": MAIN, "cmd/b/main.go": MAIN, "s.go": HAND},
            "./cmd/a-mcp",
        ),
        ({"cmd/mcpfixture/main.go": SERVER, "cmd/mcpproxy/main.go": MAIN, "lib/s.go": SERVER[:60]}, "./cmd/mcpproxy"),
        ({"main.go": SERVER, "gen.go": "//go:build ignore\n" + MAIN}, "."),
    ],
)
def test_of_several_programs_the_servers_is_compiled(write: Write, files: dict[str, str], package: str) -> None:
    assert facts(detect(write({"go.mod": MODULE, **files}))).package == package


def test_several_programs_without_a_favourite_are_listed(write: Write) -> None:
    tree = write({"go.mod": MODULE, "cmd/a/main.go": MAIN, "cmd/b/main.go": MAIN, "lib/s.go": SERVER[:60]})

    with pytest.raises(BuildError) as caught:
        detect(tree)

    assert caught.value.reason == Reason.AMBIGUOUS_START_COMMAND
    assert "cmd/a, cmd/b" in caught.value.message


def test_a_module_without_a_program_is_a_library(write: Write) -> None:
    with pytest.raises(BuildError) as caught:
        detect(write({"go.mod": MODULE, "lib/s.go": SERVER[:60]}))

    assert caught.value.reason == Reason.NO_START_COMMAND
    assert "library" in caught.value.hint


@pytest.mark.parametrize(
    ("more", "files"),
    [("replace example.com/x => ../x\n", {}), ("", {"vendor/modules.txt": ""})],
)
def test_modules_that_are_in_the_repository_are_not_downloaded_first(
    write: Write, more: str, files: dict[str, str]
) -> None:
    assert facts(detect(write({"go.mod": MODULE + more, "main.go": SERVER, **files}))).manifests == ()


def test_a_replacement_that_is_commented_out_is_none(write: Write) -> None:
    tree = write({"go.mod": f"{MODULE}// replace example.com/x => ../x\n", "go.sum": "", "main.go": SERVER})
    assert facts(detect(tree)).manifests == ("go.mod", "go.sum")


def test_a_module_with_c_in_it_is_compiled_with_a_c_compiler(write: Write) -> None:
    text = MODULE.replace(")", "\tgithub.com/mattn/go-sqlite3 v1.14.0\n)")

    assert facts(detect(write({"go.mod": text, "main.go": SERVER}))).cgo


def test_a_server_in_a_test_makes_no_server(write: Write) -> None:
    text = MODULE.replace("github.com/mark3labs/mcp-go", "example.com/other")
    tree = write({"go.mod": text, "main.go": MAIN, "main_test.go": SERVER})

    with pytest.raises(BuildError) as caught:
        detect(tree)

    assert caught.value.reason == Reason.NOT_AN_MCP_SERVER


@pytest.mark.requirement("B-02")
def test_a_go_server_with_a_page_in_node_is_a_go_server(write: Write) -> None:
    tree = write({"go.mod": MODULE, "main.go": SERVER, "package.json": '{"main": "a.js"}', "a.js": ""})

    assert detect(tree).runtime == "go"


@pytest.mark.requirement("B-02")
def test_the_word_that_its_own_image_gives_the_program_is_a_hint(write: Write) -> None:
    own = 'FROM x\nENTRYPOINT ["/server/demo"]\nCMD ["stdio"]\n'

    assert detect(write({"go.mod": MODULE, "main.go": SERVER, "Dockerfile": own})).hints.args == ("stdio",)


@pytest.mark.requirement("B-02")
def test_a_server_that_gives_a_wrapped_sdk_its_transport_is_known(write: Write) -> None:
    main = "package main\nfunc main() { wrapped.New().Serve(ctx, &mcp.StdioTransport{}) }\n"

    assert detect(write({"go.mod": MODULE, "main.go": main})).command == ("/app/.bin/server",)
