"""A small agent: lists its MCP tools, calls some, and follows changes of the list for as long as it runs.

    agent                    list the tools, ask for the time, then log every change
    agent tools              list the tools and end
    agent call NAME [JSON]   call one tool and end (status 1: refused, 2: the tool says that it failed)

It starts ``/mcp/bin/mcp-wrapper`` and speaks MCP over its stdin and stdout, as most agents do. With ``--http`` it
connects to ``$MCP_TOOLMAN_SERVER_URL`` (default ``http://127.0.0.1:3000/mcp``) instead.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
from mcp import Client, MCPError, StdioServerParameters
from mcp_types import CallToolResult, TextContent, Tool, ToolListChangedNotification
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

if TYPE_CHECKING:
    from mcp.client import IncomingMessage
    from mcp.client.session import MessageHandlerFnT

WRAPPER = "/mcp/bin/mcp-wrapper"
URL_VARIABLE = "MCP_TOOLMAN_SERVER_URL"
DEFAULT_URL = "http://127.0.0.1:3000/mcp"

CALL_SECONDS = 60
RETRY_SECONDS = 2
"""Between attempts to connect again."""
SHOWN = 300
"""Characters of a result in the log."""


def log(text: str) -> None:
    """Write one line with the time of day."""
    print(time.strftime("%H:%M:%S"), text, flush=True)


def connect(*, http: bool, handler: MessageHandlerFnT | None = None) -> Client:
    """Make a client, to be entered with ``async with``."""
    url = os.environ.get(URL_VARIABLE) or DEFAULT_URL
    # The SDK passes on almost nothing of the environment unless told; the wrapper's settings are in it.
    settings = {name: value for name, value in os.environ.items() if name.startswith("MCP_")}
    server = url if http else StdioServerParameters(command=WRAPPER, env=settings)
    return Client(server, read_timeout_seconds=CALL_SECONDS, message_handler=handler)


async def list_tools(client: Client) -> list[Tool]:
    """List all tools, page by page."""
    page = await client.list_tools()
    tools = list(page.tools)
    while page.next_cursor is not None:
        page = await client.list_tools(cursor=page.next_cursor)
        tools += page.tools
    return tools


def text(result: CallToolResult) -> str:
    """Give a result's text, or its JSON where it is something else."""
    return "\n".join(
        part.text if isinstance(part, TextContent) else part.model_dump_json(by_alias=True) for part in result.content
    )


async def call(client: Client, name: str, arguments: dict[str, Any]) -> int:
    """Call a tool, print what it answers and give an exit status."""
    try:
        result = await client.call_tool(name, arguments)
    except MCPError as error:
        print(f"error {error.code}: {error.message}")
        return 1
    print(text(result))
    return 2 if result.is_error else 0


async def look_around(client: Client, known: list[str] | None) -> list[str]:
    """Log what is new about the tools; gives their names."""
    names = [tool.name for tool in await list_tools(client)]
    if known is None:
        log(f"{len(names)} tools: {', '.join(names) or 'none'}")
        await ask_the_time(client, names)
    elif names != known:
        gone = ", ".join(name for name in known if name not in names)
        new = ", ".join(name for name in names if name not in known)
        log(f"the list of tools has changed: gone: {gone or 'none'}; new: {new or 'none'}")
    return names


async def ask_the_time(client: Client, names: list[str]) -> None:
    """Call the tool that tells the time, where there is one."""
    for name in names:
        if name.removeprefix("time__") == "get_current_time":
            result = await client.call_tool(name, {"timezone": "UTC"})
            log(f"{name} answers {' '.join(text(result).split())[:SHOWN]}")


async def follow(client: Client, changed: anyio.Event) -> None:
    """Wait until the server says that its list of tools is another."""
    if client.protocol_version not in MODERN_PROTOCOL_VERSIONS:
        await changed.wait()
        return
    async with client.listen(tools_list_changed=True) as events:
        async for _ in events:
            return


async def session(*, http: bool) -> None:
    """Stay connected; returns never, raises when the connection is lost."""
    changed = anyio.Event()

    async def note(message: IncomingMessage) -> None:
        if isinstance(message, ToolListChangedNotification):
            changed.set()

    async with connect(http=http, handler=note) as client:
        server = client.server_info
        log(f"connected to {server.name if server else 'a server'}, MCP {client.protocol_version}")
        names: list[str] | None = None
        while True:
            changed = anyio.Event()  # before asking: a change in between is not missed
            names = await look_around(client, names)
            with anyio.move_on_after(CALL_SECONDS):  # a lost connection shows when something is asked
                await follow(client, changed)


async def run(*, http: bool) -> None:
    """Connect, and again whenever the connection is lost, until told to end."""
    while True:
        try:
            await session(http=http)
        except Exception as error:  # noqa: BLE001 - whatever it was, an agent goes on
            while isinstance(error, ExceptionGroup):
                error = error.exceptions[0]
            log(f"connection lost: {error}; again in {RETRY_SECONDS} s")
        await anyio.sleep(RETRY_SECONDS)


async def until_terminated(*, http: bool) -> None:
    """Run until SIGTERM or SIGINT: process 1 of a container gets no default handling of either."""
    async with anyio.create_task_group() as tasks:
        with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            tasks.start_soon(partial(run, http=http))
            async for _ in signals:
                log("ending")
                tasks.cancel_scope.cancel()
                return


async def once(arguments: argparse.Namespace) -> int:
    """Do one command and give its exit status."""
    async with connect(http=arguments.http) as client:
        if arguments.command == "call":
            return await call(client, arguments.name, arguments.arguments)
        for tool in await list_tools(client):
            print(f"{tool.name:32} {(tool.description or '').strip().splitlines()[0] if tool.description else ''}")
        return 0


def json_object(value: str) -> dict[str, Any]:
    """Parse the arguments of a call.

    Raises:
        argparse.ArgumentTypeError: Not a JSON object.
    """
    try:
        parsed = json.loads(value)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"not JSON: {error}") from None
    if not isinstance(parsed, dict):
        raise argparse.ArgumentTypeError('give a JSON object such as {"timezone": "UTC"}')
    return parsed


def main() -> int:
    """Run the command line; gives the exit status."""
    parser = argparse.ArgumentParser(
        prog="agent", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--http", action="store_true", help="connect over HTTP instead of starting mcp-wrapper")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    commands.add_parser("run", help="stay connected and log what happens (the default)")
    commands.add_parser("tools", help="list the tools")
    one = commands.add_parser("call", help="call a tool")
    one.add_argument("name")
    one.add_argument("arguments", type=json_object, nargs="?", default={}, metavar="JSON")
    arguments = parser.parse_args()
    if arguments.command in (None, "run"):
        anyio.run(partial(until_terminated, http=arguments.http))
        return 0
    return anyio.run(once, arguments)


if __name__ == "__main__":
    sys.exit(main())
