from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw
from toolman.protocol import translate
from toolman.protocol.translate import InputRequest

from toolman import jsonrpc

if TYPE_CHECKING:
    from toolman.exchange import Era

pytestmark = pytest.mark.requirement("T-03")

IDENTITY = "io.modelcontextprotocol/serverInfo"
INFO = b'{"name":"s"}'
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
RESULTS = st.dictionaries(
    st.text(max_size=8) | st.sampled_from(["content", "resultType", "ttlMs", "cacheScope", "x"]), VALUES, max_size=5
)


def write(value: object, *, ascii_only: bool = True) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")


@given(result=RESULTS, ascii_only=st.booleans(), method=st.sampled_from(["tools/call", "resources/read"]))
def test_a_legacy_result_gets_what_the_modern_era_must_have_and_keeps_all_else(
    *, result: dict[str, object], ascii_only: bool, method: str
) -> None:
    data = write(result, ascii_only=ascii_only)
    try:
        translated = translate.to_modern(data, method, INFO)
    except jsonrpc.Malformed:  # keys that can be taken for others
        return
    found = json.loads(translated)
    jsonrpc.members(translated, frozenset())  # no key twice
    assert found.pop("resultType") == "complete"
    assert found.pop("_meta")[IDENTITY] == {"name": "s"}
    gone = {"resultType", "_meta"}
    if method == "resources/read":
        assert (found.pop("ttlMs"), found.pop("cacheScope")) == (0, "private")
        gone |= {"ttlMs", "cacheScope"}
    assert found == {key: value for key, value in result.items() if key not in gone}


@given(RESULTS)
def test_there_and_back_is_what_it_was(result: dict[str, object]) -> None:
    plain = {key: value for key, value in result.items() if key not in {"resultType", "ttlMs", "cacheScope", "_meta"}}
    try:
        modern = translate.to_modern(write(plain), "resources/read", INFO)
    except jsonrpc.Malformed:
        return
    back = json.loads(translate.to_legacy(translate.read_result(modern)))
    del back["_meta"]
    assert back == plain


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (b"{}", b'{"resultType":"complete","_meta":{"%b":%b}}'),
        (b"{ }", b'{"resultType":"complete","_meta":{"%b":%b}}'),
        (b'{ "a": 1.0 }', b'{"resultType":"complete","_meta":{"%b":%b},"a": 1.0 }'),
        (b'{"_meta":null,"a":1}', b'{"resultType":"complete","_meta":{"%b":%b},"a":1}'),
        (b'{"_meta":{"k":1e2},"a":1}', b'{"resultType":"complete","_meta":{"k":1e2,"%b":%b},"a":1}'),
    ],
)
def test_what_is_added_stands_in_front_and_touches_nothing(result: bytes, expected: bytes) -> None:
    translated = translate.to_modern(result, "tools/call", INFO)
    assert json.loads(translated) == json.loads(expected % (IDENTITY.encode(), INFO))
    assert b"1.0" in translated or b"1.0" not in result
    assert b"1e2" in translated or b"1e2" not in result


@pytest.mark.parametrize("result", [b"[]", b"1", b'"a"', b"null", b'{"\\u0061":1,"a":1}'])
def test_what_is_no_result_is_refused(result: bytes) -> None:
    with pytest.raises(jsonrpc.Malformed):
        translate.to_modern(result, "tools/call", INFO)


def test_what_is_asked_is_written_as_it_is_read() -> None:
    written = b'{"k":{"method":"roots/list"},"l":{"method":"x","params":{"a":1.0}}}'
    found = translate.read_result(
        b'{"resultType":"input_required","inputRequests":%b,"requestState":"\\u0061"}' % written
    )
    required = translate.read_input_required(found)
    assert required.state is not None
    assert bytes(required.state) == b'"\\u0061"'
    assert translate.result_type(found) == "input_required"
    again = translate.read_input_required(translate.read_result(translate.input_required(required.requests, "s")))
    assert {key: (each.method, each.params and bytes(each.params)) for key, each in again.requests.items()} == {
        "k": ("roots/list", None),
        "l": ("x", b'{"a":1.0}'),
    }
    assert translate.result_type({}) == "complete"


@pytest.mark.parametrize("requests", [b"[]", b'{"k":1}', b'{"k":{}}', b'{"k":{"method":1}}', b'{"k":{},"k":{}}'])
def test_questions_that_cannot_be_read_are_refused(requests: bytes) -> None:
    with pytest.raises(jsonrpc.Malformed):
        translate.read_input_required({"inputRequests": Raw(requests)})


CAPABILITIES = b'{"x":1.0,"elicitation":{"form":{}},"sampling":{},"roots":{},"extensions":{"a/b":{},"c/d":{ }}}'


@pytest.mark.parametrize(
    ("era", "requests", "denied", "expected"),
    [
        ("modern", ("elicitation", "sampling", "roots"), "", CAPABILITIES),
        ("modern", ("roots",), "a/b", b'{"x":1.0,"roots":{},"extensions":{"c/d":{ }}}'),
        ("legacy", (), "", b'{"x":1.0,"extensions":{"a/b":{},"c/d":{ }}}'),
    ],
)
def test_capabilities_lose_what_a_server_may_not_use_and_nothing_else(
    era: Era, requests: tuple[str, ...], denied: str, expected: bytes
) -> None:
    assert translate.shown_capabilities(CAPABILITIES, era, requests, lambda name: name != denied) == expected


def test_tasks_of_the_other_era_are_no_capability() -> None:
    both = b'{"tasks":{},"extensions":{"io.modelcontextprotocol/tasks":{}}}'
    assert translate.shown_capabilities(both, "modern", (), lambda _: True) == both
    assert translate.shown_capabilities(both, "legacy", (), lambda _: True) == b'{"extensions":{}}'
    assert translate.declares_extension(both, "io.modelcontextprotocol/tasks")
    assert not translate.declares_extension(b'{"extensions":{},"Extensions":{}}', "x")
    assert not translate.declares_extension(b'{"extensions":[]}', "x")


@pytest.mark.parametrize(
    ("declared", "method", "params", "lacking"),
    [
        (b"{}", "elicitation/create", None, {"elicitation": {}}),
        (b'{"elicitation":null}', "elicitation/create", b"{}", {"elicitation": {}}),
        (b'{"elicitation":{}}', "elicitation/create", b"{}", None),
        (b'{"elicitation":{}}', "elicitation/create", b'{"mode":"form"}', None),
        (b'{"elicitation":{}}', "elicitation/create", b'{"mode":"url"}', {"elicitation": {"url": {}}}),
        (b'{"elicitation":{"url":{}}}', "elicitation/create", b'{"mode":"url"}', None),
        (b'{"elicitation":{"url":{}}}', "elicitation/create", b"{}", {"elicitation": {"form": {}}}),
        (b'{"sampling":{}}', "sampling/createMessage", b'{"messages":[]}', None),
        (b'{"sampling":{}}', "sampling/createMessage", b'{"tools":[]}', {"sampling": {"tools": {}}}),
        (b'{"sampling":{"tools":{}}}', "sampling/createMessage", b'{"toolChoice":{}}', None),
        (b'{"roots":{}}', "roots/list", None, None),
    ],
)
def test_what_a_client_must_declare_to_be_asked(
    declared: bytes, method: str, params: bytes | None, lacking: object
) -> None:
    request = InputRequest(method, None if params is None else Raw(params))
    assert translate.lacking(declared, request) == lacking
