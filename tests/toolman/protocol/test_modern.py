from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from toolman.protocol import modern

from toolman import jsonrpc

pytestmark = pytest.mark.requirement("T-01")

META = {modern.META_VERSION: "2026-07-28", modern.META_CAPABILITIES: {"sampling": {}}}


def params(meta: object = META, **others: Any) -> bytes:  # noqa: ANN401 - whatever JSON holds
    return json.dumps({"_meta": meta, **others}).encode()


def test_an_envelope_is_read_raw() -> None:
    whole = META | {modern.META_CLIENT_INFO: {"name": "c", "big": 2**60}, modern.META_LOG_LEVEL: "info", "x": 1}
    found = modern.read_envelope("tools/call", params(whole, name="t", uri="u"))
    assert found.version == modern.VERSION
    assert found.capabilities == b'{"sampling": {}}'
    assert json.loads(found.client_info or b"") == {"name": "c", "big": 2**60}
    assert (found.log_level, found.name) == ("info", "t")


@pytest.mark.parametrize(
    ("method", "others", "name"),
    [
        ("tools/call", {"name": "a"}, "a"),
        ("prompts/get", {"name": "a"}, "a"),
        ("resources/read", {"uri": "a:b", "name": "x"}, "a:b"),
        ("tasks/get", {"taskId": "1"}, "1"),
        ("tasks/update", {"taskId": "1"}, "1"),
        ("tasks/cancel", {"taskId": "1"}, "1"),
        ("tools/list", {"name": "a"}, None),
        ("tools/call", {}, None),
        ("tools/call", {"name": 7}, None),
    ],
)
def test_what_a_header_has_to_mirror_depends_on_the_method(
    method: str, others: dict[str, Any], name: str | None
) -> None:
    assert modern.read_envelope(method, params(**others)).name == name


def test_lone_surrogates_do_not_hide_an_envelope() -> None:
    raw = params(name="t", text="X").replace(b'"X"', b'"\\ud800"')
    assert modern.read_envelope("tools/call", raw).name == "t"
    assert modern.is_enveloped(raw)


@pytest.mark.parametrize(
    "raw",
    [
        None,
        b"{}",
        b"[]",
        b'{"_meta":null}',
        b'{"_meta":[]}',
        params({}),
        params({modern.META_VERSION: "2026-07-28"}),
        params({modern.META_CAPABILITIES: {}}),
        params(META | {modern.META_VERSION: 1}),
        params(META | {modern.META_CAPABILITIES: None}),
        params(META | {modern.META_CLIENT_INFO: "c"}),
        params(META | {modern.META_LOG_LEVEL: 7}),
        b'{"_meta":' + b"[" * 100_000,
    ],
)
def test_an_envelope_that_is_not_complete_is_refused(raw: bytes | None) -> None:
    with pytest.raises(jsonrpc.Malformed):
        modern.read_envelope("x", raw)


def test_what_is_missing_is_named() -> None:
    with pytest.raises(jsonrpc.Malformed) as caught:
        modern.read_envelope("x", params({}))
    assert modern.META_VERSION in caught.value.text
    assert modern.META_CAPABILITIES in caught.value.text
    assert caught.value.code == jsonrpc.INVALID_PARAMS


@pytest.mark.parametrize(
    ("raw", "is_so"),
    [
        (None, False),
        (b"{}", False),
        (params(), True),
        (params({}), False),
        (b'{"x":"%b"}' % modern.META_VERSION.encode(), False),
    ],
)
def test_a_request_is_known_by_its_envelope(raw: bytes | None, *, is_so: bool) -> None:
    assert modern.is_enveloped(raw) is is_so


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        (jsonrpc.result(b"{}"), 200),
        (jsonrpc.error(-32601, "x"), 404),
        (jsonrpc.error(-32602, "x"), 400),
        (modern.unsupported_version("x"), 400),
        (modern.missing_capability({"sampling": {}}), 400),
        (jsonrpc.error(-32603, "x"), 200),
        ((jsonrpc.ERROR, b'{"code":"x"}'), 200),
        ((jsonrpc.ERROR, b"nonsense"), 200),
    ],
)
def test_the_http_status_comes_from_the_code(outcome: jsonrpc.Outcome, status: int) -> None:
    assert modern.status(outcome) == status


def test_errors_carry_what_clients_act_on() -> None:
    unsupported = json.loads(bytes(modern.unsupported_version("2030")[1]))
    assert unsupported["data"] == {"supported": ["2026-07-28"], "requested": "2030"}
    missing = json.loads(bytes(modern.missing_capability({"sampling": {}})[1]))
    assert missing["data"] == {"requiredCapabilities": {"sampling": {}}}


@pytest.mark.parametrize(
    ("value", "header"),
    [
        ("plain text", "plain text"),
        ("", ""),
        (" edge", "=?base64?IGVkZ2U=?="),
        ("ü", "=?base64?w7w=?="),
        ("a\nb", "=?base64?YQpi?="),
        ("=?base64?YQ==?=", "=?base64?PT9iYXNlNjQ/WVE9PT89?="),
    ],
)
def test_values_are_written_as_they_are_where_that_survives(value: str, header: str) -> None:
    assert modern.encode_header(value) == header
    assert modern.decode_header(header.encode()) == value


@pytest.mark.parametrize("header", [b"=?base64?YQ?=", b"=?base64?YR==?=", b"=?base64?/w==?=", b"=?base64?\xff?="])
def test_what_nobody_can_have_meant_is_nothing(header: bytes) -> None:
    assert modern.decode_header(header) is None


@given(st.text(max_size=40))
def test_any_text_survives(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        return
    written = modern.encode_header(text)
    assert written.isascii()
    assert written.isprintable()
    assert modern.decode_header(b" \t" + written.encode() + b" ") == text


@given(st.binary(max_size=60))
def test_no_header_breaks_the_decoder(header: bytes) -> None:
    found = modern.decode_header(header)
    assert found is None or isinstance(found, str)
