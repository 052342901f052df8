"""What an MCPServer says of itself when all steps are done: conditions, and one phrase for ``kubectl get``. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mcp_operator import conditions
from mcp_operator.outcomes import Done
from mcp_operator.reconcile import approval, build_status, promotion
from mcp_operator.status import SUMMARY_LENGTH, phrase, printable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mcp_operator.models.server import MCPServerSpec
    from mcp_operator.models.status import Condition, MCPServerStatus
    from mcp_operator.objects import Resource
    from mcp_operator.reconcile.progress import Progress

_BESIDE: Final = (conditions.INPUTS_READY, conditions.AVAILABLE, conditions.AGENT_APPLIED)
"""Conditions of those servers that have what they are about."""


def conclude(
    before: MCPServerStatus, after: MCPServerStatus, progress: Progress, notes: Mapping[str, Done], now: str
) -> None:
    """Write conditions and phrase into a status.

    Args:
        before: As it was.
        after: As it is to become, all else being in it.
        progress: What the steps came to.
        notes: Conditions that are there while they are true, such as a warning.
        now: RFC 3339.
    """
    generation = after.observed_generation or 1
    after.conditions = conditions.summarise(
        before.conditions,
        progress.found,
        order=(*build_status.order_of(after), *(kind for kind in _BESIDE if kind in progress.found)),
        generation=generation,
        now=now,
        ready=progress.ready,
    )
    after.conditions += [
        conditions.noted(before.conditions, kind, outcome, generation=generation, now=now)
        for kind, outcome in notes.items()
    ]
    after.summary = summary(after)


def notes(server: Resource[MCPServerSpec] | None, after: MCPServerStatus, drift: str) -> dict[str, Done]:
    """Give what is to be noted of a server.

    Args:
        server: None where its spec cannot be read.
        after: Its status.
        drift: How what toolman sees differs from what was verified; empty if it does not.
    """
    found = {}
    if server is not None and after.held is not None:
        text = approval.message(after.held, promotion.approved(server))
        found[conditions.AWAITING_APPROVAL] = Done(conditions.CHANGES_HELD, text)
    if drift:
        found[conditions.TOOLS_DRIFTED] = Done(conditions.TOOLS_DIFFER, printable(drift))
    return found


def summary(after: MCPServerStatus) -> str:
    """Give one phrase for ``kubectl get``."""
    ready = conditions.find(after.conditions, conditions.READY)
    if ready is None:
        return ""
    build, progress = after.build, _progress(after, ready)
    if ready.status == "True":
        besides = progress or ("new tools await approval" if after.held is not None else "")
        text = f"Ready, {besides}" if besides else "Ready"
    elif progress:
        text = progress
    elif build is not None and build.failed_step is not None and build.reason == ready.reason:
        text = f"{build.failed_step} failed: {ready.reason}"
    else:
        return phrase(ready.reason, ready.message)
    return text[:SUMMARY_LENGTH]


def _progress(after: MCPServerStatus, ready: Condition) -> str:
    """Say how far the build is that ``Ready`` speaks of; empty where it speaks of none."""
    if ready.reason not in conditions.UNDER_WAY:
        return ""
    return (after.build.progress if after.build is not None else None) or ready.reason


def for_agents(current: MCPServerStatus) -> tuple[object, ...]:
    """Give what agents depend on of a server's status."""
    ready = conditions.find(current.conditions, conditions.READY)
    verdict = (ready.status, ready.reason) if ready is not None else None
    return (current.image, current.endpoint, current.protocol, current.tools_hash, current.tool_count, verdict)
