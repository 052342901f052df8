"""From what was detected of a Node project to the steps that install and compile it in ``/app``."""

from __future__ import annotations

import dataclasses
import shlex
from typing import TYPE_CHECKING

from mcp_operator.images.detect.candidate import APP, join
from mcp_operator.images.detect.node_start import MANIFEST
from mcp_operator.images.recipes import compilers, node_managers
from mcp_operator.images.recipes.node_managers import Work
from mcp_operator.images.recipes.recipe import AFRESH, MOMENT, NEWEST, OWN, Copy, Mend, Recipe, Run, Stage

if TYPE_CHECKING:
    from collections.abc import Sequence

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
_LIMIT = f"--before={MOMENT}"


def recipe(candidate: Candidate, facts: NodeFacts, base: str) -> Recipe:
    """Give the recipe. Without a lock nothing published after the commit is installed: what worked then works."""
    work = _npm(candidate, facts, base) if facts.manager == "npm" else node_managers.work(candidate, facts, base)
    return Recipe(
        language="node",
        stages=_stages(candidate, facts, base, work),
        base=base,
        system_packages=compilers.without(candidate.system_packages),
        env=RUNTIME_ENV,
        working_dir=join(APP, candidate.inner),
        command=candidate.command,
    )


def _stages(candidate: Candidate, facts: NodeFacts, base: str, work: Work) -> tuple[Stage, ...]:
    """Keep apart what changes with the manifests and what changes with the sources: a layer each in the image."""
    first = Stage(
        name="dependencies",
        base=base,
        tools=node_managers.tools(facts),
        packages=candidate.build_packages,
        env=BUILDER_ENV | node_managers.ENVIRONMENT.get(facts.manager, {}),
        steps=work.install,
    )
    left = (*work.prune, *node_managers.runtime(facts))
    if not facts.manifests:  # installing needs the sources, so they are there already
        steps: tuple[Copy | Run, ...] = (*work.install, *work.build, *left)
        return (dataclasses.replace(first, name="builder", steps=steps),)
    stages = [dataclasses.replace(first, keep=() if left else (".",))]
    if left:
        stages.append(Stage(name="production", base=base, after=first.name, steps=left))
    if work.build:
        *before, last = work.build
        steps = (Copy(), *before, dataclasses.replace(last, then=node_managers.ASIDE))
        stages.append(Stage(name="builder", base=base, after=first.name, steps=steps, below=OWN))
    else:
        stages.append(Stage(name="sources", base=base, steps=(Copy(),)))
    return tuple(stages)


def _npm(candidate: Candidate, facts: NodeFacts, base: str) -> Work:
    # The project's own scripts (prepare, postinstall) want sources that are not there yet, or git, or a terminal:
    # they are left out, and those of its dependencies are run by name afterwards.
    complete = bool(facts.script or facts.first or facts.development)
    only = _only(candidate, facts)
    common = ("--ignore-scripts", *(() if complete else ("--omit=dev",)), *only)
    build = [Run(("npm", "run", "build"), folder) for folder in facts.first]
    if facts.script:
        build.append(node_managers.script(("npm", "run", facts.script), candidate, facts))
    install = _locked(candidate, facts, common, base) if facts.locked else _resolved(facts, common, base)
    return Work(
        install=(Copy(facts.manifests), *install),
        build=tuple(build),
        prune=(_pruned(facts, only),) if complete and not facts.development else (),
    )


def _only(candidate: Candidate, facts: NodeFacts) -> tuple[str, ...]:
    """Give what restricts npm to one package of a workspace; what that needs of the others needs things of its own."""
    alone = facts.workspaces and candidate.inner != "." and not facts.first
    return ("--workspace", candidate.inner) if alone else ()


def _locked(candidate: Candidate, facts: NodeFacts, common: tuple[str, ...], base: str) -> tuple[Run, ...]:
    afresh = ("npm", "install", "--no-package-lock", *common)
    otherwise: tuple[Run | Mend, ...] = (
        *node_managers.mends(candidate, facts),
        # The lock may be out of date; then the time limit is the next best.
        Run((*afresh, _LIMIT), why=(AFRESH,)),
        Run(afresh, why=(NEWEST,)),
    )
    found = [Run(("npm", "ci", *common), otherwise=otherwise, dated=MANIFEST)]
    if facts.workspaces and (names := node_managers.named(facts)):
        # npm runs the scripts of workspaces whatever it is told.
        found.insert(0, _strip(names))
    if facts.rebuild:
        words = ("npm", "rebuild", *facts.rebuild)
        found.append(Run(words, otherwise=(compilers.first(words, base), node_managers.UNBUILT)))
    return tuple(found)


def _strip(names: Sequence[str], more: Sequence[str] = ()) -> Run:
    """Take out of manifests what is not wanted, and keep the time of the root's: it says what may be installed."""
    strip = node_managers.strip(names, more)
    kept = f"/tmp/{MANIFEST}"  # noqa: S108 - inside the builder stage, which is thrown away
    script = f"cp -p {MANIFEST} {kept} && {shlex.join(strip.words)} && touch -r {kept} {MANIFEST}"
    return Run(("sh", "-c", script), why=strip.why)


def _pruned(facts: NodeFacts, only: tuple[str, ...]) -> Run:
    words = ("npm", "prune", "--omit=dev", "--ignore-scripts", *only)
    return Run(words if facts.locked else (*words, "--no-package-lock"), otherwise=(node_managers.KEPT,))


def _resolved(facts: NodeFacts, common: tuple[str, ...], base: str) -> tuple[Run, ...]:
    """Install without a lock. package.json is changed for it; copying the sources puts it right again."""
    install = ("npm", "install", "--no-package-lock", *common)
    lenient = "--legacy-peer-deps"
    # npm resolves also what it will not install, and fails on it.
    unwanted = ("devDependencies",) if "--omit=dev" in common else ()
    rebuild = ("npm", "rebuild")
    # A commit may be dated before what it needs was published; then the newest is all there is.
    otherwise = (
        Run((*install, _LIMIT, lenient), why=("Packages do not agree about those that they share.",)),
        Run((*install, lenient), why=(NEWEST,)),
    )
    return (
        _strip(node_managers.named(facts) or (MANIFEST,), unwanted),
        Run((*install, _LIMIT), otherwise=otherwise, dated=MANIFEST),
        *(
            []
            if facts.workspaces
            else [Run(rebuild, otherwise=(compilers.first(rebuild, base), node_managers.UNBUILT))]
        ),
    )
