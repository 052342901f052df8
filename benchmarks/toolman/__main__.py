"""``benchmarks/toolman/run``: toolman and other proxies, with the same client and the same upstream, in turns."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

import report
from lab import programs, settings
from lab.errors import LabError
from proxies import Proxy, Start, install
from rounds import Bench, Figures, medians

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results.json"
PAGE = HERE.parents[1] / "docs" / "benchmarks.md"
PLOT = PAGE.with_name("benchmarks-toolman.svg")


def main() -> None:
    """Measure, and write what was found."""
    parser = argparse.ArgumentParser(prog="benchmarks/toolman/run", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="each proxy is measured once a round")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="measure this proxy; repeatable")
    parser.add_argument(
        "--also", action="append", default=[], metavar="NAME=COMMAND", help="{upstream} and {port} in it"
    )
    parser.add_argument("--quick", action="store_true", help="few calls, to see that everything works")
    parser.add_argument("--report", action="store_true", help="measure nothing, write the page from results.json")
    parser.add_argument("--keep", action="store_true", help="print the table only; write neither results nor page")
    chosen = parser.parse_args()
    if not chosen.report:
        try:
            results = measure(chosen)
        except LabError as error:
            sys.exit(f"benchmark: {error}")
        if chosen.keep:
            print(report.tables(results))
            return
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    results = json.loads(RESULTS.read_text())
    report.write(PAGE, PLOT, results)
    print(report.tables(results))


def measure(chosen: argparse.Namespace) -> dict[str, Any]:
    """Give the medians of every row, what could not be installed, and what the machine was."""
    load = programs.compile_pinned(HERE / "load", settings.from_environment().folder("benchmark") / "load")
    bench = Bench(load, quick=chosen.quick)
    rows, missing = install(chosen.only, chosen.also)
    if not chosen.only:
        rows.insert(0, direct(load))
    figures: dict[int, list[Figures]] = {number: [] for number in range(len(rows))}
    problems: dict[int, list[str]] = {number: [] for number in range(len(rows))}
    began, load_before = time.time(), os.getloadavg()[0]
    for turn in range(chosen.rounds):
        for number, proxy in enumerate(rows):
            print(f"round {turn + 1}: {title(proxy)}", file=sys.stderr, flush=True)
            found, wrong = bench.measure(proxy)
            figures[number].append(found)
            problems[number] += wrong
    described = [
        {"name": proxy.name, "version": proxy.version, "http": proxy.over_http, "figures": medians(figures[number])}
        | ({"problems": list(dict.fromkeys(problems[number]))} if problems[number] else {})
        for number, proxy in enumerate(rows)
    ]
    return {
        "date": time.strftime("%Y-%m-%d", time.gmtime(began)),
        "machine": machine(load_before),
        "rounds": chosen.rounds,
        "rows": described,
        "missing": missing,
    }


def direct(load: Path) -> Proxy:
    """Give the row of the upstream without any proxy, which says what the client and the machine could do."""
    return Proxy(
        "no proxy", "the upstream itself", lambda _up, port, _dir: Start([str(load), "http", "-port", str(port)])
    )


def title(proxy: Proxy) -> str:
    """Name a row."""
    return f"{proxy.name} (HTTP upstream)" if proxy.over_http else proxy.name


def machine(load_before: float) -> str:
    """Describe what was measured on."""
    system = platform.freedesktop_os_release()["PRETTY_NAME"]
    return (
        f"{os.cpu_count()} cores ({platform.machine()}), {system}, Python {platform.python_version()}, "
        f"load {load_before:.1f} before it began"
    )


if __name__ == "__main__":
    main()
