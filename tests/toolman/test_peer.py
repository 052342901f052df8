from __future__ import annotations

import asyncio
import json
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest
from toolman.upstreams import Failure, handshake
from toolman.upstreams.peer import Call, Peer

if TYPE_CHECKING:
    from toolman import jsonrpc

pytestmark = pytest.mark.requirement("F-07")


class Server:
    """The other end of a peer: keeps what is sent, answers when told to."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.changes = 0
        self.reads = True
        self.outcomes: list[jsonrpc.Outcome] = []
        self.answered = asyncio.Event()
        self.peer = Peer("git", self._take, self._changed)

    def _take(self, line: bytes) -> bool:
        if self.reads:
            self.sent.append(json.loads(line))
        return self.reads

    def _changed(self) -> None:
        self.changes += 1

    def _answer(self, outcome: jsonrpc.Outcome) -> None:
        self.outcomes.append(outcome)
        self.answered.set()

    def call(self, timeout: float = 10.0) -> Call:
        call = Call(self._answer, timeout)
        self.peer.call(call, b"tools/call", lambda _: b"{}")
        return call


async def test_numbers_are_our_own_and_never_used_again() -> None:
    server = Server()
    for _ in range(3):
        server.call()
    assert [message["id"] for message in server.sent] == [1, 2, 3]


@pytest.mark.parametrize(
    "line",
    [
        b'{"jsonrpc":"2.0","id":99,"result":{}}',
        b'{"jsonrpc":"2.0","id":"1","result":{}}',
        b'{"jsonrpc":"2.0","id":1.0,"result":{}}',
        b'{"jsonrpc":"2.0","id":true,"result":{}}',
        b'{"jsonrpc":"2.0","id":null,"result":{}}',
        b'{"jsonrpc":"2.0","result":{}}',
        b'{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1}}',
        b'{"jsonrpc":"2.0","method":"notifications/progress","params":[]}',
        b'{"jsonrpc":"2.0","method":"notifications/progress"}',
        b'{"jsonrpc":"2.0","method":5}',
        b"[1]",
        b"nonsense",
        b"",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"a":' * 100_000,
    ],
)
async def test_what_matches_nothing_is_dropped(line: bytes) -> None:
    server = Server()
    server.call()
    server.peer.line(line)
    assert server.outcomes == []
    server.peer.line(b'{"jsonrpc":"2.0","id":1,"result":{}}')
    assert len(server.outcomes) == 1


async def test_a_second_answer_is_dropped() -> None:
    server = Server()
    server.call()
    for _ in range(2):
        server.peer.line(b'{"jsonrpc":"2.0","id":1,"result":{}}')
    assert len(server.outcomes) == 1


async def test_a_result_with_half_a_character_arrives_as_it_is() -> None:
    server = Server()
    server.call()
    server.peer.line(b'{"jsonrpc":"2.0","id":1,"result":{"t":"\\ud83d"}}')
    assert bytes(server.outcomes[0][1]) == b'{"t":"\\ud83d"}'


async def test_a_result_that_is_not_utf8_is_made_so() -> None:
    server = Server()
    server.call()
    server.peer.line(b'{"jsonrpc":"2.0","id":1,"result":{"t":"\xe9"}}')
    assert bytes(server.outcomes[0][1]).decode() == '{"t":"\ufffd"}'


async def test_the_longest_line_costs_no_more_than_some_copies_of_it_whatever_is_in_it() -> None:
    server = Server()
    line = '{"jsonrpc":"2.0","method":"x","params":"\U0001f600'.encode() + b"x" * 2**24 + b'"}'
    surrogates = b'{"jsonrpc":"2.0","method":"x","params":"' + b"\\ud800" * (2**24 // 6) + b'"}'
    tracemalloc.start()
    try:
        for text in (line, line.replace(b"\xf0", b"\xff"), surrogates):
            server.peer.line(text)
        assert tracemalloc.get_traced_memory()[1] < 3.5 * len(line)
    finally:
        tracemalloc.stop()


async def test_characters_on_the_edges_of_what_is_looked_at_stay_whole() -> None:
    server = Server()
    server.call()
    text = "\U0001f600" * 50_000
    server.peer.line(f'{{"jsonrpc":"2.0","id":1,"result":"{text}"}}'.encode())
    assert json.loads(bytes(server.outcomes[0][1])) == text


async def test_an_answer_without_result_and_error_is_an_error() -> None:
    server = Server()
    server.call()
    server.peer.line(b'{"jsonrpc":"2.0","id":1}')
    assert b"neither result nor error" in bytes(server.outcomes[0][1])


async def test_progress_after_the_answer_is_dropped() -> None:
    server = Server()
    seen: list[jsonrpc.Members] = []
    call = Call(server.outcomes.append, 10, seen.append)
    server.peer.call(call, b"tools/call", lambda number: b'{"_meta":{"progressToken":%b}}' % number)
    progress = b'{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1,"progress":1}}'
    server.peer.line(progress)
    server.peer.line(b'{"jsonrpc":"2.0","id":1,"result":{}}')
    server.peer.line(progress)
    assert len(seen) == 1


async def test_progress_puts_the_timeout_off() -> None:
    server = Server()
    call = server.call()
    call.heard = long_ago = 0.0
    server.peer.line(b'{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1,"progress":1}}')
    assert call.heard > long_ago


async def test_silence_ends_the_call_and_is_told_to_the_server() -> None:
    server = Server()
    call = server.call(timeout=0.05)
    async with asyncio.timeout(10):
        await server.answered.wait()
    assert b"did not answer within 0.05 s" in bytes(server.outcomes[0][1])
    assert server.sent[-1] == {
        "jsonrpc": "2.0",
        "method": "notifications/cancelled",
        "params": {"requestId": call.number, "reason": "timed out"},
    }


async def test_a_server_that_does_not_read_fails_the_call_at_once() -> None:
    server = Server()
    server.reads = False
    with pytest.raises(Failure, match="does not read"):
        server.call()


async def pages(*answers: dict[str, Any]) -> list[str]:
    """List the tools of a server that gives these pages, the last one for ever."""
    server = Server()
    listing = asyncio.create_task(handshake.list_tools(server.peer, 10))
    number = 0
    while not listing.done():
        await asyncio.sleep(0)
        if len(server.sent) > number:
            answer = answers[min(number, len(answers) - 1)]
            number += 1
            server.peer.line(json.dumps({"jsonrpc": "2.0", "id": number, "result": answer}).encode())
    return [tool.name for tool in await listing]


async def test_all_pages_are_walked_and_an_empty_cursor_is_one() -> None:
    first, second = {"tools": [{"name": "a"}], "nextCursor": ""}, {"tools": [{"name": "b"}], "nextCursor": None}
    assert await pages(first, second) == ["a", "b"]


async def test_a_cursor_that_comes_again_ends_the_walk() -> None:
    with pytest.raises(Failure, match="same cursor twice"):
        await pages({"tools": [], "nextCursor": "x"})


async def test_a_list_without_end_is_given_up() -> None:
    with pytest.raises(Failure, match="goes on beyond"):
        await pages({"tools": [{"name": "x"}] * (handshake.MAX_TOOLS + 1), "nextCursor": "x"})


async def test_pages_without_end_are_given_up() -> None:
    with pytest.raises(Failure, match="goes on beyond"):
        await pages(*({"tools": [], "nextCursor": str(n)} for n in range(handshake.MAX_PAGES + 1)))


@pytest.mark.parametrize("answer", [{"tools": 5}, {"tools": [], "nextCursor": 5}])
async def test_a_page_that_cannot_be_read_is_a_failure(answer: dict[str, Any]) -> None:
    with pytest.raises(Failure, match="cannot be read"):
        await pages(answer)


async def test_half_a_character_in_a_list_does_not_hide_the_tools() -> None:
    assert await pages({"tools": [{"name": "a", "description": "\ud83d"}, {"name": "b"}]}) == ["a", "b"]
