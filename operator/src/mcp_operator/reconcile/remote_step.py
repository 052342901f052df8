"""From what a remote server said to an endpoint in service. Nothing is built: agents' toolman connects to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mcp_operator import conditions
from mcp_operator.outcomes import Outcome, Problem, Stalled
from mcp_operator.reconcile import build_status, in_service, manifests_store
from mcp_operator.reconcile.progress import Progress

if TYPE_CHECKING:
    from mcp_operator.images.http_probe import Found
    from mcp_operator.reconcile.lookups import Answer
    from mcp_operator.reconcile.progress import Subject
    from mcp_operator.reconcile.promotion import Promotion

FORBIDDEN: Final = frozenset({conditions.ADDRESS_REFUSED, conditions.SOURCE_NOT_ALLOWED})
"""Reasons for which nobody may connect any more; others leave it to toolman to come back to the server."""


class RemoteStep:
    """Sees to servers that run elsewhere."""

    def __init__(self, promotion: Promotion) -> None:
        self._promotion = promotion

    def advance(self, subject: Subject, answer: Answer) -> Progress:
        """Go on with a server that has answered.

        Raises:
            Problem: The list of its tools cannot be kept.
        """
        after = subject.after
        self._promotion.review(subject.raw, subject.server, after)
        if answer.greeting is not None:
            self._offer(subject, answer.greeting)
        if after.endpoint is not None:
            after.endpoint.inside = answer.inside or None
        outcomes = build_status.in_service(after.held or after, after)
        return Progress(outcomes, build_status.ready(outcomes, after))

    def without_answer(self, subject: Subject, problem: Problem) -> Progress:
        """Go on without an answer: what is known stays, unless nobody may connect any more."""
        if problem.reason in FORBIDDEN:
            in_service.take_out(subject.after)
        is_there = problem.reason == conditions.REMOTE_REFUSED
        done = build_status.in_service(subject.after, subject.after)[conditions.SOURCE_READY]
        kind = conditions.VERIFIED if is_there else conditions.SOURCE_READY
        outcomes: dict[str, Outcome] = {conditions.SOURCE_READY: done, kind: problem} if is_there else {kind: problem}
        return Progress(outcomes, build_status.ready(outcomes, subject.after), problem.delay)

    def _offer(self, subject: Subject, greeting: Found) -> None:
        """Put what it offers into service, or let it wait, where that is not what is known of it."""
        after, server, tools = subject.after, subject.server, greeting.manifest.tools
        found = in_service.greeted(greeting, server.spec)
        offered = in_service.identity(found)
        if after.held is not None and in_service.identity(after.held) != offered:
            after.held = None  # it offers something else by now
        if after.held is not None or (in_service.identity(after) == offered and not self._differs(subject)):
            return
        try:
            self._promotion.offer(subject.raw, server, after, found, tools)
        except manifests_store.TooManyToolsError:
            text = f"it lists {len(tools)} tools, more than can be kept"
            raise Stalled(conditions.TOO_MANY_TOOLS, text) from None

    def _differs(self, subject: Subject) -> bool:
        """Tell whether the endpoint in service is not the one asked for, or the list of its tools is lost."""
        after, remote = subject.after, subject.server.spec.source.remote
        endpoint = after.endpoint
        if remote is None or endpoint is None:
            return True
        wanted = (remote.url, remote.transport)
        return (endpoint.url, endpoint.transport) != wanted or not self._promotion.knows(subject.server, after)
