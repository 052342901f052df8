import sys

import pytest
from mcp import Client, ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from wrapper_harness import SOURCE, Request, call, handshake, serving, wrapping

TOOLS = [{"name": "echo", "inputSchema": {"type": "object"}, "description": "says it again"}]


def ordinary(request: Request) -> None:
    if handshake(request):
        return
    if request.method == "tools/list":
        request.result({"tools": TOOLS})
    elif request.method == "tools/call":
        request.result({"content": [{"type": "text", "text": request.message["params"]["arguments"]["text"]}]})
    else:
        request.result({})


def test_an_id_that_is_still_in_use_is_refused() -> None:
    def reply(request: Request) -> None:
        handshake(request)

    with serving(reply) as server, wrapping("--url", server.url) as wrapper:
        wrapper.open_session()
        wrapper.say(call(1))
        server.wait_for("tools/call")
        assert wrapper.ask(call(1))["error"]["code"] == -32600
        assert server.asked().count("tools/call") == 1


@pytest.mark.requirement("F-06")
async def test_the_official_client_works_through_it() -> None:
    with serving(ordinary) as server:
        parameters = StdioServerParameters(command=sys.executable, args=["-I", "-S", str(SOURCE), "--url", server.url])
        async with stdio_client(parameters) as streams, ClientSession(*streams) as session:
            await session.initialize()
            assert [tool.name for tool in (await session.list_tools()).tools] == ["echo"]
            result = await session.call_tool("echo", {"text": "hello"})
            assert result.content[0].model_dump()["text"] == "hello"


@pytest.mark.requirement("W-03")
async def test_the_official_client_that_probes_for_the_newest_revision_falls_back() -> None:
    with serving(ordinary) as server:
        parameters = StdioServerParameters(command=sys.executable, args=["-I", "-S", str(SOURCE), "--url", server.url])
        async with Client(parameters, mode="auto") as client:
            assert [tool.name for tool in (await client.list_tools()).tools] == ["echo"]
