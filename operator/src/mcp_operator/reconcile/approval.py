"""Whether a server's new tools need somebody's approval, and what differs. Pure."""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Final, NamedTuple

from mcp_operator import names
from mcp_operator.models.status import LISTED_TOOLS, HeldStatus
from mcp_operator.status import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mcp_operator.images.contract import Tool
    from mcp_operator.models.status import Revision

NAMED: Final = 5
"""Tools of each sort that a message names; the status lists more."""
NAME_LENGTH: Final = 64
"""Characters of a tool's name in a message."""
_PLAIN: Final = re.compile(r"[\w./:-]+")


class Difference(NamedTuple):
    """Names of tools, each in the order of the revision that has it."""

    added: list[str]
    removed: list[str]
    changed: list[str]

    def __str__(self) -> str:
        sorts = (("added", self.added), ("removed", self.removed), ("changed", self.changed))
        return "; ".join(f"{len(found)} {what} ({_named(found)})" for what, found in sorts if found) or "their order"


def tools_hash(tools: Sequence[Tool]) -> str:
    """Hash what approval is about: which tools there are and how each is defined, in whatever order.

    All of SHA-256: whoever writes the server chooses both what is approved and what would be slipped in.
    """
    pairs = sorted((tool.name, tool.hash) for tool in tools)
    return hashlib.sha256(json.dumps(pairs).encode()).hexdigest()


def difference(before: Sequence[Tool], after: Sequence[Tool]) -> Difference:
    """Say what differs between the tools in service and others."""
    earlier = {tool.name: tool.hash for tool in before}
    later = {tool.name: tool.hash for tool in after}
    return Difference(
        added=[name for name in later if name not in earlier],
        removed=[name for name in earlier if name not in later],
        changed=[name for name in later if name in earlier and earlier[name] != later[name]],
    )


def is_needed(changes: str, in_service: str | None, found: str | None, approved: str) -> bool:
    """Tell whether a revision must wait.

    Args:
        changes: ``spec.tools.changes``.
        in_service: Hash of the tools in service; None when there are none: then there is nothing to fall back to.
        found: Hash of the revision's tools.
        approved: What the annotation names.
    """
    return changes == "Manual" and in_service is not None and found not in (in_service, approved)


def hold(found: Revision, before: Sequence[Tool], after: Sequence[Tool], place: tuple[str, str]) -> HeldStatus:
    """Describe a revision that waits.

    Args:
        found: The revision.
        before: Tools in service.
        after: Tools of the revision.
        place: Namespace and name of the MCPServer.
    """
    differs = difference(before, after)
    return HeldStatus(
        **dict(found),
        added=_listed(differs.added),
        removed=_listed(differs.removed),
        changed=_listed(differs.changed),
        approve=command(place, found.tools_hash or ""),
    )


def command(place: tuple[str, str], tools: str) -> str:
    """Give the command that approves tools."""
    namespace, name = place
    return f"kubectl annotate mcps {name} -n {namespace} --overwrite {names.ANNOTATION_APPROVE}={tools}"


def message(held: HeldStatus, approved: str) -> str:
    """Say what waits, what differs, and what to do; also that an approval is of something else."""
    differs = Difference(held.added, held.removed, held.changed)
    other = f" The annotation approves {printable(approved, 16)}, which is not what waits." if approved else ""
    revision = held.source.revision[:40] if held.source is not None else ""
    return f"{revision} has other tools than what is in service: {differs}.{other} To approve it: {held.approve}"


def _named(tools: Sequence[str]) -> str:
    more = ", ..." if len(tools) > NAMED else ""
    return ", ".join(_quoted(printable(name, NAME_LENGTH)) for name in tools[:NAMED]) + more


def _quoted(name: str) -> str:
    """Leave no doubt where a name ends: it may read as if it were a part of what we say."""
    return name if _PLAIN.fullmatch(name) else json.dumps(name, ensure_ascii=False)


def _listed(tools: Sequence[str]) -> list[str]:
    return [printable(name, NAME_LENGTH) for name in tools[:LISTED_TOOLS]]
