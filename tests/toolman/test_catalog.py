from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from msgspec import Raw
from toolman.policy import Layer, Rules

from toolman import catalog, config

pytestmark = pytest.mark.requirement("F-07")


def settings(*servers: str, naming: config.Naming = "prefixed", layers: tuple[Layer, ...] = ()) -> config.Config:
    upstream = config.Process(command=("x",))
    entries = tuple(config.Server(name=name, upstream=upstream) for name in servers)
    return config.Config(naming=naming, servers=entries, layers=layers)


def tools(*names: str) -> list[catalog.Tool]:
    return catalog.read_tools("s", [Raw(json.dumps({"x": None, "name": name}).encode()) for name in names])


def names(view: catalog.View) -> list[str]:
    return [tool["name"] for tool in json.loads(view.listing)["tools"]]


def test_tools_are_listed_in_the_order_of_configuration_and_server() -> None:
    view = catalog.View(settings("b", "a"), {"a": tools("z", "y"), "b": tools("t")})
    assert names(view) == ["b__t", "a__z", "a__y"]


def test_only_the_name_changes() -> None:
    raw = b'{"x-unknown": 9007199254740993, "name": "t", "inputSchema": {"default":null , "a": 1.0}}'
    view = catalog.View(settings("s"), {"s": catalog.read_tools("s", [Raw(raw)])})
    shown = b'{"x-unknown":9007199254740993,"name":"s__t","inputSchema":{"default":null , "a": 1.0}}'
    assert view.listing == b'{"tools":[' + shown + b"]}"


def test_a_list_and_a_route_come_from_the_same_decision() -> None:
    layers = (Layer(source="A", tools=Rules(allow=("r*",))), Layer(source="B", tools=Rules(deny=("rm",))))
    view = catalog.View(settings("s", layers=layers), {"s": tools("read", "rm", "write")})
    assert names(view) == ["s__read"] == list(view.routes)
    assert view.routes["s__read"] == ("s", b'"read"')
    assert {(e.tool, e.reason, e.source) for e in view.hidden.values()} == {
        ("rm", "Denied", "B"),
        ("write", "NotListed", "A"),
    }


def test_two_visible_tools_of_one_name_are_both_hidden() -> None:
    view = catalog.View(settings("a", "b", naming="plain"), {"a": tools("t", "x"), "b": tools("t")})
    assert names(view) == ["x"]
    assert view.collisions == ["t"]
    assert view.hidden["t"].reason == catalog.COLLISION


def test_a_denied_tool_takes_no_name_away() -> None:
    layers = (Layer(source="A", servers=("b",), tools=Rules(deny=("t",))),)
    view = catalog.View(settings("a", "b", naming="plain", layers=layers), {"a": tools("t"), "b": tools("t")})
    assert view.routes["t"].server == "a"


@pytest.mark.parametrize(
    "raw",
    [
        b"{}",
        b'{"name":1}',
        b'{"name":"a","name":"b"}',
        b'{"name":"a","Name":"b"}',
        b'{"name":"a","name\\u0000":"b"}',
        b"[]",
    ],
)
def test_a_tool_that_can_be_read_in_two_ways_is_left_out(raw: bytes, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        found = catalog.read_tools("s", [Raw(raw), Raw(b'{"name":"good"}')])
    assert [tool.name for tool in found] == ["good"]
    assert "left out" in caplog.text


def test_of_a_tool_that_is_listed_twice_the_first_counts() -> None:
    first: Any = catalog.read_tools("s", [Raw(b'{"name":"a","n":1}'), Raw(b'{"name":"a","n":2}')])
    assert [bytes(tool.members["n"]) for tool in first] == [b"1"]
