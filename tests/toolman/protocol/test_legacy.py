from __future__ import annotations

import json

import pytest
from toolman.protocol import legacy

from toolman import jsonrpc

pytestmark = pytest.mark.requirement("T-01")


@pytest.mark.parametrize(
    ("wanted", "given"),
    [
        ("2025-03-26", "2025-03-26"),
        ("2025-06-18", "2025-06-18"),
        ("2025-11-25", "2025-11-25"),
        ("2024-11-05", "2025-11-25"),
        ("2026-07-28", "2025-11-25"),
        ("x", "2025-11-25"),
    ],
)
def test_a_session_gets_the_revision_that_it_asks_for_or_the_latest(wanted: str, given: str) -> None:
    opening = legacy.open_session(json.dumps({"protocolVersion": wanted}).encode())
    assert (opening.version, opening.capabilities, opening.client_info) == (given, b"{}", None)


def test_what_a_client_says_of_itself_is_kept_as_it_is() -> None:
    opening = legacy.open_session(
        b'{"protocolVersion":"2025-11-25","capabilities":{ "x":1.0},"clientInfo":{"name":"\\ud83d"},"y":1}'
    )
    assert (opening.capabilities, opening.client_info) == (b'{ "x":1.0}', b'{"name":"\\ud83d"}')


@pytest.mark.parametrize(
    "params",
    [
        None,
        b"{}",
        b'{"protocolVersion":1}',
        b'{"protocolVersion":"2025-11-25","capabilities":[]}',
        b'{"protocolVersion":"2025-11-25","capabilities":{},"capabilities":{}}',
        b'{"protocolVersion":"2025-11-25","Capabilities":{}}',
    ],
)
def test_what_cannot_be_understood_opens_no_session(params: bytes | None) -> None:
    with pytest.raises(jsonrpc.Malformed):
        legacy.open_session(params)


def test_the_answer_says_what_there_is() -> None:
    found = json.loads(legacy.initialize_result("2025-06-18", b'{"tools":{}}', "Be kind."))
    assert found.pop("serverInfo")["name"] == "toolman"
    assert found == {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "instructions": "Be kind."}
    assert "instructions" not in json.loads(legacy.initialize_result("2025-06-18", b"{}"))


def test_servers_are_asked_with_what_they_may_know_of_clients() -> None:
    asked = json.loads(legacy.initialize_params(b'{"roots":{}}'))
    assert (asked["protocolVersion"], asked["capabilities"]) == ("2025-11-25", {"roots": {}})
