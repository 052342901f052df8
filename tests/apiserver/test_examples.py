"""The examples of the reference are taken by an API server: rules, defaults and all, and nothing is warned of."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from spare_apiserver import SpareApiServer

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "docs" / "reference" / "examples").glob("*.yaml"))

pytestmark = [pytest.mark.apiserver, pytest.mark.requirement("F-09")]


def test_an_api_server_takes_every_example_without_a_warning(spare_apiserver: SpareApiServer) -> None:
    with spare_apiserver.namespace("team") as kubectl:
        for path in FILES:
            text = path.read_text(encoding="utf-8").replace("namespace: team\n", f"namespace: {kubectl.namespace}\n")
            kubectl(
                "apply",
                "--server-side",
                "--dry-run=server",
                "--validate=strict",
                "--warnings-as-errors",
                "-f",
                "-",
                stdin=text,
            )
