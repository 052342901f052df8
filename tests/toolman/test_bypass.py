"""A corpus of requests that other parsers read differently than ours might: none gets to a tool that is not allowed."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

import pytest
from mirror_harness import Mirrored, start, tool
from raw_client import MODERN, exchange
from raw_json import items, members
from toolman_harness import Starter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from raw_client import Answer, RawClient

pytestmark = pytest.mark.requirement("T-10", "T-05")

TOOLS = [tool("ok"), tool("secret"), tool("Ok2"), tool("ok\\u200b")]
LAYER: dict[str, object] = {"tools": {"allow": ["ok"]}}
RESULT = '{"content":[{"type":"text","text":"done"}],"resultType":"complete"}'
PREFIX = "io.modelcontextprotocol/"
ENVELOPE = f'"_meta":{{"{PREFIX}protocolVersion":"{MODERN}","{PREFIX}clientCapabilities":{{}}}}'

PARAMS = {
    "repeated, the allowed one first": '"name":"ok","name":"secret"',
    "repeated, the allowed one last": '"name":"secret","name":"ok"',
    "repeated with the same value": '"name":"ok","name":"ok"',
    "repeated by an escape": r'"name":"ok","n\u0061me":"secret"',
    "repeated by an escape before": r'"\u006eame":"secret","name":"ok"',
    "capitalised besides": '"name":"ok","Name":"secret"',
    "capitalised before": '"Name":"secret","name":"ok"',
    "in capitals besides": '"name":"ok","NAME":"secret"',
    "capitalised by an escape": r'"name":"ok","\u004eame":"secret"',
    "with a NUL behind": r'"name":"ok","name\u0000":"secret"',
    "with text behind a NUL": r'"name":"ok","name\u0000x":"secret"',
    "folding to the same": '"name":"ok","na\u017fme":"x","nam\uff45":"secret"',
    "arguments repeated": '"name":"ok","arguments":{},"arguments":{"x":1}',
    "meta repeated": '"name":"ok","_meta":{},"_meta":{}',
    "meta capitalised": '"name":"ok","_Meta":{}',
}
"""Members of ``params`` of a call that must not get through, whatever the server would make of it."""
HARMLESS = {"folding to the same"}
"""Unknown members as the protocol has many: no parser in use takes them for another. They may go on, as ``ok``."""

MESSAGES = {
    "params repeated": '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{O},"params":{S}}',
    "params capitalised": '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{O},"Params":{S}}',
    "method repeated": '{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call","params":{S}}',
    "method capitalised": '{"jsonrpc":"2.0","id":1,"method":"ping","Method":"tools/call","params":{S}}',
    "method with a NUL": r'{"jsonrpc":"2.0","id":1,"method":"ping","method\u0000":"tools/call","params":{S}}',
    "method by an escape": r'{"jsonrpc":"2.0","id":1,"method":"ping","m\u0065thod":"tools/call","params":{S}}',
    "id repeated": '{"jsonrpc":"2.0","id":1,"id":2,"method":"tools/call","params":{S}}',
    "id capitalised": '{"jsonrpc":"2.0","id":1,"Id":2,"method":"tools/call","params":{S}}',
    "version repeated": '{"jsonrpc":"2.0","jsonrpc":"1.0","id":1,"method":"tools/call","params":{S}}',
    "two values": '{"jsonrpc":"2.0","id":1,"method":"ping"}{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{S}}',
    "two lines": '{"jsonrpc":"2.0","id":1,"method":"ping"}\n'
    '{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{S}}',
    "a batch": '[{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{O}},'
    '{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{S}}]',
    "behind a byte order mark": '\ufeff{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{S}}',
    "with a comment": '{"jsonrpc":"2.0",/*"*/"id":1,"method":"tools/call","params":{S}/*"*/}',
    "with a trailing comma": '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{S},}',
    "method in capitals": '{"jsonrpc":"2.0","id":1,"method":"TOOLS/CALL","params":{S}}',
    "method with a blank": '{"jsonrpc":"2.0","id":1,"method":"tools/call ","params":{S}}',
    "method with a NUL inside": r'{"jsonrpc":"2.0","id":1,"method":"tools/call\u0000","params":{S}}',
    "method without its slash": r'{"jsonrpc":"2.0","id":1,"method":"tools\\/call","params":{S}}',
    "a response with a method": '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{S},"result":{}}',
    "a notification": '{"jsonrpc":"2.0","method":"tools/call","params":{S}}',
    "params as an array": '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":["secret"]}',
    "an id that is an object": '{"jsonrpc":"2.0","id":{"a":1},"method":"tools/call","params":{S}}',
}
"""Messages that would call ``secret`` in somebody's reading."""

NAMES = {
    "escaped": r"\u0073ecret",
    "in capitals": "SECRET",
    "of full width": "\uff53ecret",
    "with a NUL behind": r"secret\u0000",
    "with a NUL behind the allowed": r"ok\u0000secret",
    "with a blank behind": "secret ",
    "with a line behind the allowed": r"ok\nsecret",
    "with nothing visible behind": "ok\u200b",
    "of another alphabet": "\u043ek",
    "decomposed": "o\u0301k",
    "like a path": "ok/../secret",
    "like a prefix": "mirror__secret",
    "with half a character": r"ok\ud800",
    "like a glob": "*",
    "empty": "",
}
"""Names of tools, as JSON text, that are not ``ok``."""


@pytest.fixture(scope="module", params=["legacy", "modern"])
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mirrored]:
    """Give a toolman whose server speaks an era."""
    starter = Starter(tmp_path_factory.mktemp("bypass"))
    yield start(starter, request.param, TOOLS, LAYER)
    starter.end()


@pytest.fixture
def mirrored(running: Mirrored) -> Mirrored:
    running.forget()
    for name in ("ok", "secret", "Ok2"):
        running.says(name, "result", RESULT)
    return running


@pytest.fixture(params=["legacy", "modern"])
def pairing(request: pytest.FixtureRequest, mirrored: Mirrored) -> tuple[Mirrored, RawClient]:
    return mirrored, mirrored.client(request.param)


def envelope(client: RawClient) -> str:
    return f",{ENVELOPE}" if client.era == "modern" else ""


def repeated(client: RawClient, method: str, name: str) -> list[tuple[str, str]]:
    """Give the headers that repeat the body, where the era has them."""
    return [("Mcp-Method", method), ("Mcp-Name", name)] if client.era == "modern" else []


def called(mirrored: Mirrored) -> list[str]:
    """Give what the server was called with: nothing but ``ok`` may be there."""
    return [found["params"] for found in mirrored.received("tools/call")]


def refused(answer: Answer) -> bool:
    return answer.status >= 400 or (answer.status == 200 and "error" in answer.last) or answer.status == 0


def test_a_call_whose_deciding_keys_can_be_read_in_two_ways_is_refused(pairing: tuple[Mirrored, RawClient]) -> None:
    mirrored, client = pairing
    for what, inner in PARAMS.items():
        meta = "" if "meta" in what and client.era == "legacy" else envelope(client)
        body = f'{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{{inner}{meta}}}}}'
        for named in ("ok", "secret"):
            answer = client.send(body, *repeated(client, "tools/call", named))
            assert refused(answer) or what in HARMLESS, (what, answer)
    assert {json.loads(params)["name"] for params in called(mirrored)} <= {"ok"}


def test_a_message_that_calls_in_somebodys_reading_calls_nothing(pairing: tuple[Mirrored, RawClient]) -> None:
    mirrored, client = pairing
    for what, template in MESSAGES.items():
        body = template.replace("{O}", f'{{"name":"ok"{envelope(client)}}}')
        body = body.replace("{S}", f'{{"name":"secret"{envelope(client)}}}')
        for method, named in (("tools/call", "secret"), ("tools/call", "ok"), ("ping", "")):
            answer = client.send(body, *repeated(client, method, named))
            assert "done" not in answer.body.decode() or what == "a batch", (what, answer)
    assert {json.loads(params)["name"] for params in called(mirrored)} <= {"ok"}


def test_a_name_that_is_not_allowed_never_gets_through_however_it_is_spelt(pairing: tuple[Mirrored, RawClient]) -> None:
    mirrored, client = pairing
    for what, name in NAMES.items():
        body = f'{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"{name}"{envelope(client)}}}}}'
        for header in header_values(name):
            assert refused(client.send(body, *repeated(client, "tools/call", header))), what
    assert called(mirrored) == []


def header_values(name: str) -> list[str]:
    """Give ways to repeat a name in a header: encoded, and the allowed one's."""
    text = json.loads(f'"{name}"').encode("utf-8", "surrogatepass")
    return [f"=?base64?{base64.b64encode(text).decode()}?=", "ok"]


def test_a_denied_tool_is_answered_like_one_that_is_not_there(pairing: tuple[Mirrored, RawClient]) -> None:
    mirrored, client = pairing
    answers = [client.request("tools/call", f'{{"name":"{name}","arguments":{{}}}}') for name in ("secret", "nobody")]
    bodies = [answer.body.replace(b"nobody", b"secret") for answer in answers]
    assert bodies[0] == bodies[1]
    assert answers[0].status == answers[1].status
    varying = ("date", "mcp-session-id", "content-length")
    kept = [{name: value for name, value in answer.headers.items() if name not in varying} for answer in answers]
    assert kept[0] == kept[1]
    assert called(mirrored) == []


def test_every_element_of_a_batch_is_decided_on_by_itself(mirrored: Mirrored) -> None:
    client = mirrored.client("legacy", "2025-03-26")
    calls = [client.body("tools/call", f'{{"name":"{name}"}}', identifier=name_id) for name, name_id in BATCH]
    (body,) = client.send(f"[{','.join(calls)}]").messages
    answers = {found["id"]: found for found in map(members, items(body))}
    assert "done" in answers["1"]["result"]
    assert "error" in answers["2"]
    assert answers["2"]["error"].replace("secret", "nobody") == answers["3"]["error"]
    assert [json.loads(params)["name"] for params in called(mirrored)] == ["ok"]


BATCH = [("ok", "1"), ("secret", "2"), ("nobody", "3")]


def test_headers_that_disagree_with_the_body_are_refused(mirrored: Mirrored) -> None:
    client = mirrored.client("modern")
    body = client.body("tools/call", '{"name":"ok","arguments":{}}')
    version, method, name = ("MCP-Protocol-Version", MODERN), ("Mcp-Method", "tools/call"), ("Mcp-Name", "ok")
    plain = mirrored.client("legacy").head()[:2]
    secret = base64.b64encode(b"secret").decode()
    corpus = {
        "another name": [version, method, ("Mcp-Name", "secret")],
        "another name, encoded": [version, method, ("Mcp-Name", f"=?base64?{secret}?=")],
        "a broken encoding": [version, method, ("Mcp-Name", "=?base64?b2s?=")],
        "a name in another case": [version, method, ("Mcp-Name", "OK")],
        "no name": [version, method],
        "two names": [version, method, name, ("Mcp-Name", "secret")],
        "two names in one": [version, method, ("Mcp-Name", "ok, secret")],
        "another method": [version, ("Mcp-Method", "tools/list"), name],
        "a method in another case": [version, ("Mcp-Method", "Tools/Call"), name],
        "no method": [version, name],
        "two methods": [version, method, ("Mcp-Method", "tools/list"), name],
        "another version": [("MCP-Protocol-Version", "2025-11-25"), method, name],
        "no version": [method, name],
        "two versions": [version, ("MCP-Protocol-Version", "2025-11-25"), method, name],
    }
    for what, headers in corpus.items():
        answer = client.post(body, [*plain, *headers])
        assert 400 <= answer.status < 500, (what, answer)
        assert "done" not in answer.body.decode()
    assert called(mirrored) == []


SMUGGLED = b'POST /mcp HTTP/1.1\r\nHost: localhost\r\n\r\n{"jsonrpc":"2.0","id":1,"method":"tools/call"}'
HEAD = b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize(
    "request_bytes",
    [
        HEAD + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
        HEAD + b"Content-Length: 2\r\nContent-Length: 100\r\n\r\n{}" + SMUGGLED,
        HEAD + b"Content-Length: +2\r\n\r\n{}" + SMUGGLED,
        HEAD + b"Content-Length: 2, 2\r\n\r\n{}" + SMUGGLED,
        HEAD + b"Transfer-Encoding: chunked, identity\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        HEAD + b"Transfer-Encoding: xchunked\r\nContent-Length: 2\r\n\r\n{}" + SMUGGLED,
        HEAD + b"Transfer-Encoding : chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        HEAD + b" Folded: yes\r\nContent-Length: 2\r\n\r\n{}",
        HEAD + b"Content-Length: 2\r\nBad\0Name: x\r\n\r\n{}",
        HEAD + b"Content-Length: 2\nHost: evil\n\n{}",
    ],
    ids=["te-and-cl", "two-cl", "signed-cl", "list-cl", "te-list", "te-unknown", "te-blank", "fold", "nul", "bare-lf"],
)
def test_a_request_whose_end_can_be_read_in_two_ways_is_refused(mirrored: Mirrored, request_bytes: bytes) -> None:
    answer = exchange(mirrored.port, request_bytes)
    assert answer.status == 0 or 400 <= answer.status < 500, answer
    assert called(mirrored) == []
