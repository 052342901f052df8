"""From what was detected of a Python project to the steps that install it into ``/app/.venv``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mcp_operator.images.detect.candidate import APP, join
from mcp_operator.images.detect.python_start import VENV
from mcp_operator.images.recipes.recipe import Copy, Recipe, Run

if TYPE_CHECKING:
    from datetime import datetime

    from mcp_operator.images.detect.candidate import Candidate, PythonFacts

UV = "uv==0.13.9"
"""Pinned, so that the same input gives the same image."""

_BUILDER_ENV = {
    "UV_PROJECT_ENVIRONMENT": VENV,
    "UV_PYTHON_DOWNLOADS": "never",
    "UV_LINK_MODE": "copy",
    "UV_NO_CACHE": "1",
    # The root file system is read-only when it runs: what is not compiled now would be compiled at every start.
    "UV_COMPILE_BYTECODE": "1",
    "UV_NO_PROGRESS": "1",
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PIP_ROOT_USER_ACTION": "ignore",
    # Versions taken from git tags cannot be known: there is no .git in the build.
    "SETUPTOOLS_SCM_PRETEND_VERSION": "0.0.0",
    "PDM_BUILD_SCM_VERSION": "0.0.0",
    "UV_DYNAMIC_VERSIONING_BYPASS": "0.0.0",
    "POETRY_DYNAMIC_VERSIONING_BYPASS": "0.0.0",
}


def recipe(candidate: Candidate, facts: PythonFacts, base: str, python: str, committed: datetime) -> Recipe:
    """Give the recipe.

    Args:
        candidate: What was detected.
        facts: The same, for Python.
        base: Base image.
        python: Path of the interpreter in the base image.
        committed: Nothing published later is installed unless a lock says so: what worked then works.
    """
    steps = (
        _locked(candidate, facts) if facts.installer == "uv-lock" else _unlocked(candidate, facts, python, committed)
    )
    return Recipe(
        base=base,
        tools=(Run(("pip", "install", "--no-cache-dir", "--quiet", UV)),),
        builder_packages=("git", "ca-certificates") if facts.needs_git else (),
        builder_env={"UV_PYTHON": python, **_BUILDER_ENV},
        steps=steps,
        keep=(".",) if facts.sources else (".venv",),
        system_packages=candidate.system_packages,
        env={"PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1", "PATH": f"{VENV}/bin:$PATH"},
        working_dir=join(APP, candidate.inner),
        command=candidate.command,
    )


def _locked(candidate: Candidate, facts: PythonFacts) -> tuple[Copy | Run, ...]:
    # .python-version is a wish of the author's machine; UV_PYTHON wins over it.
    sync = ("uv", "sync", "--frozen", "--no-dev", "--no-editable")
    first: tuple[Copy | Run, ...] = ()
    if facts.manifests:
        first = (Copy(facts.manifests), Run((*sync, "--no-install-workspace"), candidate.inner))
    return (*first, Copy(), Run(sync, candidate.inner))


def _unlocked(candidate: Candidate, facts: PythonFacts, python: str, committed: datetime) -> tuple[Copy | Run, ...]:
    def install(*what: str) -> Run:
        words = ("uv", "pip", "install", "--python", VENV)
        limit = ("--exclude-newer", f"{committed:%Y-%m-%dT%H:%M:%SZ}")
        # A commit may be dated before what it needs was published; then the newest is all there is.
        return Run((*words, *limit, *what), candidate.inner, otherwise=((*words, *what),))

    steps: list[Copy | Run] = [Run(("uv", "venv", "--quiet", "--python", python, VENV))]
    wanted = _dependencies(facts)
    if facts.manifests and wanted:
        steps += [Copy(facts.manifests), install(*wanted), Copy()]
    else:
        steps.append(Copy())
        if wanted and not facts.package:
            steps.append(install(*wanted))
    if facts.package:
        steps.append(install(*_requirements(facts), "."))
    elif facts.installer == "none":
        steps.append(install("mcp[cli]", "fastmcp"))
    return tuple(steps)


def _dependencies(facts: PythonFacts) -> tuple[str, ...]:
    """Give the arguments that install what the project depends on, but not the project."""
    if facts.requirements:
        return _requirements(facts)
    return ("-r", "pyproject.toml") if facts.installer == "project" and (facts.manifests or not facts.package) else ()


def _requirements(facts: PythonFacts) -> tuple[str, ...]:
    return tuple(word for name in facts.requirements for word in ("-r", name))
