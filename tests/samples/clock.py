"""A server for the sample agent's tests: the official SDK's, over HTTP on a free port, which it prints."""

from __future__ import annotations

import asyncio
import socket
import sys

import uvicorn
from mcp import MCPError
from mcp.server.mcpserver import MCPServer

server = MCPServer("clock")


@server.tool()
def get_current_time(timezone: str) -> str:
    """Tell the time of a timezone."""
    return f"noon in {timezone}"


@server.tool()
def break_down() -> str:
    """Fail."""
    raise ValueError("broken")


@server.tool()
def refuse() -> str:
    """Answer as toolman does for a tool that may not be called."""
    raise MCPError(-32602, "Unknown tool: refuse")


async def main() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    app = uvicorn.Server(uvicorn.Config(server.streamable_http_app(), log_level="warning"))
    print(f"http://127.0.0.1:{listener.getsockname()[1]}/mcp", flush=True)
    await app.serve(sockets=[listener])


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
