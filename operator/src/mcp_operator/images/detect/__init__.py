"""Which server is in a repository, told before anything is built: small pure detectors over a read-only tree.

A new language is a module with a ``find`` like that of :mod:`~mcp_operator.images.detect.node`, and a line in
``_FINDERS``.
"""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from mcp_operator.images.contract import BuildError, Step
from mcp_operator.images.detect import claims, golang, hints, manifest, node, node_start, own, python, verdicts
from mcp_operator.images.detect.candidate import Candidate, PythonFacts, Use
from mcp_operator.images.reasons import Reason
from mcp_operator.images.tree import ManifestError

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Sequence

    from mcp_operator.images.contract import Runtime
    from mcp_operator.images.tree import Tree

_FINDERS = {"node": node.find, "python": python.find, "go": golang.find, "manifest": manifest.find}
_MANIFESTS = {
    "node": (node_start.MANIFEST,),
    "python": python.MANIFESTS,
    "go": (golang.MANIFEST,),
    "manifest": (manifest.MANIFEST,),
}
_ALSO = {"node": ("manifest",), "python": ("manifest",)}

MAX_PROJECTS = 300
"""Folders with a manifest that are examined; a repository with more needs ``path``."""
_ASIDE = frozenset(
    {"test", "tests", "__tests__", "example", "examples", "docs", "doc", "benchmarks", "fixtures", "e2e", "templates"}
)
"""Folders whose projects are not what a repository is for. With ``path`` they can be built all the same."""


def detect(
    tree: Tree,
    path: str = ".",
    runtime: Runtime = "auto",
    command: Sequence[str] = (),
    dockerfile: str = own.DOCKERFILE,
) -> Candidate:
    """Decide what to build.

    Args:
        tree: The repository.
        path: Folder that the user named, normalised. If it is not itself a server, those below it are looked at.
        runtime: Language that the user chose, or auto.
        command: Start command that the user chose; then a project need not look like a server.
        dockerfile: The repository's own, relative to ``path``: used for the runtime ``dockerfile``, and where nothing
            else is found.

    Raises:
        BuildError: Nothing, no server, or several were found, or it cannot be built. The text says what was looked at.
    """
    if runtime == "dockerfile":
        chosen = own.find(tree, path, dockerfile)
        if not chosen:
            raise verdicts.nothing(path, [dockerfile], runtime)
    else:
        chosen = _find(tree, path, runtime, command, dockerfile)
    if command:
        chosen = _with_command(chosen, command)
    elif chosen.problem:
        raise verdicts.problem(chosen, chosen.problem)
    found, said = hints.gather(tree, chosen)
    if not found.port and not found.transport:
        found = dataclasses.replace(found, port=chosen.hints.port)
    return dataclasses.replace(chosen, hints=found, evidence=(*chosen.evidence, *said))


def _find(tree: Tree, path: str, runtime: Runtime, command: Sequence[str], dockerfile: str) -> Candidate:
    runtimes = tuple(_FINDERS) if runtime == "auto" else (runtime, *_ALSO.get(runtime, ()))
    candidates = _candidates(tree, path, runtimes)
    fallback = own.find(tree, path, dockerfile) if runtime == "auto" else None
    if not candidates and not fallback:
        raise verdicts.nothing(path, _looked_for(runtimes, dockerfile if runtime == "auto" else ""), runtime)
    return _choose(tree, candidates, fallback, path, command)


def _candidates(tree: Tree, path: str, runtimes: Sequence[str]) -> list[Candidate]:
    """Examine the folder, and those below it if it cannot be what is meant."""
    projects = _projects(tree, runtimes)
    found = _examine(tree, path, runtimes, projects)
    if any(candidate.use in (Use.DEPENDENCY, Use.SERVER) and not candidate.problem for candidate in found):
        return found
    below = [folder for folder in projects if folder != path and (path == "." or folder.startswith(f"{path}/"))]
    if not found and not below and "python" in runtimes:
        below = _bare(tree, path)
    for folder in below:
        found += _examine(tree, folder, runtimes, projects)
    return found


def _bare(tree: Tree, path: str) -> list[str]:
    """Give the folders with files of Python where nothing has a manifest: a server may be in one of them."""
    inside = (PurePosixPath(name) for name in tree.below(path) if name.endswith(".py"))
    return _own({str(name.parent) for name in inside} - {path})


def _with_command(candidate: Candidate, command: Sequence[str]) -> Candidate:
    facts = candidate.facts
    if isinstance(facts, PythonFacts):
        facts = dataclasses.replace(facts, sources=True)
    said = (*candidate.evidence, "start command given by spec.build.command")
    return dataclasses.replace(candidate, command=tuple(command), facts=facts, evidence=said)


def _projects(tree: Tree, runtimes: Sequence[str]) -> list[str]:
    """Give the folders with a manifest, shallow ones first."""
    manifests = {name for runtime in runtimes for name in _MANIFESTS[runtime]}
    folders = {str(path.parent) for path in map(PurePosixPath, tree.files) if path.name in manifests}
    return _own(folders)


def _own(folders: Iterable[str]) -> list[str]:
    """Give those that may be what a repository is for, shallow ones first."""
    own = [folder for folder in folders if not _ASIDE & set(PurePosixPath(folder).parts)]
    return sorted(own, key=lambda folder: (len(PurePosixPath(folder).parts), folder))[:MAX_PROJECTS]


def _examine(tree: Tree, folder: str, runtimes: Sequence[str], projects: Sequence[str]) -> list[Candidate]:
    inner = [name for name in projects if name != folder and (folder == "." or name.startswith(f"{folder}/"))]
    try:
        found = [_FINDERS[runtime](tree, folder, inner) for runtime in runtimes]
    except ManifestError as error:
        raise BuildError(
            Reason.INVALID_MANIFEST,
            str(error),
            step=Step.DETECT,
            hint="Repair the file, or give another spec.source.git.path.",
        ) from error
    return [candidate for candidate in found if candidate]


def _looked_for(runtimes: Sequence[str], dockerfile: str) -> list[str]:
    names = itertools.chain.from_iterable(map(_MANIFESTS.__getitem__, runtimes))
    return [*names, *([dockerfile] if dockerfile else [])]


def _choose(
    tree: Tree,
    candidates: list[Candidate],
    fallback: Candidate | None,
    path: str,
    command: Sequence[str],
) -> Candidate:
    every = [*candidates, *([fallback] if fallback else [])]
    if path == "." and not command:
        _check_sdk(candidates)
    servers = _servers(candidates) or _claimed(tree, candidates)
    servers = _or_fallback(servers, fallback, {candidate.folder for candidate in candidates})
    if command:
        servers = servers or [candidate for candidate in every if candidate.folder == path]
    if not servers:
        raise verdicts.no_server(every)
    if len(servers) > 1:
        raise verdicts.several(servers)
    return servers[0]


def _claimed(tree: Tree, candidates: Sequence[Candidate]) -> list[Candidate]:
    """Give those that can be started and are servers by their own account: their SDK may be one we do not know."""
    said = [(candidate, claims.made(tree, candidate.folder)) for candidate in candidates if _starts(candidate)]
    return [
        dataclasses.replace(candidate, evidence=(*candidate.evidence, f"{claim}, though no known SDK is used"))
        for candidate, claim in said
        if claim
    ]


def _or_fallback(servers: list[Candidate], fallback: Candidate | None, known: Container[str]) -> list[Candidate]:
    if not fallback or not _needed(fallback, servers, known):
        return servers
    said = (*fallback.evidence, "nothing else here can be built, so the repository's own Dockerfile is")
    return [dataclasses.replace(fallback, evidence=said)]


def _check_sdk(candidates: Sequence[Candidate]) -> None:
    """Refuse a repository of an SDK: what else is there are its tools, tests and examples."""
    for candidate in candidates:
        if candidate.sdk:
            raise verdicts.sdk(candidate)


def _needed(fallback: Candidate, servers: Sequence[Candidate], known: Container[str]) -> bool:
    """Tell whether the repository's own Dockerfile is what is left: it is not the safe default.

    Args:
        fallback: What it makes.
        servers: Found otherwise.
        known: Folders with a project in a language whose servers are recognised.
    """
    if not servers:
        # A README speaks of MCP also where a client or a framework is made.
        return fallback.use == Use.SERVER or (fallback.use == Use.DEPENDENCY and fallback.folder not in known)
    # Of a repository of several servers it builds one, or something else.
    stuck = servers[0].problem and servers[0].folder == fallback.folder
    return bool(stuck) and len(servers) == 1 and not fallback.problem


def _starts(candidate: Candidate) -> bool:
    """Tell whether a server can be started, be it that only its user knows by which of its commands."""
    return not candidate.problem or candidate.problem.reason == Reason.AMBIGUOUS_START_COMMAND


def _servers(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Give those that are most likely meant."""
    some = [candidate for candidate in candidates if candidate.use >= Use.DEPENDENCY]
    # Where sources make a server, what only depends on an SDK is something else: a client, a library, a test.
    strong = [candidate for candidate in some if candidate.use == max(each.use for each in some)]
    # Of several, those that can be started: shared libraries of a monorepo make servers too, but have no command.
    strong = [candidate for candidate in strong if _starts(candidate)] or strong
    # And those that name a command: the main file of a package is what others import from it.
    return [candidate for candidate in strong if not candidate.library] or strong
