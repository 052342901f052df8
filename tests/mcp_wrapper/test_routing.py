from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from mcp_wrapper import jsonrpc, routing

VERSION = "io.modelcontextprotocol/protocolVersion"


def written(method: str, params: dict[str, Any], *marks: routing.Mark) -> dict[str, str]:
    body = {"id": 1, "method": method, "params": {"_meta": {VERSION: "2026-07-28"}, **params}}
    lines = routing.headers(jsonrpc.parse(json.dumps(body).encode()), list(marks)).decode().splitlines()
    return dict(line.split(": ", 1) for line in lines)


@pytest.mark.requirement("W-03")
@pytest.mark.parametrize(
    ("method", "params", "name"),
    [
        ("tools/call", {"name": "get weather"}, "get weather"),
        ("prompts/get", {"name": "p"}, "p"),
        ("resources/read", {"uri": "file:///a?b"}, "file:///a?b"),
        ("tasks/get", {"taskId": "t-1"}, "t-1"),
        ("tools/list", {"name": "x"}, None),
        ("tools/call", {"name": {}}, None),
    ],
)
def test_method_name_and_version_are_repeated_in_headers(method: str, params: dict[str, Any], name: str | None) -> None:
    expected = {"Mcp-Method": method, "MCP-Protocol-Version": "2026-07-28"}
    assert written(method, params) == expected | ({"Mcp-Name": name} if name else {})


@pytest.mark.parametrize("text", ["caf\u00e9", " edge", "edge ", "a\r\nX-Evil: 1", "a\tb", "=?base64?eA==?=", "\x7f"])
def test_what_a_header_cannot_carry_is_marked_base64(text: str) -> None:
    encoded = routing.encoded(text)
    assert encoded.startswith(b"=?base64?")
    assert encoded.endswith(b"?=")
    assert base64.b64decode(encoded[9:-2], validate=True).decode() == text


@pytest.mark.parametrize("text", ["", "a b", "=?base64?", "=?utf-8?x?=", "~!"])
def test_what_a_header_can_carry_stays_as_it_is(text: str) -> None:
    assert routing.encoded(text) == text.encode()


def test_a_lone_surrogate_breaks_nothing() -> None:
    assert routing.encoded("\ud800").isascii()


@pytest.mark.requirement("W-03")
@pytest.mark.parametrize(
    ("value", "header"),
    [
        ("eu", "eu"),
        (42, "42"),
        (2**70, str(2**70)),
        (-1.5, "-1.5"),
        (True, "true"),
        (False, "false"),
        (1e22, "10000000000000000000000"),
        (None, None),
        ([1], None),
        ({"a": 1}, None),
    ],
)
def test_marked_arguments_become_headers_where_they_have_a_value(value: object, header: str | None) -> None:
    marks = [("Region", ("where", "region")), ("Absent", ("nothing", "here"))]
    found = written("tools/call", {"name": "x", "arguments": {"where": {"region": value}}}, *marks)
    assert found.get("Mcp-Param-Region") == header
    assert "Mcp-Param-Absent" not in found


def marked(name: object = "Region", kind: object = "string") -> dict[str, object]:
    return {"type": kind, "x-mcp-header": name}


def test_marks_are_found_at_any_depth_of_properties_and_data_is_not_mistaken_for_them() -> None:
    schema = {
        "properties": {
            "a": marked("A"),
            "b": {"type": "object", "properties": {"c": marked("C", "boolean")}},
            "x-mcp-header": {"type": "string", "default": {"x-mcp-header": "no"}, "enum": [{"x-mcp-header": 1}]},
        },
        "required": ["a"],
        "x-unknown": {"x-mcp-header": "no"},
    }
    assert sorted(routing.marks_of(schema)) == [("A", ("a",)), ("C", ("b", "c"))]


@pytest.mark.parametrize("schema", [None, True, {}, {"properties": []}, {"properties": {"a": None}}])
def test_a_schema_without_marks_has_none(schema: object) -> None:
    assert routing.marks_of(schema) == []


@pytest.mark.requirement("W-03")
@pytest.mark.parametrize(
    "schema",
    [
        marked(),
        {"properties": {"a": marked("")}},
        {"properties": {"a": marked("two words")}},
        {"properties": {"a": marked("a:b")}},
        {"properties": {"a": marked("a\r\nb")}},
        {"properties": {"a": marked("\u00e9")}},
        {"properties": {"a": marked(5)}},
        {"properties": {"a": marked(None)}},
        {"properties": {"a": marked(kind="number")}},
        {"properties": {"a": marked(kind=["string", "null"])}},
        {"properties": {"a": marked(kind="object")}},
        {"properties": {"a": {"x-mcp-header": "A"}}},
        {"properties": {"a": marked("A"), "b": marked("a")}},
        {"properties": {"a": {"type": "array", "items": marked()}}},
        {"properties": {"a": {"anyOf": [marked()]}}},
        {"properties": {"a": {"items": {"properties": {"b": marked()}}}}},
        {"$defs": {"a": marked()}},
        {"patternProperties": {"^a": marked()}},
        {"additionalProperties": marked()},
        {"if": {"properties": {"a": marked()}}},
    ],
)
def test_a_mark_that_clients_must_not_follow_is_an_error(schema: object) -> None:
    decoded = jsonrpc.decode(json.dumps(schema).encode())
    with pytest.raises(routing.AnnotationError):
        routing.marks_of(decoded)


def test_a_schema_without_a_bottom_is_an_error() -> None:
    schema: dict[str, Any] = {}
    for _ in range(500):
        schema = {"items": schema}
    with pytest.raises(routing.AnnotationError, match="too deeply"):
        routing.marks_of(schema)
