"""What is compared of an object: what is wanted must be there, lists whole, whatever the API server has added."""

from __future__ import annotations

import pytest
from mcp_operator.reconcile.owned_objects import covers

pytestmark = pytest.mark.requirement("O-30")


@pytest.mark.parametrize(
    ("current", "wanted", "expected"),
    [
        ({"a": 1, "b": 2}, {"a": 1}, True),
        ({"a": {"b": 1, "c": 2}}, {"a": {"c": 2}}, True),
        ({"a": [{"b": 1, "default": 2}]}, {"a": [{"b": 1}]}, True),
        ({"a": 2}, {"a": 1}, False),
        ({}, {"a": None}, False),
        ({"a": [1, 2]}, {"a": [1]}, False),
        ({"a": [1]}, {"a": [1, 2]}, False),
        ({"a": 1}, {"a": {}}, False),
        ({"a": None}, {"a": []}, False),
    ],
)
def test_an_object_covers_what_is_wanted(current: object, wanted: object, expected: bool) -> None:  # noqa: FBT001 - a parameter of the test
    assert covers(current, wanted) is expected
