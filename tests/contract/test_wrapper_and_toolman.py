"""The wrapper and toolman, both as real processes: what an agent sees that speaks stdio."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from wrapper_harness import BOUND, SOURCE, call, free_port, wrapping

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
    port = free_port()
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


@pytest.mark.requirement("F-07")
def test_an_agent_does_not_notice_that_toolman_was_killed_and_came_back(server: Path) -> None:
    port = free_port()
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
    port = free_port()
    with toolman(port, server), wrapping("--url", f"http://localhost:{port}/mcp") as wrapper:
        wrapper.open_session()
        hidden, unknown = wrapper.ask(call(1, "hidden")), wrapper.ask(call(1, "unknown"))
        assert hidden["error"]["code"] == unknown["error"]["code"] == -32602
        wrapper.say({"jsonrpc": "2.0", "id": 3, "method": "tools/list"})
        assert b"9007199254740993" in wrapper.line()
