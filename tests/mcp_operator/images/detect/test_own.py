from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from mcp_operator.images.contract import BuildError
from mcp_operator.images.detect import detect, own
from mcp_operator.images.detect.candidate import Candidate, DockerfileFacts
from mcp_operator.images.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mcp_operator.images.tree import Tree

    Write = Callable[[Mapping[str, str]], Tree]

RUST = (
    "FROM rust:1 AS builder\nWORKDIR /src\nRUN cargo build\n\nFROM debian:12\nCOPY --from=builder /src/x /usr/bin/x\n"
)
MCP = {"README.md": "An MCP server in Rust."}


def facts(candidate: Candidate) -> DockerfileFacts:
    assert isinstance(candidate.facts, DockerfileFacts)
    return candidate.facts


def problem(tree: Tree, dockerfile: str = own.DOCKERFILE) -> BuildError:
    with pytest.raises(BuildError) as caught:
        detect(tree, runtime="dockerfile", dockerfile=dockerfile)
    assert caught.value.hint
    return caught.value


@pytest.mark.requirement("B-02")
def test_another_language_is_built_by_its_own_dockerfile(write: Write) -> None:
    candidate = detect(write({"Cargo.toml": "", "Dockerfile": RUST + 'ENTRYPOINT ["/usr/bin/x"]\n', **MCP}))

    assert candidate.runtime == "dockerfile"
    assert candidate.command == ("/usr/bin/x",)
    assert facts(candidate).file == "Dockerfile"
    assert any("own Dockerfile" in line for line in candidate.evidence)


@pytest.mark.requirement("B-03")
def test_a_dockerfile_of_something_that_never_speaks_of_mcp_is_not_built(write: Write) -> None:
    with pytest.raises(BuildError) as caught:
        detect(write({"Dockerfile": RUST + 'CMD ["x"]\n'}))

    assert caught.value.reason == Reason.NOT_AN_MCP_SERVER
    assert "Dockerfile (Dockerfile)" in caught.value.log_tail


@pytest.mark.requirement("B-02")
def test_on_request_it_is_used_whatever_else_is_there(write: Write) -> None:
    tree = write({"package.json": '{"main": "a.js"}', "a.js": "", "docker/mine": 'FROM x\nCMD ["y"]\n'})

    candidate = detect(tree, runtime="dockerfile", dockerfile="docker/mine")

    assert candidate.command == ("y",)
    assert candidate.root == "."


def test_a_dockerfile_that_is_not_there_is_named(write: Write) -> None:
    assert "looked for docker/mine" in problem(write({"a": ""}), dockerfile="docker/mine").message


def test_a_server_that_can_be_built_is_never_left_to_its_dockerfile(write: Write) -> None:
    node = {"package.json": '{"bin": "a.js", "dependencies": {"fastmcp": "1"}}', "a.js": "import 'fastmcp'"}

    assert detect(write({**node, **MCP, "Dockerfile": 'FROM x\nCMD ["y"]\n'})).runtime == "node"


@pytest.mark.requirement("B-02")
def test_a_server_that_nothing_else_can_start_is_left_to_its_dockerfile(write: Write) -> None:
    node = {"package.json": '{"bin": "a.ts", "dependencies": {"fastmcp": "1"}}', "a.ts": "import 'fastmcp'"}

    assert detect(write({**node, **MCP, "Dockerfile": 'FROM x\nCMD ["y"]\n'})).runtime == "dockerfile"


@pytest.mark.parametrize(
    ("text", "command", "folder"),
    [
        ('FROM x\nWORKDIR /a\nENTRYPOINT ["p", "q"]\nCMD ["r"]', ("p", "q", "r"), "/a"),
        ('FROM x\nCMD ["r"]\nENTRYPOINT ["p"]', ("p",), ""),
        ("FROM x\nWORKDIR /a\nWORKDIR b\nCMD node dist/x.js", ("node", "dist/x.js"), "/a/b"),
        ("FROM x\nENTRYPOINT run $ME\nCMD y", ("/bin/sh", "-c", "run $ME"), ""),
        ('FROM x AS base\nWORKDIR /a\nENTRYPOINT ["p"]\nFROM base\nRUN id', ("p",), "/a"),
        ('FROM x AS a\nENTRYPOINT ["p"]\nFROM y\nCMD ["q"]', ("q",), ""),
        ('FROM x\nCMD ["a", \\\n  # why\n  "b"]', ("a", "b"), ""),
        ('FROM x\nWORKDIR $HOME\nCMD ["a"]', ("a",), ""),
        ("FROM x\nCMD it's", ("/bin/sh", "-c", "it's"), ""),
    ],
)
def test_what_a_dockerfile_starts_is_read_as_the_engine_reads_it(
    write: Write, text: str, command: tuple[str, ...], folder: str
) -> None:
    candidate = detect(write({"Dockerfile": text}), runtime="dockerfile")

    assert candidate.command == command
    assert candidate.working_dir == folder


def test_a_port_that_it_exposes_is_a_hint(write: Write) -> None:
    candidate = detect(write({"Dockerfile": 'FROM x\nEXPOSE 8080/tcp\nCMD ["y"]'}), runtime="dockerfile")

    assert candidate.hints.port == 8080


def test_what_makes_no_difference_to_the_image_is_left_out(write: Write) -> None:
    text = "FROM --platform=$BUILDPLATFORM x\nRUN --mount=type=cache,target=/root/.cache a b\nCOPY --link a b\nCMD c\n"

    built = facts(detect(write({"Dockerfile": text}), runtime="dockerfile")).text

    assert built == "FROM x\nRUN a b\nCOPY a b\nCMD c\n"


@pytest.mark.requirement("B-03")
@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("RUN --mount=type=bind,source=a,target=b x", "RUN --mount"),
        ("RUN --mount=type=secret,id=a x", "RUN --mount"),
        ("COPY --chmod=755 a b", "COPY --chmod"),
        ("RUN <<EOF\nx\nEOF", "a heredoc"),
        ("RUN GOARCH=$TARGETARCH go build", "TARGETARCH"),
    ],
)
def test_what_only_buildkit_understands_is_said_before_any_build(write: Write, line: str, what: str) -> None:
    error = problem(write({"Dockerfile": f"FROM x\n{line}\nCMD c\n"}))

    assert error.reason == Reason.UNSUPPORTED
    assert what in error.message


def test_a_dockerfile_that_starts_nothing_needs_a_command(write: Write) -> None:
    tree = write({"Dockerfile": "FROM x\n"})

    assert problem(tree).reason == Reason.NO_START_COMMAND
    assert detect(tree, runtime="dockerfile", command=("a",)).command == ("a",)


def test_a_dockerfile_too_large_to_be_one_is_not_read(write: Write) -> None:
    assert problem(write({"Dockerfile": "#" * (own.MAX_BYTES + 1)})).reason == Reason.NOTHING_DETECTED
