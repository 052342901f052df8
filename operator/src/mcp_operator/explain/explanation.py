"""What every layer says of every tool of an agent, and what comes of it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from mcp_operator.reconcile import agent_tools, agent_warnings
from toolman import policy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from toolman.policy import Layer

    from mcp_operator.explain.gather import Gathered
    from mcp_operator.reconcile.agent_tools import Verdict

Opinion = Literal["allows", "denies", "does not list", "says nothing"]
"""What a layer says of one tool; ``says nothing``: it is not about the tool's server."""

_OPINIONS: Final[dict[policy.Reason, Opinion]] = {
    "Allowed": "allows",
    "Denied": "denies",
    "NotListed": "does not list",
    "NoLayer": "says nothing",
}
_AS_WRITTEN: Final = dict(zip(policy.Limits.__struct_fields__, policy.Limits.__struct_encode_fields__, strict=True))
"""Names of limits as a ToolPolicy has them."""
UNKNOWN: Final = "Unknown"
"""Reason of a tool that no server is known to have."""
NO_SERVER: Final = "NoSuchServer"
"""Reason of a tool of a server that the agent does not name."""


@dataclass(frozen=True, kw_only=True)
class Author:
    """Who has layers: a policy, a server's owner, an agent's owner, the installation.

    Attributes:
        source: Its name, such as ``ToolPolicy/base``.
        enforcement: ``enforce`` or ``audit``.
    """

    source: str
    enforcement: policy.Enforcement


@dataclass(frozen=True, kw_only=True)
class Row:
    """One tool.

    Attributes:
        verdict: What comes of all layers together.
        opinions: What each author says, in the order of the authors.
    """

    verdict: Verdict
    opinions: tuple[Opinion, ...]


@dataclass(frozen=True, kw_only=True)
class Bound:
    """The tightest limit of one kind on one server, and who sets it."""

    server: str
    limit: str
    value: float
    by: str


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """All of it.

    Attributes:
        name: ``namespace/name`` of the agent.
        authors: In the order in which they are named when they object.
        rows: Its tools, in the order of its servers and of their lists.
        bounds: Its limits.
        problems: Servers that give it nothing, each with why.
        warnings: What its owner hardly means.
        notes: Where this comes from.
    """

    name: str
    authors: tuple[Author, ...]
    rows: tuple[Row, ...]
    bounds: tuple[Bound, ...]
    problems: tuple[str, ...]
    warnings: tuple[str, ...]
    notes: tuple[str, ...]

    def document(self) -> dict[str, Any]:
        """Give it for programs."""
        namespace, _, name = self.name.partition("/")
        return {
            "agent": {"namespace": namespace, "name": name},
            "layers": [{"source": each.source, "enforcement": each.enforcement} for each in self.authors],
            "tools": [self._tool(row) for row in self.rows],
            "limits": [
                {"server": each.server, "limit": each.limit, "value": each.value, "by": each.by} for each in self.bounds
            ],
            "problems": list(self.problems),
            "warnings": list(self.warnings),
            "notes": list(self.notes),
        }

    def _tool(self, row: Row) -> dict[str, Any]:
        verdict = row.verdict
        return {
            "server": verdict.server,
            "tool": verdict.tool,
            "name": verdict.name,
            "visible": verdict.is_visible,
            "reason": verdict.reason or "Allowed",
            "by": verdict.by,
            "wouldDeny": list(verdict.would_deny),
            "tokens": verdict.tokens,
            "layers": {author.source: opinion for author, opinion in zip(self.authors, row.opinions, strict=True)},
        }


def explain(found: Gathered, tool: str = "") -> Explanation:
    """Explain an agent.

    Args:
        found: What was read of it.
        tool: ``server/tool``, to be told of this one alone; it need not exist.
    """
    authors = tuple(
        Author(source=source, enforcement=enforcement)
        for source, enforcement in dict.fromkeys((layer.source, layer.enforcement) for layer in found.layers)
    )
    verdicts, _ = agent_tools.sight(found.agent, found.servers, found.layers)
    if tool:
        verdicts = [each for each in verdicts if f"{each.server}/{each.tool}" == tool] or [_unknown(found, tool)]
    return Explanation(
        name=f"{found.agent.namespace}/{found.agent.name}",
        authors=authors,
        rows=tuple(
            Row(verdict=each, opinions=tuple(_opinion(author, found.layers, each) for author in authors))
            for each in verdicts
        ),
        bounds=_bounds(found, tool.partition("/")[0]),
        problems=tuple(f"{server.name}: {server.problem}" for server in found.servers if server.problem),
        warnings=tuple(agent_warnings.warnings(found.agent, found.servers, found.layers)),
        notes=tuple(found.notes),
    )


def _opinion(author: Author, layers: Sequence[Layer], verdict: Verdict) -> Opinion:
    own = [msgspec.structs.replace(layer, enforcement="enforce") for layer in layers if layer.source == author.source]
    return _OPINIONS[policy.decide(own, verdict.server, "tools", verdict.tool).reason]


def _unknown(found: Gathered, tool: str) -> Verdict:
    """Decide on a tool that no server is known to have: a server that is not ready may have it."""
    server, _, name = tool.partition("/")
    decision = policy.decide(found.layers, server, "tools", name)
    reason = UNKNOWN if decision.allowed else str(decision.reason)
    if server not in {each.name for each in found.servers}:
        reason = NO_SERVER
    return agent_tools.Verdict(
        server=server,
        tool=name,
        name="",
        tokens=0,
        by=decision.source,
        reason=reason,
        would_deny=decision.would_deny,
    )


def _bounds(found: Gathered, only: str) -> tuple[Bound, ...]:
    return tuple(
        Bound(server=server.name, limit=_AS_WRITTEN[limit], value=value, by=source)
        for server in found.servers
        if only in ("", server.name)
        for limit, (value, source) in policy.tightest(found.layers, server.name).items()
    )
