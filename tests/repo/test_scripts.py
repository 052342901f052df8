from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def cache() -> Iterator[str]:
    # pytest's own folders have names too long for sockets
    with tempfile.TemporaryDirectory(prefix="lab-") as folder:
        yield folder


def run(*argv: str, **environ: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, **environ}
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False, cwd=ROOT, env=env)


def shell_scripts() -> list[Path]:
    found = [*(ROOT / "scripts").iterdir(), *(ROOT / ".ci").iterdir()]
    return sorted(path for path in found if path.is_file() and path.read_bytes()[:2] == b"#!")


@pytest.mark.requirement("F-02")
@pytest.mark.parametrize("path", shell_scripts(), ids=lambda path: path.name)
def test_every_script_parses_and_is_executable(path: Path) -> None:
    shell = path.read_text().splitlines()[0].rpartition("/")[2]
    assert shell in {"sh", "bash"}
    assert os.access(path, os.X_OK)
    assert run(shell, "-n", str(path)).stderr == ""


@pytest.mark.requirement("F-02")
def test_an_unknown_part_of_the_tests_is_a_usage_error_of_one_line() -> None:
    done = run("scripts/test", "intergration")
    assert done.returncode == 2
    usage = "scripts/test [unit|apiserver|integration|e2e|tools] [pytest arguments]"
    assert done.stderr.splitlines() == [f"test: no part and no file 'intergration': {usage}"]


@pytest.mark.requirement("F-02")
@pytest.mark.parametrize("arguments", [[], ["sideways"], ["up", "--fast"]])
def test_a_wrong_command_for_the_lab_is_a_usage_error_of_one_line(arguments: list[str]) -> None:
    done = run("scripts/lab", *arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.requirement("F-02")
def test_the_lab_names_its_commands() -> None:
    done = run("scripts/lab", "--help")
    assert done.returncode == 0
    for command in ("up", "down", "env", "status"):
        assert command in done.stdout


@pytest.mark.requirement("F-02")
def test_the_environment_of_a_lab_that_is_not_up_is_one_line_that_says_what_to_do(cache: str) -> None:
    done = run("scripts/lab", "env", XDG_CACHE_HOME=cache)
    assert done.returncode == 1
    assert done.stderr == "lab: the lab is not up: run scripts/lab up\n"


@pytest.mark.requirement("F-02")
def test_a_cluster_without_a_registry_is_refused_before_anything_is_started(tmp_path: Path) -> None:
    done = run("scripts/lab", "up", TOOLMAN_KUBECONFIG=str(tmp_path / "config"), TOOLMAN_REGISTRY="")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "set TOOLMAN_REGISTRY too" in done.stderr


@pytest.mark.requirement("F-02")
def test_an_engine_that_the_person_named_and_that_does_not_answer_is_never_replaced(cache: str) -> None:
    done = run("scripts/lab", "up", DOCKER_HOST=f"unix://{cache}/none.sock", XDG_CACHE_HOME=cache)
    assert done.returncode == 1
    assert f"no Docker Engine answers at DOCKER_HOST=unix://{cache}/none.sock" in done.stderr


@pytest.mark.requirement("F-02")
def test_a_missing_compiler_is_one_line_that_says_what_to_do() -> None:
    code = "from lab import programs; programs.GO_FOLDER = '/nowhere'; programs._go('the Kubernetes cluster')"
    python = str(ROOT / ".venv/bin/python")
    done = run(python, "-c", code, PYTHONPATH=str(ROOT / "tests"), PATH="/nowhere")
    assert "Go 1.26.0 is needed for the Kubernetes cluster: install it" in done.stderr.splitlines()[-1]
