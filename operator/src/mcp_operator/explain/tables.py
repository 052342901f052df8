"""Tables and texts for people: with rich on a terminal where it is installed, otherwise plain."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING, Final

from mcp_operator.status import printable

try:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text
except ImportError:  # the extra "cli"
    HAS_RICH = False
else:
    HAS_RICH = True

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mcp_operator.explain.explanation import Explanation, Opinion

CELL: Final = 600
"""Characters of a cell: names and messages may be a stranger's. What to do stands at a message's end."""
_SHORT: Final[dict[Opinion, str]] = {
    "allows": "allows",
    "denies": "DENIES",
    "does not list": "NOT LISTED",
    "says nothing": "-",
}
_COLOURS: Final = {"yes": "green", "NO": "red", "DENIES": "red", "NOT LISTED": "red", "True": "green", "False": "red"}


def table(headers: Sequence[str], rows: Sequence[Sequence[str]], *, rich: bool | None = None) -> str:
    """Give a table; nothing for no rows.

    Args:
        headers: Of the columns.
        rows: Their cells; what is not printable in them is left out.
        rich: Whether to draw it with rich; by default where that is installed and stdout is a terminal.
    """
    if not rows:
        return ""
    cells = [[printable(cell, CELL) for cell in row] for row in rows]
    if HAS_RICH and (sys.stdout.isatty() if rich is None else rich):
        return _rich(headers, cells)
    return _plain(headers, cells)


def explanation(found: Explanation, *, rich: bool | None = None) -> str:
    """Give an explanation as tables: what comes of it, what each layer says, limits and remarks."""
    headers = ["TOOL", "SEEN AS", "GETS IT", "WHY", *(_title(each.source, each.enforcement) for each in found.authors)]
    rows = [
        [
            f"{row.verdict.server}/{row.verdict.tool}",
            row.verdict.name if row.verdict.is_visible else "-",
            "yes" if row.verdict.is_visible else "NO",
            f"{row.verdict.reason} {row.verdict.by}".strip() or "Allowed",
            *(_SHORT[opinion] for opinion in row.opinions),
        ]
        for row in found.rows
    ]
    visible = sum(row.verdict.is_visible for row in found.rows)
    parts = [
        f"MCPAgent {found.name}: {visible} of {len(found.rows)} tools\n",
        table(headers, rows, rich=rich),
        table(
            ("SERVER", "LIMIT", "VALUE", "SET BY"),
            [(each.server, each.limit, f"{each.value:g}", each.by) for each in found.bounds],
            rich=rich,
        ),
        *_remarks(found),
    ]
    return "\n".join(part for part in parts if part)


def _remarks(found: Explanation) -> list[str]:
    kinds = (("no tools of", found.problems), ("warning:", found.warnings), ("note:", found.notes))
    return ["".join(f"{kind} {printable(text)}\n" for kind, some in kinds for text in some)]


def _title(source: str, enforcement: str) -> str:
    return f"{source} (audit)" if enforcement == "audit" else source


def _rich(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    drawn = Table(box=SIMPLE_HEAD, pad_edge=False)
    for header in headers:
        drawn.add_column(header, overflow="fold")
    for row in rows:
        drawn.add_row(*(Text(cell, style=_COLOURS.get(cell, "")) for cell in row))
    out = io.StringIO()
    Console(file=out, force_terminal=True, width=None).print(drawn)
    return out.getvalue()


def _plain(headers: Sequence[str], cells: Sequence[Sequence[str]]) -> str:
    widths = [max(len(line[column]) for line in (headers, *cells)) for column in range(len(headers))]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in (headers, *cells)
    )
    return "".join(f"{line.rstrip()}\n" for line in lines)
