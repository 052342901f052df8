from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from toolman.exchange import Outgoing
from toolman.upstreams import Failure
from toolman.upstreams.web import correction

if TYPE_CHECKING:
    from collections.abc import Mapping

    from msgspec import Raw

pytestmark = pytest.mark.requirement("T-02")

REGION = {"type": "object", "properties": {"where": {"type": "string", "x-mcp-header": "Region"}}}
BAD = {"type": "object", "properties": {"where": {"type": "array", "x-mcp-header": "Region"}}}


class Pages:
    """Gives pages, the last one for ever."""

    def __init__(self, *pages: Any) -> None:  # noqa: ANN401 - whatever a server sends
        self.pages = pages
        self.asked = 0

    async def request(self, method: str, params: Mapping[str, bytes | Raw], limit: float) -> bytes:
        assert method == "tools/list"
        assert (self.asked == 0) == (not params)
        assert limit > 0
        self.asked += 1
        page = self.pages[min(self.asked, len(self.pages)) - 1]
        if page is None:
            raise Failure("gone")
        return json.dumps(page).encode()


def page(*tools: object, **more: object) -> dict[str, object]:
    return {"tools": list(tools), **more}


SENT = Outgoing("tools/call", {"name": b'"x"', "arguments": b'{"where":"here"}'}, name="x")


@pytest.mark.parametrize(
    ("pages", "found"),
    [
        ([page({"name": "x", "inputSchema": REGION})], (("Mcp-Param-Region", "here"),)),
        ([page({"name": "x", "inputSchema": {}})], ()),
        (
            [page({"name": "y"}, nextCursor=""), page({"name": "x", "inputSchema": REGION})],
            (("Mcp-Param-Region", "here"),),
        ),
        ([page({"name": "y", "inputSchema": REGION})], None),
        ([page({"name": "x", "inputSchema": BAD})], None),
        ([page({"name": "y"}, nextCursor=5)], None),
        ([{"tools": 5}], None),
        ([{"tools": [5]}], None),
        ([5], None),
        ([None], None),
    ],
)
async def test_headers_are_made_from_the_servers_newest_list(
    pages: list[object], found: tuple[tuple[str, str], ...] | None
) -> None:
    assert await correction.mirrored(Pages(*pages), SENT) == found


async def test_a_list_without_end_is_given_up() -> None:
    endless = Pages(page(nextCursor="more"))
    assert await correction.mirrored(endless, SENT) is None
    assert endless.asked == correction.MAX_PAGES
