from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from toolman_harness import SCRIPTED, is_alive, until

if TYPE_CHECKING:
    from toolman_harness import Client, Starter

pytestmark = pytest.mark.requirement("F-07")


def in_background(client: Client, name: str, **arguments: object) -> tuple[threading.Thread, list[dict[str, Any]]]:
    """Call a tool that does not answer at once."""
    answers: list[dict[str, Any]] = []
    body = {"jsonrpc": "2.0", "id": "bg", "method": "tools/call", "params": {"name": name, "arguments": arguments}}
    thread = threading.Thread(target=lambda: answers.append(client.post(body).json()))
    thread.start()
    return thread, answers


def test_a_call_on_its_way_when_the_server_dies_gets_a_clear_error_and_the_next_one_works(starter: Starter) -> None:
    _, client = starter.run("--name", "git")
    before = client.ask("state")["pid"]
    error = client.request("tools/call", {"name": "die"})["error"]
    assert error["message"] == (
        "server 'git' stopped (exit code 137) before answering; it is being restarted; "
        "the call may or may not have taken effect"
    )
    assert client.ask("state")["pid"] != before


def test_every_call_on_its_way_is_answered_when_the_server_dies(starter: Starter) -> None:
    _, client = starter.run()
    client.tools()
    thread, answers = in_background(client, "wait")
    other = starter.client(client.http.base_url.port or 0).initialize()
    other.request("tools/call", {"name": "die"})
    thread.join()
    assert "exit code 137" in answers[0]["error"]["message"]


def test_the_tools_stay_listed_over_a_restart(starter: Starter) -> None:
    toolman, client = starter.run()
    tools = client.tools()
    client.request("tools/call", {"name": "die"})
    assert client.tools() == tools
    toolman.said("14 tools", times=2)
    assert toolman.log.count("tools are visible") == 1


def test_a_server_that_keeps_dying_is_restarted_ever_more_slowly_and_loses_its_tools(starter: Starter) -> None:
    toolman, client = starter.run()
    client.request("tools/call", {"name": "die"})
    client.request("tools/call", {"name": "die"})
    toolman.said("next start in 0.5 s")
    error = client.request("tools/call", {"name": "echo"})["error"]
    assert error == {"code": -32602, "message": "Unknown tool: echo"}
    until(client.tools)
    client.request("tools/call", {"name": "die"})
    toolman.said("next start in 1 s")


def test_silence_is_answered_with_an_error_and_cancelled_at_the_server(starter: Starter) -> None:
    server = {"name": "git", "upstream": {"kind": "process", "command": SCRIPTED}, "timeouts": {"call": 0.3}}
    _, client, _ = starter.serve({"naming": "plain", "servers": [server]})
    error = client.request("tools/call", {"name": "wait"})["error"]
    assert error["message"] == "server 'git' did not answer within 0.3 s"
    assert client.ask("state")["cancelled"][0]["reason"] == "timed out"


def test_a_server_leads_its_own_session_and_inherits_nothing(starter: Starter) -> None:
    _, client = starter.run()
    state = client.ask("state")
    assert state["pid"] == state["group"] == state["session"]
    assert state["ignored"] == 0
    assert len(state["descriptors"]) <= 4, "0, 1, 2 and the one it lists with"


def test_the_environment_is_added_to(starter: Starter) -> None:
    upstream = {"kind": "process", "command": [*SCRIPTED, "one", "two three"], "env": {"NEW": "$HOME"}}
    _, client, _ = starter.serve({"naming": "plain", "servers": [{"name": "s", "upstream": upstream}]})
    state = client.ask("state")
    assert state["environment"]["NEW"] == "$HOME"
    assert "PATH" in state["environment"]
    assert state["arguments"] == ["one", "two three"]


@pytest.mark.parametrize("own_session", [False, True])
def test_nothing_that_a_server_started_outlives_toolman(starter: Starter, own_session: bool) -> None:  # noqa: FBT001
    toolman, client = starter.run()
    server = client.ask("state")["pid"]
    child = client.ask("daemon", session=own_session)["pid"]
    assert is_alive(child)
    assert toolman.end() == 0
    assert not is_alive(server)
    assert not is_alive(child)


def test_the_children_of_a_dead_server_end_with_it_and_no_zombie_stays(starter: Starter) -> None:
    toolman, client = starter.run()
    child = client.ask("daemon")["pid"]
    client.request("tools/call", {"name": "die"})
    client.ask("state")
    assert not is_alive(child)
    children = Path(f"/proc/{toolman.process.pid}/task/{toolman.process.pid}/children")
    until(lambda: len(children.read_text().split()) == 1)


def test_ending_answers_what_is_on_its_way_and_ends_a_server_that_does_not_want_to(starter: Starter) -> None:
    stubborn = "import signal,runpy; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    command = [SCRIPTED[0], "-c", f"{stubborn}runpy.run_path({SCRIPTED[1]!r}, run_name='__main__')"]
    toolman, client = starter.run(command=command)
    server = client.ask("state")["pid"]
    thread, answers = in_background(client, "mute")
    until(lambda: client.http.get("/").status_code == 404)
    assert toolman.end() == 0
    thread.join()
    assert "was ended before answering" in answers[0]["error"]["message"]
    assert not is_alive(server)


def test_a_command_that_does_not_exist_is_named_in_the_log(starter: Starter) -> None:
    gone = {"name": "gone", "upstream": {"kind": "process", "command": ["/no/such/program"]}}
    toolman, client, _ = starter.serve({"servers": [gone]})
    toolman.said("cannot run '/no/such/program': No such file or directory")
    assert client.tools() == []


def test_a_server_that_ends_while_starting_shows_its_stderr_in_the_log(starter: Starter) -> None:
    toolman, client = starter.run(command=["sh", "-c", "echo missing token >&2; exit 3"])
    toolman.said("stderr: missing token")
    toolman.said("it stopped (exit code 3) while starting")
    assert client.tools() == []


def test_a_slow_server_hides_its_own_tools_only(starter: Starter) -> None:
    slow = {"name": "slow", "upstream": {"kind": "process", "command": ["sleep", "1000"]}, "timeouts": {"start": 1}}
    good = {"name": "good", "upstream": {"kind": "process", "command": SCRIPTED}}
    _, client, _ = starter.serve({"servers": [slow, good]})
    assert "good__echo" in client.tools()


def test_the_first_list_waits_for_a_server_that_is_starting(starter: Starter) -> None:
    command = ["sh", "-c", 'sleep 1; exec "$@"', "sh", *SCRIPTED]
    _, client = starter.run(command=command)
    assert "echo" in client.tools()


def test_a_first_call_waits_as_well(starter: Starter) -> None:
    command = ["sh", "-c", 'sleep 1; exec "$@"', "sh", *SCRIPTED]
    _, client = starter.run(command=command)
    assert client.call("echo")


def test_a_server_that_floods_without_a_line_end_is_ended_and_others_keep_working(starter: Starter) -> None:
    servers = [{"name": name, "upstream": {"kind": "process", "command": SCRIPTED}} for name in ("bad", "good")]
    toolman, client, _ = starter.serve({"servers": servers})
    client.tools()
    thread, answers = in_background(client, "bad__flood")
    other = starter.client(client.http.base_url.port or 0).initialize()
    other.call("good__echo")
    thread.join()
    assert "line of more than" in answers[0]["error"]["message"]
    other.call("good__echo")
    resident = int(Path(f"/proc/{toolman.process.pid}/status").read_text().partition("VmHWM:")[2].split()[0])
    assert resident < 400_000, "kilobytes"


def test_a_server_that_never_reads_blocks_nobody_else(starter: Starter) -> None:
    command = {"kind": "process", "command": SCRIPTED}
    bad = {"name": "bad", "upstream": command, "timeouts": {"call": 1}}
    _, client, _ = starter.serve({"servers": [bad, {"name": "good", "upstream": command}]})
    client.tools()
    thread, _ = in_background(client, "bad__mute")
    errors = [
        client.request("tools/call", {"name": "bad__echo", "arguments": {"x": "x" * 3_000_000}}) for _ in range(7)
    ]
    assert all("error" in error for error in errors)
    assert any("does not read" in error["error"]["message"] for error in errors)
    assert client.call("good__echo")
    thread.join()


@pytest.mark.parametrize("version", ["2026-07-28", "nonsense"])
def test_a_server_that_speaks_another_protocol_is_named(starter: Starter, version: str) -> None:
    toolman, _ = starter.run(SERVER_VERSION=version)
    toolman.said(f"it speaks MCP '{version}'")


@pytest.mark.parametrize("version", ["2024-11-05", "2025-03-26", "2025-06-18"])
def test_a_server_may_speak_an_older_version(starter: Starter, version: str) -> None:
    _, client = starter.run(SERVER_VERSION=version)
    assert client.call("echo")


@pytest.mark.parametrize(("method", "answer"), [("ping", {"result": {}}), ("roots/list", {"error": -32601})])
def test_a_servers_own_requests_are_answered(starter: Starter, method: str, answer: dict[str, Any]) -> None:
    _, client = starter.run()
    got = client.ask("ask", method=method)
    assert got["id"] == "q"
    assert got.get("result") == answer.get("result")
    assert got.get("error", {}).get("code") == answer.get("error")


def test_a_big_result_arrives_whole(starter: Starter) -> None:
    _, client = starter.run()
    assert len(client.call("huge", size=10 * 1024 * 1024)["content"][0]["text"]) == 10 * 1024 * 1024
