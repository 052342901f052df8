"""The figures of a run as a table, on the terminal and in the README."""

from __future__ import annotations

import os
import platform
import re
import statistics
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

README = Path(__file__).parent / "README.md"
BEGIN, END = "<!-- table: made by python benchmarks/wrapper --readme -->", "<!-- end of table -->"
ROWS = {
    "private dirty, idle session (MB)": ("dirty idle", "{:.1f}"),
    "private dirty, 16 calls in flight": ("dirty held", "{:.1f}"),
    "private dirty after all calls but the big ones": ("dirty after", "{:.1f}"),
    "resident, idle session (MB)": ("resident idle", "{:.1f}"),
    "resident after all calls but the big ones": ("resident after", "{:.1f}"),
    "start to first forwarded answer (ms)": ("first", "{:.0f}"),
    "... as a multiple of bare Python's start": ("first ratio", "{:.1f}"),
    "p50 added to a call, 1 caller (ms)": ("p50 added", "{:.2f}"),
    "p99 added to a call, 1 caller (ms)": ("p99 added", "{:.2f}"),
    "calls/s, 16 in flight": ("rate", "{:,.0f}"),
    "1 MiB result (ms)": ("mib1", "{:.1f}"),
    "10 MiB result (ms)": ("mib10", "{:.0f}"),
}
"""What a row is called, the key of its figures, and how they are written."""


def table(found: Mapping[str, Sequence[Mapping[str, float]]]) -> str:
    """Write the medians of all rounds.

    Args:
        found: For each bridge the figures of each round; one that is missing is shown as failed.
    """
    lines = ["| | " + " | ".join(found) + " |", "| --- |" + " --- |" * len(found)]
    for title, (key, form) in ROWS.items():
        values = [[figures[key] for figures in rounds if key in figures] for rounds in found.values()]
        cells = [form.format(statistics.median(each)) if each else "failed" for each in values]
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def machine(rounds: int, python: str) -> str:
    """Say in one line on what the figures were taken."""
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    cores = len(re.findall(r"^processor", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE))
    name = cpu[1] if cpu else platform.machine()
    load = os.getloadavg()[2]
    what = f"{cores} cores ({name}), Linux {platform.release()}, {python}; medians of {rounds} rounds"
    return f"{what}; load average of 15 minutes {load:.1f}, of which the run itself makes about 1.\n"


def write(text: str) -> None:
    """Put it into the README, in place of the one that is there."""
    before, _, rest = README.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    README.write_text(f"{before}{BEGIN}\n\n{text}\n{END}{after}", encoding="utf-8")
