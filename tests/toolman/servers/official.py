"""A server made with the official SDK, over HTTP: ``official.py DESCRIPTOR streamable|sse [json] [legacy]``.

It listens on a socket that it inherits.

Its tool ``work`` tells of its progress, ``slow`` waits, ``pid`` gives its process.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import TYPE_CHECKING, Any

import mcp_types as types
import uvicorn
from mcp.server.lowlevel.server import NotificationOptions, Server
from mcp.server.runner import serve_loop
from mcp.server.sse import SseServerTransport
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Mount, Route

if TYPE_CHECKING:
    from mcp.server.context import ServerRequestContext
    from starlette.requests import Request
    from starlette.types import ASGIApp, Receive, Scope, Send

TOOLS = [types.Tool(name=name, input_schema={"type": "object"}) for name in ("work", "slow", "pid")]


async def list_tools(_context: ServerRequestContext[Any], _params: object) -> types.ListToolsResult:
    return types.ListToolsResult(tools=TOOLS)


async def call_tool(context: ServerRequestContext[Any], params: types.CallToolRequestParams) -> types.CallToolResult:
    if params.name == "slow":
        await asyncio.sleep(60)
    if params.name == "work":
        for step in (1, 2, 3):
            await context.session.report_progress(step)
    text = str(os.getpid()) if params.name == "pid" else json.dumps(params.arguments)
    return types.CallToolResult(content=[types.TextContent(type="text", text=text)])


def without_the_modern_era(app: ASGIApp) -> ASGIApp:
    """Refuse what older releases of the SDK refuse, in their way."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope.get("headers", ()))
        if headers.get(b"mcp-protocol-version") == b"2026-07-28":
            await Response("Bad Request: Unsupported protocol version", 400)(scope, receive, send)
        else:
            await app(scope, receive, send)

    return serve


def over_sse(server: Server[Any]) -> ASGIApp:
    transport = SseServerTransport("/messages/")

    async def opened(request: Request) -> Response:
        async with transport.connect_sse(request.scope, request.receive, request._send) as (read, write):
            options = server.create_initialization_options(NotificationOptions())
            await serve_loop(server, read, write, lifespan_state={}, init_options=options)
        return Response()

    routes = [Route("/mcp", endpoint=opened), Mount("/messages/", app=transport.handle_post_message)]
    return Starlette(routes=routes)


def main() -> None:
    descriptor, transport, *more = sys.argv[1:]
    server: Server[Any] = Server("official", version="1", on_list_tools=list_tools, on_call_tool=call_tool)
    app = over_sse(server) if transport == "sse" else server.streamable_http_app(json_response="json" in more)
    if "legacy" in more:
        app = without_the_modern_era(app)
    uvicorn.run(app, fd=int(descriptor), log_level="error", timeout_graceful_shutdown=1)


main()
