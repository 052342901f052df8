"""The page for admins names every metric, probe and bound that there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from mcp_operator import lease
from mcp_operator.metrics import Metrics

PAGE = (Path(__file__).parents[2] / "docs" / "operating.md").read_text()


@pytest.mark.requirement("O-35")
def test_every_metric_is_explained_and_none_that_there_is_not() -> None:
    rows = dict(re.findall(r"^\| `(mcp_operator_\w+)` \| (\w+) \|", PAGE, re.MULTILINE))
    assert rows == {metric.name: metric.kind for metric in Metrics().every()}


@pytest.mark.requirement("O-33")
def test_the_times_of_a_takeover_are_those_of_the_lease() -> None:
    assert f"followed within {lease.DURATION + 2 * lease.RETRY:.0f} seconds ({lease.DURATION:.0f} without" in " ".join(
        PAGE.split()
    )
    assert f"for {lease.RENEW_DEADLINE} seconds ends itself" in " ".join(PAGE.split())
    assert lease.DURATION + 2 * lease.RETRY < 15
    assert lease.RENEW_DEADLINE + lease.WATCH < lease.DURATION
