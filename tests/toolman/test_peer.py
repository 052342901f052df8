from __future__ import annotations

import asyncio
import json
import math
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest
from msgspec import Raw
from toolman.exchange import Outgoing
from toolman.upstreams import Failure, Hello, peer, watching
from toolman.upstreams.peer import LinePeer
from toolman_harness import LIMIT
from upstream_harness import Events, Kept, eventually, tool_call

from toolman import jsonrpc

if TYPE_CHECKING:
    from collections.abc import Hashable

    from toolman.upstreams import Link

pytestmark = pytest.mark.requirement("T-02", "T-05")

ALL = b'{"tools":{"listChanged":true},"resources":{"subscribe":true,"listChanged":true},"logging":{}}'
REFUSED = {"code": -32601, "message": "Method not found"}


class Server:
    """The other end of a peer: keeps what is sent, answers when told to."""

    def __init__(self, era: Any = "legacy", version: str = "2025-11-25", capabilities: bytes = ALL) -> None:  # noqa: ANN401 - an era
        self.sent: list[dict[str, Any]] = []
        self.reads = True
        self.closed = False
        self.events = Events()
        self.peer = LinePeer("git", self.events, b'{"roots":{}}')
        self.peer.link = self._link()
        self.peer.introduce(Hello(era, version, capabilities))

    def _link(self) -> Link:
        return self

    def write(self, line: bytes) -> bool:
        assert b"\n" not in line
        if self.reads:
            self.sent.append(json.loads(line))
        return self.reads

    async def close(self) -> None:
        self.closed = True

    def call(self, timeout: float = LIMIT, owner: Hashable = "someone", log_level: str | None = None) -> Kept:
        call = tool_call("x", None, timeout, owner)
        call.outgoing.log_level = log_level
        self.peer.send(call)
        return call

    def says(self, **message: object) -> None:
        self.peer.line(json.dumps({"jsonrpc": "2.0"} | message).encode())

    def result(self, number: int, value: object = None) -> None:
        self.says(id=number, result={} if value is None else value)

    def progress(self, token: object, value: object = 1) -> None:
        self.says(method="notifications/progress", params={"progressToken": token, "progress": value})

    def log(self, data: str) -> None:
        self.says(method="notifications/message", params={"level": "info", "data": data})

    async def until_sent(self, method: str, count: int = 1) -> dict[str, Any]:
        def found() -> list[dict[str, Any]]:
            return [one for one in self.sent if one.get("method") == method]

        await eventually(lambda: len(found()) >= count)
        return found()[count - 1]


async def test_numbers_are_our_own_and_never_used_again() -> None:
    server = Server()
    for _ in range(3):
        server.call()
    assert [message["id"] for message in server.sent] == [1, 2, 3]
    assert [message["params"]["_meta"]["progressToken"] for message in server.sent] == [1, 2, 3]


@pytest.mark.parametrize(
    "line",
    [
        b'{"jsonrpc":"2.0","id":99,"result":{}}',
        b'{"jsonrpc":"2.0","id":"1","result":{}}',
        b'{"jsonrpc":"2.0","id":1.0,"result":{}}',
        b'{"jsonrpc":"2.0","id":true,"result":{}}',
        b'{"jsonrpc":"2.0","id":null,"result":{}}',
        b'{"jsonrpc":"2.0","result":{}}',
        b'{"jsonrpc":"2.0","method":"notifications/progress","params":[]}',
        b'{"jsonrpc":"2.0","method":"notifications/progress"}',
        b'{"jsonrpc":"2.0","method":"notifications/message"}',
        b'{"jsonrpc":"2.0","method":"notifications/cancelled","params":5}',
        b'{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":5}}',
        b'{"jsonrpc":"2.0","method":5}',
        b'[{"jsonrpc":"2.0","id":1,"result":{}}]',
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
    call = server.call()
    server.peer.line(line)
    assert not call.outcome.done()
    assert not call.heard_of
    assert server.events.told == []
    server.result(1)
    assert call.outcome.done()


async def test_a_second_answer_is_dropped() -> None:
    server = Server()
    call = server.call()
    server.result(1, 1)
    server.result(1, 2)
    assert await call.answer() == {"result": 1}


@pytest.mark.parametrize(("version", "is_read"), [("2025-03-26", True), ("2025-06-18", False)])
async def test_messages_may_come_in_an_array_in_the_revision_that_has_them(version: str, is_read: bool) -> None:  # noqa: FBT001
    server = Server(version=version)
    calls = [server.call(), server.call()]
    server.peer.line(b'[{"jsonrpc":"2.0","id":1,"result":{}},5,{"jsonrpc":"2.0","id":2,"result":{}}]')
    assert [call.outcome.done() for call in calls] == [is_read, is_read]


async def test_a_result_with_half_a_character_arrives_as_it_is() -> None:
    server = Server()
    call = server.call()
    server.peer.line(b'{"jsonrpc":"2.0","id":1,"result":{"t":"\\ud83d"}}')
    assert bytes((await call.outcome)[1]) == b'{"t":"\\ud83d"}'


async def test_a_result_that_is_not_utf8_is_made_so() -> None:
    server = Server()
    call = server.call()
    server.peer.line(b'{"jsonrpc":"2.0","id":1,"result":{"t":"\xe9"}}')
    assert bytes((await call.outcome)[1]).decode() == '{"t":"\ufffd"}'


async def test_an_error_arrives_as_it_is() -> None:
    server = Server()
    call = server.call()
    error = b'{"code":-1.0e3,"data":[9007199254740993],"x":null, "message":"m"}'
    server.peer.line(b'{"jsonrpc":"2.0","id":1,"error":' + error + b"}")
    assert bytes((await call.outcome)[1]) == error


async def test_the_longest_line_costs_no_more_than_some_copies_of_it_whatever_is_in_it() -> None:
    server = Server()
    line = '{"jsonrpc":"2.0","method":"x","params":"\U0001f600'.encode() + b"x" * 2**24 + b'"}'
    surrogates = b'{"jsonrpc":"2.0","method":"x","params":"' + b"\\ud800" * (2**24 // 6) + b'"}'
    server.events.notified = lambda *_: None  # type: ignore[method-assign]  # what it keeps is not the peer's
    tracemalloc.start()
    try:
        for text in (line, line.replace(b"\xf0", b"\xff"), surrogates):
            server.peer.line(text)
        assert tracemalloc.get_traced_memory()[1] < 3.5 * len(line)
    finally:
        tracemalloc.stop()


async def test_characters_on_the_edges_of_what_is_looked_at_stay_whole() -> None:
    server = Server()
    call = server.call()
    text = "\U0001f600" * 50_000
    server.peer.line(f'{{"jsonrpc":"2.0","id":1,"result":"{text}"}}'.encode())
    assert await call.answer() == {"result": text}


async def test_an_answer_without_result_and_error_is_an_error() -> None:
    server = Server()
    call = server.call()
    server.says(id=1)
    assert "neither result nor error" in (await call.answer())["error"]["message"]


async def test_progress_arrives_in_order_before_the_answer_and_never_after_it() -> None:
    server = Server()
    call, other = server.call(), server.call()
    for step in range(5):
        server.progress(1, step)
    server.result(1)
    server.progress(1, 5)
    assert call.heard_of == [0, 1, 2, 3, 4]
    assert other.heard_of == []


async def test_progress_that_nobody_asked_for_is_not_passed_on() -> None:
    server = Server()
    call = Kept(Outgoing("tools/call", {}))
    server.peer.send(call)
    assert "_meta" not in server.sent[0]["params"]
    server.progress(1)
    assert call.heard_of == []


@pytest.mark.parametrize("what", ["progress", "log", "question", "answer"])
async def test_whatever_is_heard_of_a_call_puts_its_timeout_off(what: str) -> None:
    server = Server()
    call = server.call()
    if what == "answer":
        server.says(id="q", method="elicitation/create", params={})
    call.heard = 0.0
    if what == "progress":
        server.progress(1)
    elif what == "log":
        server.log("x")
    elif what == "question":
        server.says(id="q", method="elicitation/create", params={})
    else:
        call.questions[0].answer(jsonrpc.result(b"{}"))
    assert call.heard > 0.0


async def test_silence_ends_the_call_and_is_told_to_the_server() -> None:
    server = Server()
    call = server.call(timeout=0.05)
    assert "did not answer within 0.05 s" in (await call.answer())["error"]["message"]
    assert server.sent[-1] == {
        "jsonrpc": "2.0",
        "method": "notifications/cancelled",
        "params": {"requestId": call.number, "reason": "timed out"},
    }


async def test_a_call_whose_client_is_being_asked_is_not_silent() -> None:
    server = Server()
    asking, other = server.call(timeout=0.04), server.call(timeout=0.04)
    server.result(other.number)
    server.says(id="q", method="elicitation/create", params={})
    silent = server.call(timeout=0.04)
    await silent.answer()
    assert not asking.outcome.done()
    asking.questions[0].answer(jsonrpc.result(b"{}"))
    assert "did not answer" in (await asking.answer())["error"]["message"]


@pytest.mark.parametrize("era", ["legacy", "modern"])
async def test_a_cancelled_call_is_told_to_the_server_and_never_heard_of_again(era: str) -> None:
    server = Server(era)
    call = server.call()
    server.peer.cancel(call, Raw(b'"changed my mind"'))
    server.peer.cancel(call)
    server.result(1)
    server.progress(1)
    assert [message["method"] for message in server.sent] == ["tools/call", "notifications/cancelled"]
    assert server.sent[1]["params"] == {"requestId": 1, "reason": "changed my mind"}
    assert not call.outcome.done()


async def test_a_call_of_another_life_is_not_cancelled_by_its_number() -> None:
    server, later = Server(), Server()
    call = server.call()
    later_call = later.call()
    later.peer.cancel(call)
    later.result(1)
    assert later_call.outcome.done()


async def test_a_server_that_does_not_read_fails_the_call_at_once() -> None:
    server = Server()
    server.reads = False
    with pytest.raises(Failure, match="does not read"):
        server.call()


async def test_the_end_answers_everything_on_its_way_and_is_told_once() -> None:
    server = Server()
    call = server.call()
    server.peer.ended("exit code 137", "the end of its stderr")
    server.peer.ended("again")
    assert (await call.answer())["error"]["message"] == (
        "server 'git' stopped (exit code 137) before answering; it is being restarted; "
        "the call may or may not have taken effect"
    )
    assert server.events.told == [("ended", "exit code 137")]
    with pytest.raises(Failure):
        server.call()


async def test_closing_answers_everything_on_its_way() -> None:
    server = Server()
    call = server.call()
    await server.peer.close()
    assert "was ended before answering" in (await call.answer())["error"]["message"]
    assert server.closed


# --- what a server asks and logs


@pytest.mark.parametrize("era", ["legacy", "modern"])
async def test_a_ping_is_answered(era: str) -> None:
    server = Server(era)
    server.says(id="p", method="ping")
    assert server.sent == [{"jsonrpc": "2.0", "id": "p", "result": {}}]


async def test_a_question_goes_to_the_newest_call_of_the_only_owner_and_the_answer_back_under_its_own_id() -> None:
    server = Server()
    first, second = server.call(), server.call()
    server.peer.line(b'{"jsonrpc":"2.0","id":  1.50,"method":"sampling/createMessage","params":{"n":9007199254740993}}')
    assert first.questions == []
    (question,) = second.questions
    assert (question.method, bytes(question.params or b"")) == ("sampling/createMessage", b'{"n":9007199254740993}')
    question.answer(jsonrpc.result(b'{"a":1}'))
    question.answer(jsonrpc.result(b'{"a":2}'))
    assert server.sent[2:] == [{"jsonrpc": "2.0", "id": 1.5, "result": {"a": 1}}]


async def test_a_question_while_two_owners_have_calls_on_their_way_is_refused() -> None:
    server = Server()
    calls = [server.call(owner="a"), server.call(owner="b")]
    server.says(id=7, method="roots/list")
    assert server.sent[2:] == [{"jsonrpc": "2.0", "id": 7, "error": REFUSED}]
    assert [call.questions for call in calls] == [[], []]
    assert server.events.told == []


async def test_a_question_while_nothing_is_on_its_way_goes_to_the_events() -> None:
    server = Server()
    asking = asyncio.create_task(server.peer.request("tools/list", {}, LIMIT))  # toolman's own does not count
    await server.until_sent("tools/list")
    server.says(id=7, method="roots/list")
    assert server.events.told == [("asked", "roots/list")]
    server.events.questions[0].answer(jsonrpc.result(b'{"roots":[]}'))
    assert server.sent[-1]["result"] == {"roots": []}
    server.result(1)
    await asking


async def test_a_modern_server_can_ask_nothing() -> None:
    server = Server("modern", "2026-07-28")
    call = server.call()
    server.says(id=7, method="elicitation/create", params={})
    assert server.sent[1] == {"jsonrpc": "2.0", "id": 7, "error": REFUSED}
    assert call.questions == []


async def test_a_question_that_the_server_withdraws_is_not_answered() -> None:
    server = Server()
    call = server.call()
    server.says(id="q", method="elicitation/create", params={})
    server.says(method="notifications/cancelled", params={"requestId": "q"})
    call.questions[0].answer(jsonrpc.result(b"{}"))
    assert len(server.sent) == 1


class Asked(Kept):
    """A call whose client is asked, and surely waited for once a test says so."""

    is_sure = False

    def is_waiting(self, now: float) -> bool:
        return self.is_sure or now == math.inf


@pytest.mark.parametrize("end", ["sure", "withdrawn", "over"])
async def test_a_question_waits_until_it_is_sure_that_it_is_not_anothers(
    monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    monkeypatch.setattr(peer, "_LOOK", 0.0)
    server = Server()
    other = Asked(Outgoing("tools/call", {}), LIMIT, "other")
    server.peer.send(other)
    mine = server.call(owner="me")
    server.says(id=7, method="elicitation/create", params={})
    assert (mine.questions, server.sent[2:]) == ([], [])
    if end == "sure":
        other.is_sure = True
        await eventually(lambda: mine.questions)
        assert other.questions == []
    elif end == "withdrawn":
        server.says(method="notifications/cancelled", params={"requestId": 7})
        other.is_sure = True
        for _ in range(3):
            await asyncio.sleep(0)
        assert mine.questions == []
    else:
        server.result(mine.number)
        await eventually(lambda: server.sent[2:] == [{"jsonrpc": "2.0", "id": 7, "error": REFUSED}])


async def test_a_flood_of_questions_is_refused() -> None:
    server = Server()
    call = server.call()
    for number in range(3 * peer.MAX_QUESTIONS):
        server.says(id=number, method="elicitation/create", params={})
    assert len(call.questions) == peer.MAX_QUESTIONS
    assert len(server.sent) == 1 + 2 * peer.MAX_QUESTIONS


async def test_log_messages_of_a_legacy_server_never_reach_another_owner() -> None:
    server = Server()
    server.log("nobody")
    first = server.call(owner="a")
    server.log("a")
    second = server.call(owner="b")
    server.log("a or b")
    server.result(first.number)
    server.log("b")
    assert server.events.told == [("logged", {"level": "info", "data": "nobody"})]
    assert [one["data"] for one in first.heard_of] == ["a"]
    assert [one["data"] for one in second.heard_of] == ["b"]


async def test_log_messages_of_a_modern_server_go_to_calls_that_asked_for_them() -> None:
    server = Server("modern", "2026-07-28")
    server.log("nobody")
    server.call(owner="a")
    server.log("nobody")
    wanting = server.call(owner="b", log_level="info")
    server.log("b")
    assert server.sent[1]["params"]["_meta"]["io.modelcontextprotocol/logLevel"] == "info"
    assert [one["data"] for one in wanting.heard_of] == ["b"]
    assert server.events.told == []


# --- what is told to the server, and what it tells of itself


async def test_notifications_are_of_the_legacy_era_alone() -> None:
    legacy, modern = Server(), Server("modern")
    for server in (legacy, modern):
        server.peer.notify("notifications/roots/list_changed")
        server.peer.notify("notifications/x", b'{"a":\n1}')
    assert [message["method"] for message in legacy.sent] == ["notifications/roots/list_changed", "notifications/x"]
    assert legacy.sent[1]["params"] == {"a": 1}
    assert modern.sent == []


@pytest.mark.parametrize(("era", "count"), [("legacy", 1), ("modern", 0)])
async def test_the_log_level_is_set_where_the_era_has_that(era: str, count: int) -> None:
    server = Server(era)
    setting = asyncio.create_task(server.peer.set_log_level("debug"))
    await asyncio.sleep(0)
    server.result(1)
    await setting
    assert [message["params"] for message in server.sent] == [{"level": "debug"}] * count


@pytest.mark.parametrize("kind", ["tools", "prompts", "resources"])
async def test_changes_of_lists_are_told(kind: str) -> None:
    server = Server()
    server.says(method=f"notifications/{kind}/list_changed")
    assert server.events.told == [("changed", kind)]


async def test_other_notifications_are_told() -> None:
    server = Server()
    server.says(method="notifications/tasks/status", params={"taskId": "1"})
    assert server.events.told == [("notified", ("notifications/tasks/status", {"taskId": "1"}))]


async def watched(server: Server, uris: frozenset[str], refuse: str = "") -> list[dict[str, Any]]:
    """Change what is watched; give what was sent for it, answering everything."""
    watching = asyncio.create_task(server.peer.watch(uris))
    start = answered = len(server.sent)
    async with asyncio.timeout(LIMIT):
        while not watching.done():
            await asyncio.sleep(0)
            for message in server.sent[answered:]:
                if message.get("params", {}).get("uri") == refuse:
                    server.says(id=message["id"], error=REFUSED)
                elif message["method"] == "subscriptions/listen":
                    acknowledge(server, message["id"])
                elif "id" in message:
                    server.result(message["id"])
            answered = len(server.sent)
    await watching
    return server.sent[start:]


def acknowledge(server: Server, number: object) -> None:
    meta = {"io.modelcontextprotocol/subscriptionId": number}
    server.says(method="notifications/subscriptions/acknowledged", params={"notifications": {}, "_meta": meta})


def updated(server: Server, uri: str, number: int | None = None) -> None:
    meta = {} if number is None else {"_meta": {"io.modelcontextprotocol/subscriptionId": number}}
    server.says(method="notifications/resources/updated", params={"uri": uri, "x": 1} | meta)


async def test_a_legacy_server_is_subscribed_to_one_by_one_and_only_what_is_wanted_is_heard() -> None:
    server = Server()
    sent = await watched(server, frozenset({"a:1", "a:2"}))
    assert [(one["method"], one["params"]["uri"]) for one in sent] == [
        ("resources/subscribe", "a:1"),
        ("resources/subscribe", "a:2"),
    ]
    sent = await watched(server, frozenset({"a:2", "a:3"}))
    assert [(one["method"], one["params"]["uri"]) for one in sent] == [
        ("resources/subscribe", "a:3"),
        ("resources/unsubscribe", "a:1"),
    ]
    for uri in ("a:1", "a:2", "b"):
        updated(server, uri)
    assert server.events.told == [("updated", ("a:2", {"uri": "a:2", "x": 1}))]


async def test_a_subscription_that_is_refused_is_told_and_asked_for_again() -> None:
    server = Server()
    with pytest.raises(Failure, match="resources/subscribe"):
        await watched(server, frozenset({"a:1", "a:2"}), refuse="a:1")
    assert [one["params"]["uri"] for one in await watched(server, frozenset({"a:1", "a:2"}))] == ["a:1"]


async def test_a_legacy_server_without_subscriptions_is_not_asked() -> None:
    server = Server(capabilities=b'{"resources":{}}')
    with pytest.raises(Failure, match="does not let anybody subscribe"):
        await server.peer.watch(frozenset({"a"}))
    await server.peer.watch(frozenset())
    assert server.sent == []


async def test_a_modern_server_is_listened_to_and_only_the_newest_subscription_counts() -> None:
    server = Server("modern", "2026-07-28")
    (first,) = await watched(server, frozenset())
    assert first["params"]["notifications"] == {"toolsListChanged": True, "resourcesListChanged": True}
    second, cancelled = await watched(server, frozenset({"a:1"}))
    assert second["params"]["notifications"]["resourceSubscriptions"] == ["a:1"]
    assert (cancelled["method"], cancelled["params"]) == ("notifications/cancelled", {"requestId": first["id"]})
    updated(server, "a:1", first["id"])
    updated(server, "a:1", second["id"])
    assert server.events.told == [("updated", ("a:1", {"uri": "a:1", "x": 1}))], "without the server's number"
    assert await watched(server, frozenset({"a:1"})) == []
    await server.peer.close()


async def test_a_modern_server_with_nothing_to_tell_is_not_listened_to() -> None:
    server = Server("modern", "2026-07-28", b'{"tools":{}}')
    assert await watched(server, frozenset()) == []


@pytest.mark.parametrize("how", ["refused", "silent", "a stranger's word"])
async def test_a_modern_server_that_does_not_begin_to_tell_is_a_failure(
    how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "ANSWER", 0.05)
    server = Server("modern", "2026-07-28")
    asking = asyncio.create_task(server.peer.watch(frozenset()))
    listen = await server.until_sent("subscriptions/listen")
    if how == "refused":
        server.says(id=listen["id"], error=REFUSED)
    elif how == "a stranger's word":
        acknowledge(server, 99)
    with pytest.raises(Failure, match="subscriptions/listen"):
        await asking


@pytest.mark.parametrize("how", ["result", "notification"])
async def test_a_subscription_that_the_server_ends_is_begun_again_and_the_lists_with_it(
    how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "FIRST_PAUSE", 0.0)
    server = Server("modern", "2026-07-28")
    (listen,) = await watched(server, frozenset())
    if how == "result":
        server.result(listen["id"])
    else:
        server.says(method="notifications/cancelled", params={"requestId": listen["id"]})
    again = await server.until_sent("subscriptions/listen", 2)
    acknowledge(server, again["id"])
    await server.events.until("changed", 2)
    assert server.events.all("changed") == ["tools", "resources"]
    await server.peer.close()
