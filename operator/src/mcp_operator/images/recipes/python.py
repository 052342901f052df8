"""From what was detected of a Python project to the steps that install it into ``/app/.venv``."""

from __future__ import annotations

import dataclasses
import shlex
from typing import TYPE_CHECKING

from mcp_operator.images.detect.candidate import APP, join
from mcp_operator.images.detect.python_project import PROJECT
from mcp_operator.images.detect.python_start import VENV
from mcp_operator.images.recipes import compilers
from mcp_operator.images.recipes.recipe import AFRESH, MOMENT, NEWEST, OWN, Copy, Recipe, Run, Stage

if TYPE_CHECKING:
    from datetime import datetime

    from mcp_operator.images.detect.candidate import Candidate, PythonFacts

UV = "uv==0.13.9"
"""Pinned, so that the same input gives the same image."""

_BACKEND = "/opt/backend"
"""Where the builder stage keeps what builds the project."""
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
    "PATH": f"$PATH:{_BACKEND}/bin",
}


RUNTIME_ENV = {"PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1", "PATH": f"{VENV}/bin:$PATH"}
INSTALL_UV = Run(("pip", "install", "--no-cache-dir", "--quiet", UV))
OLD_SDK = "mcp<2"
KEPT = "The lock does not fit the manifest: its versions where they do."
"""Why a lock is read and not obeyed, for people."""
ISOLATED = "What builds the project is installed anew for it."
"""Why it is not built with what was there before its sources, for people."""
_COMMIT = "git -c user.name=mcp -c user.email=mcp@localhost commit --quiet --message=sources"
LISTED = Run(("sh", "-c", f"git init --quiet && git add --all && {_COMMIT}"))
"""For a build that asks git which files there are: what was fetched has no history."""
_CONSTRAINTS = "/tmp/constraints.txt"  # noqa: S108 - inside the builder stage, which is thrown away
"""Where the builder stage keeps what is installed of the project itself."""
READ_LOCK = (
    "awk -F '\"' '/^name = / {name = $2} /^version = / {pins[name] = $2; times[name]++}"
    ' END {for (name in pins) if (times[name] == 1) print name "==" pins[name]}\''
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
    return Recipe(
        language="python",
        stages=_Steps(candidate, facts, base, python, committed).stages(),
        base=base,
        system_packages=compilers.without(candidate.system_packages),
        env=RUNTIME_ENV,
        working_dir=join(APP, candidate.inner),
        command=candidate.command,
    )


def _dated(facts: PythonFacts) -> str:
    """Give the manifest, in the project's folder, whose time says what may be installed; empty if there is none."""
    if not facts.manifests:
        return ""
    return facts.requirements[0] if facts.requirements else PROJECT


class _Steps:
    """The steps of one project."""

    def __init__(self, candidate: Candidate, facts: PythonFacts, base: str, python: str, committed: datetime) -> None:
        self._folder = candidate.inner
        self._packages = candidate.build_packages
        self._facts = facts
        self._base = base
        self._python = python
        # Without a manifest that comes before the sources the time may as well be written down.
        self._dated = _dated(facts)
        moment = MOMENT if self._dated else f"{committed:%Y-%m-%dT%H:%M:%SZ}"
        self._limit = ("--exclude-newer", moment)

    def stages(self) -> tuple[Stage, ...]:
        """Keep apart what others wrote, what is installed of the project, and its sources: a layer each."""
        facts = self._facts
        locked = facts.installer == "uv-lock"
        first = Stage(
            name="dependencies",
            base=self._base,
            tools=(INSTALL_UV,),
            packages=(*self._packages, *(("git", "ca-certificates") if facts.needs_git else ())),
            env={"UV_PYTHON": self._python, **BUILDER_ENV},
            steps=self._locked() if locked else self._unlocked(),
            keep=(".venv",),
        )
        project = self._project()
        steps: tuple[Copy | Run, ...]
        if not facts.manifests:  # what is installed cannot be told from the sources
            keep = (".",) if facts.sources else (".venv",)
            steps = (*first.steps, *((project,) if project else ()))
            return (dataclasses.replace(first, name="builder", steps=steps, keep=keep),)
        stages = [self._with_backend(first)]
        if project:
            steps = (Copy(), *((LISTED,) if facts.listed else ()), *self._apart(project))
            stages.append(Stage(base=self._base, after=first.name, steps=steps, keep=(".venv",), below=OWN))
        if facts.sources:
            stages.append(Stage(name="sources", base=self._base, steps=(Copy(),)))
        return tuple(stages)

    @property
    def _prepared(self) -> bool:
        """What builds the project is there before its sources. Others of a workspace may be built by something else."""
        facts = self._facts
        # To make a link, it may ask for more than its manifest says.
        wanted = facts.package and not facts.workspace and not facts.editable
        return bool(facts.backend and facts.manifests) and wanted

    def _with_backend(self, first: Stage) -> Stage:
        """Fetch what builds the project where its dependencies are fetched: a changed line needs no network."""
        *before, last = first.steps
        if not self._prepared or isinstance(last, Copy):
            return first
        limit = () if self._facts.installer == "uv-lock" else self._limit
        words = ("uv", "pip", "install", "--quiet", "--target", _BACKEND, *limit, *self._facts.backend)
        # Without it the project is built in another way.
        return dataclasses.replace(
            first, steps=(*before, dataclasses.replace(last, then=f"{{ {shlex.join(words)} || true; }}"))
        )

    def _apart(self, project: Run) -> tuple[Run, ...]:
        """Put aside what a step wrote: the rest comes from the stage before, so a changed line is a small layer.

        What is newer than the sources is told by the time of the last change of a file's entry, which nobody sets.
        """
        found = (
            f"find .venv -type f -newercc {join(self._folder, self._dated)} -exec cp --parents -pt {OWN}{APP} {{}} +"
        )
        new = f"mkdir -p {OWN}{APP} && {{ {found} || cp -a .venv {OWN}{APP}; }}"
        # With paths that are not relative, cp of Debian 12 goes wrong.
        return (dataclasses.replace(project, then=new),) if self._folder == "." else (project, Run(("sh", "-c", new)))

    def _locked(self) -> tuple[Copy | Run, ...]:
        """Give the steps that install what uv.lock says, but for the project."""
        if not self._facts.manifests:
            return (Copy(),)
        return Copy(self._facts.manifests), self._sync("--no-install-workspace")

    def _sync(self, *more: str) -> Run:
        # .python-version is a wish of the author's machine; UV_PYTHON wins over it.
        extras = (word for name in self._facts.extras for word in ("--extra", name))
        words = ("--no-dev", *(() if self._facts.editable else ("--no-editable",)), *extras, *more)
        frozen = ("uv", "sync", "--frozen", *words)
        # A lock may be out of date, or name what was unpublished; then the time limit is the next best.
        kept = Run(("uv", "sync", *words), why=(KEPT,))
        fresh = Run(("uv", "sync", *words, "--upgrade", *self._limit), why=(AFRESH,))
        if self._facts.stale:
            otherwise = (kept, compilers.first(fresh.words, self._base))
            return dataclasses.replace(fresh, folder=self._folder, dated=self._dated, otherwise=otherwise)
        return Run(frozen, self._folder, (kept, fresh, compilers.first(frozen, self._base)), self._dated)

    def _unlocked(self) -> tuple[Copy | Run, ...]:
        """Give the steps that install what no lock of uv's decides on, but for the project."""
        facts = self._facts
        steps: list[Copy | Run] = [Run(("uv", "venv", "--quiet", "--python", self._python, VENV))]
        wanted = self._dependencies()
        steps += [Copy(facts.manifests), *self._constraints()]
        if wanted and (facts.manifests or not facts.package):
            steps.append(self._install(*wanted))
        if facts.installer == "none" and not facts.package:
            steps.append(self._install("mcp[cli]", "fastmcp"))
        return tuple(steps)

    def _project(self) -> Run | None:
        """Give the step that installs the project itself; None if its sources are all that there is to it."""
        facts = self._facts
        if facts.installer == "uv-lock":
            wanted = facts.package or facts.workspace or not facts.manifests
            return self._built(self._sync()) if wanted else None
        extras = f"[{','.join(facts.extras)}]" if facts.extras else ""
        link = ("--editable",) if facts.editable else ()
        return self._built(self._install(*self._requirements(), *link, f".{extras}")) if facts.package else None

    def _built(self, isolated: Run) -> Run:
        """Give the step that builds the project with what was fetched for that before."""
        if not self._prepared:
            return isolated
        words = ("env", f"PYTHONPATH={_BACKEND}", *isolated.words, "--no-build-isolation")
        anew = dataclasses.replace(isolated, otherwise=(), why=(ISOLATED,))
        return dataclasses.replace(isolated, words=words, otherwise=(anew, *isolated.otherwise))

    def _constraints(self) -> tuple[Run, ...]:
        if not self._facts.lock:
            return ()
        return (Run(("sh", "-c", f"{READ_LOCK} {self._facts.lock} > {_CONSTRAINTS}"), self._folder),)

    def _install(self, *wanted: str) -> Run:
        words = ("uv", "pip", "install", "--python", VENV)
        what = (*wanted, OLD_SDK) if self._facts.old_sdk else wanted
        limited = (*words, *self._limit, *what)
        # A commit may be dated before what it needs was published; then the newest is all there is.
        otherwise = (compilers.first(limited, self._base), Run((*words, *what), why=(NEWEST,)))
        if not self._facts.lock:
            return Run(limited, self._folder, otherwise, self._dated)
        locked = (*words, "--constraint", _CONSTRAINTS, *what)
        return Run(locked, self._folder, (Run(limited, why=(AFRESH,)), *otherwise), self._dated)

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
