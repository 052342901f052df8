from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from toolman.exchange import Outgoing
from toolman.upstreams import Hello
from toolman.upstreams.abilities import Abilities
from toolman.upstreams.inflight import InFlight
from toolman.upstreams.watching import LegacyWatch
from toolman.upstreams.web.inbox import ANY, Inbox
from upstream_harness import Events, Kept

from toolman import jsonrpc

pytestmark = pytest.mark.requirement("T-05")

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
METHODS = st.sampled_from(
    [
        "notifications/progress",
        "notifications/message",
        "notifications/resources/updated",
        "notifications/subscriptions/acknowledged",
        "notifications/cancelled",
        "notifications/tools/list_changed",
        "ping",
        "roots/list",
    ]
)
PARAMS = JSON | st.fixed_dictionaries(
    {}, optional={"progressToken": JSON, "uri": JSON, "requestId": JSON, "_meta": JSON}
)
MESSAGES = st.fixed_dictionaries(
    {},
    optional={"id": JSON, "method": METHODS | JSON, "params": PARAMS, "result": JSON, "error": JSON, "jsonrpc": JSON},
)


class Nobody:
    """In place of a peer, for what is never asked."""

    name = "far"

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - nothing is there
        raise AssertionError(name)


@given(st.lists(MESSAGES | JSON, max_size=10), st.sampled_from(["2025-03-26", "2025-11-25"]))
async def test_whatever_comes_on_another_stream_answers_no_call_and_breaks_nothing(
    messages: list[object], version: str
) -> None:
    calls = InFlight(lambda _: None, frozenset)
    inbox = Inbox("far", Events(), calls, lambda _: None)
    inbox.hello = Hello("legacy", version)
    inbox.watch = LegacyWatch(Nobody(), Abilities(b"{}"))
    kept = Kept(Outgoing("tools/call", {}, progress=True))
    kept.number = 1
    calls.add(kept)
    for message in messages:
        inbox.take(json.dumps(message).encode(), 2)
    assert not kept.outcome.done()
    assert not kept.heard_of
    for message in messages:
        inbox.take(json.dumps(message).encode(), 1)
        inbox.take(json.dumps(message).encode(), ANY)
    calls.fail("over")


@given(st.binary(max_size=50))
async def test_bytes_that_are_no_message_do_nothing(data: bytes) -> None:
    answers: list[bytes] = []
    inbox = Inbox("far", Events(), InFlight(lambda _: None, frozenset), answers.append)
    inbox.hello = Hello("legacy", "2025-03-26")
    inbox.watch = LegacyWatch(Nobody(), Abilities(b"{}"))
    inbox.take(data)
    assert not answers


async def test_an_answer_on_another_calls_stream_is_dropped() -> None:
    calls = InFlight(lambda _: None, frozenset)
    inbox = Inbox("far", Events(), calls, lambda _: None)
    inbox.hello = Hello("modern", "2026-07-28")
    first, second = Kept(Outgoing("x", {})), Kept(Outgoing("x", {}))
    for number, call in enumerate((first, second), 1):
        call.number = number
        calls.add(call)
    inbox.take(b'{"jsonrpc":"2.0","id":2,"result":{}}', 1)
    inbox.take(b'{"jsonrpc":"2.0","id":1,"result":{"own":1}}', 1)
    assert not second.outcome.done()
    kind, value = first.outcome.result()
    assert (kind, bytes(value)) == (jsonrpc.RESULT, b'{"own":1}')
    calls.fail("over")
