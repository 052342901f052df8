"""What was found, as tables and a plot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Row = dict[str, Any]
BEGIN, END = "<!-- toolman: made by benchmarks/toolman/run -->", "<!-- end of toolman -->"
UNSCORED = "no proxy"
"""The row that sets no target: it is not a proxy."""

SPEED = (
    ("calls/s", "calls/s, 16 connections"),
    ("CPU us", "CPU µs a call"),
    ("p50 ms at 1", "p50 ms, 1 connection"),
    ("p99 ms at 1", "p99 ms, 1"),
    ("p50 ms at 16", "p50 ms, 16"),
    ("p99 ms at 16", "p99 ms, 16"),
    ("start ms", "start to first answer, ms"),
    ("list ms", "list of 1,000 tools, ms"),
    ("1 MiB ms", "1 MiB result, ms"),
    ("10 MiB ms", "10 MiB result, ms"),
    ("session ms", "a session, ms"),
)
SIZE = (
    ("idle MiB", "idle"),
    ("MiB after calls", "after the calls"),
    ("MiB after 10 MiB", "after 10 MiB results"),
    ("MiB of sessions", "gained by the sessions"),
    ("calls", "calls made"),
    ("sessions", "sessions made"),
)
PLOTTED = (
    ("calls/s", "calls a second, 16 connections (more is better)"),
    ("CPU us", "processor time a call, µs (less is better)"),
    ("added p50", "latency added to a call at one connection, p50, ms"),
    ("idle MiB", "resident memory, idle, MiB"),
)
INTRODUCTION = """\
Each proxy is measured once a round, all in turns, each time started anew; the figures are the medians of {rounds}
rounds. The client and the upstream are one small Go program (`benchmarks/toolman/load`), measured by itself
as "no proxy" where all rows are. Sessions are those of 2025-06-18 over streamable HTTP. Processor time and memory
are those of the proxy with all its processes, without the upstream. toolman runs with all that it does by default, an
allow list, the audit log in a file, and metrics. Client, proxy and upstream share the machine: look at the ratios.

{date}, {machine}.
"""


def tables(results: dict[str, Any]) -> str:
    """Write the tables."""
    parts = []
    for over_http, heading in ((False, "stdio upstream"), (True, "HTTP upstream")):
        rows = [row for row in results["rows"] if row["http"] is over_http]
        if over_http:
            rows = [row for row in results["rows"] if row["name"] == UNSCORED] + rows
        parts += [f"### Speed, {heading}", _table(rows, SPEED), f"### Memory in MiB, {heading}", _table(rows, SIZE)]
    problems = [
        f"- {_label(row)}: `{' '.join(text.split())}`" for row in results["rows"] for text in row.get("problems", [])
    ]
    problems += [f"- {name} was not measured: {reason}" for name, reason in results["missing"].items()]
    if problems:
        parts += ["### What did not work", "\n".join(problems)]
    return "\n\n".join(parts)


def _label(row: Row) -> str:
    return f"{row['name']} ({row['version']})"


def _table(rows: list[Row], columns: tuple[tuple[str, str], ...]) -> str:
    lines = ["| | " + " | ".join(heading for _, heading in columns) + " |", "| --- |" + " ---: |" * len(columns)]
    for row in rows:
        cells = [_number(row["figures"].get(key)) for key, _ in columns]
        name = f"**{_label(row)}**" if row["name"] == "toolman" else _label(row)
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _number(value: float | None) -> str:
    if value is None:
        return "failed"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def write(page: Path, plot: Path, results: dict[str, Any]) -> None:
    """Write our part of the page, and the plot that it shows."""
    plot.write_text(_svg(results))
    introduction = INTRODUCTION.format(**results)
    picture = f"![The proxies side by side]({plot.name})"
    part = f"{BEGIN}\n\n{introduction}\n{picture}\n\n{tables(results)}\n\n{END}"
    text = page.read_text()
    before, _, rest = text.partition(BEGIN)
    page.write_text(before + part + rest.partition(END)[2])


BAR, GAP, LEFT, WIDTH, RIGHT = 16, 6, 210, 520, 90
"""Of the plot, in pixels: height of a bar, space below it, room for names, the longest bar, room for numbers."""
OURS, THEIRS = "#2f6fb0", "#9aa5b1"


def _svg(results: dict[str, Any]) -> str:
    rows = [row for row in results["rows"] if not row["http"]]
    base = next((row["figures"].get("p50 ms at 1", 0.0) for row in rows if row["name"] == UNSCORED), 0.0)
    rows = [row for row in rows if row["name"] != UNSCORED]
    pieces: list[str] = []
    top = 8
    for key, heading in PLOTTED:
        pieces.append(f'<text x="8" y="{top + 14}" font-weight="bold">{heading}</text>')
        top = _bars(pieces, rows, _reader(key, base), top + 24) + 14
    width = LEFT + WIDTH + RIGHT
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{top}" viewBox="0 0 {width} {top}" '
        f'font-family="sans-serif" font-size="12">\n<rect width="100%" height="100%" fill="white"/>\n'
        + "\n".join(pieces)
        + "\n</svg>\n"
    )


def _reader(key: str, base: float) -> Callable[[Row], float]:
    if key == "added p50":
        return lambda row: max(0.0, row["figures"].get("p50 ms at 1", base) - base)
    return lambda row: float(row["figures"].get(key, 0.0))


def _bars(pieces: list[str], rows: list[Row], read: Callable[[Row], float], top: int) -> int:
    longest = max((read(row) for row in rows), default=0.0) or 1.0
    for row in rows:
        value = read(row)
        length = max(1.0, value / longest * WIDTH)
        color = OURS if row["name"] == "toolman" else THEIRS
        middle = top + BAR - 4
        pieces += [
            f'<text x="{LEFT - 8}" y="{middle}" text-anchor="end">{row["name"]}</text>',
            f'<rect x="{LEFT}" y="{top}" width="{length:.1f}" height="{BAR}" fill="{color}"/>',
            f'<text x="{LEFT + length + 6:.1f}" y="{middle}">{_number(value)}</text>',
        ]
        top += BAR + GAP
    return top
