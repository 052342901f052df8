from __future__ import annotations

import pytest
from mcp_operator import semver

pytestmark = pytest.mark.requirement("O-01")

TAGS = [
    *("junk", "v1.0.0", "1.2.0", "v1.2.3", "1.3.0-rc.1", "1.10.0", "2.0.0", "v2.1.0-beta.2", "v2.1.0-beta.11"),
    *("0.1.0", "0.1.5", "0.2.0", "0.0.3", "0.0.4", "nightly-1.9.9", "1.2"),
]


@pytest.mark.parametrize(
    ("wanted", "tag"),
    [
        ("^1.2", "1.10.0"),
        ("~1.2.0", "v1.2.3"),
        ("~1", "1.10.0"),
        (">=1.0 <1.3", "v1.2.3"),
        (">= 1.0, < 1.3", "v1.2.3"),
        ("*", "2.0.0"),
        ("1.x", "1.10.0"),
        ("1", "1.10.0"),
        ("1.2", "v1.2.3"),
        ("=1.0.0", "v1.0.0"),
        ("v1.0.0", "v1.0.0"),
        ("<1.0", "0.2.0"),
        ("<=1.2", "v1.2.3"),
        (">1.2.0 <2", "1.10.0"),
        (">1.2 <2", "1.10.0"),
        ("1.0.0 - 1.2", "v1.2.3"),
        ("^0.1", "0.1.5"),
        ("^0.0.3", "0.0.3"),
        ("1.2.0 || ^2", "2.0.0"),
        ("^5", None),
        (">=1.3 <1.4", None),
    ],
)
def test_the_highest_version_in_a_range_is_found(wanted: str, tag: str | None) -> None:
    assert semver.highest(wanted, TAGS) == tag


def test_trials_count_only_where_the_range_names_one_of_the_same_version() -> None:
    assert semver.highest(">=2.1.0-beta.0", TAGS) == "v2.1.0-beta.11"
    assert semver.highest(">=2.0.0", TAGS) == "2.0.0"
    assert semver.highest("^1.3.0-rc.0 <1.4", TAGS) == "1.3.0-rc.1"


def test_numbers_of_trials_are_compared_as_numbers_and_come_before_words() -> None:
    order = ["1.0.0-1", "1.0.0-2", "1.0.0-11", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-beta", "1.0.0"]
    versions = [semver.parse(text) for text in order]
    assert all(versions)
    assert [str(version) for version in versions] == [str(each) for each in sorted(filter(None, versions))]


@pytest.mark.parametrize("wanted", ["!!", "^", "latest", ">=1.0 <two", "1.2.3.4"])
def test_what_is_no_range_is_refused(wanted: str) -> None:
    with pytest.raises(semver.RangeError):
        semver.highest(wanted, TAGS)
