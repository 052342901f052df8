"""``explain``: what every layer says of an agent's tools, and what comes of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from mcp_operator.explain import explanation, gather, tables

if TYPE_CHECKING:
    import argparse

    from mcp_operator.plugin.person import Person


def run(given: argparse.Namespace, asking: Person) -> str:
    """Give what is to be printed."""
    found = explanation.explain(gather.agent(asking.api, asking.namespace, given.agent), given.tool or "")
    if given.output == "json":
        return json.dumps(found.document(), indent=2) + "\n"
    return tables.explanation(found)
