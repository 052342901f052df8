"""Installing, building and pruning with Node's other package managers: pnpm, Yarn of both kinds, Bun."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, NamedTuple

from mcp_operator.images.detect.candidate import APP, join
from mcp_operator.images.detect.node_start import MANIFEST
from mcp_operator.images.recipes import compilers
from mcp_operator.images.recipes.recipe import OWN, Copy, Run

if TYPE_CHECKING:
    from collections.abc import Sequence

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
    # What is installed does not follow from the manifests as they are in the sources, and is not looked at again.
    "pnpm": {"pnpm_config_verify_deps_before_run": "false"},
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

_STRIP = (
    "const fs = require('fs'); const [names, keys] = process.argv.slice(1).map((text) => text.split(','));"
    " for (const name of names) {"
    " const {atime, mtime} = fs.statSync(name);"
    " const text = JSON.parse(fs.readFileSync(name, 'utf8').replace(/^\\uFEFF/, ''));"
    " for (const key of keys) { delete text[key]; delete (text.scripts || {})[key]; }"
    " fs.writeFileSync(name, JSON.stringify(text, null, 2)); fs.utimesSync(name, atime, mtime); }"
)
"""Takes scripts, or whole tables, out of manifests. Their times stay: they say what may be installed."""
_WITHOUT = (
    "const fs = require('fs'); const [names, needed, gone] = process.argv.slice(1);"
    " for (const name of names.split(',')) {"
    " const text = JSON.parse(fs.readFileSync(name, 'utf8')); delete (text.devDependencies || {})[gone];"
    " if (!needed.split(',').includes(name)) delete (text.dependencies || {})[gone];"
    " fs.writeFileSync(name, JSON.stringify(text, null, 2)); }"
)
"""Takes out of manifests what is for development only, and what only those of a workspace want that are not needed."""
_OWN_SCRIPTS = ("preinstall", "install", "postinstall", "prepare")
"""Of the project's package.json, which are not wanted where its dependencies' are."""
_MEMBER = ("pnpm", "--filter", "{.}...", "--include-workspace-root")
_SAID = "/tmp/said"  # noqa: S108 - inside the builder stage, which is thrown away
CLEAN = Run(("find", ".", "-name", "node_modules", "-prune", "-exec", "rm", "-rf", "{}", "+"))
"""What is installed comes from another stage."""
_PACKED = "/tmp/own.tar"  # noqa: S108 - inside the builder stage, which is thrown away
_ASIDE = (
    f"mkdir -p {OWN}{APP} && tar -cf {_PACKED} --exclude=node_modules ."
    f" && tar -xpf {_PACKED} -C {OWN}{APP} && rm {_PACKED}"
)
ASIDE = Run(("sh", "-c", _ASIDE))
"""As :data:`CLEAN`, for a last step: removing thousands of files of the stage before takes longer than any copy."""


class Repair(NamedTuple):
    """How a package manager's lock is mended where a package in it is not there any more. ``$gone`` is its name.

    Attributes:
        sign: What its output says of an archive that is not there, as a regular expression of awk's; the archive's
            address is in the same line.
        choose: Takes another version that the manifests allow. For the shell.
        again: Where there is none: makes the lock fit the manifests, which do without it if it is for development only.
    """

    sign: str
    choose: str
    again: str


class Work(NamedTuple):
    """What is done for a project: before the sources are there, with them, and what leaves only what runs."""

    install: tuple[Copy | Run, ...]
    build: tuple[Run, ...]
    prune: tuple[Run, ...]


_REPAIR = Repair(
    sign="ERR_PNPM_FETCH_404",
    choose='pnpm --recursive update --no-save --lockfile-only --depth 99 "$gone"',
    again="pnpm install --lockfile-only --no-frozen-lockfile",
)


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


def work(candidate: Candidate, facts: NodeFacts, base: str) -> Work:
    """Install from the lock with the scripts of dependencies only, build, leave out what only built."""
    names = named(facts)
    install, afresh, quiet = _install(facts)
    if _member(candidate, facts):
        # What the others of its workspace need is not wanted; the tools that the root names are.
        install = (*_MEMBER, *install[1:])
        # What only the root names may be gone from the registry, and often is for tests only.
        alone = (*_MEMBER[:3], *install[len(_MEMBER) :])
        afresh = (alone, *((*_MEMBER, *words[1:]) for words in afresh))
    if facts.manager == "pnpm" and facts.locked:
        afresh = (mended(install, _REPAIR, candidate, facts), *afresh)
    folder = candidate.inner if _member(candidate, facts) else "."
    found: list[Copy | Run] = [Copy(facts.manifests)]
    if names:
        # The project's own scripts want sources that are not there yet; those of its dependencies are wanted.
        # Copying the sources puts the manifests right again.
        attempts = (*afresh, compilers.first(install, base), (*install, quiet))
        found += [strip(names), Run(install, folder, otherwise=attempts)]
    else:
        again = tuple(_quiet(words, quiet) for words in afresh)
        found.append(Run((*install, quiet), folder, otherwise=again))
    return Work(
        install=tuple(found),
        build=_build(candidate, facts),
        prune=() if facts.development else _prune(candidate, facts, names),
    )


def named(facts: NodeFacts) -> tuple[str, ...]:
    """Give the package.json files among those that are there before the sources."""
    return tuple(name for name in facts.manifests if name.rpartition("/")[2] == MANIFEST)


def strip(names: Sequence[str], more: Sequence[str] = ()) -> Run:
    """Take the project's own install scripts, and further tables, out of manifests."""
    return Run(("node", "-e", _STRIP, ",".join(names), ",".join((*_OWN_SCRIPTS, *more))))


def _member(candidate: Candidate, facts: NodeFacts) -> bool:
    return facts.manager == "pnpm" and facts.workspaces and candidate.inner != "."


def _quiet(words: tuple[str, ...], flag: str) -> tuple[str, ...]:
    return (*words[:2], f"{words[2]} {flag}") if words[:2] == ("sh", "-c") else (*words, flag)


def _package(manager: Manager, facts: NodeFacts) -> str:
    version = facts.manager_version if manager == facts.manager else ""
    if manager == "yarn" and facts.modern:
        return f"@yarnpkg/cli-dist@{version or MODERN_YARN}"
    return f"{manager}@{version or VERSIONS[manager]}"


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


def mended(install: Sequence[str], repair: Repair, candidate: Candidate, facts: NodeFacts) -> tuple[str, ...]:
    """Install from a lock in which versions were unpublished since: these are chosen anew, and nothing else."""
    again = shlex.join(install)
    needed = [join(folder, MANIFEST) for folder in (candidate.inner, *facts.first)]
    lists = (",".join(join(APP, name) for name in some) for some in (named(facts) or needed, needed))
    without = f'{shlex.join(("node", "-e", _WITHOUT, *lists))} "$gone"'
    name = f'/{repair.sign}/ {{ sub(/.*:[/][/][^/]*[/]/, ""); sub(/[/]-[/].*/, ""); print; exit }}'
    script = (
        f"for _ in 1 2 3 4 5 6; do {again} > {_SAID} 2>&1 && break;"
        f' gone="$(awk {shlex.quote(name)} {_SAID})"; [ -n "$gone" ] || break;'
        f" {repair.choose} || {{ {without} && {repair.again}; }}; done; {again}"
    )
    return "sh", "-c", script


def _build(candidate: Candidate, facts: NodeFacts) -> tuple[Run, ...]:
    if _member(candidate, facts):
        # "..." takes along what the package needs of the workspace, in the right order. It leaves out the root.
        return (Run(("pnpm", "--filter", "{.}...", "run", facts.script), candidate.inner),) if facts.script else ()
    found = [Run((facts.manager, "run", "build"), folder) for folder in facts.first]
    return (*found, *([Run((facts.manager, "run", facts.script), candidate.inner)] if facts.script else []))


def _prune(candidate: Candidate, facts: NodeFacts, names: Sequence[str]) -> tuple[Run, ...]:
    # Where the manifests came before the sources they are stripped already.
    again = () if names else (strip((join(candidate.inner, MANIFEST),)),)
    if facts.manager == "yarn" and facts.modern:
        words: tuple[str, ...] = ("yarn", "workspaces", "focus", "--production")
        # The plug-in is built in since version 4 only; larger is better than not at all.
        return (*again, Run(words, candidate.inner, otherwise=(("true",),)))
    if facts.manager == "yarn":
        words = ("yarn", "install", "--production", "--ignore-scripts", "--prefer-offline", "--non-interactive")
        return (Run(words),)
    if facts.manager == "bun":
        return (CLEAN, *again, Run(("bun", "install", "--production")))
    # pnpm cannot prune a workspace. Once more from its store, for this package and what it needs of the workspace.
    only = ("--filter", "{.}...") if _member(candidate, facts) else ()
    words = ("pnpm", *only, "install", "--prod", "--prefer-offline", *(() if names else ("--ignore-scripts",)))
    install = Run((*words, "--frozen-lockfile"), candidate.inner, otherwise=((*words, "--no-lockfile"),))
    return (CLEAN, install)
