from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, cast

import pytest
from toolman.upstreams import Failure, Hello, listing
from toolman.upstreams.offers import Item, Offers
from toolman_harness import LIMIT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from msgspec import Raw
    from toolman.upstreams import Peer

pytestmark = pytest.mark.requirement("T-07")

EVERYTHING = b'{"tools":{},"prompts":{},"resources":{}}'
Answer = dict[str, Any] | bytes | Failure | None
"""One page: a result, raw bytes, a refusal, or silence."""


class Lister:
    """A server that gives these pages of its lists, the last one of each for ever."""

    def __init__(self, capabilities: bytes = EVERYTHING, **pages: list[Answer]) -> None:
        self.hello = Hello("legacy", "2025-11-25", capabilities)
        self.pages = pages
        self.asked: list[tuple[str, str | None]] = []

    async def request(self, method: str, params: Mapping[str, bytes | Raw], limit: float) -> bytes:
        assert limit > 0
        kind = "templates" if "templates" in method else method.partition("/")[0]
        number = sum(one == method for one, _ in self.asked)
        self.asked.append((method, json.loads(bytes(params["cursor"])) if "cursor" in params else None))
        pages = self.pages.get(kind) or [Failure("Method not found")]
        page = pages[min(number, len(pages) - 1)]
        if isinstance(page, Failure):
            raise page
        if page is None:
            await asyncio.get_running_loop().create_future()
        return page if isinstance(page, bytes) else json.dumps(page).encode()

    async def walk(self, limit: float = LIMIT, **more: Any) -> listing.Listed:  # noqa: ANN401 - as it takes them
        return await listing.walk("git", cast("Peer", self), limit, **more)


def names(items: tuple[Item, ...]) -> list[str]:
    return [item.name for item in items]


async def test_everything_that_is_promised_is_listed_raw_and_in_order() -> None:
    tool = b'{"x": [9007199254740993,1.0], "name":"b\\u0061","inputSchema":null}'
    server = Lister(
        tools=[b'{"tools":[' + tool + b',{"name":"a"}]}'],
        prompts=[{"prompts": [{"name": "p"}]}],
        resources=[{"resources": [{"uri": "u:1", "name": "n"}]}],
        templates=[{"resourceTemplates": [{"uriTemplate": "u:{x}", "name": "n"}]}],
    )
    listed = await server.walk()
    offers = listed.offers
    assert listed.failed == {}
    assert (names(offers.tools), names(offers.prompts)) == (["ba", "a"], ["p"])
    assert (names(offers.resources), names(offers.templates)) == (["u:1"], ["u:{x}"])
    assert b"[9007199254740993,1.0]" in bytes(offers.tools[0].members["x"])
    assert offers.hello is server.hello


@pytest.mark.parametrize(
    ("capabilities", "asked"),
    [
        (b'{"prompts":{}}', ["prompts/list"]),
        (b'{"resources":{},"tools":null}', ["resources/list", "resources/templates/list"]),
        (b"{}", ["tools/list"]),
        (b'{"logging":{}}', ["tools/list"]),
        (b"[5]", ["tools/list"]),
        (b'{"tools":"\\ud800"}', ["tools/list"]),
    ],
)
async def test_only_what_is_promised_is_asked_for_but_tools_where_nothing_is(
    capabilities: bytes, asked: list[str]
) -> None:
    server = Lister(capabilities)
    await server.walk()
    assert [method for method, _ in server.asked] == asked


async def test_all_pages_are_walked_and_an_empty_cursor_is_one() -> None:
    server = Lister(b"{}", tools=[{"tools": [{"name": "a"}], "nextCursor": ""}, {"tools": [{"name": "b"}]}])
    assert names((await server.walk()).offers.tools) == ["a", "b"]
    assert server.asked == [("tools/list", None), ("tools/list", "")]


@pytest.mark.parametrize(
    ("pages", "text"),
    [
        ([{"tools": [], "nextCursor": "x"}], "same cursor twice"),
        ([{"tools": [{"name": "x"}] * (listing.MAX_ITEMS + 1), "nextCursor": "x"}], "goes on beyond"),
        ([{"tools": [], "nextCursor": str(n)} for n in range(listing.MAX_PAGES + 1)], "goes on beyond"),
        ([{"tools": [{"name": "x" * listing.MAX_BYTES}]}], "goes on beyond"),
        ([{"tools": 5}], "cannot be read"),
        ([[]], "cannot be read"),
        ([{"tools": [], "nextCursor": 5}], "nextCursor must be a string"),
        ([b'{"tools":' + b"[" * 100_000], "cannot be read"),
        ([b'{"tools":[],"tools":[]}'], "cannot be read"),
        ([Failure("no tools today")], "no tools today"),
    ],
)
async def test_a_list_that_cannot_be_had_hides_itself_alone_and_says_why(pages: list[Answer], text: str) -> None:
    server = Lister(tools=pages, prompts=[{"prompts": [{"name": "p"}]}], resources=[{"resources": []}])
    listed = await server.walk()
    assert text in listed.failed.pop("tools")
    assert listed.failed == {}, "and not the templates, which many servers with resources do not have"
    assert names(listed.offers.prompts) == ["p"]
    assert listed.is_any


async def test_a_silent_list_hides_itself_alone() -> None:
    listed = await Lister(tools=[None], prompts=[{"prompts": [{"name": "p"}]}], resources=[{}]).walk(0.05)
    assert listed.failed == {"tools": "its tools/list took more than 0.05 s"}
    assert names(listed.offers.prompts) == ["p"]


async def test_items_that_could_be_read_in_two_ways_are_left_out_with_one_line_of_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    page = b'{"tools":[{"name":"a"},{"name":"b","Name":"c"},{"name":1},5,{"name":"a","x":1},{"name":"d","name":"e"}]}'
    offers = (await Lister(b"{}", tools=[page]).walk()).offers
    assert names(offers.tools) == ["a"]
    assert "x" not in offers.tools[0].members
    (record,) = caplog.records
    assert "5 of its tools are left out" in record.getMessage()


async def test_half_a_character_in_a_list_does_not_hide_the_rest() -> None:
    page = {"tools": [{"name": "a", "description": "\ud83d"}, {"name": "b"}]}
    assert names((await Lister(b"{}", tools=[page]).walk()).offers.tools) == ["a", "b"]


async def test_the_shortest_time_that_a_list_may_be_kept_counts() -> None:
    server = Lister(
        tools=[{"tools": [], "ttlMs": 500, "nextCursor": "x"}, {"tools": [], "ttlMs": 100}],
        prompts=[{"prompts": [], "ttlMs": 300}],
        resources=[{"resources": [], "ttlMs": -5}],
        templates=[{"resourceTemplates": [], "ttlMs": "x"}],
    )
    assert (await server.walk()).offers.ttl == 100
    assert (await Lister(b"{}", tools=[{"tools": [], "ttlMs": 0}]).walk()).offers.ttl == 0


async def test_some_lists_alone_are_walked_again_and_one_that_fails_stays_as_it_was() -> None:
    before = Offers(Hello("legacy", "x"), tools=(Item("old", {}),), prompts=(Item("kept", {}),), ttl=50)
    server = Lister(tools=[Failure("busy")], prompts=[{"prompts": []}], resources=[{"resources": [{"uri": "u:1"}]}])
    listed = await server.walk(before=before, kinds=["tools", "resources"])
    assert names(listed.offers.tools) == ["old"]
    assert names(listed.offers.prompts) == ["kept"]
    assert names(listed.offers.resources) == ["u:1"]
    assert listed.failed == {"tools": "busy"}
    assert listed.offers.ttl == 50
    assert "prompts/list" not in [method for method, _ in server.asked]
