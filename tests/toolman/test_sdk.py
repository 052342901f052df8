"""The official SDK's client against toolman: what agents are made of."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Literal

import mcp
import pytest

if TYPE_CHECKING:
    from toolman_harness import Starter

pytestmark = pytest.mark.requirement("F-07")


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_the_sdks_client_lists_and_calls_exactly_the_allowed_tools(
    starter: Starter, mode: Literal["legacy", "auto"]
) -> None:
    _, client = starter.run("--allow", "echo", "--allow", "progress")
    url = f"http://127.0.0.1:{client.http.base_url.port}/mcp"
    steps: list[float] = []

    async def progressed(progress: float, total: float | None, message: str | None) -> None:  # noqa: ARG001 - the SDK's
        steps.append(progress)

    async with asyncio.timeout(30), mcp.Client(url, mode=mode) as agent:
        assert [tool.name for tool in (await agent.list_tools()).tools] == ["echo", "progress"]
        result = await agent.call_tool("echo", {"x": 1})
        assert not result.is_error
        await agent.call_tool("progress", {"steps": 5}, progress_callback=progressed)
        with pytest.raises(mcp.MCPError, match="Unknown tool: die"):
            await agent.call_tool("die", {})
    assert steps == [0, 1, 2, 3, 4]
