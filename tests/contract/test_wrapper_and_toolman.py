"""The wrapper and toolman, both as real processes: what an agent sees that speaks stdio."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import ports
import pytest
from mcp import Client, ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from wrapper_harness import BOUND, SOURCE, call, modern, wrapping

if TYPE_CHECKING:
    from collections.abc import Iterator

TOOLMAN = Path(sys.executable).with_name("toolman")
SERVER = """
import json, sys
TOOLS = [{"name": name, "inputSchema": {"type": "object"}, "x-new": 9007199254740993} for name in ("echo", "hidden")]
for line in sys.stdin:
    message = json.loads(line)
    if "id" not in message:
        continue
    method, params = message["method"], message.get("params", {})
    result = {}
    if method == "initialize":
        result = {"protocolVersion": "2025-06-18", "capabilities": {"tools": {"listChanged": True}},
                  "serverInfo": {"name": "s", "version": "1"}}
    elif method == "tools/list":
        result = {"tools": TOOLS}
    elif method == "tools/call" and "never" in params.get("arguments", {}):
        continue
    elif method == "tools/call":
        result = {"content": [{"type": "text", "text": json.dumps(params.get("arguments"))}]}
    print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}), flush=True)
"""


@contextlib.contextmanager
def toolman(port: int, server: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [str(TOOLMAN), "run", "--deny", "hidden", "--port", str(port), "--", sys.executable, str(server)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGTERM)
        process.wait(BOUND)


@pytest.fixture(name="server")
def fixture_server(tmp_path: Path) -> Path:
    path = tmp_path / "server.py"
    path.write_text(SERVER)
    return path


@pytest.mark.requirement("F-06", "F-07")
async def test_a_stdio_agent_sees_and_calls_exactly_what_toolman_allows(server: Path) -> None:
    port = ports.free()
    parameters = StdioServerParameters(
        command=sys.executable,
        args=["-I", "-S", str(SOURCE)],
        env={"MCP_TOOLMAN_SERVER_URL": f"http://localhost:{port}/mcp"},
    )
    # toolman takes longer to start than the agent: the wrapper waits for it.
    with toolman(port, server):
        async with stdio_client(parameters) as streams, ClientSession(*streams) as session:
            await session.initialize()
            assert [tool.name for tool in (await session.list_tools()).tools] == ["echo"]
            result = await session.call_tool("echo", {"text": "hello"})
            assert result.content[0].model_dump()["text"] == '{"text": "hello"}'


@pytest.mark.requirement("F-07", "W-04")
def test_an_agent_does_not_notice_that_toolman_was_killed_and_came_back(server: Path) -> None:
    port = ports.free()
    with wrapping("--url", f"http://localhost:{port}/mcp") as wrapper:
        with toolman(port, server) as process:
            assert "result" in wrapper.open_session()
            assert "result" in wrapper.ask(call(1, "echo", text="before"))
            process.kill()
            process.wait(BOUND)
        wrapper.say(call(2, "echo", text="after"))
        with toolman(port, server):
            answer = wrapper.hear()
            while "id" not in answer:
                answer = wrapper.hear()
            assert answer["result"]["content"][0]["text"] == '{"text": "after"}'
            assert wrapper.end() == []


@pytest.mark.requirement("F-07")
def test_what_toolman_hides_is_an_unknown_tool_for_a_stdio_agent(server: Path) -> None:
    port = ports.free()
    with toolman(port, server), wrapping("--url", f"http://localhost:{port}/mcp") as wrapper:
        wrapper.open_session()
        hidden, unknown = wrapper.ask(call(1, "hidden")), wrapper.ask(call(1, "unknown"))
        assert hidden["error"]["code"] == unknown["error"]["code"] == -32602
        wrapper.say({"jsonrpc": "2.0", "id": 3, "method": "tools/list"})
        assert b"9007199254740993" in wrapper.line()


@pytest.mark.requirement("W-03")
async def test_an_agent_of_the_newest_revision_needs_no_handshake(server: Path) -> None:
    port = ports.free()
    parameters = StdioServerParameters(
        command=sys.executable, args=["-I", "-S", str(SOURCE), "--url", f"http://localhost:{port}/mcp"]
    )
    with toolman(port, server):
        async with Client(parameters, mode="2026-07-28") as client:
            assert [tool.name for tool in (await client.list_tools()).tools] == ["echo"]
            result = await client.call_tool("echo", {"text": "hello"})
            assert result.content[0].model_dump()["text"] == '{"text": "hello"}'


@pytest.mark.requirement("W-04")
@pytest.mark.parametrize("era", ["legacy", "modern"])
def test_a_call_in_flight_when_toolman_is_killed_gets_an_error_and_the_next_one_an_answer(
    server: Path, era: str
) -> None:
    def ask(identity: int, **arguments: object) -> dict[str, object]:
        if era == "legacy":
            return call(identity, "echo", **arguments)
        return modern(identity, "tools/call", name="echo", arguments=arguments)

    port = ports.free()
    with wrapping("--url", f"http://localhost:{port}/mcp") as wrapper:
        with toolman(port, server) as process:
            wrapper.open_session()
            wrapper.say(ask(1, never=True))
            assert "result" in wrapper.ask(ask(2, text="meanwhile"))
            process.kill()
            process.wait(BOUND)
            assert "may have been carried out" in wrapper.hear()["error"]["message"]
        wrapper.say(ask(3, text="after"))
        with toolman(port, server):
            while "id" not in (answer := wrapper.hear()):
                pass
            assert (answer["id"], "result" in answer) == (3, True)


@pytest.mark.requirement("W-04")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_subscription_outlives_a_toolman_that_was_killed_or_ended(server: Path, number: signal.Signals) -> None:
    port = ports.free()
    listen = modern("listen:0", "subscriptions/listen", notifications={"toolsListChanged": True})
    with wrapping("--url", f"http://localhost:{port}/mcp") as wrapper:
        with toolman(port, server) as process:
            wrapper.say(listen)
            assert wrapper.hear()["method"] == "notifications/subscriptions/acknowledged"
            process.send_signal(number)
            process.wait(BOUND)
        with toolman(port, server):
            changed = wrapper.hear()
            assert changed["method"] == "notifications/tools/list_changed"
            assert changed["params"]["_meta"] == {"io.modelcontextprotocol/subscriptionId": "listen:0"}


@pytest.mark.requirement("W-01")
def test_a_thousand_calls_at_once_are_all_answered(server: Path) -> None:
    port = ports.free()
    with toolman(port, server), wrapping("--url", f"http://localhost:{port}/mcp") as wrapper:
        wrapper.open_session()
        wrapper.say(*(call(number, "echo", n=number) for number in range(1000)))
        answers = {message["id"]: message for message in (wrapper.hear() for _ in range(1000))}
        assert all(json.loads(answers[n]["result"]["content"][0]["text"]) == {"n": n} for n in range(1000))
