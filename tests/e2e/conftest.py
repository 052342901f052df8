"""The whole installation, as a person gets it: ``scripts/demo`` sets it up, ``scripts/demo down`` takes it away."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

DEMO = Path(__file__).parents[2] / "scripts" / "demo"
DEMO_SECONDS = 780


def run_demo(*arguments: str) -> str:
    """Run the demo and give what a person would read."""
    done = subprocess.run(
        [DEMO, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=DEMO_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="session")
def demo(kubeconfig: Path) -> Iterator[str]:  # noqa: ARG001 - says in one line when there is no cluster
    """Run the demo once; give what it printed. Whoever uses this finds the operator and the samples in place."""
    try:
        yield run_demo()
    finally:
        run_demo("down")
