from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp_operator.images import result
from mcp_operator.images.contract import Needs, Tool

pytestmark = pytest.mark.requirement("B-14")

RECORD = result.Record(
    command=("node", "/app/x.js"),
    working_dir="/app",
    evidence=("über\n\u202e",),
    protocol_version="2025-11-25",
    server_name="demo 1",
    tools=(Tool(name="t", hash="h", tokens=3, read_only=True),),
    warnings=(),
    language="node",
    transport="sse",
    port=8000,
    path="/sse",
    era="modern",
    needs=Needs(env=("KEY",), network=True),
    version="1.0",
    created=12.5,
)


def test_what_is_written_into_a_label_is_read_back() -> None:
    assert result.read(result.label(RECORD)) == RECORD


def test_a_label_is_one_printable_line() -> None:
    text = result.label(RECORD)

    assert text.isascii()
    assert text.isprintable()


def test_a_record_that_is_too_long_for_a_label_is_left_out() -> None:
    tools = tuple(Tool(name=f"tool-{number}", hash="sha256:" + "0" * 64) for number in range(1000))

    assert result.label(RECORD.model_copy(update={"tools": tools})) == ""


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"command": 1}', "not json"])
def test_a_label_of_somebody_else_is_none_of_ours(text: str) -> None:
    assert result.read(text) is None


def test_a_label_of_another_version_of_us_is_none_of_ours() -> None:
    document = json.loads(result.label(RECORD))

    assert result.read(json.dumps({**document, "more": 1})) is None
    del document["era"]
    assert result.read(json.dumps(document)) is None


@given(st.text())
def test_any_text_is_read_without_an_error(text: str) -> None:
    assert result.read(text) is None
