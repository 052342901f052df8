"""What the trials found, as a table."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

Row = dict[str, Any]
BEGIN, END = "<!-- builder: made by benchmarks/builder/run -->", "<!-- end of builder -->"
MEGABYTE = 1_000_000
INTRODUCTION = """\
Each row is a public repository at one commit, or a published package, built with `mcp-operator build` and nothing set
beyond the folder of the server. "Answered" is an image that was built and told its tools in the handshake. The first
build has what no two servers share to do; base images and package managers are there. "Unchanged" is the same command
again, "one line" after a line was added to a source file and committed. Servers that do not start without a setting
got a placeholder, which is named.

{date}, {machine}.
"""


def tables(results: dict[str, Any]) -> str:
    """Write the summary and the rows."""
    rows = results["rows"]
    older = [row["name"] for row in rows if row.get("date") != results["date"]]
    said = [f"Measured before, and not in the times below: {', '.join(older)}.\n"] if older else []
    return "\n".join([INTRODUCTION.format(**results), *said, _summary(rows, results["date"]), "", *_rows(rows)])


def joined(before: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """Add to earlier results those of now: the machine is that of the last, the date of each row its own."""
    tried = {row["name"] for row in now["rows"]}
    return {**now, "rows": [*(row for row in before["rows"] if row["name"] not in tried), *now["rows"]]}


def write(page: Path, results: dict[str, Any]) -> None:
    """Put the tables into their section of the page."""
    before, _, rest = page.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    page.write_text(f"{before}{BEGIN}\n\n{tables(results)}\n{END}{after}")


def _summary(rows: list[Row], date: str) -> str:
    wanted = [row for row in rows if row["expect"] in ("works", "needs")]
    answered = [row for row in wanted if row["verdict"] == "answered"]
    recent = [row for row in answered if row.get("date") == date]
    return "\n".join(f"- {line}" for line in (*_verdicts(rows, wanted, answered), *_figures(recent)))


def _verdicts(rows: list[Row], wanted: list[Row], answered: list[Row]) -> Iterator[str]:
    yield f"answered: {len(answered)} of {len(wanted)} that are servers ({_share(len(answered), len(wanted))})"
    stopped = [row for row in wanted if row["verdict"] != "answered" and row["reason"] == "SettingMissing"]
    if stopped:
        yield f"of the others, {len(stopped)} ended with the name of the setting that they need"
    if refused := [row for row in rows if row["expect"] == "refused"]:
        right = sum(row["verdict"] == "refused" for row in refused)
        yield f"refused before a build: {right} of {len(refused)} that are no servers, or several"
    if offline := [row for row in rows if row["expect"] == "offline"]:
        reasons = "; ".join(f"{row['name']} ({row.get('why', '')})" for row in offline)
        yield f"not counted: {len(offline)} that need more of the network than package registries: {reasons}"


def _figures(answered: list[Row]) -> Iterator[str]:
    for key, what in (("first", "first build"), ("unchanged", "unchanged"), ("changed", "one line changed")):
        if times := [row[key] for row in answered if row[key]]:
            yield f"{what}: median {_number(statistics.median(times))} s, slowest {_number(max(times))} s"
    if shares := [row["changed"] / row["first"] for row in answered if row["changed"]]:
        yield f"one line changed, as a part of the first build: median {statistics.median(shares):.2f}"
    if ratios := [row["size"] / row["minimal"] for row in answered if row["minimal"]]:
        said = f"median {statistics.median(ratios):.2f} of {len(ratios)} compared"
        yield f"image, as a multiple of a minimal one by hand: {said}"


def _rows(rows: Iterable[Row]) -> list[str]:
    lines = [
        "| repository | | tools | first, s | unchanged, s | one line, s | MB | by hand, MB | needed, or why not |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |",
    ]
    for row in rows:
        answered = row["verdict"] == "answered"
        said = " ".join(row["needs"]) if answered else f"{row['reason']}: {row['message']}"
        cells = [
            row["name"],
            row["language"] if answered else row["verdict"],
            str(row["tools"]) if answered else "",
            _number(row["first"]),
            _number(row["unchanged"]),
            _number(row["changed"]),
            _number(row["size"] / MEGABYTE),
            _number(row["minimal"] / MEGABYTE),
            said.partition(" - ")[0].replace("|", "\\|").replace("\n", " ")[:200],
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f} %" if whole else "none"


def _number(value: float) -> str:
    if not value:
        return ""
    return f"{value:.1f}" if value < 10 else f"{value:.0f}"
