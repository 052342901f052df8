"""What a build comes to in an MCPServer's status. Pure: from a job or an earlier status to fields and conditions."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from mcp_operator import conditions, policies
from mcp_operator.images.contract import Step
from mcp_operator.jobs import State
from mcp_operator.models.status import (
    SERVER_TOOLS,
    BuildStatus,
    ImageStatus,
    MCPServerStatus,
    ProtocolStatus,
    SourceStatus,
    ToolStatus,
)
from mcp_operator.outcomes import Done, Outcome, Stalled, Waiting
from mcp_operator.status import printable, tail

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from mcp_operator.images.contract import BuildError, BuildResult
    from mcp_operator.jobs import View

EVIDENCE_LINES = 20
"""Lines of what the detection saw."""
LINE_LENGTH = 200
"""Characters of one such line, of a progress detail, of a server's own name."""
NAME_LENGTH = 128
"""Characters of a tool's name that is listed; longer ones are only counted."""

CONDITION_OF_STEP: Final = {
    Step.FETCH: conditions.SOURCE_READY,
    Step.DETECT: conditions.BUILT,
    Step.BUILD: conditions.BUILT,
    Step.VERIFY: conditions.VERIFIED,
    Step.PUSH: conditions.PUSHED,
}
_REASON_OF_STEP: Final = {
    Step.FETCH: conditions.FETCHING,
    Step.DETECT: conditions.BUILDING,
    Step.BUILD: conditions.BUILDING,
    Step.VERIFY: conditions.VERIFYING,
    Step.PUSH: conditions.PUSHING,
}
UNDER_WAY: Final = frozenset({conditions.QUEUED, *_REASON_OF_STEP.values()})
"""Reasons while a build has not ended."""
_COUNTER: Final = re.compile(r"step (\d+)/(\d+)\s*:?\s*", re.IGNORECASE)


def begin(status: MCPServerStatus, key: str, commit: str, now: datetime) -> None:
    """Note that a build of this key was asked for: a new one, another attempt, or the same that was interrupted."""
    last = status.build
    attempts = 1
    if last is not None and last.key == key:
        attempts = last.attempts + 1 if last.failed_step is not None else last.attempts
    status.build = BuildStatus(key=key, commit=commit, started_at=policies.format_time(now), attempts=attempts)


def follow(status: MCPServerStatus, job: View, now: datetime) -> None:
    """Note how far a build is. Its time runs from when it leaves the queue."""
    build = status.build
    if build is None:
        return
    queued = job.state is State.QUEUED
    if not queued and (build.progress or "").startswith(conditions.QUEUED):
        build.started_at = policies.format_time(now)
    build.progress = f"{conditions.QUEUED} {job.position}" if queued else _progress(job)
    build.detail = None if queued else printable(_COUNTER.sub("", job.detail, count=1), LINE_LENGTH) or None


def end(status: MCPServerStatus, job: View, now: datetime) -> None:
    """Note what a job that has ended came to."""
    if job.result is not None:
        succeed(status, job.key, job.result, now)
    elif job.error is not None:
        fail(status, job.key, job.error, now)


def succeed(status: MCPServerStatus, key: str, result: BuildResult, now: datetime) -> None:
    """Put a build's image into service."""
    began = _begun(status, key, now)
    status.build = BuildStatus(
        key=key,
        commit=began.commit,
        started_at=began.started_at,
        finished_at=policies.format_time(now),
        seconds=round(result.seconds),
        attempts=began.attempts,
    )
    status.source = SourceStatus(commit=result.commit)
    status.image = ImageStatus(
        reference=result.reference,
        id=result.image_id,
        size=result.size,
        command=list(result.command),
        working_dir=result.working_dir,
        build_key=key,
        bases=dict(result.bases),
    )
    server_info = printable(result.server_name, LINE_LENGTH)
    status.protocol = ProtocolStatus(version=result.protocol_version, transport="stdio", server_info=server_info)
    status.detected = [printable(line, LINE_LENGTH) for line in result.evidence[:EVIDENCE_LINES]]
    status.tool_count = len(result.tools)
    listed = [tool for tool in result.tools if len(tool.name) <= NAME_LENGTH and tool.name.isprintable()]
    status.tools = [ToolStatus(name=tool.name, hash=tool.hash) for tool in listed[:SERVER_TOOLS]]


def rename(status: MCPServerStatus, key: str) -> None:
    """Give the last build, and the image if that made it, the key that they have now that more is known of it."""
    if status.build is not None:
        if status.image is not None and status.image.build_key == status.build.key:
            status.image.build_key = key
        status.build.key = key


def fail(status: MCPServerStatus, key: str, error: BuildError, now: datetime) -> None:
    """Note a build's failure. The image in service stays as it is."""
    began = _begun(status, key, now)
    seconds = int((now - policies.parse_time(began.started_at)).total_seconds())
    status.build = BuildStatus(
        key=key,
        commit=began.commit,
        started_at=began.started_at,
        finished_at=policies.format_time(now),
        seconds=max(0, seconds),
        failed_step=error.step.value,
        reason=error.reason,
        message=printable(error.message),
        hint=printable(error.hint) or None,
        log_tail=tail(error.log_tail) or None,
        attempts=began.attempts,
        transient=error.transient,
    )


def outcomes(status: MCPServerStatus, key: str, job: View | None, delay: float | None) -> dict[str, Outcome]:
    """Give the outcome of each step of the build that the spec and the source ask for.

    Args:
        status: With the image in service and the last build.
        key: Of the build that is asked for.
        job: That build, while it is queued or runs.
        delay: Seconds until a failed one is tried again.
    """
    build = status.build if status.build is not None and status.build.key == key else None
    if job is not None and (build is None or build.finished_at is None):
        return _under_way(job, build)
    if build is not None and build.failed_step is not None:
        return _until(Step(build.failed_step), _failure(build, delay))
    if status.image is not None and status.image.build_key == key:
        return in_service(status)
    return {}


def _under_way(job: View, build: BuildStatus | None) -> dict[str, Outcome]:
    """Also of a job that ended a moment ago: its end is written at the next look."""
    if job.state is State.QUEUED:
        return _until(Step.FETCH, Waiting(conditions.QUEUED, _number(job.position), delay=None))
    what = (build.progress if build is not None else None) or job.step.value
    return _until(job.step, Waiting(_REASON_OF_STEP[job.step], what, delay=None))


def explain(error: BuildError) -> str:
    """Give an error's cause and what to do as one text."""
    return printable(_sentences(error.message, error.hint))


def ready(found: Mapping[str, Outcome], status: MCPServerStatus) -> Outcome | None:
    """Give what ``Ready`` says: that all is well, or the first problem and what goes on meanwhile."""
    problem = next((outcome for outcome in found.values() if isinstance(outcome, Stalled | Waiting)), None)
    if problem is None and all(kind in found for kind in conditions.SERVER_CONDITIONS):
        return Done(conditions.SUCCEEDED, f"{status.tool_count} tools")
    if problem is None:
        return None
    if status.image is None or status.source is None:
        return problem
    text = _sentences(problem.message, f"Commit {status.source.commit} stays in service meanwhile")
    return type(problem)(problem.reason, text, delay=problem.delay)


def _begun(status: MCPServerStatus, key: str, now: datetime) -> BuildStatus:
    """Give the build of this key as it was noted when it began."""
    if status.build is not None and status.build.key == key:
        return status.build
    return BuildStatus(key=key, started_at=policies.format_time(now))


def in_service(status: MCPServerStatus) -> dict[str, Outcome]:
    """Give the outcomes of the steps that put the image into service."""
    commit = status.source.commit if status.source is not None else ""
    image = status.image.reference if status.image is not None else ""
    server = status.protocol.server_info if status.protocol is not None else ""
    return {
        conditions.SOURCE_READY: Done(conditions.SUCCEEDED, f"commit {commit}"),
        conditions.BUILT: Done(conditions.SUCCEEDED, "; ".join(status.detected or [])[:1000]),
        conditions.VERIFIED: Done(conditions.SUCCEEDED, f"{server} lists {status.tool_count} tools"),
        conditions.PUSHED: Done(conditions.SUCCEEDED, image),
    }


def _failure(build: BuildStatus, delay: float | None) -> Outcome:
    text = _sentences(build.message or "", build.hint or "")
    if build.transient:
        return Waiting(build.reason or conditions.INTERNAL_ERROR, f"{text} It is tried again by itself.", delay=delay)
    return Stalled(build.reason or conditions.INTERNAL_ERROR, text)


def _until(step: Step, outcome: Outcome) -> dict[str, Outcome]:
    """Give the outcomes of a build that came as far as ``step``: what lies before is done."""
    reached = conditions.SERVER_CONDITIONS.index(CONDITION_OF_STEP[step])
    earlier: dict[str, Outcome] = {kind: Done(conditions.SUCCEEDED) for kind in conditions.SERVER_CONDITIONS[:reached]}
    return {**earlier, conditions.SERVER_CONDITIONS[reached]: outcome}


def _progress(job: View) -> str:
    counter = _COUNTER.search(job.detail)
    return f"{job.step.value} {counter[1]}/{counter[2]}" if counter else job.step.value


def _number(position: int) -> str:
    return f"number {position} in the queue of builds"


def _sentences(*parts: str) -> str:
    return " ".join(part if part.endswith((".", "!", "?")) else f"{part}." for part in parts if part)
