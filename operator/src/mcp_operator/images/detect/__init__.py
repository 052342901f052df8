"""Which server is in a repository, told before anything is built: small pure detectors over a read-only tree.

A new language is a module with a ``find`` like that of :mod:`~mcp_operator.images.detect.node`, and a line in
``_FINDERS``.
"""

from __future__ import annotations

import dataclasses
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from mcp_operator.images.contract import BuildError, Step
from mcp_operator.images.detect import node, python
from mcp_operator.images.detect.candidate import Candidate, Problem, PythonFacts, Use
from mcp_operator.images.reasons import Reason
from mcp_operator.images.tree import ManifestError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mcp_operator.images.contract import Runtime
    from mcp_operator.images.tree import Tree

_FINDERS = {"node": node.find, "python": python.find}
_MANIFESTS = {"node": (node.MANIFEST,), "python": python.MANIFESTS}

MAX_PROJECTS = 300
"""Folders with a manifest that are examined; a repository with more needs ``path``."""
MAX_LISTED = 20
_ASIDE = frozenset(
    {"test", "tests", "__tests__", "example", "examples", "docs", "doc", "benchmarks", "fixtures", "e2e", "templates"}
)
"""Folders whose projects are not what a repository is for. With ``path`` they can be built all the same."""


def detect(tree: Tree, path: str = ".", runtime: Runtime = "auto", command: Sequence[str] = ()) -> Candidate:
    """Decide what to build.

    Args:
        tree: The repository.
        path: Folder that the user named, normalised. If it is not itself a server, those below it are looked at.
        runtime: Language that the user chose, or auto.
        command: Start command that the user chose; then a project need not look like a server.

    Raises:
        BuildError: Nothing, no server, or several were found, or it cannot be built. The text says what was looked at.
    """
    runtimes = tuple(_FINDERS) if runtime == "auto" else (runtime,)
    chosen = _choose(_candidates(tree, path, runtimes), path, runtimes, command)
    if command:
        return _with_command(chosen, command)
    if chosen.problem:
        raise _problem(chosen, chosen.problem)
    return chosen


def _candidates(tree: Tree, path: str, runtimes: Sequence[str]) -> list[Candidate]:
    """Examine the folder, and those below it if it cannot be what is meant."""
    projects = _projects(tree, runtimes)
    found = _examine(tree, path, runtimes, projects)
    if any(candidate.use >= Use.DEPENDENCY and not candidate.problem for candidate in found):
        return found
    for folder in projects:
        if folder != path and (path == "." or folder.startswith(f"{path}/")):
            found += _examine(tree, folder, runtimes, projects)
    return found


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


def _choose(candidates: list[Candidate], path: str, runtimes: Sequence[str], command: Sequence[str]) -> Candidate:
    if not candidates:
        raise _nothing(path, runtimes)
    servers = _servers(candidates)
    if command and not servers:
        servers = [candidate for candidate in candidates if candidate.folder == path]
    if not servers:
        raise _no_server(candidates)
    if len(servers) > 1:
        raise _several(servers)
    return servers[0]


def _servers(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Give those that are most likely meant."""
    some = [candidate for candidate in candidates if candidate.use >= Use.DEPENDENCY]
    # Where sources make a server, what only depends on an SDK is something else: a client, a library, a test.
    strong = [candidate for candidate in some if candidate.use == Use.SERVER] or some
    # Of several, those that can be started: shared libraries of a monorepo make servers too, but have no command.
    return [candidate for candidate in strong if not candidate.problem] or strong


def _looked_at(candidates: Sequence[Candidate]) -> str:
    return "\n".join(f"{candidate.folder}: {'; '.join(candidate.evidence)}" for candidate in candidates[:MAX_LISTED])


def _nothing(path: str, runtimes: Sequence[str]) -> BuildError:
    names = ", ".join(name for runtime in runtimes for name in _MANIFESTS[runtime])
    where = "the repository" if path == "." else f"folder {path}"
    return BuildError(
        Reason.NOTHING_DETECTED,
        f"{where} has no Node or Python project: looked for {names}",
        step=Step.DETECT,
        hint="Set spec.source.git.path to the server's folder. Other languages are not supported yet.",
    )


def _no_server(candidates: Sequence[Candidate]) -> BuildError:
    folders = ", ".join(sorted({candidate.folder for candidate in candidates})[:MAX_LISTED])
    return BuildError(
        Reason.NOT_AN_MCP_SERVER,
        f"no MCP server found: neither dependencies nor sources of {folders} use an MCP SDK to make a server",
        step=Step.DETECT,
        hint="Check URL and path; if it is a server all the same, set spec.build.command to what starts it.",
        log_tail=_looked_at(candidates),
    )


def _several(candidates: Sequence[Candidate]) -> BuildError:
    folders = sorted({candidate.folder for candidate in candidates})
    if len(folders) == 1:
        return BuildError(
            Reason.SEVERAL_SERVERS,
            f"folder {folders[0]} has a server for each of {', '.join(c.runtime for c in candidates)}",
            step=Step.DETECT,
            hint="Set spec.build.runtime.",
            log_tail=_looked_at(candidates),
        )
    more = f" and {len(folders) - MAX_LISTED} more" if len(folders) > MAX_LISTED else ""
    return BuildError(
        Reason.SEVERAL_SERVERS,
        f"the repository has {len(folders)} MCP servers: {', '.join(folders[:MAX_LISTED])}{more}",
        step=Step.DETECT,
        hint=f"Set spec.source.git.path to one of them, such as {folders[0]}.",
        log_tail=_looked_at(candidates),
    )


def _problem(candidate: Candidate, problem: Problem) -> BuildError:
    return BuildError(
        problem.reason,
        problem.message,
        step=Step.DETECT,
        hint=problem.hint,
        log_tail=_looked_at([candidate]),
    )
