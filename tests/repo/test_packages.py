"""Each package stands alone: built as a wheel, installed into an empty environment, imported."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

WHEELS = {
    "operator": ("mcp_operator", "mcp_operator_toolman", "mcp_operator_wrapper"),
    "toolman": ("mcp_operator_toolman",),
    "mcp_wrapper": ("mcp_operator_wrapper",),
}
"""Member's folder: the wheels that it is installed from, its own among them."""

BASE_MODULES_OF_TOOLMAN = ("toolman", "toolman.config", "toolman.naming", "toolman.policy")
"""What the operator uses; everything else needs the extra ``server``."""

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
UV = shutil.which("uv", path=f"{CACHE}/toolman/uv/bin") or "uv"
"""The one that scripts/install brought, where what is on PATH was none or too old."""

IMPORT_ALL = "import importlib, sys; [importlib.import_module(name) for name in sys.argv[1:]]"


def _run(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300, cwd="/")
    assert done.returncode == 0, done.stderr
    return done.stdout


def _interpreters() -> dict[str, str]:
    """One Python of each supported minor version that this machine has, those of pyenv included."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = {}
    for minor in range(11, 15):
        name = f"python3.{minor}"
        candidates = (*map(str, pyenv.glob(f"3.{minor}.*/bin/{name}")), shutil.which(name))
        found.update({f"3.{minor}": path for path in candidates if path and _runs(path)})
    return found | {f"3.{sys.version_info.minor}": sys.executable}


def _runs(python: str) -> bool:
    """A pyenv shim of a version that is not active exists and fails."""
    return subprocess.run([python, "--version"], capture_output=True, check=False, timeout=60).returncode == 0


def _modules(member: str) -> tuple[str, ...]:
    if member == "toolman":
        return BASE_MODULES_OF_TOOLMAN
    source = ROOT / member / "src"
    paths = [path.relative_to(source) for path in sorted(source.rglob("*.py")) if path.name != "__main__.py"]
    return tuple(".".join(path.with_suffix("").parts).removesuffix(".__init__") for path in paths)


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheels")
    for member in WHEELS:
        _run(UV, "build", "--quiet", "--wheel", "--out-dir", folder, ROOT / member)
    return folder


@pytest.mark.requirement("F-01")
@pytest.mark.parametrize("python", _interpreters().values(), ids=_interpreters().keys())
@pytest.mark.parametrize("member", WHEELS)
def test_a_member_installs_and_imports_alone_in_an_empty_environment(
    member: str, python: str, wheels: Path, tmp_path: Path
) -> None:
    environment = tmp_path / "env"
    _run(UV, "venv", "--quiet", "--python", python, environment)
    files = [next(wheels.glob(f"{name}-*.whl")) for name in WHEELS[member]]
    installed = environment / "bin" / "python"
    _run(UV, "pip", "install", "--quiet", "--python", installed, *files)
    _run(installed, "-W", "error", "-c", IMPORT_ALL, *_modules(member))


@pytest.mark.requirement("F-01")
def test_the_wrapper_runs_with_the_standard_library_alone() -> None:
    run_main = (
        "import runpy, sys; sys.path.insert(0, sys.argv[1]); sys.argv[:] = ['mcp-wrapper', '--version'];"
        "runpy.run_module('mcp_wrapper', run_name='__main__')"
    )
    assert "0.1.0" in _run(sys.executable, "-I", "-S", "-c", run_main, ROOT / "mcp_wrapper" / "src")
