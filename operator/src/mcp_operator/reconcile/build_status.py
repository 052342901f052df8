"""What a build comes to in an MCPServer's status: how far it is, how it ended, and the conditions of that. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from mcp_operator import conditions, policies
from mcp_operator.images.contract import BuildError, Step
from mcp_operator.jobs import State
from mcp_operator.models.status import BuildStatus, MCPServerStatus, Revision
from mcp_operator.outcomes import Done, Outcome, Stalled, Waiting
from mcp_operator.status import printable, tail

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from mcp_operator.images.contract import BuildResult
    from mcp_operator.jobs import View

EVIDENCE_LINES = 20
"""Lines of what the detection saw."""
LINE_LENGTH = 200
"""Characters of one such line, of a progress detail, of a server's own name."""
WARNINGS = 10
"""Of a build that went well."""

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
_COUNTER: Final = re.compile(r"step (\d+)/(\d+)\s*:?\s*", re.IGNORECASE)


def begin(status: MCPServerStatus, key: str, revision: str, now: datetime, credentials: str | None = None) -> None:
    """Note that a build of this key was asked for: a new one, another attempt, or the same that was interrupted."""
    last = status.build
    attempts, number = 1, last.number + 1 if last is not None else 1
    if last is not None and last.key == key:
        attempts = last.attempts + 1 if last.failed_step is not None else last.attempts
        number = last.number
    status.build = BuildStatus(
        number=number,
        key=key,
        revision=revision,
        started_at=policies.format_time(now),
        attempts=attempts,
        credentials=credentials,
    )


def follow(status: MCPServerStatus, job: View, now: datetime) -> None:
    """Note how far a build is. Its time runs from when it leaves the queue."""
    build = status.build
    if build is None:
        return
    queued = job.state is State.QUEUED
    if not queued and (build.progress or "").startswith(conditions.QUEUED):
        build.started_at = policies.format_time(now)
    build.progress = f"{conditions.QUEUED} {job.position}" if queued else _progress(job)
    counter = None if queued else _COUNTER.search(job.detail)
    build.step, build.of = (int(counter[1]), int(counter[2])) if counter else (None, None)
    build.detail = None if queued else printable(_COUNTER.sub("", job.detail, count=1), LINE_LENGTH) or None


def succeed(status: MCPServerStatus, key: str, result: BuildResult, now: datetime) -> None:
    """Note that a build has ended well; what it made is not in service by that."""
    began = _begun(status, key, now)
    status.build = BuildStatus(
        number=began.number,
        key=key,
        revision=began.revision,
        started_at=began.started_at,
        finished_at=policies.format_time(now),
        seconds=round(result.seconds),
        warnings=[printable(line, LINE_LENGTH) for line in result.warnings[:WARNINGS]] or None,
        attempts=began.attempts,
    )
    status.detected = [printable(line, LINE_LENGTH) for line in result.evidence[:EVIDENCE_LINES]] or None


def rename(status: MCPServerStatus, key: str) -> None:
    """Give the last build, and the image if that made it, the key that they have now that more is known of it."""
    if status.build is not None:
        held = status.held.image if status.held is not None else None
        for image in (held, status.image):
            if image is not None and image.build_key == status.build.key:
                image.build_key = key
        status.build.key = key


def fail(status: MCPServerStatus, key: str, error: BuildError, now: datetime, besides: str = "") -> None:
    """Note a build's failure, and ``besides`` its hint another one. The image in service stays as it is."""
    began = _begun(status, key, now)
    seconds = int((now - policies.parse_time(began.started_at)).total_seconds())
    status.build = BuildStatus(
        number=began.number,
        key=key,
        revision=began.revision,
        started_at=began.started_at,
        finished_at=policies.format_time(now),
        seconds=max(0, seconds),
        failed_step=error.step.value,
        reason=error.reason,
        message=printable(error.message),
        hint=printable(_sentences(error.hint, besides) if besides else error.hint) or None,
        log_tail=tail(error.log_tail) or None,
        attempts=began.attempts,
        transient=error.transient,
        credentials=began.credentials,
    )


def lose(status: MCPServerStatus, key: str, tools: int, now: datetime) -> None:
    """Note that a build made something that cannot be used: it has more tools than can be kept."""
    error = BuildError(
        conditions.TOO_MANY_TOOLS,
        f"it lists {tools} tools, more than can be kept",
        step=Step.VERIFY,
        hint="Serve fewer tools, or split the server.",
    )
    fail(status, key, error, now)


def outcomes(status: MCPServerStatus, key: str, job: View | None, delay: float | None) -> dict[str, Outcome]:
    """Give the outcome of each step of the build that the spec and the source ask for.

    Args:
        status: With the image in service and the last build.
        key: Of the build that is asked for.
        job: That build, while it is queued or runs.
        delay: Seconds until a failed one is tried again.
    """
    order = order_of(status)
    build = status.build if status.build is not None and status.build.key == key else None
    if job is not None and (build is None or build.finished_at is None):
        return _under_way(job, build, order)
    if build is not None and build.failed_step is not None:
        return _until(Step(build.failed_step), _failure(build, delay), order)
    for made in (status.held, status):
        if made is not None and made.image is not None and made.image.build_key == key:
            return in_service(made, status)
    return {}


def order_of(status: MCPServerStatus) -> tuple[str, ...]:
    """Give the conditions that a server of this kind of source has, in the order of their steps."""
    is_built = status.source_kind not in ("image", "remote")
    return conditions.SERVER_CONDITIONS if is_built else conditions.UNBUILT_CONDITIONS


def _under_way(job: View, build: BuildStatus | None, order: Sequence[str]) -> dict[str, Outcome]:
    """Also of a job that ended a moment ago: its end is written at the next look."""
    if job.state is State.QUEUED:
        return _until(Step.FETCH, Waiting(conditions.QUEUED, _number(job.position), delay=None), order)
    what = (build.progress if build is not None else None) or job.step.value
    is_pulled = job.step is Step.FETCH and order == conditions.UNBUILT_CONDITIONS
    reason = conditions.PULLING if is_pulled else _REASON_OF_STEP[job.step]
    return _until(job.step, Waiting(reason, what, delay=None), order)


def explain(error: BuildError) -> str:
    """Give an error's cause and what to do as one text."""
    return printable(_sentences(error.message, error.hint))


def ready(found: Mapping[str, Outcome], status: MCPServerStatus) -> Outcome | None:
    """Give what ``Ready`` says: that all is well, or the first problem and what goes on meanwhile."""
    problem = next((outcome for outcome in found.values() if isinstance(outcome, Stalled | Waiting)), None)
    if problem is None and all(kind in found for kind in order_of(status)):
        if status.held is not None and status.source is None:
            text = f"nothing is in service, and what was verified awaits approval: {status.held.approve}"
            return Stalled(conditions.CHANGES_HELD, text)
        if status.held is not None:
            text = f"{called(status)} stays in service; another revision awaits approval: see AwaitingApproval"
            return Done(conditions.CHANGES_HELD, text)
        return Done(conditions.SUCCEEDED, f"{status.tool_count} tools")
    if problem is None:
        return None
    if status.source is None:
        return problem
    text = _sentences(problem.message, f"{called(status)} stays in service meanwhile".capitalize())
    return type(problem)(problem.reason, text, delay=problem.delay)


def called(found: Revision) -> str:
    """Say which revision it is, for people."""
    source = found.source
    if source is None:
        return "nothing"
    kind = (source.name or "").partition(":")[0]
    what = {"npm": "version", "pypi": "version", "image": "image", "remote": "tools"}.get(kind, "commit")
    return f"{what} {source.revision}"


def _begun(status: MCPServerStatus, key: str, now: datetime) -> BuildStatus:
    """Give the build of this key as it was noted when it began."""
    if status.build is not None and status.build.key == key:
        return status.build
    return BuildStatus(key=key, started_at=policies.format_time(now))


def in_service(found: Revision, status: MCPServerStatus) -> dict[str, Outcome]:
    """Give the outcomes of the steps that led to a revision which is in service, or could be."""
    image = found.image.reference if found.image is not None else ""
    server = found.protocol.server_info if found.protocol is not None else ""
    every: dict[str, Outcome] = {
        conditions.SOURCE_READY: Done(conditions.SUCCEEDED, called(found)),
        conditions.BUILT: Done(conditions.SUCCEEDED, "; ".join(status.detected or [])[:1000]),
        conditions.VERIFIED: Done(conditions.SUCCEEDED, f"{server} lists {found.tool_count} tools".strip()),
        conditions.PUSHED: Done(conditions.SUCCEEDED, image),
    }
    return {kind: every[kind] for kind in order_of(status)}


def _failure(build: BuildStatus, delay: float | None) -> Outcome:
    text = _sentences(build.message or "", build.hint or "")
    if build.transient:
        return Waiting(build.reason or conditions.INTERNAL_ERROR, f"{text} It is tried again by itself.", delay=delay)
    return Stalled(build.reason or conditions.INTERNAL_ERROR, text)


def _until(step: Step, outcome: Outcome, order: Sequence[str]) -> dict[str, Outcome]:
    """Give the outcomes of a build that came as far as ``step``: what lies before is done."""
    kind = CONDITION_OF_STEP[step]
    reached = order.index(kind) if kind in order else 0  # an image that cannot be pulled is no good source
    earlier: dict[str, Outcome] = {kind: Done(conditions.SUCCEEDED) for kind in order[:reached]}
    return {**earlier, order[reached]: outcome}


def _progress(job: View) -> str:
    counter = _COUNTER.search(job.detail)
    return f"{job.step.value} {counter[1]}/{counter[2]}" if counter else job.step.value


def _number(position: int) -> str:
    return f"number {position} in the queue of builds"


def _sentences(*parts: str) -> str:
    return " ".join(part if part.endswith((".", "!", "?")) else f"{part}." for part in parts if part)
