"""An agent for the suite's client scenarios: the official SDK's client, which starts a bridge and speaks stdio with it.

The suite serves, and judges the HTTP that arrives: so it judges the bridge. It runs

    python client_driver.py BRIDGE... URL

where a word of BRIDGE may hold ``{url}``; otherwise the URL becomes its last word. Without BRIDGE the SDK's client
speaks HTTP itself, which tells whether a failure is the driver's own.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import TYPE_CHECKING, Any

import mcp_types as types
from mcp import Client, MCPError, StdioServerParameters
from pydantic import ValidationError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mcp.client.session import ClientRequestContext

FIRST_MODERN = "2026"
ANSWER_SECONDS = 15
EXAMPLES = {"integer": 3, "number": 1.5, "boolean": True, "array": [], "object": {}}
"""Of values, by the type in a schema; anything else gets a word."""


def example(schema: object) -> object:
    """Make a value that a schema allows, its default if it has one."""
    if not isinstance(schema, dict):
        return "word"
    return schema.get("default", EXAMPLES.get(str(schema.get("type")), "word"))


def arguments(schema: dict[str, Any] | None) -> dict[str, Any]:
    """Make a value for every property of an object's schema."""
    return {name: example(inner) for name, inner in ((schema or {}).get("properties") or {}).items()}


async def elicited(context: ClientRequestContext, params: types.ElicitRequestParams) -> types.ElicitResult:
    """Fill a form in."""
    del context
    schema = params.requested_schema if isinstance(params, types.ElicitRequestFormParams) else None
    return types.ElicitResult(action="accept", content=arguments(schema))


async def sampled(context: ClientRequestContext, params: types.CreateMessageRequestParams) -> types.CreateMessageResult:
    """Answer as a model would."""
    del context, params
    text = types.TextContent(type="text", text="as you say")
    return types.CreateMessageResult(role="assistant", content=text, model="none")


async def every_tool(client: Client, tools: list[types.Tool]) -> None:
    """Call whatever is listed, and go on when one says no, or something that this revision does not allow."""
    for tool in tools:
        try:
            await client.call_tool(tool.name, arguments(tool.input_schema))
        except (MCPError, ValidationError) as error:
            print(f"{tool.name}: {error}", file=sys.stderr)


async def nothing_more(client: Client, tools: list[types.Tool]) -> None:
    """Leave it at the list."""


async def calls_of_the_scenario(client: Client, tools: list[types.Tool]) -> None:
    """Make the calls that the scenario brought along; those are about arguments that must become headers."""
    brought = json.loads(os.environ.get("MCP_CONFORMANCE_CONTEXT") or "{}").get("toolCalls")
    for call in brought or ():
        await client.call_tool(call["name"], call["arguments"])
    if not brought:
        await every_tool(client, tools)


async def schema_sent_back(client: Client, tools: list[types.Tool]) -> None:
    """Show the server the schema that arrived."""
    schema = next(tool.input_schema for tool in tools if tool.name == "json_schema_2020_12_tool")
    await client.call_tool("json_schema_echo", {"schema": schema})


async def all_that_has_a_name(client: Client, tools: list[types.Tool]) -> None:
    """Use tools, resources and prompts."""
    await every_tool(client, tools)
    for resource in (await client.list_resources()).resources:
        await client.read_resource(resource.uri)
    for prompt in (await client.list_prompts()).prompts:
        await client.get_prompt(prompt.name, {})


SCENARIOS: dict[str, Callable[[Client, list[types.Tool]], Awaitable[None]]] = {
    "initialize": nothing_more,
    "json-schema-ref-no-deref": nothing_more,
    "json-schema-2020-12-preservation": schema_sent_back,
    "http-custom-headers": calls_of_the_scenario,
    "http-standard-headers": all_that_has_a_name,
}
"""What differs from calling every tool."""


def reached(words: list[str]) -> str | StdioServerParameters:
    """Give what the client connects to: the bridge's command, or the URL."""
    *bridge, url = words
    if not bridge:
        return url
    command = [word.replace("{url}", url) for word in bridge]
    if command == bridge:
        command.append(url)
    return StdioServerParameters(command=command[0], args=command[1:])


async def main() -> None:
    """Do what the scenario is about."""
    version = os.environ.get("MCP_CONFORMANCE_PROTOCOL_VERSION", FIRST_MODERN)
    async with Client(
        reached(sys.argv[1:]),
        mode="auto" if version >= FIRST_MODERN else "legacy",
        elicitation_callback=elicited,
        sampling_callback=sampled,
        read_timeout_seconds=ANSWER_SECONDS,
    ) as client:
        tools = (await client.list_tools()).tools
        await SCENARIOS.get(os.environ.get("MCP_CONFORMANCE_SCENARIO", ""), every_tool)(client, tools)


if __name__ == "__main__":
    asyncio.run(main())
