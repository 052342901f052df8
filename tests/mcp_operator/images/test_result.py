from __future__ import annotations

import base64
import hashlib
import json
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp_operator import names
from mcp_operator.images import dockerfile, result
from mcp_operator.images.contract import Needs, Tool
from mcp_operator.images.liveness import Serving

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
    bases={"node:22-slim": "sha256:1"},
    version="1.0",
    created=12.5,
)


def of(number: int) -> result.Record:
    """Give the record of a server of many tools, whose hashes are as random as real ones."""
    hashes = (hashlib.sha256(str(index).encode()).hexdigest() for index in range(number))
    tools = tuple(Tool(name=f"tool-{index}", hash=f"sha256:{found}") for index, found in enumerate(hashes))
    return RECORD.model_copy(update={"tools": tools})


@pytest.mark.parametrize("tools", [0, 300, 5000])
def test_what_is_written_into_labels_is_read_back_however_many_tools_there_are(tools: int) -> None:
    assert result.read(result.labels(of(tools))) == of(tools)


@pytest.mark.parametrize("tools", [0, 300, 5000])
def test_every_label_is_printable_and_short_enough_for_a_line_of_a_dockerfile(tools: int) -> None:
    found = result.labels(of(tools))

    assert len(found) <= result.MAX_LABELS
    text = dockerfile.render_labels("sha256:1", found, Serving(language="go", transport="stdio", port=None, path=""))
    assert text.isascii()
    assert all(len(line) < 64 * 1024 for line in text.splitlines())


def test_a_record_of_few_tools_can_be_read_by_people() -> None:
    assert json.loads(result.labels(RECORD)[names.LABEL_RESULT])["server_name"] == "demo 1"


def test_a_record_that_is_too_long_leaves_an_empty_label_which_hides_a_forged_one() -> None:
    assert result.labels(of(20_000)) == {names.LABEL_RESULT: ""}


def test_a_part_that_a_repository_put_beside_a_short_record_is_not_read() -> None:
    found = result.labels(RECORD) | {names.result_part(2): "AAAA"}

    assert result.read(found) == RECORD


@pytest.mark.parametrize("number", [1, 2])
def test_a_packed_record_that_lacks_a_part_or_was_changed_is_none(number: int) -> None:
    found = result.labels(of(2000))

    assert result.read({**found, names.result_part(number): "zlib 2:AAAA"}) is None
    assert result.read({name: text for name, text in found.items() if name != names.result_part(number)}) is None


def test_a_packed_record_that_would_fill_the_memory_is_none() -> None:
    bomb = base64.b64encode(zlib.compress(b" " * (result.MAX_RECORD + 100), 9)).decode()

    assert result.read({names.LABEL_RESULT: f"zlib 1:{bomb}"}) is None


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"command": 1}', "not json"])
def test_a_label_of_somebody_else_is_none_of_ours(text: str) -> None:
    assert result.read({names.LABEL_RESULT: text}) is None
    assert result.read({}) is None


def test_a_label_of_another_version_of_us_is_none_of_ours() -> None:
    document = json.loads(result.labels(RECORD)[names.LABEL_RESULT])

    assert result.read({names.LABEL_RESULT: json.dumps({**document, "more": 1})}) is None
    del document["era"]
    assert result.read({names.LABEL_RESULT: json.dumps(document)}) is None


@given(st.text())
def test_any_text_is_read_without_an_error(text: str) -> None:
    assert result.read({names.LABEL_RESULT: text}) is None
    assert result.read({names.LABEL_RESULT: f"zlib 2:{text}", names.result_part(2): text}) is None
