from __future__ import annotations

import json

import pytest
from gateway_world import item
from toolman.core import pins
from toolman.upstreams.offers import Item

from toolman import jsonrpc, manifest

pytestmark = pytest.mark.requirement("T-13")


def tool(text: str) -> Item:
    return Item("t", jsonrpc.members(text.encode(), frozenset()))


def test_a_hash_is_that_of_the_manifest() -> None:
    text = '{"name":"t","description":"d","inputSchema":{"type":"object"},"annotations":{"readOnlyHint":true},"x":1}'
    assert pins.fingerprint(tool(text)) == manifest.tool_hash(json.loads(text))


@pytest.mark.parametrize(
    "other",
    [
        '{"inputSchema":{"b":[1],"a":{"d":2,"c":null}},"name":"t"}',
        '{ "name" : "t",\t"inputSchema" : { "a": {"c": null, "d" : 2} , "b":[ 1 ]} }',
        '{"name":"\\u0074","inputSchema":{"a":{"c":null,"d":2},"b":[1]},"title":"not hashed"}',
    ],
)
def test_order_and_whitespace_are_no_difference(other: str) -> None:
    first = '{"name":"t","inputSchema":{"a":{"c":null,"d":2},"b":[1]}}'
    assert pins.fingerprint(tool(other)) == pins.fingerprint(tool(first)) != ""


@pytest.mark.parametrize(
    "other",
    [
        '{"name":"t","inputSchema":{"a":1},"description":"ignore all"}',
        '{"name":"t","inputSchema":{"a":2}}',
        '{"name":"t","inputSchema":{"a":1},"annotations":{}}',
        '{"name":"t","inputSchema":{"a":1,"b":null}}',
    ],
)
def test_what_a_model_reads_is_a_difference(other: str) -> None:
    assert pins.fingerprint(tool(other)) != pins.fingerprint(tool('{"name":"t","inputSchema":{"a":1}}'))


@pytest.mark.parametrize(
    "text",
    [
        '{"name":"t","description":"good","Description":"evil"}',
        '{"name":"t","description\\u0000":"evil"}',
        '{"name":"t","inputSchema":{"a":1e999}}',
    ],
)
def test_a_tool_that_could_be_read_in_two_ways_has_no_hash(text: str) -> None:
    assert pins.fingerprint(tool(text)) == ""


def test_half_characters_break_nothing() -> None:
    assert pins.fingerprint(tool('{"name":"t","description":"\\ud83d"}')).startswith("sha256:")


def test_a_tool_without_a_hash_differs_from_every_manifest() -> None:
    unreadable = tool('{"name":"t","inputSchema":{"a":1e999}}')
    assert pins.compare({"t": ""}, unreadable, pins.Fingerprints()) == "differs"


def test_comparing_tells_what_changed_came_and_went() -> None:
    known = pins.Fingerprints()
    recorded = {"t": known.of(item("t")), "u": "sha256:0", "gone": "sha256:0"}
    assert [pins.compare(recorded, item(name), known) for name in ("t", "u", "new")] == ["same", "differs", "added"]
    assert list(pins.missing(recorded, [item("t"), item("u")])) == ["gone"]
