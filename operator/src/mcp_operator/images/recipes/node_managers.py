"""Installing, building and pruning with Node's other package managers: pnpm, Yarn of both kinds, Bun."""

from __future__ import annotations

import dataclasses
import re
import shlex
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from mcp_operator.images.detect.candidate import APP, join
from mcp_operator.images.detect.node_start import MANIFEST
from mcp_operator.images.recipes import compilers
from mcp_operator.images.recipes.recipe import AFRESH, IT, NOTHING, OWN, Copy, Mend, Run

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

_OWN_SCRIPTS = """/"scripts" *:/,/^[[:space:]]*}/ s/"(preinstall|install|postinstall|prepare)" *:/"skipped":/g"""
"""Gives the install scripts of a package.json another name, so that they do not run. For ``sed -E``."""
_MEMBER = ("pnpm", "--filter", "{.}...", "--include-workspace-root")
_EVERY = {
    "pnpm": ("pnpm", "--recursive", "--include-workspace-root", "exec", "npm", "pkg", "delete", "--force"),
    "npm": ("npm", "pkg", "delete", "--force", "--workspaces", "--include-workspace-root"),
}
"""How keys are taken out of all manifests of a workspace; that of pnpm is no workspace to the others."""
_ONE = ("npm", "pkg", "delete", "--force")
"""By force, as npm refuses to touch a manifest that asks for another manager (``devEngines``)."""
CLEAN = Run(("find", ".", "-name", "node_modules", "-prune", "-exec", "rm", "-rf", "{}", "+"))
"""What is installed comes from another stage."""
_PACKED = "/tmp/own.tar"  # noqa: S108 - inside the builder stage, which is thrown away
ASIDE = (
    f"mkdir -p {OWN}{APP} && tar -cf {_PACKED} -C {APP} --exclude=node_modules ."
    f" && tar -xpf {_PACKED} -C {OWN}{APP} && rm {_PACKED}"
)
"""As :data:`CLEAN`, for a last step: removing thousands of files of the stage before takes longer than any copy."""
UNBUILT = Run(NOTHING, why=("The install scripts of dependencies fail: without what they make.",), doubtful=True)
"""Instead of running them: what they make may be needed for a part of what the server does, or not at all."""
KEPT = Run(NOTHING, why=("What only development needs cannot be taken out: it stays in the image.",))
"""Instead of pruning: the image is larger, and works."""


_NO_CHECKS: dict[Manager, str] = {"npm": "--ignore-scripts", "pnpm": "--config.enable-pre-post-scripts=false"}
"""The option by which nothing is run before or after a script that is named."""
_GLOBALS = "Buffer|process|require|module|exports|global|console|__dirname|__filename|setTimeout|setInterval|URL|fetch"
_MISSING_TYPES = rf"(?:2307|2580|2591|2688|7006|7016|7031)\b|(?:2304|2552): Cannot find name '(?:{_GLOBALS})'"
_TYPES_ONLY = rf"(?s)\A(?=.*error TS(?:2307|2580|2591|2688|7016)\b)(?!.*error TS(?!{_MISSING_TYPES})\d)"
"""What TypeScript says where declarations are not installed, or what it takes for any because of that, and no more."""


class Work(NamedTuple):
    """What is done for a project: before the sources are there, with them, and what leaves only what runs."""

    install: tuple[Copy | Run, ...]
    build: tuple[Run, ...]
    prune: tuple[Run, ...]


_NAME = r"(?P<it>(?:@[\w.-]+/)?\w[\w.-]*)"
_CHOOSE: dict[Manager, tuple[str, ...]] = {
    "npm": ("npm", "update", "--package-lock-only", "--ignore-scripts", IT),
    "pnpm": ("pnpm", "--recursive", "update", "--no-save", "--lockfile-only", "--depth", "99", IT),
}
"""What takes another version of a package into the lock, and changes nothing else in it."""
_RELOCK: dict[Manager, tuple[str, ...]] = {
    "npm": ("npm", "install", "--package-lock-only", "--ignore-scripts"),
    "pnpm": ("pnpm", "install", "--lockfile-only", "--no-frozen-lockfile"),
}
"""What makes the lock fit the manifests."""
_ARCHIVE_GONE = rf"404\b.*? GET \S*?/{_NAME}/-/"
_PACKAGE_GONE = (
    rf"404\s+(?:The requested resource )?'{_NAME}@(?!http)",
    rf"No matching version found for {_NAME}@",
    rf"(?m)^{_NAME} is not in the npm registry",
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
    install, again, quiet = _install(facts)
    afresh = list(again)
    if _member(candidate, facts):
        # What the others of its workspace need is not wanted; the tools that the root names are.
        install = (*_MEMBER, *install[1:])
        # What only the root names may be gone from the registry, and often is for tests only.
        alone = Run((*_MEMBER[:3], *install[len(_MEMBER) :]), why=("Without what only the workspace's root names.",))
        afresh = [alone, *(dataclasses.replace(run, words=(*_MEMBER, *run.words[1:])) for run in afresh)]
    folder = candidate.inner if _member(candidate, facts) else "."
    found: list[Copy | Run] = [Copy(facts.manifests)]
    if names:
        # The project's own scripts want sources that are not there yet; those of its dependencies are wanted.
        # Copying the sources puts the manifests right again.
        unbuilt = dataclasses.replace(UNBUILT, words=(*install, quiet))
        both = [
            dataclasses.replace(run, words=(*run.words, quiet), why=(*run.why, *UNBUILT.why), doubtful=True)
            for run in afresh
        ]
        attempts: list[Run | Mend] = [*mends(candidate, facts), *afresh, compilers.first(install, base), unbuilt, *both]
        found += [strip(names), Run(install, folder, otherwise=tuple(attempts))]
    else:
        silent = [dataclasses.replace(run, words=(*run.words, quiet)) for run in afresh]
        found.append(Run((*install, quiet), folder, otherwise=(*mends(candidate, facts), *silent)))
    return Work(
        install=tuple(found),
        build=_build(candidate, facts),
        prune=() if facts.development else _prune(candidate, facts, names),
    )


def named(facts: NodeFacts) -> tuple[str, ...]:
    """Give the package.json files among those that are there before the sources."""
    return tuple(name for name in facts.manifests if name.rpartition("/")[2] == MANIFEST)


def strip(names: Sequence[str], more: Sequence[str] = ()) -> Run:
    """Take the project's own install scripts, and further tables, out of manifests.

    No package manager is asked to: each reads what others have written in its own way, or refuses to.
    """
    tables = (word for key in more for word in ("-e", f's/"{key}" *:/"skipped":/'))
    why = "The project's own install scripts want sources that are not there yet."
    return Run(("sed", "-i", "-E", "-e", _OWN_SCRIPTS, *tables, *names), why=(why,))


def mends(candidate: Candidate, facts: NodeFacts) -> tuple[Mend, ...]:
    """Give what to do where versions in a lock were unpublished since: these are chosen anew, and nothing else.

    What is gone altogether is left out where it is for development only, or where only those of a workspace want it
    that are not needed.
    """
    if not facts.locked or facts.manager not in _CHOOSE:
        return ()
    anew = Mend(_ARCHIVE_GONE, (_CHOOSE[facts.manager],), f"{IT} in the lock is gone: another version of it.")
    everywhere = _EVERY[facts.manager] if facts.workspaces else _ONE
    without = ((*everywhere, f"devDependencies[{IT}]"), *_others(candidate, facts), _RELOCK[facts.manager])
    return (anew, *(Mend(sign, without, f"{IT} is gone: without it.") for sign in _PACKAGE_GONE))


def _others(candidate: Candidate, facts: NodeFacts) -> tuple[tuple[str, ...], ...]:
    """Give what takes a package out of what those of a workspace depend on that the server does not need."""
    key = f"dependencies[{IT}]"
    if _member(candidate, facts):
        return (("pnpm", "--filter", "!{.}...", "--include-workspace-root", "exec", *_ONE, key),)
    folders = {str(PurePosixPath(name).parent) for name in named(facts)} - {".", candidate.inner, *facts.first}
    if facts.manager == "pnpm" or not facts.workspaces or not folders:
        return ()
    return ((*_ONE, *(word for folder in sorted(folders) for word in ("--workspace", folder)), key),)


def _member(candidate: Candidate, facts: NodeFacts) -> bool:
    return facts.manager == "pnpm" and facts.workspaces and candidate.inner != "."


def _package(manager: Manager, facts: NodeFacts) -> str:
    version = facts.manager_version if manager == facts.manager else ""
    if manager == "yarn" and facts.modern:
        return f"@yarnpkg/cli-dist@{version or MODERN_YARN}"
    return f"{manager}@{version or VERSIONS[manager]}"


def _install(facts: NodeFacts) -> tuple[tuple[str, ...], tuple[Run, ...], str]:
    """Give how to install from the lock, how afresh (it may name what was unpublished), and the flag for no scripts."""
    words: tuple[str, ...] = (facts.manager, "install")
    why = (AFRESH,)
    if facts.manager == "yarn" and facts.modern:
        empty = ("sh", "-c", "echo > yarn.lock")
        return (
            (*words, "--immutable"),
            (Run((*words, "--no-immutable"), before=(empty,), why=why),),
            "--mode=skip-build",
        )
    if facts.manager == "yarn":
        words = (*words, "--non-interactive")
        return (*words, "--frozen-lockfile"), (Run((*words, "--no-lockfile"), why=why),), "--ignore-scripts"
    if not facts.locked:
        return ((*words, "--no-frozen-lockfile") if facts.manager == "pnpm" else words), (), "--ignore-scripts"
    afresh = Run((*words, "--no-lockfile"), why=why)
    if facts.manager == "bun":
        afresh = Run(words, before=(("rm", "-f", "bun.lock", "bun.lockb"),), why=why)
    return (*words, "--frozen-lockfile"), (afresh,), "--ignore-scripts"


def script(words: tuple[str, ...], candidate: Candidate, facts: NodeFacts) -> Run:
    """Give the build script. Where its compiler misses nothing but types, what it has written is right."""
    otherwise = []
    if facts.manager in _NO_CHECKS:
        unchecked = (words[0], _NO_CHECKS[facts.manager], *words[1:])
        why = f"What comes before the script {facts.script} fails, as a check may: without it."
        otherwise.append(Run(unchecked, why=(why,), doubtful=True, sign=rf"\bpre{re.escape(facts.script)}\b"))
    if facts.target:
        anyway = ("sh", "-c", f"{shlex.join(words)} || test -s {shlex.quote(facts.target)}")
        why = "The compiler misses types, and nothing else."
        otherwise.append(Run(anyway, why=(why,), doubtful=True, sign=_TYPES_ONLY))
    return Run(words, candidate.inner, otherwise=tuple(otherwise))


def _build(candidate: Candidate, facts: NodeFacts) -> tuple[Run, ...]:
    if _member(candidate, facts):
        # "..." takes along what the package needs of the workspace, in the right order. It leaves out the root.
        words = ("pnpm", "--filter", "{.}...", "run", facts.script)
        return (script(words, candidate, facts),) if facts.script else ()
    found = [Run((facts.manager, "run", "build"), folder) for folder in facts.first]
    return (*found, *([script((facts.manager, "run", facts.script), candidate, facts)] if facts.script else []))


def _prune(candidate: Candidate, facts: NodeFacts, names: Sequence[str]) -> tuple[Run, ...]:
    # Where the manifests came before the sources they are stripped already.
    again = () if names else (strip((join(candidate.inner, MANIFEST),)),)
    if facts.manager == "yarn" and facts.modern:
        words: tuple[str, ...] = ("yarn", "workspaces", "focus", "--production")
        # The plug-in is built in since version 4 only; larger is better than not at all.
        return (*again, Run(words, candidate.inner, otherwise=(KEPT,)))
    if facts.manager == "yarn":
        words = ("yarn", "install", "--production", "--ignore-scripts", "--prefer-offline", "--non-interactive")
        return (Run(words, otherwise=(Run((*words, "--no-lockfile"), why=(AFRESH,)), KEPT)),)
    if facts.manager == "bun":
        return (CLEAN, *again, Run(("bun", "install", "--production")))
    # pnpm cannot prune a workspace. Once more from its store, for this package and what it needs of the workspace.
    only = ("--filter", "{.}...") if _member(candidate, facts) else ()
    words = ("pnpm", *only, "install", "--prod", "--prefer-offline", *(() if names else ("--ignore-scripts",)))
    afresh = Run((*words, "--no-lockfile"), why=(AFRESH,))
    install = Run((*words, "--frozen-lockfile"), candidate.inner, otherwise=(afresh,))
    return (CLEAN, install)
