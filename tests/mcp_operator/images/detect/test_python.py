from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from mcp_operator.images.contract import BuildError
from mcp_operator.images.detect import detect
from mcp_operator.images.detect.candidate import Candidate, PythonFacts
from mcp_operator.images.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from mcp_operator.images.tree import Tree

    Write = Callable[[Mapping[str, str]], Tree]

SERVER = "from mcp.server.fastmcp import FastMCP\nmcp = FastMCP('demo')\nmcp.run()\n"
NEVER_RUN = "from fastmcp import FastMCP\nmcp = FastMCP('demo')\n"
BY_HAND = "for line in sys.stdin: {'initialize': {'serverInfo': 1}, 'tools/list': []}"
PROJECT = '[project]\nname = "mcp-demo"\ndependencies = ["mcp>=1.0", "GitPython"]\nrequires-python = ">=3.10"\n'
BUILD = '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'


def facts(candidate: Candidate) -> PythonFacts:
    assert isinstance(candidate.facts, PythonFacts)
    return candidate.facts


def problem(tree: Tree) -> BuildError:
    with pytest.raises(BuildError) as caught:
        detect(tree)
    assert caught.value.hint
    return caught.value


@pytest.mark.requirement("F-05")
def test_a_locked_package_is_installed_from_its_lock_and_its_script_started(write: Write) -> None:
    tree = write(
        {
            "pyproject.toml": PROJECT + '[project.scripts]\nmcp-demo = "demo:main"\n' + BUILD,
            "uv.lock": '[[package]]\nname = "mcp"\n',
            "src/demo/server.py": SERVER,
        },
    )

    candidate = detect(tree)

    assert candidate.command == ("/app/.venv/bin/mcp-demo",)
    assert candidate.system_packages == ("git",)
    assert facts(candidate).installer == "uv-lock"
    assert facts(candidate).manifests == ("pyproject.toml", "uv.lock")
    assert not facts(candidate).sources
    assert facts(candidate).requires == ">=3.10"
    assert facts(candidate).backend == ("hatchling",)
    assert "packages locked by uv.lock" in candidate.evidence


@pytest.mark.requirement("B-02")
@pytest.mark.parametrize(
    ("requires", "more", "backend"),
    [
        (
            '["setuptools>=61,<80", "setuptools-scm[toml] ~= 8.0"]',
            "",
            ("setuptools>=61,<80", "setuptools-scm[toml] ~= 8.0"),
        ),
        ('"hatchling"', "", ()),
        ('["hatchling", "--index-url=https://example.com"]', "", ()),
        ('["hatchling @ https://example.com/x.whl"]', "", ()),
        ('["hatchling", "../plugin"]', "", ()),
        ('["hatchling", "My_Plugin"]', "[tool.uv.sources]\nmy-plugin = { workspace = true }\n", ()),
    ],
)
def test_what_a_build_asks_for_counts_if_it_is_simply_in_the_index(
    write: Write, requires: str, more: str, backend: tuple[str, ...]
) -> None:
    script = '[project.scripts]\nmcp-demo = "demo:main"\n'
    tree = write(
        {"pyproject.toml": f"{PROJECT}{script}[build-system]\nrequires = {requires}\n{more}", "demo.py": SERVER}
    )

    assert facts(detect(tree)).backend == backend


@pytest.mark.parametrize(
    ("scripts", "command"),
    [
        ('other = "a:b"\nmcp_demo = "a:c"', "mcp_demo"),
        ('cli = "a:b"\nthe-mcp = "a:c"', "the-mcp"),
        ('cli = "a:b"\nserver = "a:c"', "server"),
        ('one = "a:b"\ntwo = "a:b"', "one"),
        ('demo-server = "a:b"\ndemo-server-http = "a:c"\nother = "a:d"', "demo-server"),
        ('demo-mcp-serve = "a:b"\ndemo-mcp = "a:c"', "demo-mcp"),
        ('"../../bin/sh" = "a:b"\nreal = "a:b"', "real"),
    ],
)
def test_of_several_scripts_the_one_named_like_the_project_is_started(write: Write, scripts: str, command: str) -> None:
    tree = write({"pyproject.toml": PROJECT + f"[project.scripts]\n{scripts}\n" + BUILD, "a.py": SERVER})

    assert detect(tree).command == (f"/app/.venv/bin/{command}",)


def test_several_scripts_without_a_favourite_are_listed(write: Write) -> None:
    tree = write({"pyproject.toml": PROJECT + '[project.scripts]\nx = "a:b"\ny = "a:c"\n' + BUILD, "a.py": SERVER})

    error = problem(tree)

    assert error.reason == Reason.AMBIGUOUS_START_COMMAND
    assert "x, y" in error.message


def test_a_script_of_a_project_that_is_no_package_is_called_directly(write: Write) -> None:
    tree = write({"pyproject.toml": PROJECT + '[project.scripts]\nx = "a:main"\n', "uv.lock": "", "a.py": SERVER})

    candidate = detect(tree)

    assert candidate.command[:2] == ("/app/.venv/bin/python", "-c")
    assert "from a import main" in candidate.command[2]
    assert facts(candidate).sources


def test_a_hostile_script_target_never_becomes_code(write: Write) -> None:
    tree = write({"pyproject.toml": PROJECT + '[project.scripts]\nx = "a:main; import os"\n', "server.py": SERVER})

    assert detect(tree).command == ("/app/.venv/bin/python", "/app/server.py")


def test_poetry_scripts_and_dependencies_are_understood(write: Write) -> None:
    text = (
        '[tool.poetry]\nname = "demo"\n[tool.poetry.dependencies]\npython = "^3.10"\nmcp = "*"\n'
        'x = {git = "https://example.com/x"}\n[tool.poetry.scripts]\ndemo = "a:b"\n' + BUILD
    )

    candidate = detect(write({"pyproject.toml": text, "a.py": ""}))

    assert candidate.command == ("/app/.venv/bin/demo",)
    assert facts(candidate).requires == "^3.10"
    assert facts(candidate).needs_git


@pytest.mark.parametrize(
    ("files", "command"),
    [
        ({"src/demo/__main__.py": "", "src/demo/a.py": SERVER}, ("/app/.venv/bin/python", "-m", "demo")),
        ({"main.py": SERVER, "other.py": SERVER}, ("/app/.venv/bin/python", "/app/main.py")),
        (
            {"main.py": "import other; other.mcp.run()", "other.py": NEVER_RUN},
            ("/app/.venv/bin/python", "/app/main.py"),
        ),
        ({"weird.py": SERVER}, ("/app/.venv/bin/python", "/app/weird.py")),
        ({"weird.py": BY_HAND}, ("/app/.venv/bin/python", "/app/weird.py")),
    ],
)
def test_without_scripts_a_module_or_a_file_is_started(
    write: Write, files: dict[str, str], command: tuple[str, ...]
) -> None:
    build = BUILD if "src/demo/__main__.py" in files else ""

    assert detect(write({"pyproject.toml": PROJECT + build, **files})).command == command


def test_a_file_that_never_runs_itself_is_started_by_fastmcp_where_that_is_installed(write: Write) -> None:
    tree = write({"requirements.txt": "fastmcp==0.4.1\n# x\n-e .\n", "weird.py": NEVER_RUN})

    candidate = detect(tree)

    assert candidate.command == ("/app/.venv/bin/fastmcp", "run", "/app/weird.py")
    assert facts(candidate).installer == "requirements"
    assert facts(candidate).manifests == ()  # one of the requirements is the project itself


def test_an_object_that_never_runs_itself_is_run_without_the_sdks_command(write: Write, tmp_path: Path) -> None:
    command = detect(write({"pyproject.toml": PROJECT, "weird.py": NEVER_RUN})).command
    (tmp_path / "weird.py").write_text("class FastMCP:\n  def run(self): print('runs')\nmcp = FastMCP()\n")

    said = subprocess.run([sys.executable, *command[1:3], "weird.py"], cwd=tmp_path, capture_output=True, check=True)

    assert command[:2] == ("/app/.venv/bin/python", "-c")
    assert command[3:] == ("/app/weird.py",)
    assert said.stdout == b"runs\n"


def test_requirements_are_installed_before_the_sources(write: Write) -> None:
    tree = write({"requirements.txt": "mcp\n", "server.py": SERVER})

    assert facts(detect(tree)).manifests == ("requirements.txt",)
    assert facts(detect(tree)).requirements == ("requirements.txt",)


def test_a_server_file_without_any_manifest_is_found(write: Write) -> None:
    candidate = detect(write({"server.py": SERVER}))

    assert candidate.command == ("/app/.venv/bin/python", "/app/server.py")
    assert facts(candidate).installer == "none"


def test_setup_py_is_read_and_never_run(write: Write) -> None:
    text = "raise SystemExit\nsetup(install_requires=['mcp', \"x @ git+https://example.com/x\"])"

    candidate = detect(write({"setup.py": text, "demo/__main__.py": SERVER}))

    assert "depends on mcp" in candidate.evidence
    assert facts(candidate).package
    assert facts(candidate).needs_git


def test_a_project_whose_dependencies_are_not_static_is_installed_with_its_sources(write: Write) -> None:
    text = '[project]\nname = "x"\ndynamic = ["dependencies"]\n' + BUILD

    assert facts(detect(write({"pyproject.toml": text, "server.py": SERVER}))).manifests == ()


def test_a_server_without_a_start_command_is_said(write: Write) -> None:
    error = problem(write({"pyproject.toml": PROJECT, "deep/x.py": SERVER, "deep/y.py": SERVER}))

    assert error.reason == Reason.NO_START_COMMAND
    assert "spec.build.command" in error.hint


def test_a_workspace_member_is_built_from_the_workspace(write: Write) -> None:
    tree = write(
        {
            "pyproject.toml": '[tool.uv.workspace]\nmembers = ["packages/*"]\n',
            "uv.lock": "",
            "packages/a/pyproject.toml": PROJECT + '[project.scripts]\nmcp-demo = "a:b"\n' + BUILD,
            "packages/a/a.py": SERVER,
        },
    )

    candidate = detect(tree)

    assert (candidate.folder, candidate.root) == ("packages/a", ".")
    assert facts(candidate).manifests == ("packages/a/pyproject.toml", "pyproject.toml", "uv.lock")


def test_a_greeting_in_main_py_is_not_the_server_that_lies_below_src(write: Write) -> None:
    greeting = "def main():\n    print('Hello from demo!')\n"
    tree = write({"pyproject.toml": PROJECT, "main.py": greeting, "src/weather/weather_server.py": SERVER})

    assert detect(tree).command == ("/app/.venv/bin/python", "/app/src/weather/weather_server.py")


@pytest.mark.parametrize(
    ("line", "file"),
    [
        ("from demo.server import mcp", "demo/server.py"),
        ("    import demo.server", "src/demo/server.py"),
        ("from .demo import mcp", "demo.py"),
    ],
)
def test_a_main_py_that_runs_a_server_made_elsewhere_is_started(write: Write, line: str, file: str) -> None:
    tree = write({"pyproject.toml": PROJECT, "main.py": f"import sys\n{line}\nmcp.run()\n", file: SERVER})

    assert detect(tree).command == ("/app/.venv/bin/python", "/app/main.py")


@pytest.mark.requirement("B-02")
def test_a_server_in_a_folder_of_a_repository_without_any_manifest_is_found(write: Write) -> None:
    candidate = detect(write({"README.md": "", "src/demo_server.py": SERVER, "examples/other.py": SERVER}))

    assert candidate.folder == candidate.root == "src"
    assert candidate.command == ("/app/.venv/bin/python", "/app/demo_server.py")


@pytest.mark.requirement("B-02")
def test_a_server_whose_project_has_the_name_of_all_servers_is_no_sdk(write: Write) -> None:
    project = PROJECT.replace("mcp-demo", "mcp-server")

    assert detect(write({"pyproject.toml": project, "server.py": SERVER})).command[-1] == "/app/server.py"


@pytest.mark.requirement("B-03")
def test_a_library_for_those_who_make_servers_has_nothing_to_start(write: Write) -> None:
    tools = "from mcp.server.fastmcp.tools import Tool\n\ndef convert(tool: Tool) -> None: ...\n"

    assert problem(write({"pyproject.toml": PROJECT + BUILD, "adapters/tools.py": tools})).reason == (
        Reason.NO_START_COMMAND
    )
