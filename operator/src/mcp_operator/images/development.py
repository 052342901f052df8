"""Keep what a Node project names for development only when its server does not start without.

Some name an SDK there, or for those who import them, and bundle it or not: only the server itself can tell.
"""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING

from mcp_operator.images.detect.candidate import NodeFacts, join
from mcp_operator.images.detect.node_start import MANIFEST, mapping
from mcp_operator.images.tree import Tree

if TYPE_CHECKING:
    from mcp_operator.images.plan import Plan

WHY = "it needs {}, which it names for development or for others only: all of those packages are in its image"
"""A warning."""
_MISSING = re.compile(r"Cannot find (?:package|module) '((?:@[\w.-]+/)?[\w.-]+)")


def instead(plan: Plan, said: str) -> tuple[Plan, str] | None:
    """Give the plan that keeps those packages, and the one that was missing; None if that is of no use.

    Args:
        plan: Whose server did not start.
        said: Its last lines.
    """
    facts = plan.candidate.facts
    match = _MISSING.search(said)
    if not match or not isinstance(facts, NodeFacts) or facts.development:
        return None
    manifest = Tree(plan.checkout.root).json(join(plan.candidate.folder, MANIFEST))
    if match[1] not in mapping(manifest, "devDependencies") | mapping(manifest, "peerDependencies"):
        return None
    why = WHY.format(match[1])
    candidate = dataclasses.replace(plan.candidate, facts=dataclasses.replace(facts, development=True))
    other = plan.with_facts(candidate, why)
    return (other, why) if other else None
