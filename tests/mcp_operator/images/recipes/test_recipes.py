from __future__ import annotations

import dataclasses
import json
import re
import subprocess
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from mcp_operator.images import recipes
from mcp_operator.images.contract import BuildError
from mcp_operator.images.detect import detect
from mcp_operator.images.reasons import Reason
from mcp_operator.images.recipes import golang, python
from mcp_operator.images.recipes.recipe import Copy, Recipe, Run, Stage, instead
from mcp_operator.images.sandbox import Interpreter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from mcp_operator.images.tree import Tree

    Write = Callable[[Mapping[str, str]], Tree]

NEW = (
    " && mkdir -p /own/app && { find .venv -type f -newercc pyproject.toml -exec cp --parents -pt /own/app {} +"
    " || cp -a .venv /own/app; }"
)
ASIDE = (
    " && mkdir -p /own/app && tar -cf /tmp/own.tar -C /app --exclude=node_modules ."
    " && tar -xpf /tmp/own.tar -C /own/app && rm /tmp/own.tar"
)
WHEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
PYTHON = Interpreter(path="/usr/local/bin/python3", version="3.11.7")
SERVER = "from mcp.server import Server\nrun()\n"
PROJECT = '[project]\nname = "x"\ndependencies = ["mcp"]\n'
SCRIPT = '[project.scripts]\nx = "x:main"\n[build-system]\nrequires = []\n'
NODE_SERVER = "import 'fastmcp'"


def made(tree: Tree, path: str = ".") -> Recipe:
    return recipes.recipe(detect(tree, path), "base:1", PYTHON, WHEN)


def builder(recipe: Recipe) -> Stage:
    (stage,) = recipe.stages
    return stage


def steps(recipe: Recipe) -> list[str]:
    found = [(f"[{stage.name}]", *map(said, stage.steps)) for stage in recipe.stages]
    return [*found[0][1:], *(step for stage in found[1:] for step in stage)]


def said(step: Copy | Run) -> str:
    if isinstance(step, Copy):
        return f"copy {' '.join(step.names)}".strip()
    text = re.sub(r"\Ash -c cp -p (\S+) \S+ && (.*) && touch .*", r"keeping the time of \1: \2", " ".join(step.words))
    return re.sub(r"sed -i -E -e .*/g\S*", "strip", text) + (f" && {step.then}" if step.then else "")


@pytest.mark.requirement("F-05")
def test_a_uv_lock_is_followed_to_the_letter_with_the_images_python(write: Write) -> None:
    recipe = made(write({"pyproject.toml": PROJECT + SCRIPT, "uv.lock": "", "x.py": SERVER, ".python-version": "3.14"}))

    assert steps(recipe) == [
        "copy pyproject.toml uv.lock",
        "uv sync --frozen --no-dev --no-editable --no-install-workspace",
        "[builder]",
        "copy",
        "uv sync --frozen --no-dev --no-editable" + NEW,
    ]
    assert recipe.stages[0].env["UV_PYTHON"] == PYTHON.path
    assert recipe.stages[0].env["UV_PYTHON_DOWNLOADS"] == "never"
    assert [stage.keep for stage in recipe.stages] == [(".venv",), (".venv",)]
    assert recipe.env["PYTHONUNBUFFERED"] == "1"


@pytest.mark.requirement("F-05")
def test_without_a_lock_nothing_newer_than_the_commit_is_taken_first(write: Write) -> None:
    recipe = made(write({"pyproject.toml": PROJECT + SCRIPT, "x.py": SERVER}))

    assert steps(recipe) == [
        "uv venv --quiet --python /usr/local/bin/python3 /app/.venv",
        "copy pyproject.toml",
        "uv pip install --python /app/.venv --exclude-newer @moment@ -r pyproject.toml",
        "[builder]",
        "copy",
        "uv pip install --python /app/.venv --exclude-newer @moment@ ." + NEW,
    ]
    last = recipe.stages[1].steps[-1]
    assert isinstance(last, Run)
    compiled, newest = last.otherwise
    assert isinstance(compiled, Run)
    assert isinstance(newest, Run)
    assert "build-essential" in compiled.before[0][2]
    assert newest.words == ("uv", "pip", "install", "--python", "/app/.venv", ".")


@pytest.mark.requirement("B-02")
def test_a_uv_lock_that_does_not_name_all_that_is_wanted_is_no_guide(write: Write) -> None:
    project = PROJECT.replace('["mcp"]', '["mcp", "Fast_MCP>=2"]')
    lock = '[[package]]\nname = "mcp"\n'
    tree = write({"pyproject.toml": project + SCRIPT, "uv.lock": lock, "x.py": SERVER})

    first = made(tree).stages[0].steps[-1]

    assert isinstance(first, Run)
    assert first.words[:2] == ("uv", "sync")
    assert first.words[-3:-1] == ("--upgrade", "--exclude-newer")
    kept = instead(first, "")
    assert kept
    assert said(kept) == "uv sync --no-dev --no-editable --no-install-workspace"
    assert "uv.lock is out of date: it does not name fast-mcp" in detect(tree).evidence
    fresh = write({"uv.lock": lock + '[[package]]\nname = "fast-mcp"\n'})
    assert "--frozen" in said(made(fresh).stages[0].steps[-1])


def test_only_what_installing_the_project_wrote_is_put_aside(write: Write, tmp_path: Path) -> None:
    recipe = made(write({"pyproject.toml": PROJECT + SCRIPT, "uv.lock": "", "x.py": SERVER}))
    app, own = tmp_path / "app", tmp_path / "own"
    (app / ".venv" / "lib").mkdir(parents=True)
    (app / ".venv" / "lib" / "others.py").touch()
    (app / "pyproject.toml").touch()
    (app / ".venv" / "lib" / "own.py").touch()
    while (app / ".venv" / "lib" / "own.py").stat().st_ctime_ns <= (app / "pyproject.toml").stat().st_ctime_ns:
        (app / ".venv" / "lib" / "own.py").touch()
    step = recipe.stages[1].steps[-1]
    assert isinstance(step, Run)

    script = step.then.replace("/own/app", str(own))
    said = subprocess.run(["sh", "-c", script], cwd=app, capture_output=True, text=True, check=True, timeout=60)

    assert said.stderr == ""
    assert [str(file.relative_to(own)) for file in own.rglob("*.py")] == [".venv/lib/own.py"]


@pytest.mark.requirement("B-04")
def test_what_builds_the_project_is_fetched_with_its_dependencies_so_a_changed_line_needs_no_network(
    write: Write,
) -> None:
    text = PROJECT + SCRIPT.replace("[]", '["hatchling>=1", "hatch-vcs"]')
    dated = made(write({"pyproject.toml": text, "x.py": SERVER}))
    locked = made(write({"pyproject.toml": text, "x.py": SERVER, "uv.lock": ""}))

    fetched = " && { uv pip install --quiet --target /opt/backend%s 'hatchling>=1' hatch-vcs || true; }"
    built = "env PYTHONPATH=/opt/backend uv %s --no-build-isolation" + NEW
    assert steps(locked)[1].endswith("--no-install-workspace" + fetched % "")
    assert steps(locked)[-1] == built % "sync --frozen --no-dev --no-editable"
    assert steps(dated)[2].endswith("-r pyproject.toml" + fetched % " --exclude-newer @moment@")
    assert steps(dated)[-1] == built % "pip install --python /app/.venv --exclude-newer @moment@ ."


@pytest.mark.requirement("B-04")
def test_a_project_that_cannot_be_built_with_what_was_fetched_is_built_as_it_asks(write: Write) -> None:
    text = PROJECT + SCRIPT.replace("[]", '["hatchling"]')
    last = made(write({"pyproject.toml": text, "uv.lock": "", "x.py": SERVER})).stages[1].steps[-1]
    assert isinstance(last, Run)

    isolated = instead(last, "")

    assert isolated is not None
    assert said(isolated) == "uv sync --frozen --no-dev --no-editable" + NEW
    assert isolated.why == (python.ISOLATED,)
    assert isolated.otherwise == last.otherwise[1:] != ()


def test_others_of_a_workspace_may_be_built_by_something_else(write: Write) -> None:
    text = PROJECT + SCRIPT.replace("[]", '["hatchling"]') + '[tool.uv.workspace]\nmembers = ["p/*"]\n'
    recipe = made(write({"pyproject.toml": text, "uv.lock": "", "x.py": SERVER, "p/y/pyproject.toml": PROJECT}))

    assert not any("/opt/backend" in step for step in steps(recipe))


def test_requirements_come_before_the_sources_and_the_sources_stay(write: Write) -> None:
    recipe = made(write({"requirements.txt": "mcp\n", "server.py": SERVER}))

    assert [step.partition(" --exclude")[0] for step in steps(recipe)][1:] == [
        "copy requirements.txt",
        "uv pip install --python /app/.venv",
        "[sources]",
        "copy",
    ]
    assert [stage.keep for stage in recipe.stages] == [(".venv",), (".",)]


def test_a_project_that_is_no_package_gets_its_dependencies_only(write: Write) -> None:
    assert steps(made(write({"pyproject.toml": PROJECT, "server.py": SERVER})))[-1] == "copy"


def test_a_file_without_manifest_gets_the_sdks(write: Write) -> None:
    assert steps(made(write({"server.py": SERVER})))[-1].endswith("mcp[cli] fastmcp")


def test_a_dependency_from_git_needs_git_while_building_only(write: Write) -> None:
    text = '[project]\nname = "x"\ndependencies = ["mcp", "y @ git+https://example.com/y"]\n'

    recipe = made(write({"pyproject.toml": text, "server.py": SERVER}))

    assert "git" in recipe.stages[0].packages
    assert recipe.system_packages == ()


def test_a_build_that_asks_git_for_its_files_is_told_of_all_that_were_fetched(write: Write) -> None:
    asks = '[build-system]\nrequires = ["setuptools", "setuptools_scm[toml]"]\n'
    text = f'{PROJECT}[project.scripts]\nx = "x:main"\n{asks}'

    recipe = made(write({"pyproject.toml": text, "x.py": SERVER}))

    assert "git" in recipe.stages[0].packages
    copied, known, installed = recipe.stages[1].steps
    assert copied == Copy()
    assert known == python.LISTED
    assert isinstance(installed, Run)
    assert "install" in installed.words
    assert recipe.stages[1].keep == (".venv",), "what git made of it is no part of the image"


@pytest.mark.requirement("F-08")
def test_a_python_that_cannot_fit_is_said_before_any_build(write: Write) -> None:
    tree = write({"pyproject.toml": PROJECT + 'requires-python = ">=3.13"\n', "server.py": SERVER})

    with pytest.raises(BuildError) as caught:
        made(tree)

    assert caught.value.reason == Reason.RUNTIME_VERSION
    assert caught.value.message == "it requires Python >=3.13, and the base image base:1 has 3.11.7"
    assert "TOOLMAN_BASE_PYTHON" in caught.value.hint


def node_package(**more: object) -> str:
    return json.dumps({"name": "x", "dependencies": {"fastmcp": "1"}, **more})


@pytest.mark.requirement("F-05")
def test_a_locked_typescript_server_is_installed_built_and_pruned(write: Write) -> None:
    tree = write(
        {
            "package.json": node_package(bin="dist/a.js", scripts={"build": "tsc"}),
            "package-lock.json": json.dumps({"packages": {"node_modules/sharp": {"hasInstallScript": True}}}),
            "tsconfig.json": "{}",
            "a.ts": NODE_SERVER,
        },
    )

    recipe = made(tree)

    assert steps(recipe) == [
        "copy package-lock.json package.json",
        "npm ci --ignore-scripts",
        "npm rebuild sharp",
        "[production]",
        "npm prune --omit=dev --ignore-scripts",
        "[builder]",
        "copy",
        "npm run build" + ASIDE,
    ]
    assert [stage.after for stage in recipe.stages] == ["", "dependencies", "dependencies"]
    assert [stage.keep for stage in recipe.stages] == [(), (".",), (".",)]
    assert recipe.env == {"NODE_ENV": "production"}


@pytest.mark.requirement("F-05")
def test_without_a_lock_npm_takes_nothing_newer_than_the_commit_first(write: Write) -> None:
    recipe = made(write({"package.json": node_package(bin="a.js"), "a.js": NODE_SERVER}))

    assert steps(recipe) == [
        "copy package.json",
        'keeping the time of package.json: strip -e \'s/"devDependencies" *:/"skipped":/\' package.json',
        "npm install --no-package-lock --ignore-scripts --omit=dev --before=@moment@",
        "npm rebuild",
        "[sources]",
        "copy",
    ]
    install = recipe.stages[0].steps[2]
    assert isinstance(install, Run)
    assert install.dated == "package.json"


def test_a_workspace_member_is_installed_alone(write: Write) -> None:
    tree = write(
        {
            "package.json": '{"workspaces": ["p/*"]}',
            "package-lock.json": "{}",
            "p/x/package.json": node_package(bin="dist/a.js", scripts={"build": "tsc"}),
            "p/x/a.ts": NODE_SERVER,
        },
    )

    recipe = made(tree)

    assert steps(recipe) == [
        "copy p/x/package.json package-lock.json package.json",
        "keeping the time of package.json: strip p/x/package.json package.json",
        "npm ci --ignore-scripts --workspace p/x",
        "[production]",
        "npm prune --omit=dev --ignore-scripts --workspace p/x",
        "[builder]",
        "copy",
        "npm run build" + ASIDE,
    ]
    assert recipe.working_dir == "/app/p/x"


@pytest.mark.requirement("B-02")
def test_a_lock_that_does_not_fit_is_a_wish_and_then_gives_way_to_the_date(write: Write) -> None:
    uv = made(write({"pyproject.toml": PROJECT + SCRIPT, "uv.lock": "", "x.py": SERVER}))
    last = uv.stages[1].steps[-1]

    assert isinstance(last, Run)
    kept = instead(last, "")
    assert kept
    assert kept.words == ("uv", "sync", "--no-dev", "--no-editable")
    afresh = instead(kept, "")
    assert afresh
    assert afresh.words[-3:] == ("--upgrade", "--exclude-newer", "@moment@")
    assert (afresh.folder, afresh.dated) == (last.folder, last.dated)


@pytest.mark.requirement("B-02")
@pytest.mark.parametrize("lock", ["poetry.lock", "pdm.lock"])
def test_the_locks_of_others_become_constraints(write: Write, lock: str) -> None:
    recipe = made(write({"pyproject.toml": PROJECT + SCRIPT, lock: "", "x.py": SERVER}))

    found = steps(recipe)
    assert found[1] == f"copy {lock} pyproject.toml"
    assert found[2].endswith(f"{lock} > /tmp/constraints.txt")
    assert found[3] == "uv pip install --python /app/.venv --constraint /tmp/constraints.txt -r pyproject.toml"
    assert "uv pip install --python /app/.venv --constraint /tmp/constraints.txt ." + NEW in found


def test_a_lock_of_others_is_read_without_what_is_there_twice(tmp_path: Path) -> None:
    (tmp_path / "poetry.lock").write_text(
        '[[package]]\nname = "a"\nversion = "1.0"\n\n[[package]]\nname = "b"\nversion = "1"\n\n'
        '[[package]]\nname = "b"\nversion = "2"\n\n[metadata]\nlock-version = "2.0"\n'
    )

    script = f"{python.READ_LOCK} poetry.lock"
    said = subprocess.run(["sh", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60)

    assert said.stdout == "a==1.0\n"


@pytest.mark.requirement("B-02")
def test_an_extra_that_alone_has_the_sdk_is_installed(write: Write) -> None:
    text = PROJECT.replace('["mcp"]', "[]") + '[project.optional-dependencies]\nserver = ["mcp"]\n' + SCRIPT

    locked = made(write({"pyproject.toml": text, "x.py": SERVER, "uv.lock": ""}))

    assert "--extra server" in steps(locked)[-1]


@pytest.mark.requirement("B-02")
def test_a_go_module_becomes_one_program_in_a_small_image(write: Write) -> None:
    tree = write(
        {
            "go.mod": "module a/b\n\nrequire github.com/a/b v1.0.0\n",
            "main.go": 'package main\n\nimport "github.com/a/b/c"\n\nfunc main() { mcp.NewServer() }',
        }
    )

    recipe = recipes.recipe(detect(tree), "golang:1", PYTHON, WHEN, final="debian:12")

    assert (builder(recipe).base, recipe.base) == ("golang:1", "debian:12")
    assert steps(recipe) == [
        "copy go.mod",
        "go mod download",
        "go build -trimpath github.com/a/b/c",
        "copy",
        "go build -trimpath -ldflags=-s -w -o /app/.bin/server .",
    ]
    assert builder(recipe).keep == (".bin/server", "/etc/ssl/certs/ca-certificates.crt")
    assert recipe.command == ("/app/.bin/server",)


def test_a_dockerfile_of_its_own_needs_no_recipe(write: Write) -> None:
    candidate = detect(write({"Dockerfile": "FROM x\nCMD y"}), runtime="dockerfile")

    with pytest.raises(TypeError):
        recipes.recipe(candidate, "", PYTHON, WHEN)


def test_pnpm_follows_its_lock(write: Write) -> None:
    tree = write({"package.json": node_package(bin="a.js"), "pnpm-lock.yaml": "", "a.js": NODE_SERVER})

    recipe = made(tree)

    assert recipe.stages[0].tools[0].words[:3] == ("npm", "install", "--global")
    assert steps(recipe) == [
        "copy package.json pnpm-lock.yaml",
        "strip package.json",
        "pnpm install --frozen-lockfile",
        "[production]",
        "find . -name node_modules -prune -exec rm -rf {} +",
        "pnpm install --prod --prefer-offline --frozen-lockfile",
        "[sources]",
        "copy",
    ]


@pytest.mark.requirement("B-02")
def test_go_is_brought_along_where_the_image_with_the_compiler_cannot_be_had(write: Write) -> None:
    tree = write({"go.mod": "module a/b\n", "main.go": "package main\nfunc main() { mcp.NewServer() }"})

    stage = builder(recipes.recipe(detect(tree), "python:3.12-slim", PYTHON, WHEN, final="debian:12"))

    (install,) = stage.tools
    assert install.words[:2] == ("python3", "-c")
    compile(install.words[2], "install", "exec")
    assert all(digest in install.words[2] for digest in golang.DIGESTS.values())
    assert stage.env["PATH"] == "/usr/local/go/bin:$PATH"


@pytest.mark.requirement("B-12")
@pytest.mark.parametrize(
    "files",
    [
        {"requirements.txt": "mcp\n", "server.py": SERVER},
        {"package.json": node_package(bin="a.js"), "package-lock.json": "{}", "a.js": NODE_SERVER},
    ],
)
def test_packages_that_the_user_names_are_there_for_building_and_for_running(
    write: Write, files: dict[str, str]
) -> None:
    named = ("build-essential", "libpq-dev")
    candidate = dataclasses.replace(detect(write(files)), system_packages=named, build_packages=named)

    recipe = recipes.recipe(candidate, "base:1", PYTHON, WHEN)

    assert recipe.stages[0].packages == named
    assert recipe.system_packages == ("libpq-dev",)


@pytest.mark.requirement("B-02")
@pytest.mark.parametrize(
    ("wanted", "line", "pinned"),
    [
        ("mcp>=1.2", "from mcp.server.fastmcp import FastMCP", True),
        ("mcp", "from mcp.server import Server\n@server.list_tools()", True),
        ("mcp>=1.2", "from mcp.server.mcpserver import MCPServer", False),
        ("mcp[cli]>=2.0", "from mcp.server.fastmcp import FastMCP", False),
    ],
)
def test_sources_for_the_sdks_first_version_do_not_get_the_second(
    write: Write, wanted: str, line: str, *, pinned: bool
) -> None:
    manifest = f'[project]\nname = "x"\ndependencies = ["{wanted}"]\n'

    recipe = made(write({"pyproject.toml": manifest + SCRIPT, "x.py": line}))

    installs = [step for step in steps(recipe) if "pip install" in step]
    assert installs
    assert all(("mcp<2" in step) is pinned for step in installs)
