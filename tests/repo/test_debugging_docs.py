"""The page for whoever has a problem knows every reason and event, and its commands exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from mcp_operator import conditions, events, names
from mcp_operator.images import reasons
from mcp_operator.plugin import command

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "debugging.md").read_text(encoding="utf-8")
BUILDING = (DOCS / "building.md").read_text(encoding="utf-8")

pytestmark = pytest.mark.requirement("O-02")


def _rows(text: str) -> set[str]:
    """Give the words in the first cells of all tables."""
    cells = re.findall(r"^\| (`[^|]*`(?: \*)?) \|", text, re.MULTILINE)
    return {word for cell in cells for word in re.findall(r"`(\w+)`", cell)}


def _texts(module: object) -> set[str]:
    return {value for name, value in vars(module).items() if name.isupper() and isinstance(value, str)}


def test_every_reason_of_a_condition_has_a_remedy_and_no_other_is_there() -> None:
    wanted = _texts(conditions) - conditions.TYPES
    table = _rows(PAGE.partition("## Reasons\n")[2].partition("## Events\n")[0])
    assert wanted == table


def test_every_reason_of_a_failed_build_has_a_remedy_in_the_page_about_building() -> None:
    assert {reason.value for reason in reasons.Reason} - _rows(BUILDING.partition("## Errors\n")[2]) == set()
    assert "(building.md#errors)" in PAGE


def test_every_event_has_a_remedy_and_no_other_is_there() -> None:
    assert _rows(PAGE.partition("## Events\n")[2]) == _texts(events)


def test_every_type_of_condition_is_known_as_one() -> None:
    documented = (DOCS / "reference" / "conditions.md").read_text(encoding="utf-8")
    types = _rows(documented.partition("## Types\n")[2].partition("## Reasons\n")[0])
    assert types == conditions.TYPES
    assert conditions.TYPES.issuperset({*conditions.SERVER_CONDITIONS, *conditions.AGENT_CONDITIONS})


def test_its_commands_use_verbs_kinds_and_names_that_there_are() -> None:
    assert set(re.findall(r"kubectl toolman ([a-z]+)", PAGE)) <= set(command.VERBS)
    fixed = {names.TOOLMAN_CONTAINER, names.AWAIT_CONTAINER, names.INSTALL_CONTAINER, names.GUARD_CONTAINER}
    fixed |= {names.server_container("NAME"), names.guard("SERVER"), names.manifest_config_map("SERVER")}
    fixed |= {names.GUARD_ROLE, names.ANNOTATION_RECONCILE, names.TOOLMAN_URL, names.LABEL_SERVER}
    assert [word for word in sorted(fixed) if word not in PAGE] == []
