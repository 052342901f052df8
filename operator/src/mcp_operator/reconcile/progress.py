"""What is looked at and what comes of it: the two things that the steps of an MCPServer hand on."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mcp_operator.outcomes import Done, Outcome, Problem
from mcp_operator.reconcile.services import sooner

if TYPE_CHECKING:
    from mcp_operator.cluster import Manifest
    from mcp_operator.models.server import MCPServerSpec
    from mcp_operator.models.status import MCPServerStatus
    from mcp_operator.objects import Resource
    from mcp_operator.workqueue import Key


class Subject(NamedTuple):
    """One server at one look: its key, as stored, as read, its status as it is to become, and whether it was asked for.

    ``asked``: somebody has set another value of the annotation for that.
    """

    key: Key
    raw: Manifest
    server: Resource[MCPServerSpec]
    after: MCPServerStatus
    asked: bool


class Progress(NamedTuple):
    """What a look came to: outcomes by condition, what ``Ready`` says, seconds until the next look."""

    found: dict[str, Outcome]
    ready: Outcome | None
    delay: float | None = None

    def beside(self, kind: str, outcome: Outcome) -> Progress:
        """Add what came of something beside the steps; a problem is what ``Ready`` says where they have none."""
        ready, delay = self.ready, self.delay
        if isinstance(outcome, Problem):
            delay = sooner(delay, outcome.delay)
            ready = outcome if isinstance(ready, Done) else ready
        return Progress({**self.found, kind: outcome}, ready, delay)
