"""From what was detected of a Python project to the steps that install it into ``/app/.venv``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mcp_operator.images.detect.candidate import APP, join
from mcp_operator.images.detect.python_start import VENV
from mcp_operator.images.recipes import compilers
from mcp_operator.images.recipes.recipe import Copy, Recipe, Run, Stage

if TYPE_CHECKING:
    from datetime import datetime

    from mcp_operator.images.detect.candidate import Candidate, PythonFacts

UV = "uv==0.13.9"
"""Pinned, so that the same input gives the same image."""

BUILDER_ENV = {
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


RUNTIME_ENV = {"PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1", "PATH": f"{VENV}/bin:$PATH"}
INSTALL_UV = Run(("pip", "install", "--no-cache-dir", "--quiet", UV))
_CONSTRAINTS = "/tmp/constraints.txt"  # noqa: S108 - inside the builder stage, which is thrown away
READ_LOCK = (
    "import collections, re, sys;"
    ' found = re.findall(r\'^name = "(.+)"\\nversion = "(.+)"$\', open(sys.argv[1]).read(), re.M);'
    " times = collections.Counter(name for name, _ in found);"
    " lines = [f'{name}=={version}\\n' for name, version in found if times[name] == 1];"
    " open(sys.argv[2], 'w').writelines(lines)"
)
"""The locks of Poetry and PDM as constraints for uv. What is there twice depends on the platform and is left open."""


def recipe(candidate: Candidate, facts: PythonFacts, base: str, python: str, committed: datetime) -> Recipe:
    """Give the recipe.

    Args:
        candidate: What was detected.
        facts: The same, for Python.
        base: Base image.
        python: Path of the interpreter in the base image.
        committed: Nothing published later is installed unless a lock says so: what worked then works.
    """
    steps = _Steps(candidate, facts, base, python, committed)
    stage = Stage(
        base=base,
        tools=(INSTALL_UV,),
        packages=("git", "ca-certificates") if facts.needs_git else (),
        env={"UV_PYTHON": python, **BUILDER_ENV},
        steps=steps.locked() if facts.installer == "uv-lock" else steps.unlocked(),
        keep=(".",) if facts.sources else (".venv",),
    )
    return Recipe(
        language="python",
        stages=(stage,),
        base=base,
        system_packages=candidate.system_packages,
        env=RUNTIME_ENV,
        working_dir=join(APP, candidate.inner),
        command=candidate.command,
    )


class _Steps:
    """The steps of one project."""

    def __init__(self, candidate: Candidate, facts: PythonFacts, base: str, python: str, committed: datetime) -> None:
        self._folder = candidate.inner
        self._facts = facts
        self._base = base
        self._python = python
        self._limit = ("--exclude-newer", f"{committed:%Y-%m-%dT%H:%M:%SZ}")

    def locked(self) -> tuple[Copy | Run, ...]:
        """Give the steps that follow uv.lock."""
        # .python-version is a wish of the author's machine; UV_PYTHON wins over it.
        extras = tuple(word for name in self._facts.extras for word in ("--extra", name))
        words = ("uv", "sync", "--no-dev", "--no-editable", *extras)
        first: tuple[Copy | Run, ...] = ()
        if self._facts.manifests:
            first = (Copy(self._facts.manifests), self._sync((*words, "--no-install-workspace")))
        return (*first, Copy(), self._sync(words))

    def _sync(self, words: tuple[str, ...]) -> Run:
        frozen = (*words[:2], "--frozen", *words[2:])
        # A lock may name what was unpublished; then the time limit is the next best.
        fresh = (*words, "--upgrade", *self._limit)
        return Run(frozen, self._folder, otherwise=(fresh, compilers.first(frozen, self._base)))

    def unlocked(self) -> tuple[Copy | Run, ...]:
        """Give the steps of a project that no lock of uv's decides on."""
        facts = self._facts
        steps: list[Copy | Run] = [Run(("uv", "venv", "--quiet", "--python", self._python, VENV))]
        wanted = self._dependencies()
        if facts.manifests and wanted:
            steps += [Copy(facts.manifests), *self._constraints(), self._install(*wanted), Copy()]
        else:
            steps += [Copy(), *self._constraints()]
            if wanted and not facts.package:
                steps.append(self._install(*wanted))
        if facts.package:
            extras = f"[{','.join(facts.extras)}]" if facts.extras else ""
            steps.append(self._install(*self._requirements(), f".{extras}"))
        elif facts.installer == "none":
            steps.append(self._install("mcp[cli]", "fastmcp"))
        return tuple(steps)

    def _constraints(self) -> tuple[Run, ...]:
        if not self._facts.lock:
            return ()
        return (Run((self._python, "-c", READ_LOCK, self._facts.lock, _CONSTRAINTS), self._folder),)

    def _install(self, *what: str) -> Run:
        words = ("uv", "pip", "install", "--python", VENV)
        limited = (*words, *self._limit, *what)
        # A commit may be dated before what it needs was published; then the newest is all there is.
        attempts: tuple[tuple[str, ...], ...] = (limited, compilers.first(limited, self._base), (*words, *what))
        if self._facts.lock:
            attempts = ((*words, "--constraint", _CONSTRAINTS, *what), *attempts)
        return Run(attempts[0], self._folder, otherwise=attempts[1:])

    def _dependencies(self) -> tuple[str, ...]:
        """Give the arguments that install what the project depends on, but not the project."""
        facts = self._facts
        if facts.requirements:
            return self._requirements()
        if facts.installer == "project" and (facts.manifests or not facts.package):
            extras = (word for name in facts.extras for word in ("--extra", name))
            return ("-r", "pyproject.toml", *extras)
        return ()

    def _requirements(self) -> tuple[str, ...]:
        return tuple(word for name in self._facts.requirements for word in ("-r", name))
