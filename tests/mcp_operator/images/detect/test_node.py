from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from mcp_operator.images.contract import BuildError
from mcp_operator.images.detect import detect
from mcp_operator.images.detect.candidate import Candidate, NodeFacts
from mcp_operator.images.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mcp_operator.images.tree import Tree

    Write = Callable[[Mapping[str, str]], Tree]

SDK = {"@modelcontextprotocol/sdk": "^1.0.0"}
SERVER = 'import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";\n'


def package(**more: object) -> str:
    return json.dumps({"name": "demo", "dependencies": SDK, **more})


def facts(candidate: Candidate) -> NodeFacts:
    assert isinstance(candidate.facts, NodeFacts)
    return candidate.facts


def problem(tree: Tree, path: str = ".") -> BuildError:
    with pytest.raises(BuildError) as caught:
        detect(tree, path)
    assert caught.value.hint
    return caught.value


@pytest.mark.requirement("F-05")
def test_a_typescript_server_is_built_and_its_bin_started(write: Write) -> None:
    tree = write(
        {
            "package.json": package(bin={"demo": "./dist/index.js"}, main="lib.js", scripts={"build": "tsc"}),
            "package-lock.json": json.dumps(
                {"packages": {"node_modules/esbuild": {"hasInstallScript": True}, "node_modules/x": {}}}
            ),
            "tsconfig.json": "{}",
            "src/index.ts": SERVER,
        },
    )

    candidate = detect(tree)

    assert candidate.command == ("node", "/app/dist/index.js")
    assert facts(candidate).script == "build"
    assert facts(candidate).locked
    assert facts(candidate).rebuild == ("esbuild",)
    assert facts(candidate).manifests == ("package-lock.json", "package.json")
    assert "src/index.ts makes an MCP server" in candidate.evidence
    assert "starts dist/index.js (bin 'demo')" in candidate.evidence


def test_the_contents_of_a_published_package_are_not_built_again(write: Write) -> None:
    tree = write(
        {
            "package.json": package(
                bin={"demo": "dist/index.js"}, scripts={"build": "tsc", "prepare": "npm run build"}
            ),
            "dist/index.js": SERVER,
        },
    )

    assert facts(detect(tree)).script == ""


def test_committed_output_beside_its_sources_is_built_again(write: Write) -> None:
    tree = write(
        {
            "package.json": package(bin="dist/index.js", scripts={"build": "tsc"}),
            "dist/index.js": SERVER,
            "tsconfig.json": "{}",
        },
    )

    assert facts(detect(tree)).script == "build"


def test_prepare_is_run_where_there_is_no_build_script(write: Write) -> None:
    tree = write({"package.json": package(bin="dist/a.js", scripts={"prepare": "tsc"}), "a.ts": SERVER})

    assert facts(detect(tree)).script == "prepare"


def test_a_start_file_that_nothing_makes_is_said_before_any_build(write: Write) -> None:
    error = problem(write({"package.json": package(bin="dist/a.js"), "a.ts": SERVER}))

    assert error.reason == Reason.NO_START_COMMAND
    assert "dist/a.js is not in the repository" in error.message


@pytest.mark.parametrize(
    ("manifest", "command"),
    [
        ({"bin": {"other": "o.js", "demo": "d.js"}}, ("node", "/app/d.js")),
        ({"bin": {"x": "x.js", "demo-stdio": "s.js"}}, ("node", "/app/s.js")),
        ({"bin": {"x": "x.js", "y": "x.js"}}, ("node", "/app/x.js")),
        ({"bin": "x.js", "scripts": {"start": "node y.js"}}, ("node", "/app/x.js")),
        (
            {"scripts": {"start": "node --enable-source-maps y.js --stdio"}, "main": "x.js"},
            ("node", "--enable-source-maps", "/app/y.js", "--stdio"),
        ),
        ({"scripts": {"start": "npx inspector node y.js"}, "main": "x.js"}, ("node", "/app/x.js")),
        ({"scripts": {"start": "node y.js && rm -rf /"}, "main": "x.js"}, ("node", "/app/x.js")),
        ({"main": "x"}, ("node", "/app/x.js")),
        ({}, ("node", "/app/index.js")),
    ],
)
def test_bin_comes_before_start_and_main_last(write: Write, manifest: dict[str, Any], command: tuple[str, ...]) -> None:
    files = dict.fromkeys(("d.js", "o.js", "s.js", "x.js", "y.js", "index.js"), SERVER)

    assert detect(write({"package.json": package(**manifest), **files})).command == command


def test_several_bins_without_a_favourite_are_listed(write: Write) -> None:
    error = problem(write({"package.json": package(bin={"x": "x.js", "y": "y.js"}), "x.js": SERVER}))

    assert error.reason == Reason.AMBIGUOUS_START_COMMAND
    assert "x, y" in error.message


@pytest.mark.requirement("F-05")
@pytest.mark.parametrize(
    "entry",
    [
        "../../bin/sh",
        "/bin/sh",
        'a.js"]\nRUN id',
        "$(id).js",
        "a b.js",
        "`id`.js",
        "--require=x.js",
        "a\u0000.js",
        "",
        {"nested": "x"},
        17,
    ],
)
def test_a_bin_that_is_not_a_file_of_the_package_is_refused(write: Write, entry: object) -> None:
    error = problem(write({"package.json": package(bin={"demo": entry}), "a.js": SERVER}))

    assert error.reason == Reason.NO_START_COMMAND
    assert "\n" not in error.message


def test_a_bin_that_is_typescript_is_said(write: Write) -> None:
    assert "cannot start" in problem(write({"package.json": package(bin="a.ts"), "a.ts": SERVER})).message


@pytest.mark.parametrize("lock", ["yarn.lock", "bun.lock"])
def test_a_lock_that_is_not_supported_is_named(write: Write, lock: str) -> None:
    error = problem(write({"package.json": package(bin="a.js"), "a.js": SERVER, lock: ""}))

    assert error.reason == Reason.UNSUPPORTED
    assert lock.partition(".")[0] in error.message


def test_pnpm_is_used_in_the_version_that_the_project_names(write: Write) -> None:
    tree = write(
        {"package.json": package(bin="a.js", packageManager="pnpm@9.1.2+sha"), "a.js": SERVER, "pnpm-lock.yaml": ""}
    )

    assert facts(detect(tree)).manager == "pnpm"
    assert facts(detect(tree)).manager_version == "9.1.2"


def test_a_workspace_is_built_from_its_root(write: Write) -> None:
    tree = write(
        {
            "package.json": json.dumps({"name": "root", "workspaces": ["packages/*"]}),
            "package-lock.json": "{}",
            "packages/server/package.json": package(bin="a.js"),
            "packages/server/a.js": SERVER,
            "packages/library/package.json": json.dumps({"name": "library"}),
        },
    )

    candidate = detect(tree)

    assert (candidate.folder, candidate.root, candidate.inner) == ("packages/server", ".", "packages/server")
    assert candidate.command == ("node", "/app/packages/server/a.js")
    assert facts(candidate).workspaces
    assert facts(candidate).manifests == ()


def test_a_lock_above_that_is_no_workspace_is_somebody_elses(write: Write) -> None:
    tree = write(
        {"package.json": "{}", "package-lock.json": "{}", "s/package.json": package(bin="a.js"), "s/a.js": SERVER}
    )

    assert detect(tree, "s").root == "s"


def test_a_client_is_no_server(write: Write) -> None:
    tree = write({"package.json": package(main="a.js"), "a.js": 'import "@modelcontextprotocol/sdk/client/index.js"'})

    error = problem(tree)

    assert error.reason == Reason.NOT_AN_MCP_SERVER
    assert "is an MCP client" in error.log_tail


def test_a_server_without_an_sdk_is_known_by_the_methods_that_it_answers(write: Write) -> None:
    tree = write({"package.json": '{"main": "a.js"}', "a.js": "case 'initialize': case 'tools/list':"})

    assert detect(tree).command == ("node", "/app/a.js")


def test_a_broken_manifest_is_named(write: Write) -> None:
    assert problem(write({"package.json": "{"})).reason == Reason.INVALID_MANIFEST


def test_simple_git_needs_the_git_program(write: Write) -> None:
    tree = write({"package.json": package(bin="a.js", dependencies=SDK | {"simple-git": "1"}), "a.js": SERVER})

    assert detect(tree).system_packages == ("git",)
