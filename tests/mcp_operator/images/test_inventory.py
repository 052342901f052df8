from __future__ import annotations

import dataclasses

import pytest
from mcp_operator.images import cleanup, inventory
from mcp_operator.images.inventory import Entry

pytestmark = pytest.mark.requirement("B-22")

NOW = 1_000_000.0


def entry(name: str, age: float, *, repository: str = "r/x", in_use: bool = False) -> Entry:
    return Entry(
        repository=repository,
        tags=(name,) if repository else (),
        id=f"sha256:{name}",
        size=1,
        created=NOW - age,
        source="",
        revision="",
        deployment="",
        in_use=in_use,
    )


def names(entries: list[Entry]) -> list[str]:
    return sorted(entry.id.removeprefix("sha256:") for entry in entries)


def test_of_every_repository_the_newest_stay() -> None:
    entries = [entry("a", 3), entry("b", 1), entry("c", 2), entry("d", 9, repository="r/y")]

    assert names(inventory.surplus(entries, 1, NOW)) == ["a", "c"]
    assert names(inventory.surplus(entries, 0, NOW)) == ["a", "b", "c", "d"]
    assert names(inventory.surplus(entries, 9, NOW)) == []


def test_what_is_in_use_never_goes() -> None:
    used = [dataclasses.replace(one, in_use=True) for one in (entry("a", 3), entry("b", 1), entry("c", 2))]

    assert inventory.surplus(used, 0, NOW) == []


def test_what_has_no_name_goes_unless_a_build_may_be_at_it() -> None:
    entries = [entry("old", cleanup.YOUNG + 1, repository=""), entry("young", 10, repository="")]

    assert names(inventory.surplus(entries, 5, NOW)) == ["old"]


def test_a_negative_number_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="cannot keep -1"):
        inventory.surplus([], -1, NOW)
