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


@pytest.mark.requirement("B-02")
@pytest.mark.parametrize(
    ("lock", "text", "manager", "modern"),
    [
        ("yarn.lock", "# yarn lockfile v1", "yarn", False),
        ("yarn.lock", "__metadata:\n  version: 8", "yarn", True),
        ("bun.lock", "{}", "bun", False),
        ("pnpm-lock.yaml", "", "pnpm", False),
        ("npm-shrinkwrap.json", "{}", "npm", False),
    ],
)
def test_a_lock_says_which_package_manager_is_used(
    write: Write, *, lock: str, text: str, manager: str, modern: bool
) -> None:
    found = facts(detect(write({"package.json": package(bin="a.js"), "a.js": SERVER, lock: text})))

    assert (found.manager, found.modern, found.locked) == (manager, modern, True)
    assert lock in found.manifests


@pytest.mark.requirement("B-02")
def test_of_two_locks_the_one_of_the_named_manager_is_followed(write: Write) -> None:
    files = {
        "package.json": package(bin="a.js", packageManager="yarn@4.5.1"),
        "a.js": SERVER,
        "package-lock.json": "{}",
    }

    found = facts(detect(write({**files, "yarn.lock": "__metadata:"})))

    assert (found.manager, found.manager_version) == ("yarn", "4.5.1")


def test_yarn_is_used_in_the_version_that_the_repository_carries(write: Write) -> None:
    release = "yarnPath: .yarn/releases/yarn-3.8.7.cjs\n"
    files = {"package.json": package(bin="a.js"), "a.js": SERVER, "yarn.lock": "__metadata:", ".yarnrc.yml": release}

    assert facts(detect(write(files))).manager_version == "3.8.7"


@pytest.mark.requirement("B-02")
def test_what_the_server_needs_of_its_workspace_is_built_first_in_order(write: Write) -> None:
    tree = write(
        {
            "package.json": json.dumps({"workspaces": ["packages/*"]}),
            "packages/a/package.json": json.dumps({"name": "a", "scripts": {"build": "tsc"}}),
            "packages/b/package.json": json.dumps(
                {"name": "b", "dependencies": {"a": "*", "demo": "*"}, "scripts": {"build": "tsc"}}
            ),
            "packages/c/package.json": json.dumps({"name": "c", "scripts": {"build": "tsc"}}),
            "packages/server/package.json": package(
                bin="dist/a.js", scripts={"build": "tsc"}, devDependencies={"b": "*", "a": "*"}
            ),
            "packages/server/a.ts": SERVER,
        },
    )

    assert facts(detect(tree)).first == ("packages/a", "packages/b")


@pytest.mark.requirement("B-02")
def test_package_managers_that_the_build_calls_are_noticed(write: Write) -> None:
    scripts = {"build": "npm run compile && bunx tool", "compile": "yarn tsc", "other": "pnpm x"}
    tree = write({"package.json": package(bin="dist/a.js", scripts=scripts), "a.ts": SERVER})

    assert facts(detect(tree)).tools == ("bun", "yarn")


@pytest.mark.parametrize("mark", ['"file:../x"', '"link:./x"', '"patch:x"'])
def test_packages_that_are_folders_of_the_repository_need_all_sources_first(write: Write, mark: str) -> None:
    text = package(bin="a.js", dependencies=SDK | {"x": mark.strip('"')})

    assert facts(detect(write({"package.json": text, "a.js": SERVER}))).manifests == ()


@pytest.mark.requirement("B-02")
@pytest.mark.parametrize(
    ("start", "kind", "command"),
    [
        ("ts-node src/a.ts", "", ("node", "--require", "ts-node/register/transpile-only", "/app/src/a.ts")),
        ("ts-node src/a.ts", "module", ("node", "--loader", "ts-node/esm/transpile-only", "/app/src/a.ts")),
        ("ts-node-esm src/a.ts", "", ("node", "--loader", "ts-node/esm/transpile-only", "/app/src/a.ts")),
        ("tsx src/a.ts", "", ("node", "--import", "tsx", "/app/src/a.ts")),
        ("node src/a.ts --x", "", ("node", "/app/src/a.ts", "--x")),
        ("node --experimental-strip-types src/a.ts", "", ("node", "--experimental-strip-types", "/app/src/a.ts")),
    ],
)
def test_a_start_script_may_run_typescript_as_it_is(
    write: Write, start: str, kind: str, command: tuple[str, ...]
) -> None:
    tools = {"tsx": "4", "ts-node": "10"}
    text = package(type=kind, scripts={"start": start}, dependencies=SDK, devDependencies=tools)
    candidate = detect(write({"package.json": text, "src/a.ts": SERVER}))

    assert candidate.command == command
    assert facts(candidate).development == ("ts-node" in start or "tsx" in start)
    assert not facts(candidate).script


PATCHED = "patches/@a__b@1.2.patch"


@pytest.mark.requirement("B-04")
@pytest.mark.parametrize(
    ("extra", "settings"),
    [
        ({"pnpm": {"patchedDependencies": {"@a/b@1.2": PATCHED}}}, ""),
        ({"dependencies": SDK | {"@a/b": f"patch:@a/b@npm%3A1.2#~/{PATCHED}"}}, ""),
        ({"dependencies": SDK | {"@a/b": f"patch:@a/b@npm%3A1.2#./{PATCHED}"}}, ""),
        ({}, f"patchedDependencies:\n  '@a/b@1.2': {PATCHED}\n"),
    ],
)
def test_changes_to_dependencies_are_there_before_they_are_installed(
    write: Write, extra: dict[str, Any], settings: str
) -> None:
    text = package(bin="a.js", **({"dependencies": SDK} | extra))
    tree = write({"package.json": text, "a.js": SERVER, PATCHED: "", "pnpm-workspace.yaml": settings})

    assert facts(detect(tree)).manifests == ("package.json", PATCHED, "pnpm-workspace.yaml")


@pytest.mark.parametrize("named", ["patches/absent.patch", "../out.patch", "patches/a b.patch"])
def test_changes_that_cannot_be_told_apart_from_the_sources_need_them_all_first(write: Write, named: str) -> None:
    table = {"patchedDependencies": {"a": PATCHED, "b": named}}
    text = package(bin="a.js", dependencies=SDK, pnpm=table)
    tree = write({"package.json": text, "a.js": SERVER, PATCHED: ""})

    assert facts(detect(tree)).manifests == ()


def test_of_a_workspace_the_package_with_a_command_is_meant_and_not_what_it_imports(write: Write) -> None:
    tree = write(
        {
            "package.json": json.dumps({"workspaces": ["p/*"]}),
            "p/core/package.json": package(name="core", main="a.js"),
            "p/core/a.js": SERVER,
            "p/server/package.json": package(bin="a.js"),
            "p/server/a.js": SERVER,
        },
    )

    assert detect(tree).folder == "p/server"


def test_pnpm_is_used_in_the_version_that_the_project_names(write: Write) -> None:
    tree = write(
        {"package.json": package(bin="a.js", packageManager="pnpm@9.1.2+sha"), "a.js": SERVER, "pnpm-lock.yaml": ""}
    )

    assert facts(detect(tree)).manager == "pnpm"
    assert facts(detect(tree)).manager_version == "9.1.2"


@pytest.mark.parametrize(
    ("workspace", "named", "version"),
    [
        ("allowBuilds:\n  esbuild: true\n", {}, "10.34.9"),
        ("allowBuilds: {}\n", {"packageManager": "pnpm@10.1.0"}, "10.1.0"),
        ("packages:\n  - .\nallowBuilds: {}\n", {}, ""),
        ("", {}, ""),
    ],
)
def test_settings_of_pnpm_alone_are_for_a_pnpm_that_knows_them(
    write: Write, workspace: str, named: dict[str, str], version: str
) -> None:
    files = {"package.json": package(bin="a.js", **named), "a.js": SERVER, "pnpm-lock.yaml": ""}
    found = facts(detect(write(files | {"pnpm-workspace.yaml": workspace})))
    assert (found.manager, found.manager_version) == ("pnpm", version)


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
    assert facts(candidate).manifests == (
        "package-lock.json",
        "package.json",
        "packages/library/package.json",
        "packages/server/package.json",
    )


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


BY_HAND = "process.stdin.on('data', ...) case 'initialize': send({serverInfo: 1}) case 'tools/list':"


def test_a_client_that_writes_the_messages_itself_is_no_server(write: Write) -> None:
    tree = write({"package.json": '{"main": "a.js"}', "a.js": "send('initialize'); send('tools/list')"})

    assert problem(tree).reason == Reason.NOT_AN_MCP_SERVER


@pytest.mark.requirement("B-02")
def test_a_starter_that_loads_what_is_still_to_be_made_has_it_built(write: Write) -> None:
    files = {
        "package.json": package(bin="bin/run.mjs", scripts={"build": "tsc"}),
        "bin/run.mjs": "await import('../dist/index.js')",
        "src/index.ts": SERVER,
    }

    assert facts(detect(write(files))).script == "build"
    assert facts(detect(write({**files, "dist/index.js": SERVER}))).script == ""


def test_a_server_without_an_sdk_is_known_by_the_methods_that_it_answers(write: Write) -> None:
    tree = write({"package.json": '{"main": "a.js"}', "a.js": BY_HAND})

    assert detect(tree).command == ("node", "/app/a.js")


def test_a_broken_manifest_is_named(write: Write) -> None:
    assert problem(write({"package.json": "{"})).reason == Reason.INVALID_MANIFEST


def test_simple_git_needs_the_git_program(write: Write) -> None:
    tree = write({"package.json": package(bin="a.js", dependencies=SDK | {"simple-git": "1"}), "a.js": SERVER})

    assert detect(tree).system_packages == ("git",)


@pytest.mark.requirement("B-02")
@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("start", "npm run build && node dist/a.js --stdio"),
        ("start", "cross-env NODE_ENV=production node dist/a.js --stdio"),
        ("start", "node --env-file=.env dist/a.js --stdio"),
        ("inspector", "mcp-inspector node ./dist/a.js --stdio"),
        ("inspect", "npx @modelcontextprotocol/inspector@latest -- node dist/a.js --stdio"),
    ],
)
def test_without_bin_a_script_says_what_is_started(write: Write, name: str, line: str) -> None:
    scripts = {"build": "tsc", name: line}
    tree = write({"package.json": json.dumps({"scripts": scripts, "main": "dist/library.js"}), "a.ts": SERVER})

    assert detect(tree).command == ("node", "/app/dist/a.js", "--stdio")


def test_a_start_script_with_settings_of_its_own_is_left_alone(write: Write) -> None:
    scripts = {"build": "tsc", "start": "TRANSPORT=http node dist/http.js"}
    tree = write({"package.json": json.dumps({"scripts": scripts, "main": "dist/a.js"}), "a.ts": SERVER})

    assert detect(tree).command == ("node", "/app/dist/a.js")
