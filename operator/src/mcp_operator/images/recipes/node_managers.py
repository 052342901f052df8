"""Installing, building and pruning with Node's other package managers: pnpm, Yarn of both kinds, Bun."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mcp_operator.images.detect.candidate import APP, join
from mcp_operator.images.recipes import compilers
from mcp_operator.images.recipes.recipe import Copy, Run

if TYPE_CHECKING:
    from mcp_operator.images.detect.candidate import Candidate, Manager, NodeFacts

VERSIONS: dict[Manager, str] = {
    # Reads the lock files of versions 6 to 9.
    "pnpm": "9.15.9",
    "yarn": "1.22.22",
    "bun": "1.2.21",
}
"""Used where ``packageManager`` names none. Pinned, so that the same input gives the same image."""
MODERN_YARN = "4.9.2"

ENVIRONMENT: dict[Manager, dict[str, str]] = {
    "yarn": {
        "YARN_CACHE_FOLDER": "/tmp/yarn-cache",  # noqa: S108 - inside the builder stage, which is thrown away
        "YARN_ENABLE_GLOBAL_CACHE": "false",
        "YARN_ENABLE_TELEMETRY": "false",
        # The release that the repository carries is a program of its own choice, and Plug'n'Play needs it to run.
        "YARN_IGNORE_PATH": "1",
        "YARN_NODE_LINKER": "node-modules",
    },
    "bun": {"BUN_INSTALL_CACHE_DIR": "/tmp/bun-cache"},  # noqa: S108 - as above
}

OWN_SCRIPTS = tuple(f"scripts.{name}" for name in ("preinstall", "install", "postinstall", "prepare"))
"""Of the project's package.json, which are not wanted where its dependencies' are."""
_STRIP = (
    "const fs = require('fs');"
    " for (const name of process.argv.slice(1)) {"
    " const text = JSON.parse(fs.readFileSync(name, 'utf8').replace(/^\\uFEFF/, ''));"
    " for (const key of ['preinstall', 'install', 'postinstall', 'prepare'])"
    " delete (text.scripts || {})[key];"
    " fs.writeFileSync(name, JSON.stringify(text, null, 2)); }"
)
_MEMBER = ("pnpm", "--filter", "{.}...", "--include-workspace-root")
_CLEAN = Run(("find", ".", "-name", "node_modules", "-prune", "-exec", "rm", "-rf", "{}", "+"))


def tools(facts: NodeFacts) -> tuple[Run, ...]:
    """Give what installs the package managers that the project and its build script use."""
    wanted = [] if facts.manager == "npm" else [_package(facts.manager, facts)]
    wanted += [f"{tool}@{VERSIONS[tool]}" for tool in facts.tools if tool != "npm"]
    # The official image brings a yarn of its own, in whose way npm would not go.
    return (Run(("npm", "install", "--global", "--force", *wanted)),) if wanted else ()


def runtime(facts: NodeFacts) -> tuple[Run, ...]:
    """Give what puts Bun into the image, for what only Bun can run."""
    if not facts.bun:
        return ()
    folder = f"{APP}/.bun"
    install = Run(("npm", "install", "--prefix", folder, "--no-save", _package("bun", facts)))
    # What its own script has put in its place is there once more, for each kind of processor.
    return install, Run(("rm", "-rf", f"{folder}/node_modules/@oven"))


def steps(candidate: Candidate, facts: NodeFacts, base: str) -> tuple[Copy | Run, ...]:
    """Give the steps: install from the lock with the scripts of dependencies only, build, leave out what only built."""
    named = [name for name in facts.manifests if name.rpartition("/")[2] == "package.json"]
    install, afresh, quiet = _install(facts)
    if _member(candidate, facts):
        # What the others of its workspace need is not wanted; the tools that the root names are.
        install = (*_MEMBER, *install[1:])
        # What only the root names may be gone from the registry, and often is for tests only.
        alone = (*_MEMBER[:3], *install[len(_MEMBER) :])
        afresh = (alone, *((*_MEMBER, *words[1:]) for words in afresh))
    folder = candidate.inner if _member(candidate, facts) else "."
    found: list[Copy | Run] = [Copy(facts.manifests)]
    if named:
        # The project's own scripts want sources that are not there yet; those of its dependencies are wanted.
        # Copying the sources puts the manifests right again.
        attempts = (*afresh, compilers.first(install, base), (*install, quiet))
        found += [_strip(named), Run(install, folder, otherwise=attempts), Copy()]
    else:
        again = tuple(_quiet(words, quiet) for words in afresh)
        found.append(Run((*install, quiet), folder, otherwise=again))
    found += _build(candidate, facts)
    if not facts.development:
        found += _prune(candidate, facts, named)
    return tuple(found)


def _member(candidate: Candidate, facts: NodeFacts) -> bool:
    return facts.manager == "pnpm" and facts.workspaces and candidate.inner != "."


def _quiet(words: tuple[str, ...], flag: str) -> tuple[str, ...]:
    return (*words[:2], f"{words[2]} {flag}") if words[:2] == ("sh", "-c") else (*words, flag)


def _package(manager: Manager, facts: NodeFacts) -> str:
    version = facts.manager_version if manager == facts.manager else ""
    if manager == "yarn" and facts.modern:
        return f"@yarnpkg/cli-dist@{version or MODERN_YARN}"
    return f"{manager}@{version or VERSIONS[manager]}"


def _strip(manifests: list[str]) -> Run:
    if manifests == ["package.json"]:
        return Run(("npm", "pkg", "delete", *OWN_SCRIPTS))
    return Run(("node", "-e", _STRIP, *manifests))


def _install(facts: NodeFacts) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...], str]:
    """Give how to install from the lock, how afresh (it may name what was unpublished), and the flag for no scripts."""
    words = (facts.manager, "install")
    if facts.manager == "yarn" and facts.modern:
        afresh = ("sh", "-c", "echo > yarn.lock && yarn install --no-immutable")
        return (*words, "--immutable"), (afresh,), "--mode=skip-build"
    if facts.manager == "yarn":
        plain = (*words, "--non-interactive")
        return (*plain, "--frozen-lockfile"), ((*plain, "--no-lockfile"),), "--ignore-scripts"
    if not facts.locked:
        return ((*words, "--no-frozen-lockfile") if facts.manager == "pnpm" else words), (), "--ignore-scripts"
    if facts.manager == "pnpm":
        return (*words, "--frozen-lockfile"), ((*words, "--no-lockfile"),), "--ignore-scripts"
    return (*words, "--frozen-lockfile"), (("sh", "-c", "rm -f bun.lock bun.lockb && bun install"),), "--ignore-scripts"


def _build(candidate: Candidate, facts: NodeFacts) -> list[Copy | Run]:
    if _member(candidate, facts):
        # "..." takes along what the package needs of the workspace, in the right order. It leaves out the root.
        return [Run(("pnpm", "--filter", "{.}...", "run", facts.script), candidate.inner)] if facts.script else []
    found: list[Copy | Run] = [Run((facts.manager, "run", "build"), folder) for folder in facts.first]
    return [*found, *([Run((facts.manager, "run", facts.script), candidate.inner)] if facts.script else [])]


def _prune(candidate: Candidate, facts: NodeFacts, manifests: list[str]) -> list[Copy | Run]:
    if facts.manager == "yarn" and facts.modern:
        words: tuple[str, ...] = ("yarn", "workspaces", "focus", "--production")
        # The plug-in is built in since version 4 only; larger is better than not at all.
        strip = _strip(manifests or [join(candidate.inner, "package.json")])
        return [strip, Run(words, candidate.inner, otherwise=(("true",),))]
    if facts.manager == "yarn":
        words = ("yarn", "install", "--production", "--ignore-scripts", "--prefer-offline", "--non-interactive")
        return [Run(words)]
    if facts.manager == "bun":
        strip = _strip(manifests or [join(candidate.inner, "package.json")])
        return [_CLEAN, strip, Run(("bun", "install", "--production"))]
    if not facts.workspaces:
        return [Run(("pnpm", "prune", "--prod", "--ignore-scripts"))]
    # pnpm cannot prune a workspace. Once more from its store, for this package and what it needs of the workspace.
    quiet = () if manifests else ("--ignore-scripts",)
    only = ("--filter", "{.}...") if _member(candidate, facts) else ()
    words = ("pnpm", *only, "install", "--prod", "--prefer-offline", *quiet)
    strip_all = [_strip(manifests)] if manifests else []
    again = Run((*words, "--frozen-lockfile"), candidate.inner, otherwise=((*words, "--no-lockfile"),))
    # Cleaning happens at the root, whatever folder was built in.
    return [_CLEAN, *strip_all, again]
