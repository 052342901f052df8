"""``benchmarks/builder/run``: build real MCP server repositories with nothing set, and say what came of each."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import report
import trials

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results.json"
PAGE = HERE.parents[1] / "docs" / "benchmarks.md"


def main() -> None:
    """Try every row, and write what was found."""
    parser = argparse.ArgumentParser(prog="benchmarks/builder/run", description=__doc__)
    parser.add_argument("rows", nargs="?", type=Path, help="JSON lines: source, commit, path; see README.md")
    parser.add_argument("--only", action="append", default=[], metavar="TEXT", help="rows with this in their name")
    parser.add_argument("--once", action="store_true", help="no rebuilds")
    parser.add_argument("--logs", type=Path, metavar="FOLDER", help="keep what each build wrote")
    parser.add_argument("--report", action="store_true", help="try nothing, write the page from results.json")
    parser.add_argument("--add", action="store_true", help="keep the results of the rows that are not tried now")
    parser.add_argument("--keep", action="store_true", help="print only; write neither results nor page")
    chosen = parser.parse_args()
    if not chosen.report:
        if chosen.rows is None:
            parser.error("name the file with the rows")
        results = measure(chosen)
        if chosen.keep:
            print(report.tables(results))
            return
        if chosen.add:
            results = report.joined(json.loads(RESULTS.read_text()), results)
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    results = json.loads(RESULTS.read_text())
    report.write(PAGE, results)
    print(report.tables(results))


def measure(chosen: argparse.Namespace) -> dict[str, Any]:
    """Give the outcome of every row, and what the machine was."""
    lines = [line for line in chosen.rows.read_text().splitlines() if line.strip()]
    rows = [trials.read(line) for line in lines]
    if chosen.only:
        rows = [row for row in rows if any(text in row.name for text in chosen.only)]
    if chosen.logs:
        chosen.logs.mkdir(parents=True, exist_ok=True)
    began, load = time.time(), os.getloadavg()[0]
    found = []
    for number, row in enumerate(rows):
        print(f"{number + 1}/{len(rows)} {row.name}", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory(prefix="mcp-trial-") as folder:
            trial = trials.Trial(row, Path(folder), f"trial-{os.getpid()}-{number}", chosen.logs, HERE / "recipes")
            try:
                outcome = trial.run(rebuild=not chosen.once)
            except KeyboardInterrupt:
                print("interrupted: what was found so far counts", file=sys.stderr)
                break
        print(f"  {_line(outcome)}", file=sys.stderr, flush=True)
        found.append(dataclasses.asdict(outcome))
    return {"date": time.strftime("%Y-%m-%d", time.gmtime(began)), "machine": machine(load), "rows": found}


def _line(outcome: trials.Outcome) -> str:
    mark = "ok" if outcome.good else "BAD"
    if outcome.verdict != "answered":
        return f"{mark} {outcome.verdict} {outcome.first:.1f} s {outcome.reason}: {outcome.message[:300]}"
    times = f"{outcome.first:.1f} / {outcome.unchanged:.1f} / {outcome.changed:.1f} s"
    size = f"{outcome.size / report.MEGABYTE:.0f} MB (by hand {outcome.minimal / report.MEGABYTE:.0f})"
    return f"{mark} {outcome.tools} tools, {times}, {size}, needs {outcome.needs}, {outcome.warnings}"


def machine(load: float) -> str:
    """Describe what was measured on."""
    system = platform.freedesktop_os_release()["PRETTY_NAME"]
    return f"{os.cpu_count()} cores ({platform.machine()}), {system}, load {load:.1f} before it began"


if __name__ == "__main__":
    main()
