from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from toolman.protocol import mirror, modern
from toolman.protocol.mirror import InvalidAnnotationError, Mirrored

pytestmark = pytest.mark.requirement("T-01")


def schema(**properties: Any) -> bytes:  # noqa: ANN401 - whatever JSON holds
    return json.dumps({"type": "object", "properties": properties}).encode()


def marked(token: object = "Region", kind: object = "string") -> dict[str, Any]:
    return {"type": kind, "x-mcp-header": token}


REGION = schema(region=marked(), other={"type": "string"})


def mismatch(document: bytes, arguments: object, **headers: str) -> str | None:
    given_headers = {name.replace("_", "-").lower(): value.encode() for name, value in headers.items()}
    return mirror.mismatch(mirror.find(document), given_headers, json.dumps(arguments).encode())


@pytest.mark.parametrize("document", [None, b"", b"{}", b"true", schema(a={"type": "string"}), b'{"$ref":"x-mcp"}'])
def test_most_schemas_mirror_nothing(document: bytes | None) -> None:
    assert mirror.find(document) == ()
    assert mirror.headers((), b"{") == ()
    assert mirror.mismatch((), {"x": b"y"}, b"{") is None


def test_annotations_are_found_where_only_properties_lead_to_them() -> None:
    inner = {"type": "object", "properties": {"b": marked("X-B", "integer")}}
    found = mirror.find(schema(a=marked("X-A", "boolean"), deep=inner))
    assert set(found) == {Mirrored("X-A", ("a",), "boolean"), Mirrored("X-B", ("deep", "b"), "integer")}


@pytest.mark.parametrize(
    "document",
    [
        schema(a=marked("")),
        schema(a=marked("not a token")),
        schema(a=marked("a:b")),
        schema(a=marked("ä")),
        schema(a=marked(7)),
        schema(a=marked(None)),
        schema(a=marked("A", "number")),
        schema(a=marked("A", "object")),
        schema(a=marked("A", ["string", "null"])),
        schema(a={"x-mcp-header": "A"}),
        schema(a=marked("A"), b=marked("a")),
        schema(a={"type": "array", "items": marked()}),
        schema(a={"anyOf": [marked()]}),
        schema(a={"type": "object", "additionalProperties": marked()}),
        json.dumps({**marked(), "properties": {}}).encode(),
        json.dumps({"$defs": {"a": marked()}}).encode(),
        json.dumps({"allOf": [{"properties": {"a": marked()}}]}).encode(),
        json.dumps({"if": {"properties": {"a": marked()}}}).encode(),
        b'{"x-mcp-header":',
        b'{"x-mcp-header":' + b"[" * 100_000,
    ],
)
def test_an_annotation_that_conforming_clients_refuse_is_invalid(document: bytes) -> None:
    with pytest.raises(InvalidAnnotationError):
        mirror.find(document)


@pytest.mark.parametrize("keyword", ["default", "examples", "const", "enum", "x-unknown"])
def test_data_is_not_taken_for_a_schema(keyword: str) -> None:
    assert mirror.find(schema(a={"type": "string", keyword: [marked("not a token")]})) == ()


def test_a_schema_with_lone_surrogates_is_read() -> None:
    text = REGION.replace(b'"other"', b'"\\ud800"')
    assert mirror.find(text) == mirror.find(REGION)


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        ("string", "eu", "eu"),
        ("string", " ü ", " ü "),
        ("string", "", ""),
        ("integer", 7, "7"),
        ("integer", -(2**70), str(-(2**70))),
        ("boolean", True, "true"),
        ("boolean", False, "false"),
    ],
)
def test_arguments_are_written_so_that_they_compare_equal(kind: str, value: object, text: str) -> None:
    document = schema(a=marked("A", kind))
    arguments = json.dumps({"a": value}).encode()
    assert mirror.headers(mirror.find(document), arguments) == (("Mcp-Param-A", text),)
    assert mismatch(document, {"a": value}, A=modern.encode_header(text)) is None


@pytest.mark.parametrize(
    "arguments", [b"{}", b'{"region":null}', b'{"region":{}}', b'{"region":[]}', b"[]", b"{", None]
)
def test_what_is_not_there_has_no_header(arguments: bytes | None) -> None:
    found = mirror.find(REGION)
    assert mirror.headers(found, arguments) == ()
    assert mirror.mismatch(found, {}, arguments) is None
    assert "was sent without" in (mirror.mismatch(found, {"region": b"eu"}, arguments) or "")


@pytest.mark.parametrize(
    ("kind", "value", "header", "is_same"),
    [
        ("string", "eu", "eu", True),
        ("string", "eu", " eu\t", True),
        ("string", "eu", "=?base64?ZXU=?=", True),
        ("string", "eu", "EU", False),
        ("string", "eu", "=?base64?ZXU?=", False),
        ("string", "eu", "=?base64?####?=", False),
        ("string", "7", "7.0", False),
        ("integer", 7, "7.0", True),
        ("integer", 7.0, "7", True),
        ("integer", 2**70 + 1, str(2**70 + 1), True),
        ("integer", 2**70 + 1, str(2**70), False),
        ("integer", 7, "07", False),
        ("integer", 7, "7e0", False),
        ("integer", 7, "8", False),
        ("integer", True, "1", False),
        ("boolean", True, "true", True),
        ("boolean", True, "True", False),
    ],
)
def test_a_header_says_what_the_argument_says(kind: str, value: object, header: str, *, is_same: bool) -> None:
    found = mismatch(schema(a=marked("A", kind)), {"a": value}, A=header)
    assert (found is None) is is_same, found


def test_a_header_that_is_missing_is_named() -> None:
    assert mismatch(REGION, {"region": "eu"}) == "Mcp-Param-Region is missing beside the argument 'region'"


def test_headers_of_no_known_argument_are_left_alone() -> None:
    assert mismatch(REGION, {"region": "eu"}, region="eu", extra="x") is None


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["a", "b", "c"]), _JSON), st.sampled_from(["string", "integer", "boolean"]))
def test_what_is_written_as_a_client_is_accepted_as_a_server(arguments: dict[str, Any], kind: str) -> None:
    found = mirror.find(schema(a=marked("A", kind), b=marked("B", kind)))
    raw = json.dumps(arguments).encode()
    written = mirror.headers(found, raw)
    received = {name.removeprefix("Mcp-Param-").lower(): modern.encode_header(text).encode() for name, text in written}
    assert mirror.mismatch(found, received, raw) is None


@given(_JSON)
def test_no_schema_breaks_the_search(document: Any) -> None:  # noqa: ANN401
    raw = json.dumps({"properties": {"a": document, "b": {"x-mcp-header": document}}}).encode()
    with contextlib.suppress(InvalidAnnotationError):
        assert isinstance(mirror.find(raw), tuple)
