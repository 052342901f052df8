"""From what was detected of a Node project to the steps that install and compile it in ``/app``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mcp_operator.images.detect.candidate import APP, join
from mcp_operator.images.recipes import compilers, node_managers
from mcp_operator.images.recipes.recipe import Copy, Recipe, Run, Stage

if TYPE_CHECKING:
    from datetime import datetime

    from mcp_operator.images.detect.candidate import Candidate, NodeFacts

BUILDER_ENV = {
    "NPM_CONFIG_UPDATE_NOTIFIER": "false",
    "NPM_CONFIG_FUND": "false",
    "NPM_CONFIG_AUDIT": "false",
    "NPM_CONFIG_PROGRESS": "false",
    "NPM_CONFIG_CACHE": "/tmp/npm-cache",  # noqa: S108 - inside the builder stage, which is thrown away
    # Browsers are downloaded to a home folder that is not part of the image anyway.
    "PUPPETEER_SKIP_DOWNLOAD": "1",
    "PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD": "1",
    "HUSKY": "0",
    "CI": "true",
}
RUNTIME_ENV = {"NODE_ENV": "production"}


def recipe(candidate: Candidate, facts: NodeFacts, base: str, committed: datetime) -> Recipe:
    """Give the recipe. Without a lock nothing published after ``committed`` is installed: what worked then works."""
    if facts.manager == "npm":
        steps = _npm(candidate, facts, base, committed)
    else:
        steps = node_managers.steps(candidate, facts, base)
    stage = Stage(
        base=base,
        tools=node_managers.tools(facts),
        env=BUILDER_ENV | node_managers.ENVIRONMENT.get(facts.manager, {}),
        steps=(*steps, *node_managers.runtime(facts)),
    )
    return Recipe(
        language="node",
        stages=(stage,),
        base=base,
        system_packages=candidate.system_packages,
        env=RUNTIME_ENV,
        working_dir=join(APP, candidate.inner),
        command=candidate.command,
    )


def _npm(candidate: Candidate, facts: NodeFacts, base: str, committed: datetime) -> tuple[Copy | Run, ...]:
    # The project's own scripts (prepare, postinstall) want sources that are not there yet, or git, or a terminal:
    # they are left out, and those of its dependencies are run by name afterwards.
    complete = bool(facts.script or facts.first or facts.development)
    omit = () if complete else ("--omit=dev",)
    only = _only(candidate, facts)
    steps: list[Copy | Run] = [Copy(facts.manifests)]
    steps += _installed(facts, ("--ignore-scripts", *omit, *only), base, committed)
    if facts.manifests or not facts.locked:
        steps.append(Copy())
    steps += [Run(("npm", "run", "build"), folder) for folder in facts.first]
    if facts.script:
        steps.append(Run(("npm", "run", facts.script), candidate.inner))
    if complete and not facts.development:
        steps.append(_pruned(facts, only))
    return tuple(steps)


def _only(candidate: Candidate, facts: NodeFacts) -> tuple[str, ...]:
    """Give what restricts npm to one package of a workspace; what that needs of the others needs things of its own."""
    alone = facts.workspaces and candidate.inner != "." and not facts.first
    return ("--workspace", candidate.inner) if alone else ()


def _installed(facts: NodeFacts, common: tuple[str, ...], base: str, committed: datetime) -> list[Copy | Run]:
    if not facts.locked:
        return _resolve(facts, common, base, committed)
    # A lock may be out of date, or name what was unpublished; then the time limit is the next best.
    afresh = ("npm", "install", "--no-package-lock", *common, _limit(committed))
    found: list[Copy | Run] = [Run(("npm", "ci", *common), otherwise=(afresh,))]
    if facts.rebuild:
        words = ("npm", "rebuild", *facts.rebuild)
        found.append(Run(words, otherwise=(compilers.first(words, base),)))
    return found


def _pruned(facts: NodeFacts, only: tuple[str, ...]) -> Run:
    words = ("npm", "prune", "--omit=dev", "--ignore-scripts", *only)
    # Without it the image is larger, and works.
    return Run(words if facts.locked else (*words, "--no-package-lock"), otherwise=(("true",),))


def _limit(committed: datetime) -> str:
    return f"--before={committed:%Y-%m-%dT%H:%M:%SZ}"


def _resolve(facts: NodeFacts, common: tuple[str, ...], base: str, committed: datetime) -> list[Copy | Run]:
    """Install without a lock. package.json is changed for it; copying the sources puts it right again."""
    install = ("npm", "install", "--no-package-lock", *common)
    limit = _limit(committed)
    lenient = "--legacy-peer-deps"
    # npm resolves also what it will not install, and fails on it.
    unwanted = (
        node_managers.OWN_SCRIPTS if "--omit=dev" not in common else ("devDependencies", *node_managers.OWN_SCRIPTS)
    )
    rebuild = ("npm", "rebuild")
    return [
        Run(("npm", "pkg", "delete", *unwanted)),
        # A commit may be dated before what it needs was published; then the newest is all there is.
        Run((*install, limit), otherwise=((*install, limit, lenient), (*install, lenient))),
        *([] if facts.workspaces else [Run(rebuild, otherwise=(compilers.first(rebuild, base),))]),
    ]
