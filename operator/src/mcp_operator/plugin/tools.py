"""``tools``: what an agent sees and what that costs a model, and who denies the rest."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from mcp_operator.explain import explanation, gather, tables

if TYPE_CHECKING:
    import argparse

    from mcp_operator.explain.explanation import Explanation
    from mcp_operator.plugin.person import Person


def run(given: argparse.Namespace, asking: Person) -> str:
    """Give what is to be printed."""
    found = explanation.explain(gather.agent(asking.api, asking.namespace, given.agent))
    if given.output == "json":
        return json.dumps(found.document(), indent=2) + "\n"
    return text(found)


def text(found: Explanation, *, rich: bool | None = None) -> str:
    """Give the tools as tables."""
    verdicts = [row.verdict for row in found.rows]
    seen = [verdict for verdict in verdicts if verdict.is_visible]
    tokens, all_tokens = (sum(each.tokens for each in some) for some in (seen, verdicts))
    parts = [
        f"MCPAgent {found.name} sees {len(seen)} of {len(verdicts)} tools, about {tokens} of {all_tokens} tokens\n",
        tables.table(
            ("TOOL", "SERVER", "TOKENS", "WOULD BE DENIED BY"),
            [(each.name, each.server, str(each.tokens), ", ".join(each.would_deny)) for each in seen],
            rich=rich,
        ),
        tables.table(
            ("NOT GIVEN", "WHY", "BY"),
            [(f"{each.server}/{each.tool}", each.reason, each.by) for each in verdicts if not each.is_visible],
            rich=rich,
        ),
        "".join(f"no tools of {problem}\n" for problem in found.problems),
    ]
    return "\n".join(part for part in parts if part)
