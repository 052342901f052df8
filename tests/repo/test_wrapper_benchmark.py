"""The wrapper's benchmark measures what it says, and the memory that it finds is within the bounds.

Times are for people to read; memory is the same on a busy machine.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.requirement("W-09")

ROOT = Path(__file__).parents[2]
BENCHMARK = ROOT / "benchmarks" / "wrapper"
SECONDS = 100
SELF = f"{sys.executable} -I -S {ROOT / 'mcp_wrapper' / 'src' / 'mcp_wrapper'} --url {{url}}"


def figures(*words: str) -> dict[str, list[str]]:
    """Run it without peers; give the cells of its table by row."""
    done = subprocess.run(
        [sys.executable, str(BENCHMARK), "--rounds", "1", "--peers", "", *words],
        capture_output=True,
        text=True,
        check=True,
        timeout=SECONDS,
    )
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in done.stdout.splitlines() if "|" in line]
    return {cells[0]: cells[1:] for cells in rows if not cells[0].startswith("---")}


def test_memory_is_within_its_bounds_and_everything_else_is_measured() -> None:
    found = figures()
    assert float(found["private dirty, idle session (MB)"][0]) <= 6
    assert float(found["private dirty, 16 calls in flight"][0]) <= 7
    assert [row for row, cells in found.items() if row and not re.fullmatch(r"-?[\d.,]+", cells[0])] == []


def test_any_command_can_be_measured_beside_it_and_one_that_fails_is_shown_as_failed() -> None:
    found = figures("--also", f"same={SELF}", "--also", "broken=false")
    assert found[""] == ["mcp-wrapper", "same", "broken"]
    assert all(cells[2] == "failed" for row, cells in found.items() if row)
    assert all(cells[1] != "failed" for row, cells in found.items() if row)


def test_the_readme_holds_the_table_of_a_run_with_all_peers() -> None:
    text = (BENCHMARK / "README.md").read_text(encoding="utf-8")
    header = next(line for line in text.splitlines() if line.startswith("| | mcp-wrapper"))
    peers = ("npm mcp-remote", "supergateway", "PyPI mcp-proxy", "fastmcp")
    assert all(f" {peer} " in header for peer in peers)
