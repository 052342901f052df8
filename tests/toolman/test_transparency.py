"""What toolman need not change arrives byte for byte, in both directions and in all pairings of eras."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING

import pytest
from mirror_harness import SERVER_INFO, Mirrored, start, tool
from raw_json import items, members
from toolman_harness import Starter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from raw_client import Answer

pytestmark = pytest.mark.requirement("T-05")

ODD = (
    r'{"z":1,"a":null,"numbers":[1.0,1e2,1E+2,-0,-0.0,9007199254740993,-170141183460469231731687303715884105729,'
    r'0.1000000000000000055511151231257827,1e-320],"text":"\u2028 \u00e9 \/ \t \" \ud83d\ude00","raw":"'
    "\u2028\u2029\u0085 é 😀 \x7f"
    r'","":{"":[]},"empty":{ },"same":{"b":2,"a":1,"A":3},"_meta":{"k":null},"name":"not mine"}'
)
"""What most programs do not write as they read it."""

SCHEMA = (
    '{"name":"schema","inputSchema":{"type":"object","$schema":"https://json-schema.org/draft/2020-12/schema",'
    '"$defs":{"b":{"$anchor":"b","default":null},"a":{"$ref":"#/$defs/b"}},"properties":{"p":{"$ref":"#/$defs/a",'
    '"minimum":1.0,"multipleOf":1e-2,"const":9007199254740993,"examples":[null]}},"unevaluatedProperties":false,'
    '"x-keyword":{"z":1,"a":2}},"outputSchema":{"type":"object","$comment":null},'
    '"annotations":{"x-hint":{"z":1,"a":null},"readOnlyHint":true,"title":null},'
    '"_meta":{"example.com/k":1.0},"execution":{"taskSupport":"forbidden","x":1.0}}'
)

TOOLS = [
    tool("keep", f',"description":"a \u2028 b","x-unknown":{ODD},"title":null'),
    SCHEMA,
    '{"inputSchema":{"type":"object"},"description":"its name comes last","name":"late"}',
    tool("fail"),
    tool("progress"),
    tool("together"),
]

RESULT = (
    '{"structuredContent":'
    + ODD
    + ',"content":[{"type":"text","text":"a\u2028b","annotations":{"x":1.0,"priority":1e-1}},'
    + '{"type":"x-unknown","data":null}],"isError":false,"x-unknown":'
    + ODD
)
"""The beginning of a result."""
ENDS = {"legacy": ',"_meta":{"example.com/k":1.0}}', "modern": f',"resultType":"complete",{SERVER_INFO}}}'}
ERROR = f'{{"message":"no \u2028 such","data":{ODD},"x-unknown":1.0,"code":-32050}}'


@pytest.fixture(scope="module", params=["legacy", "modern"])
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mirrored]:
    """Give a toolman whose server speaks an era."""
    starter = Starter(tmp_path_factory.mktemp("transparency"))
    yield start(starter, request.param, TOOLS)
    starter.end()


@pytest.fixture(params=["legacy", "modern"])
def pairing(request: pytest.FixtureRequest, running: Mirrored) -> tuple[Mirrored, str]:
    running.forget()
    return running, request.param


@pytest.fixture
def same(running: Mirrored) -> tuple[Mirrored, str]:
    running.forget()
    return running, running.era


def test_a_tool_is_listed_as_its_server_wrote_it(pairing: tuple[Mirrored, str]) -> None:
    mirrored, front = pairing
    answer = mirrored.client(front).request("tools/list")
    listed = items(members(answer.last["result"])["tools"])
    assert len(listed) == len(TOOLS)
    for got, written in zip(listed, TOOLS, strict=True):
        found, wanted = members(got), members(written)
        assert found.pop("name") == wanted.pop("name")
        assert list(found.items()) == list(wanted.items()), "in the same order, spelt alike"


def test_arguments_and_unknown_params_reach_the_server_as_they_were_written(pairing: tuple[Mirrored, str]) -> None:
    mirrored, front = pairing
    mirrored.says("keep", "result", RESULT + ENDS[mirrored.era])
    mirrored.client(front).request("tools/call", f'{{"x-first":{ODD},"name":"keep","arguments":{ODD},"x-last":[1.0]}}')
    (received,) = mirrored.received("tools/call")
    params = members(received["params"])
    assert params["arguments"] == ODD
    assert params["x-first"] == ODD
    assert params["x-last"] == "[1.0]"


def test_unknown_keys_of_a_requests_meta_reach_the_server(pairing: tuple[Mirrored, str]) -> None:
    mirrored, front = pairing
    mirrored.says("keep", "result", RESULT + ENDS[mirrored.era])
    meta = f'"example.com/z":{ODD},"claudecode/toolUseId":"toolu_1","traceparent":"00-{"a" * 32}-{"b" * 16}-01"'
    mirrored.client(front).request("tools/call", '{"name":"keep","arguments":{}}', meta=meta)
    (received,) = mirrored.received("tools/call")
    found = members(members(received["params"])["_meta"])
    assert found["example.com/z"] == ODD
    assert found["claudecode/toolUseId"] == '"toolu_1"'
    if mirrored.era == "legacy":
        assert not [key for key in found if key.startswith("io.modelcontextprotocol/")]


def test_a_result_of_the_same_era_is_not_touched(same: tuple[Mirrored, str]) -> None:
    mirrored, front = same
    mirrored.says("keep", "result", RESULT + ENDS[mirrored.era])
    answer = mirrored.client(front).request("tools/call", '{"name":"keep","arguments":{}}')
    assert answer.last["result"] == RESULT + ENDS[mirrored.era]


def test_a_result_of_the_other_era_keeps_everything_but_the_eras_own_words(pairing: tuple[Mirrored, str]) -> None:
    mirrored, front = pairing
    mirrored.says("keep", "result", RESULT + ENDS[mirrored.era])
    answer = mirrored.client(front).request("tools/call", '{"name":"keep","arguments":{}}')
    found, wanted = members(answer.last["result"]), members(RESULT + ENDS[mirrored.era])
    for key in ("structuredContent", "content", "x-unknown", "isError"):
        assert found[key] == wanted[key]
    assert ("resultType" in found) is (front == "modern")
    if mirrored.era == "legacy":
        assert members(found["_meta"])["example.com/k"] == "1.0"


def test_an_error_stays_the_error_that_it_was(pairing: tuple[Mirrored, str]) -> None:
    mirrored, front = pairing
    mirrored.says("fail", "error", ERROR)
    answer = mirrored.client(front).request("tools/call", '{"name":"fail","arguments":{}}')
    assert answer.last["error"] == ERROR
    assert "result" not in answer.last


def test_a_method_of_an_advertised_extension_goes_through(same: tuple[Mirrored, str]) -> None:
    mirrored, front = same
    mirrored.says("notes.list", "result", RESULT + ENDS[mirrored.era])
    answer = mirrored.client(front).request("notes/list", f'{{"x":{ODD}}}')
    assert answer.last["result"] == RESULT + ENDS[mirrored.era]
    (received,) = mirrored.received("notes/list")
    assert members(received["params"])["x"] == ODD


@pytest.mark.parametrize("identifier", ["0", '"1"', "1", "-7", "9007199254740993", '"\\u2028"', '"\u2028é"', '""'])
def test_an_answer_carries_the_id_of_its_request(pairing: tuple[Mirrored, str], identifier: str) -> None:
    mirrored, front = pairing
    mirrored.says("keep", "result", RESULT + ENDS[mirrored.era])
    client = mirrored.client(front)
    answer = client.request("tools/call", '{"name":"keep","arguments":{}}', identifier=identifier)
    assert json.loads(answer.last["id"]) == json.loads(identifier)
    assert type(json.loads(answer.last["id"])) is type(json.loads(identifier))


@pytest.mark.parametrize("token", ["0", "7", '"0"', '"t \u2028"', "9007199254740993"])
def test_progress_arrives_complete_in_order_and_before_the_result(pairing: tuple[Mirrored, str], token: str) -> None:
    mirrored, front = pairing
    steps = [
        f'"progress":{step}.0,"total":1e1,"message":"\u2028","x-unknown":{{"z":{step},"a":null}}' for step in range(20)
    ]
    mirrored.says("progress", "progress", "\n".join(steps))
    mirrored.says("progress", "result", RESULT + ENDS[mirrored.era])
    answer = mirrored.client(front).request(
        "tools/call", '{"name":"progress","arguments":{}}', meta=f'"progressToken":{token}'
    )
    assert progress_of(answer, token) == [members(f"{{{step}}}") for step in steps]
    assert "result" in answer.last
    assert len(answer.messages) == len(steps) + 1


def test_clients_with_equal_ids_and_tokens_see_only_what_is_theirs(pairing: tuple[Mirrored, str]) -> None:
    mirrored, front = pairing
    answers: dict[str, Answer] = {}

    def call(who: str) -> None:
        params = f'{{"name":"together","arguments":{{"who":"{who}"}}}}'
        answers[who] = mirrored.client(front).request("tools/call", params, meta='"progressToken":0')

    threads = [threading.Thread(target=call, args=(who,)) for who in ("ann", "bob")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for who, answer in answers.items():
        progress = progress_of(answer, "0")
        assert [found["progress"] for found in progress] == ["0", "1", "2", "3", "4"]
        assert {found["message"] for found in progress} == {f'"{who}"'}
        assert answer.last["id"] == "1"
        assert f'"text": "{who}"' in answer.last["result"]


def test_blanks_between_the_tokens_of_a_request_do_not_break_its_line(pairing: tuple[Mirrored, str]) -> None:
    mirrored, front = pairing
    mirrored.says("keep", "result", RESULT + ENDS[mirrored.era])
    client = mirrored.client(front)
    params = '{\n\t"name" : "keep",\r\n "arguments" :\n{ "n" :\t1.0,\n"s": "a\\nb" } }'
    answer = client.request("tools/call", params)
    assert "result" in answer.last
    (received,) = mirrored.received("tools/call")
    sent = members(members(received["params"])["arguments"])
    assert sent == {"n": "1.0", "s": '"a\\nb"'}


def progress_of(answer: Answer, token: str) -> list[dict[str, str]]:
    """Give the params of all progress notifications, without the token, which must be this one."""
    found = []
    for message in answer.messages[:-1]:
        parts = members(message)
        assert parts["method"] == '"notifications/progress"'
        params = members(parts["params"])
        assert json.loads(params["progressToken"]) == json.loads(token)
        assert type(json.loads(params.pop("progressToken"))) is type(json.loads(token))
        found.append(params)
    return found
