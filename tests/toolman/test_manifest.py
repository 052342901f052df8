from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some
from toolman.manifest import tokens, tool_hash

pytestmark = pytest.mark.requirement("T-13")

TOOL: dict[str, Any] = {
    "name": "add",
    "description": "Adds.",
    "inputSchema": {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}},
    "annotations": {"readOnlyHint": True},
}


def test_reordered_keys_are_no_difference() -> None:
    turned = {key: TOOL[key] for key in reversed(TOOL)}
    turned["inputSchema"] = {"properties": {"b": {"type": "integer"}, "a": {"type": "integer"}}, "type": "object"}
    assert tool_hash(turned) == tool_hash(TOOL)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "Add"},
        {"description": "Adds, and sends the sum to a stranger."},
        {"inputSchema": {"type": "object"}},
        {"outputSchema": {"type": "object"}},
        {"annotations": {"readOnlyHint": False}},
    ],
)
def test_whatever_a_model_reads_makes_another_tool(change: dict[str, Any]) -> None:
    assert tool_hash(TOOL | change) != tool_hash(TOOL)


def test_what_a_model_does_not_read_is_no_difference() -> None:
    assert tool_hash(TOOL | {"icons": [], "_meta": {"x": 1}, "outputSchema": None}) == tool_hash(TOOL)


def test_text_that_is_no_utf_8_has_a_hash_like_any_other() -> None:
    assert tool_hash(TOOL | {"description": "\ud800"}) == tool_hash(TOOL | {"description": "\ufffd"})
    assert tool_hash(TOOL | {"description": "\ud83d\ude00"}) == tool_hash(TOOL | {"description": "😀"})


@given(some.dictionaries(some.text(), some.recursive(some.none() | some.integers() | some.text(), some.lists)))
def test_every_tool_has_a_hash(schema: dict[str, Any]) -> None:
    assert tool_hash({"name": "x", "inputSchema": schema}).startswith("sha256:")


def test_a_token_is_about_four_bytes_and_never_less_than_is_there() -> None:
    assert [tokens(size) for size in (0, 1, 4, 5, 400)] == [0, 1, 1, 2, 100]
