"""What detection says when there is not exactly one server to build: with what was looked at, and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mcp_operator.images.contract import BuildError, Step
from mcp_operator.images.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mcp_operator.images.contract import Runtime
    from mcp_operator.images.detect.candidate import Candidate, Problem

MAX_LISTED = 20


def _looked_at(candidates: Sequence[Candidate]) -> str:
    return "\n".join(f"{candidate.folder}: {'; '.join(candidate.evidence)}" for candidate in candidates[:MAX_LISTED])


def nothing(path: str, names: Sequence[str], runtime: Runtime = "auto") -> BuildError:
    """Nothing there is known, or nothing of the language that was chosen."""
    where = "the repository" if path == "." else f"folder {path}"
    what, hint = "Node, Python or Go project and no Dockerfile", "Other languages need a Dockerfile."
    if runtime != "auto":
        what = "Dockerfile of that name" if runtime == "dockerfile" else f"project for the runtime {runtime}"
        hint = "Or leave spec.build.runtime out, so that the language is found out."
    return BuildError(
        Reason.NOTHING_DETECTED,
        f"{where} has no {what}: looked for {', '.join(dict.fromkeys(names))}",
        step=Step.DETECT,
        hint=f"Set spec.source.git.path to the server's folder. {hint}",
    )


def no_server(candidates: Sequence[Candidate]) -> BuildError:
    """There are projects, but none makes a server."""
    folders = ", ".join(sorted({candidate.folder for candidate in candidates})[:MAX_LISTED])
    return BuildError(
        Reason.NOT_AN_MCP_SERVER,
        f"no MCP server found: neither dependencies nor sources of {folders} use an MCP SDK to make a server",
        step=Step.DETECT,
        hint="Check URL and path; if it is a server all the same, set spec.build.command to what starts it.",
        log_tail=_looked_at(candidates),
    )


def sdk(candidate: Candidate) -> BuildError:
    """It is what servers are made with."""
    return BuildError(
        Reason.NOT_AN_MCP_SERVER,
        f"no MCP server but an SDK: {candidate.folder} is {candidate.name}, with which others make servers",
        step=Step.DETECT,
        hint="Give the repository of a server; for an example in this one, set spec.source.git.path to its folder.",
        log_tail=_looked_at([candidate]),
    )


def several(candidates: Sequence[Candidate]) -> BuildError:
    """One must be chosen."""
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


def problem(candidate: Candidate, problem: Problem) -> BuildError:
    """It was found, and cannot be built."""
    return BuildError(
        problem.reason,
        problem.message,
        step=Step.DETECT,
        hint=problem.hint,
        log_tail=_looked_at([candidate]),
    )
