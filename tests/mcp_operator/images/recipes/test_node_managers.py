from __future__ import annotations

import json
import os
import re
import subprocess
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from mcp_operator.images import recipes
from mcp_operator.images.detect import detect
from mcp_operator.images.recipes import node_managers
from mcp_operator.images.recipes.recipe import Copy, Recipe, Run, instead
from mcp_operator.images.sandbox import Interpreter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from mcp_operator.images.tree import Tree

    Write = Callable[[Mapping[str, str]], Tree]

WHEN = datetime(2026, 1, 2, tzinfo=UTC)
STRIP = "strip package.json"
CLEAN = "find . -name node_modules -prune -exec rm -rf {} +"
ASIDE = (
    " && mkdir -p /own/app && tar -cf /tmp/own.tar -C /app --exclude=node_modules ."
    " && tar -xpf /tmp/own.tar -C /own/app && rm /tmp/own.tar"
)
SERVER = "import 'fastmcp'"


def package(**more: object) -> str:
    values = {"name": "x", "bin": "dist/a.js", "dependencies": {"fastmcp": "1"}, "scripts": {"build": "tsc"}, **more}
    return json.dumps(values)


def made(tree: Tree, path: str = ".") -> Recipe:
    return recipes.recipe(detect(tree, path), "base:1", Interpreter(path="", version="0"), WHEN)


def steps(recipe: Recipe) -> list[str]:
    return [said(step) for stage in recipe.stages for step in (Run((f"[{stage.name}]",)), *stage.steps)]


def said(step: Copy | Run) -> str:
    if isinstance(step, Copy):
        return f"copy {' '.join(step.names)}".strip()
    return re.sub(r"sed -i -E -e .*/g\S*", "strip", " ".join(step.words)) + (f" && {step.then}" if step.then else "")


def tool(recipe: Recipe) -> tuple[str, ...]:
    return recipe.stages[0].tools[0].words[4:]


@pytest.mark.requirement("B-02")
def test_classic_yarn_installs_frozen_builds_and_leaves_out_what_only_built(write: Write) -> None:
    recipe = made(write({"package.json": package(), "yarn.lock": "# v1", "a.ts": SERVER}))

    assert tool(recipe) == ("yarn@1.22.22",)
    assert steps(recipe) == [
        "[dependencies]",
        "copy package.json yarn.lock",
        STRIP,
        "yarn install --non-interactive --frozen-lockfile",
        "[production]",
        "yarn install --production --ignore-scripts --prefer-offline --non-interactive",
        "[builder]",
        "copy",
        "yarn run build" + ASIDE,
    ]
    assert [stage.keep for stage in recipe.stages] == [(), (".",), (".",)]


@pytest.mark.requirement("B-02")
def test_modern_yarn_makes_plain_folders_and_never_runs_the_repositorys_own_release(write: Write) -> None:
    files = {"package.json": package(packageManager="yarn@4.5.1"), "yarn.lock": "__metadata:", "a.ts": SERVER}

    recipe = made(write(files))

    assert tool(recipe) == ("@yarnpkg/cli-dist@4.5.1",)
    assert steps(recipe)[2:] == [
        STRIP,
        "yarn install --immutable",
        "[production]",
        "yarn workspaces focus --production",
        "[builder]",
        "copy",
        "yarn run build" + ASIDE,
    ]
    assert recipe.stages[0].env["YARN_IGNORE_PATH"] == "1"
    assert recipe.stages[0].env["YARN_NODE_LINKER"] == "node-modules"


@pytest.mark.requirement("B-02")
def test_bun_installs_and_builds_and_node_runs_what_it_built(write: Write) -> None:
    recipe = made(write({"package.json": package(), "bun.lock": "{}", "a.ts": SERVER}))

    assert steps(recipe)[3:] == [
        "bun install --frozen-lockfile",
        "[production]",
        CLEAN,
        "bun install --production",
        "[builder]",
        "copy",
        "bun run build" + ASIDE,
    ]
    assert recipe.command == ("node", "/app/dist/a.js")


@pytest.mark.requirement("B-02")
def test_what_only_bun_runs_has_bun_in_its_image(write: Write) -> None:
    recipe = made(write({"package.json": package(bin="a.ts", scripts={}), "bun.lock": "{}", "a.ts": SERVER}))

    assert "npm install --prefix /app/.bun --no-save bun@1.2.21" in steps(recipe)
    assert [stage.name for stage in recipe.stages if stage.keep] == ["production", "sources"]
    assert recipe.command == ("/app/.bun/node_modules/.bin/bun", "/app/a.ts")


@pytest.mark.requirement("B-04")
def test_of_a_pnpm_workspace_only_what_the_server_needs_is_left(write: Write) -> None:
    tree = write(
        {
            "package.json": "{}",
            "pnpm-workspace.yaml": "packages: [p/*]",
            "pnpm-lock.yaml": "",
            "p/x/package.json": package(),
            "p/x/a.ts": SERVER,
        },
    )

    recipe = made(tree)

    assert steps(recipe)[3:] == [
        "pnpm --filter {.}... --include-workspace-root install --frozen-lockfile",
        "[production]",
        CLEAN,
        "pnpm --filter {.}... install --prod --prefer-offline --frozen-lockfile",
        "[builder]",
        "copy",
        "pnpm --filter {.}... run build" + ASIDE,
    ]


@pytest.mark.requirement("B-02")
def test_the_root_of_a_pnpm_workspace_can_be_the_server(write: Write) -> None:
    tree = write(
        {
            "package.json": package(),
            "pnpm-workspace.yaml": "packages: [p/*]",
            "pnpm-lock.yaml": "",
            "a.ts": SERVER,
            "p/x/package.json": "{}",
        },
    )

    found = steps(made(tree))

    assert "pnpm install --frozen-lockfile" in found
    assert "pnpm run build" + ASIDE in found
    assert "pnpm install --prod --prefer-offline --frozen-lockfile" in found


def test_without_a_lock_pnpm_takes_what_there_is(write: Write) -> None:
    files = {"package.json": package(packageManager="pnpm@9.1.0", bin="a.js"), "a.js": SERVER}

    recipe = made(write(files))

    assert tool(recipe) == ("pnpm@9.1.0",)
    assert "pnpm install --no-frozen-lockfile" in steps(recipe)


def test_where_installing_takes_the_sources_no_script_is_run(write: Write) -> None:
    text = package(dependencies={"fastmcp": "1", "y": "link:./y"})

    recipe = made(write({"package.json": text, "yarn.lock": "# v1", "a.ts": SERVER}))

    assert steps(recipe)[:3] == [
        "[builder]",
        "copy",
        "yarn install --non-interactive --frozen-lockfile --ignore-scripts",
    ]


def test_a_manager_that_only_the_build_script_calls_is_there_for_it(write: Write) -> None:
    text = package(scripts={"build": "bun build a.ts"})

    recipe = made(write({"package.json": text, "package-lock.json": "{}", "a.ts": SERVER}))

    assert tool(recipe) == ("bun@1.2.21",)


@pytest.mark.requirement("B-02")
def test_a_server_that_tsx_starts_keeps_tsx(write: Write) -> None:
    text = package(bin=None, scripts={"start": "tsx a.ts"}, devDependencies={"tsx": "4"})

    recipe = made(write({"package.json": text, "package-lock.json": "{}", "a.ts": SERVER}))

    assert recipe.command == ("node", "--import", "tsx", "/app/a.ts")
    assert not any("prune" in step or "--omit=dev" in step for step in steps(recipe))


def failing(recipe: Recipe, words: str) -> Run:
    """Give the step that begins with these words."""
    steps = (step for stage in recipe.stages for step in stage.steps if isinstance(step, Run))
    return next(step for step in steps if " ".join(step.words).startswith(words))


def ways(first: Run, output: str) -> list[str]:
    """Give all that is done one after the other while the output stays the same."""
    found = []
    following = instead(first, output)
    while following:
        found.append(" && ".join(" ".join(words) for words in (*following.before, following.words)))
        following = instead(following, output)
    return found


@pytest.mark.requirement("B-02")
def test_a_lock_that_cannot_be_followed_and_scripts_that_fail_are_left_out_one_by_one_and_together(
    write: Write,
) -> None:
    recipe = made(write({"package.json": package(), "yarn.lock": "# v1", "a.ts": SERVER}))
    install = failing(recipe, "yarn install --non-interactive --frozen-lockfile")

    assert [way.rpartition(" && ")[2] for way in ways(install, "")] == [
        "yarn install --non-interactive --no-lockfile",
        "yarn install --non-interactive --frozen-lockfile",
        "yarn install --non-interactive --frozen-lockfile --ignore-scripts",
        "yarn install --non-interactive --no-lockfile --ignore-scripts",
    ]
    prune = failing(recipe, "yarn install --production")
    assert ways(prune, "") == [f"{' '.join(prune.words)} --no-lockfile", ""]


@pytest.mark.requirement("B-02")
@pytest.mark.parametrize(
    ("lock", "install", "output", "update"),
    [
        (
            "package-lock.json",
            "npm ci --ignore-scripts",
            "npm error 404 Not Found - GET https://r.example/npm/@a/b/-/b-1.0.tgz - not found",
            "npm update --package-lock-only --ignore-scripts @a/b",
        ),
        (
            "pnpm-lock.yaml",
            "pnpm install --frozen-lockfile",
            "ERR_PNPM_FETCH_404  GET https://r.example/@a/b/-/b-1.0.tgz: Not Found - 404",
            "pnpm --recursive update --no-save --lockfile-only --depth 99 @a/b",
        ),
    ],
)
def test_of_a_lock_only_what_is_not_there_any_more_is_chosen_anew(
    write: Write, lock: str, install: str, output: str, update: str
) -> None:
    first = failing(made(write({"package.json": package(), lock: "{}", "a.ts": SERVER})), install)

    once = instead(first, output)
    assert once
    assert [" ".join(words) for words in (*once.before, once.words)] == [update, install]
    assert once.why == ("@a/b in the lock is gone: another version of it.",)

    twice = instead(once, output.replace("@a/b", "c").replace("b-1", "c-1"))
    assert twice
    assert [" ".join(words) for words in twice.before] == [update, update.replace("@a/b", "c")]


@pytest.mark.requirement("B-02")
def test_what_does_not_help_is_not_tried_again_and_an_odd_lock_gives_way_to_the_date(write: Write) -> None:
    first = failing(made(write({"package.json": package(), "package-lock.json": "{}", "a.ts": SERVER})), "npm ci")

    afresh = ["npm install --no-package-lock --ignore-scripts --before=@moment@"]
    assert ways(first, "npm error code EUSAGE")[:1] == afresh
    address = "https://r.example/b/-/b-1.0.tgz"
    said = f"npm error 404 Not Found - GET {address}\nnpm error 404  The requested resource 'b@{address}' could not be"
    gone = ways(first, said)
    assert gone[0] == "npm update --package-lock-only --ignore-scripts b && npm ci --ignore-scripts"
    assert gone[1:2] == afresh


@pytest.mark.requirement("B-02")
@pytest.mark.parametrize(
    "output",
    [
        "npm error 404  'b.c@^1.0.0' is not in this registry.",
        "npm error 404  The requested resource 'b.c@1' could not be found or you do not have permission to access it.",
        "npm error notarget No matching version found for b.c@99.0.0.",
    ],
)
def test_what_is_gone_altogether_is_left_out_where_it_only_builds_or_others_want_it(write: Write, output: str) -> None:
    tree = write(
        {
            "package.json": '{"workspaces": ["p/*"]}',
            "package-lock.json": "{}",
            "p/x/package.json": package(),
            "p/x/a.ts": SERVER,
            "p/y/package.json": '{"name": "y"}',
        },
    )
    first = failing(made(tree, "p/x"), "npm ci")
    chosen = instead(first, "npm error 404 Not Found - GET https://r.example/b.c/-/b.c-1.0.tgz - not found")
    assert chosen

    without = instead(chosen, output)

    assert without
    assert [" ".join(words) for words in without.before] == [
        "npm pkg delete --force --workspaces --include-workspace-root devDependencies[b.c]",
        "npm pkg delete --force --workspace p/y dependencies[b.c]",
        "npm install --package-lock-only --ignore-scripts",
    ]
    assert without.why[-1] == "b.c is gone: without it."


@pytest.mark.requirement("B-02")
def test_neither_of_two_ways_to_mend_a_lock_is_gone_twice(write: Write) -> None:
    step = failing(made(write({"package.json": package(), "pnpm-lock.yaml": "", "a.ts": SERVER})), "pnpm install")
    archive = "ERR_PNPM_FETCH_404  GET https://r.example/@a/b/-/b-1.0.tgz: Not Found - 404"
    version = "ERR_PNPM_NO_MATCHING_VERSION  No matching version found for @a/b@^1.0.0"

    for output in (archive, version, archive):
        following = instead(step, output)
        assert following
        step = following

    assert " ".join(step.words) == "pnpm install --no-lockfile"


@pytest.mark.requirement("B-02")
def test_a_package_that_is_gone_is_left_out_of_a_pnpm_workspace_but_for_what_the_server_depends_on(
    write: Write,
) -> None:
    tree = write(
        {
            "package.json": "{}",
            "pnpm-workspace.yaml": "packages: [p/*]",
            "pnpm-lock.yaml": "",
            "p/x/package.json": package(),
            "p/x/a.ts": SERVER,
        },
    )
    first = failing(made(tree, "p/x"), "pnpm --filter {.}... --include-workspace-root install")

    without = instead(first, "@a/b is not in the npm registry, or you have no permission to fetch it.")

    assert without
    assert [" ".join(words) for words in without.before] == [
        "pnpm --recursive --include-workspace-root exec npm pkg delete --force devDependencies[@a/b]",
        "pnpm --filter !{.}... --include-workspace-root exec npm pkg delete --force dependencies[@a/b]",
        "pnpm install --lockfile-only --no-frozen-lockfile",
    ]
    assert without.folder == "p/x"


@pytest.mark.requirement("B-02")
@pytest.mark.parametrize(
    ("files", "first", "expected"),
    [
        (
            {"yarn.lock": "# v1"},
            "yarn install --non-interactive --frozen-lockfile",
            "yarn install --non-interactive --no-lockfile",
        ),
        (
            {"yarn.lock": "__metadata:"},
            "yarn install --immutable",
            "sh -c echo > yarn.lock && yarn install --no-immutable",
        ),
        ({"bun.lock": "{}"}, "bun install --frozen-lockfile", "rm -f bun.lock bun.lockb && bun install"),
        ({"pnpm-lock.yaml": ""}, "pnpm install --frozen-lockfile", "pnpm install --no-lockfile"),
        ({"package-lock.json": "{}"}, "npm prune", ""),
    ],
)
def test_what_fails_is_done_otherwise(write: Write, files: dict[str, str], first: str, expected: str) -> None:
    recipe = made(write({"package.json": package(), "a.ts": SERVER, **files}))

    assert ways(failing(recipe, first), "it failed")[0] == expected


MANIFEST = """\ufeff{
  "name": "x",
  "scripts" : {
    "build": "tsc && node -e 'if (1) { }'",
    "prepare": "npm run build",
    "install": "node-gyp rebuild"
  },
  "dependencies": {
    "install": "^0.13.0"
  },
  "devDependencies": {
    "a": "1"
  }
}
"""


@pytest.mark.parametrize("text", [MANIFEST, MANIFEST.replace("\n", "\r\n"), MANIFEST.replace("\n  ", "\n\t")])
def test_only_a_projects_own_install_scripts_are_taken_out_and_its_manifest_keeps_its_time(
    write: Write, tmp_path: Path, text: str
) -> None:
    recipe = made(write({"package.json": package(), "a.ts": SERVER}))
    strip = next(step for step in recipe.stages[0].steps if isinstance(step, Run))
    file = tmp_path / "package.json"
    file.write_text(text, newline="")
    os.utime(file, (1000, 1000))

    subprocess.run(strip.words, cwd=tmp_path, check=True, timeout=60)

    left = json.loads(file.read_text("utf-8-sig"))
    assert list(left["scripts"]) == ["build", "skipped"]
    assert left["dependencies"] == {"install": "^0.13.0"}
    assert left["devDependencies"] == {"a": "1"}
    assert file.stat().st_mtime == 1000


def test_tables_that_are_not_wanted_are_taken_out_of_a_manifest_in_one_line(tmp_path: Path) -> None:
    strip = node_managers.strip(("package.json",), ("devDependencies",))
    file = tmp_path / "package.json"
    file.write_text('{"scripts":{"prepare":"x","a":"b"},"devDependencies":{"a":"1"},"dependencies":{"b":"1"}}')

    subprocess.run(strip.words, cwd=tmp_path, check=True, timeout=60)

    assert json.loads(file.read_text()).keys() == {"scripts", "skipped", "dependencies"}


FORGOTTEN = "a.ts(1,16): error TS2307: Cannot find module 'fs' or its corresponding type declarations."
GLOBAL = "a.ts(3,9): error TS2552: Cannot find name 'Buffer'. Did you mean 'buffer'?"
UNKNOWN = "a.ts(3,9): error TS2304: Cannot find name 'bufer'."
ANY = "a.ts(9,3): error TS7006: Parameter 'x' implicitly has an 'any' type."
WRONG = "a.ts(5,1): error TS2322: Type 'string' is not assignable to type 'number'."


@pytest.mark.requirement("B-12")
@pytest.mark.parametrize("lock", ["package-lock.json", "pnpm-lock.yaml"])
def test_a_compiler_that_misses_nothing_but_types_has_done_its_work(write: Write, lock: str) -> None:
    first = failing(
        made(write({"package.json": package(), "src/a.ts": SERVER, lock: "{}"})),
        lock.split("-", maxsplit=1)[0].replace("package", "npm") + " run build",
    )

    anyway = instead(first, f"> tsc\n{FORGOTTEN}\n{ANY}\n{GLOBAL}\n")

    assert anyway
    assert anyway.words[-1].endswith("run build || test -s dist/a.js")
    assert anyway.doubtful
    assert anyway.then == first.then
    assert instead(anyway, FORGOTTEN) is None


@pytest.mark.requirement("B-12")
@pytest.mark.parametrize(
    ("lock", "words"),
    [
        ("package-lock.json", "npm --ignore-scripts run build"),
        ("pnpm-lock.yaml", "pnpm --config.enable-pre-post-scripts=false run build"),
    ],
)
def test_what_checks_the_sources_before_they_are_built_can_be_left_out(write: Write, lock: str, words: str) -> None:
    files = {"package.json": package(), "src/a.ts": SERVER, lock: "{}"}
    first = failing(made(write(files)), words.split(maxsplit=1)[0] + " run build")

    unchecked = instead(first, f"> x@1.0.0 prebuild\n> tsc --noEmit\n{WRONG}")

    assert unchecked
    assert " ".join(unchecked.words) == words
    assert unchecked.doubtful
    assert unchecked.then == first.then


@pytest.mark.requirement("B-12")
@pytest.mark.parametrize(
    "output", [WRONG, f"{FORGOTTEN}\n{WRONG}", f"{FORGOTTEN}\n{UNKNOWN}", "sh: 1: tsc: not found", ANY]
)
def test_a_compiler_that_finds_errors_is_believed(write: Write, output: str) -> None:
    files = {"package.json": package(), "src/a.ts": SERVER, "package-lock.json": "{}"}

    assert instead(failing(made(write(files)), "npm run build"), output) is None
