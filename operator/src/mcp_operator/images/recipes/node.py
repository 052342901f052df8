"""From what was detected of a Node project to the steps that install and compile it in ``/app``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mcp_operator.images.detect.candidate import APP, join
from mcp_operator.images.recipes.recipe import Copy, Recipe, Run

if TYPE_CHECKING:
    from datetime import datetime

    from mcp_operator.images.detect.candidate import Candidate, NodeFacts

PNPM = "9.15.9"
"""Used where ``packageManager`` names none: it reads the lock files of versions 6 to 9."""

_OWN_SCRIPTS = tuple(f"scripts.{name}" for name in ("preinstall", "install", "postinstall", "prepare"))
"""Of package.json: ``npm rebuild`` runs them, too."""

_BUILDER_ENV = {
    "NPM_CONFIG_UPDATE_NOTIFIER": "false",
    "NPM_CONFIG_FUND": "false",
    "NPM_CONFIG_AUDIT": "false",
    "NPM_CONFIG_PROGRESS": "false",
    "NPM_CONFIG_CACHE": "/tmp/npm-cache",  # noqa: S108 - inside the builder stage, which is thrown away
    "HUSKY": "0",
    "CI": "true",
}


def recipe(candidate: Candidate, facts: NodeFacts, base: str, committed: datetime) -> Recipe:
    """Give the recipe. Without a lock nothing published after ``committed`` is installed: what worked then works."""
    steps = _pnpm(candidate, facts) if facts.manager == "pnpm" else _npm(candidate, facts, committed)
    return Recipe(
        base=base,
        tools=(Run(("npm", "install", "--global", f"pnpm@{facts.manager_version or PNPM}")),)
        if facts.manager == "pnpm"
        else (),
        builder_env=_BUILDER_ENV,
        steps=steps,
        system_packages=candidate.system_packages,
        env={"NODE_ENV": "production"},
        working_dir=join(APP, candidate.inner),
        command=candidate.command,
    )


def _npm(candidate: Candidate, facts: NodeFacts, committed: datetime) -> tuple[Copy | Run, ...]:
    # The project's own scripts (prepare, postinstall) want sources that are not there yet, or git, or a terminal:
    # they are left out, and those of its dependencies are run by name afterwards.
    omit = () if facts.script else ("--omit=dev",)
    only = ("--workspace", candidate.inner) if facts.workspaces and candidate.inner != "." else ()
    common = ("--ignore-scripts", *omit, *only)
    steps: list[Copy | Run] = [Copy(facts.manifests)]
    if facts.locked:
        steps.append(Run(("npm", "ci", *common)))
    else:
        steps += _resolve(facts, common, committed)
    if facts.rebuild:
        steps.append(Run(("npm", "rebuild", *facts.rebuild)))
    if facts.manifests or not facts.locked:
        steps.append(Copy())
    if facts.script:
        keep_unlocked = () if facts.locked else ("--no-package-lock",)
        steps.append(Run(("npm", "run", facts.script), candidate.inner))
        steps.append(Run(("npm", "prune", "--omit=dev", "--ignore-scripts", *only, *keep_unlocked)))
    return tuple(steps)


def _resolve(facts: NodeFacts, common: tuple[str, ...], committed: datetime) -> list[Copy | Run]:
    """Install without a lock. package.json is changed for it; copying the sources puts it right again."""
    install = ("npm", "install", "--no-package-lock", *common)
    limit = f"--before={committed:%Y-%m-%dT%H:%M:%SZ}"
    lenient = "--legacy-peer-deps"
    # npm resolves also what it will not install, and fails on it.
    unwanted = _OWN_SCRIPTS if facts.script else ("devDependencies", *_OWN_SCRIPTS)
    return [
        Run(("npm", "pkg", "delete", *unwanted)),
        # A commit may be dated before what it needs was published; then the newest is all there is.
        Run((*install, limit), otherwise=((*install, limit, lenient), (*install, lenient))),
        *([] if facts.workspaces else [Run(("npm", "rebuild"))]),
    ]


def _pnpm(candidate: Candidate, facts: NodeFacts) -> tuple[Copy | Run, ...]:
    steps: list[Copy | Run] = [
        Copy(facts.manifests),
        Run(("pnpm", "install", "--frozen-lockfile", "--ignore-scripts")),
        *([Copy()] if facts.manifests else []),
    ]
    if facts.script:
        # "..." takes along what the package needs of the workspace, in the right order.
        steps.append(Run(("pnpm", "--filter", "{.}...", "run", facts.script), candidate.inner))
    if not facts.workspaces:
        steps.append(Run(("pnpm", "prune", "--prod", "--ignore-scripts")))
    return tuple(steps)
