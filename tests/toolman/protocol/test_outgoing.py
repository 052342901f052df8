from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw
from toolman.exchange import Outgoing
from toolman.protocol import outgoing

from toolman import jsonrpc

pytestmark = pytest.mark.requirement("T-02", "T-05")

ENVELOPE = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}


def test_a_legacy_server_gets_what_the_client_sent_and_nothing_else() -> None:
    sent = Outgoing("tools/call", {"name": b'"x"', "arguments": Raw(b'{"n": 9007199254740993, "z":1,"a":null}')})
    assert outgoing.request(sent, "legacy", 7) == (
        b'{"jsonrpc":"2.0","id":7,"method":"tools/call",'
        b'"params":{"name":"x","arguments":{"n": 9007199254740993, "z":1,"a":null}}}'
    )


def test_a_legacy_server_gets_the_clients_meta_and_a_progress_token_of_ours() -> None:
    sent = Outgoing("tools/call", {"name": b'"x"'}, {"traceparent": b'"00-1"'}, progress=True, log_level="debug")
    params = json.loads(outgoing.request(sent, "legacy", 7))["params"]
    assert params == {"name": "x", "_meta": {"traceparent": "00-1", "progressToken": 7}}
    sent.progress = False
    assert json.loads(outgoing.request(sent, "legacy", 7))["params"]["_meta"] == {"traceparent": "00-1"}


def test_a_modern_server_gets_the_envelope_with_everything() -> None:
    sent = Outgoing(
        "tools/call",
        {"name": b'"x"'},
        {"traceparent": b'"00-1"'},
        progress=True,
        capabilities=b'{"sampling":{}}',
        client_info=b'{"name":"c"}',
        log_level="debug",
    )
    assert json.loads(outgoing.request(sent, "modern", 7))["params"]["_meta"] == ENVELOPE | {
        "io.modelcontextprotocol/clientCapabilities": {"sampling": {}},
        "io.modelcontextprotocol/clientInfo": {"name": "c"},
        "io.modelcontextprotocol/logLevel": "debug",
        "progressToken": 7,
        "traceparent": "00-1",
    }


def test_a_modern_server_gets_no_more_than_there_is() -> None:
    assert json.loads(outgoing.request(Outgoing("tools/list", {}), "modern", 1)) == {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/list",
        "params": {"_meta": ENVELOPE},
    }


VALUES = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=5)
MEMBERS = st.dictionaries(st.text().filter(lambda key: key not in {"_meta", "progressToken"}), VALUES, max_size=5)


@given(st.text(), MEMBERS, MEMBERS, st.booleans(), st.none() | st.text(), st.sampled_from(("legacy", "modern")))
def test_whatever_goes_in_comes_out_on_one_line(
    method: str,
    params: dict[str, object],
    meta: dict[str, object],
    progress: bool,  # noqa: FBT001
    level: str | None,
    era: str,
) -> None:
    raw_params = {key: jsonrpc.encode(value) for key, value in params.items()}
    raw_meta = {key: jsonrpc.encode(value) for key, value in meta.items()}
    line = outgoing.request(
        Outgoing(method, raw_params, raw_meta, progress=progress, log_level=level),
        "modern" if era == "modern" else "legacy",
        3,
    )
    assert b"\n" not in line
    message = json.loads(line)
    found = message["params"].pop("_meta", {})
    assert message == {"jsonrpc": "2.0", "id": 3, "method": method, "params": params}
    expected = meta | ({"progressToken": 3} if progress else {})
    if era == "modern":
        expected |= ENVELOPE | ({} if level is None else {"io.modelcontextprotocol/logLevel": level})
    assert found == expected
