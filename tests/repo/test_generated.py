"""What is made from the models is what the models say now."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.requirement("F-04")


def test_nothing_that_is_generated_is_stale() -> None:
    done = subprocess.run([ROOT / "scripts" / "generate", "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_chart_has_the_same_definitions_byte_for_byte() -> None:
    here = {path.name: path.read_bytes() for path in (ROOT / "deploy" / "crds").iterdir()}
    chart = {path.name: path.read_bytes() for path in (ROOT / "charts" / "mcp-operator" / "files" / "crds").iterdir()}
    assert len(here) == 3
    assert here == chart
