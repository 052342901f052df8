from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING

import pytest
from toolman_harness import SERVER, Client, Starter, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from toolman_harness import Toolman

pytestmark = pytest.mark.requirement("F-07")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Toolman, Client]]:
    """Give a toolman for tests that leave it as it was."""
    starter = Starter(tmp_path_factory.mktemp("shared"))
    yield starter.run()
    starter.end()


@pytest.fixture
def client(shared: tuple[Toolman, Client]) -> Iterator[Client]:
    """Give a session with it."""
    found = Client(shared[1].http.base_url.port or 0).initialize()
    yield found
    found.http.close()


def test_a_denied_tool_is_neither_listed_nor_called(starter: Starter) -> None:
    toolman, client = starter.run("--deny", "e*", "--deny", "die")
    assert "echo" not in client.tools()
    assert "state" in client.tools()
    answer = client.request("tools/call", {"name": "die"})
    assert answer["error"] == {"code": -32602, "message": "Unknown tool: die"}
    record = until(toolman.audit)[-1]
    assert (record["decision"], record["reason"], record["layer"]) == ("denied", "Denied", "command line")
    assert client.ask("state")["pid"] > 0


def test_hidden_and_unknown_tools_get_the_same_answer_byte_for_byte(starter: Starter) -> None:
    _, client = starter.run("--allow", "state")
    ask = '{"jsonrpc":"2.0","id":"7","method":"tools/call","params":{"name":"%s","arguments":{}}}'
    hidden, unknown = client.post(ask % "echo"), client.post(ask % "nope")
    assert hidden.content.replace(b"echo", b"nope") == unknown.content
    assert hidden.status_code == unknown.status_code
    assert hidden.headers == unknown.headers


def test_the_audit_log_tells_hidden_from_unknown_and_holds_no_arguments(starter: Starter) -> None:
    toolman, client = starter.run("--allow", "echo")
    client.call("echo", secret="hunter2")
    client.request("tools/call", {"name": "die", "arguments": {"secret": "hunter2"}})
    client.request("tools/call", {"name": "nope"})
    until(lambda: len(toolman.audit()) == 3)
    assert [(r["decision"], r["reason"], r["outcome"]) for r in toolman.audit()] == [
        ("allowed", "Allowed", "ok"),
        ("denied", "NotListed", "refused"),
        ("denied", "Unknown", "refused"),
    ]
    assert "hunter2" not in toolman.audit_file.read_text()


def test_a_result_arrives_byte_for_byte(client: Client) -> None:
    response = client.post('{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"rich"}}')
    assert response.content.decode() == '{"jsonrpc":"2.0","id":1,"result":' + SERVER["RICH"] + "}"


def test_an_error_of_the_server_arrives_as_it_is(client: Client) -> None:
    error = client.request("tools/call", {"name": "fail"})["error"]
    assert error == {"code": -32042, "message": "as it is", "data": {"n": 9007199254740993}}


def test_params_reach_the_server_with_unknown_members_in_order_and_unrounded(client: Client) -> None:
    params = (
        '{"z":1,"name":"echo","arguments":{"z":null,"big":9007199254740993,"tiny":1.0e-7,"text":"\u2028é","half":"\\ud83d"'
        ',"a":1},"x-unknown":[1,2],"_meta":{"k":9007199254740993}}'
    )
    response = client.post('{"jsonrpc":"2.0","id":1,"method":"tools/call","params":' + params + "}")
    sent = response.json()["result"]["content"][0]["text"]
    assert sent.partition('"params":')[2] == params + "}"


def test_line_breaks_between_tokens_do_not_break_the_framing(client: Client) -> None:
    body = '{\n"jsonrpc":"2.0",\r\n"id":1,"method":"tools/call","params":{"name":"echo","arguments":{\n"a":\r1}}}'
    sent = client.post(body).json()["result"]["content"][0]["text"]
    assert json.loads(sent)["params"] == {"name": "echo", "arguments": {"a": 1}}


@pytest.mark.parametrize(
    "params",
    [
        '{"name":"echo","name":"die"}',
        '{"name":"echo","Name":"die"}',
        '{"name":"echo","name\\u0000x":"die"}',
        '{"name":"echo","arguments":{},"arguments":{}}',
        '{"name":"echo","_meta":{},"_Meta":{}}',
        '{"name":"echo","_meta":{"progressToken":1,"progressToken":2}}',
    ],
)
def test_keys_that_could_be_read_in_two_ways_are_refused(
    shared: tuple[Toolman, Client], client: Client, params: str
) -> None:
    before = len(shared[0].audit())
    response = client.post('{"jsonrpc":"2.0","id":1,"method":"tools/call","params":' + params + "}")
    assert response.json()["error"]["code"] == -32600
    assert len(shared[0].audit()) == before


@pytest.mark.parametrize("identifier", [1, "1", -5, 2**60, "\u00e9"])
def test_the_id_comes_back_with_its_type(client: Client, identifier: int | str) -> None:
    answer = client.post({"jsonrpc": "2.0", "id": identifier, "method": "tools/call", "params": {"name": "rich"}})
    assert json.loads(answer.content)["id"] == identifier


@pytest.mark.parametrize("token", ["t", 0, 2**60])
def test_progress_comes_in_order_before_the_result_under_the_clients_token(client: Client, token: int | str) -> None:
    params = {"name": "progress", "arguments": {"steps": 50}, "_meta": {"progressToken": token}}
    response = client.post({"jsonrpc": "2.0", "id": 9, "method": "tools/call", "params": params})
    assert response.headers["content-type"] == "text/event-stream"
    messages = [json.loads(line[5:]) for line in response.text.split("\n") if line.startswith("data: {")]
    assert [m["params"] for m in messages[:-1]] == [
        {"progressToken": token, "progress": n, "x-unknown": n} for n in range(50)
    ]
    assert messages[-1]["id"] == 9
    assert json.loads(messages[-1]["result"]["content"][0]["text"])["token"] != token


def test_a_call_without_progress_is_answered_with_json_even_if_it_has_a_token(client: Client) -> None:
    params = {"name": "progress", "arguments": {"steps": 0}, "_meta": {"progressToken": 1}}
    response = client.post({"jsonrpc": "2.0", "id": 9, "method": "tools/call", "params": params})
    assert response.headers["content-type"] == "application/json"


def test_a_cancelled_call_is_cancelled_at_the_server_under_its_own_id(starter: Starter) -> None:
    toolman, client = starter.run()
    answers = []
    body = {"jsonrpc": "2.0", "id": "w", "method": "tools/call", "params": {"name": "wait"}}
    thread = threading.Thread(target=lambda: answers.append(client.post(body).json()))
    thread.start()
    cancel = {"requestId": "w", "reason": "changed my mind"}

    def is_answered() -> bool:
        client.post({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": cancel})
        return bool(answers)

    until(is_answered)
    thread.join()
    assert answers[0]["error"]["message"] == "cancelled by the client"
    (cancelled,) = client.ask("state")["cancelled"]
    assert isinstance(cancelled["requestId"], int)
    assert cancelled["reason"] == "changed my mind"
    assert toolman.audit()[0]["outcome"] == "cancelled"


def test_the_same_id_twice_at_a_time_is_refused(client: Client) -> None:
    body = {"jsonrpc": "2.0", "id": "w", "method": "tools/call", "params": {"name": "wait"}}

    def wait() -> None:
        while "still on its way" in client.post(body).text:
            """The other one was a moment faster."""

    thread = threading.Thread(target=wait)
    thread.start()
    other = {"jsonrpc": "2.0", "id": "w", "method": "tools/call", "params": {"name": "rich"}}
    until(lambda: "still on its way" in client.post(other).text)
    client.post({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": "w"}})
    thread.join()


@pytest.mark.parametrize("method", ["resources/list", "prompts/list", "logging/setLevel", "server/discover", "x/y"])
def test_what_is_not_served_is_an_unknown_method(client: Client, method: str) -> None:
    assert client.request(method, {})["error"]["code"] == -32601


def test_ping_is_answered_here(starter: Starter) -> None:
    _, client = starter.run(command=["sleep", "1000"])
    assert client.request("ping")["result"] == {}


def test_a_cursor_that_was_never_given_out_is_invalid(client: Client) -> None:
    assert client.request("tools/list", {"cursor": ""})["error"]["code"] == -32602


def test_a_tool_is_listed_as_the_server_gave_it(starter: Starter) -> None:
    _, client = starter.run("--allow", "echo")
    response = client.post('{"jsonrpc":"2.0","id":1,"method":"tools/list"}')
    tool = json.dumps(SERVER["TOOL"] | {"name": "echo"})
    members = [tool.index(part) for part in ('"name"', '"x-unknown"', '"inputSchema"', '"annotations"')]
    assert members == sorted(members)
    assert response.json()["result"]["tools"] == [SERVER["TOOL"] | {"name": "echo"}]
    assert b'"x-unknown":[1, 9007199254740993],"inputSchema":{"type": "object", "default": null' in response.content
