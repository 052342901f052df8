"""The page for admins names every metric, probe and bound that there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from mcp_operator import lease, names
from mcp_operator.metrics import Metrics

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "operating.md").read_text()
VALUES = yaml.safe_load((ROOT / "charts" / "mcp-operator" / "values.yaml").read_text())
PEOPLE = (ROOT / "charts" / "mcp-operator" / "templates" / "people.yaml").read_text()


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


@pytest.mark.requirement("F-09")
@pytest.mark.parametrize(
    "name", ["../README", "operating", "policies", "injection", "security", "read-api", "debugging"]
)
def test_every_value_of_the_chart_that_a_page_names_is_there(name: str) -> None:
    text = (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")
    named = set(re.findall(r"(?:`|--set )([a-z]\w*(?:\.\w+)+)", text))
    values = {word for word in named if word.partition(".")[0] in VALUES}
    assert values
    assert {word for word in values if not _is_value(word)} == set()


def _is_value(path: str) -> bool:
    found = VALUES
    for part in path.split("."):
        if not isinstance(found, dict) or part not in found:
            return False
        found = found[part]
    return True


@pytest.mark.requirement("O-34")
def test_the_roles_for_people_are_those_of_the_chart() -> None:
    roles = set(re.findall(r'\(dict "name" "(\w+)"', PEOPLE))
    named = set(re.findall(r"`mcp-operator-(\w+)`|clusterrole=mcp-operator-(\w+)", PAGE))
    assert {first or second for first, second in named} - {"guard"} <= roles
    assert f"`{names.GUARD_ROLE}`" in PAGE


@pytest.mark.requirement("F-09")
def test_uninstalling_deletes_every_kind_that_there_is() -> None:
    commands = PAGE.partition("## Uninstalling")[2]
    assert all(f"{kind}.{names.GROUP}" in commands for kind in (names.SERVERS, names.AGENTS, names.POLICIES))


@pytest.mark.requirement("F-02")
def test_the_charts_own_page_names_values_that_there_are_and_all_that_have_no_default() -> None:
    text = (ROOT / "charts" / "mcp-operator" / "README.md").read_text(encoding="utf-8")
    named = {
        word for row in re.findall(r"^\| (`[^|]+`) \|", text, re.MULTILINE) for word in re.findall(r"`([\w.]+)`", row)
    }
    assert {word for word in named if not _is_value(word)} == set()
    assert {"registry", "engine.socketGroup", *(f"images.{name}" for name in VALUES["images"])} <= named
