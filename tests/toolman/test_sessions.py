from __future__ import annotations

import gc
import tracemalloc
from typing import TYPE_CHECKING

import pytest
from toolman.sessions import Sessions

from toolman import sessions

if TYPE_CHECKING:
    from toolman.sessions import Session

pytestmark = pytest.mark.requirement("T-06")

TTL = 1800.0


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Sink:
    """A connection that is open."""

    def send(self, message: bytes, identifier: bytes, *, is_last: bool = False) -> None: ...
    def prime(self, identifier: bytes) -> None: ...
    def comment(self) -> None: ...
    def close(self) -> None: ...


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def found(clock: Clock) -> Sessions:
    return Sessions(clock, TTL)


def test_an_idle_session_ends_and_a_used_one_does_not(found: Sessions, clock: Clock) -> None:
    idle, used = found.create("v"), found.create("v")
    clock.now += TTL - 1
    assert found.get(used.identifier) is used
    clock.now += 2
    found.expire()
    assert list(found) == [used]
    assert found.get(idle.identifier) is None


def test_an_idle_session_is_gone_even_before_it_is_looked_for(found: Sessions, clock: Clock) -> None:
    idle = found.create("v")
    clock.now += TTL + 1
    assert found.get(idle.identifier) is None
    assert idle.is_ended


def test_a_session_with_an_open_stream_or_a_call_is_not_idle(found: Sessions, clock: Clock) -> None:
    listening, calling = found.create("v"), found.create("v")
    sink = Sink()
    stream = listening.streams.open("get", sink)
    calling.inflight[1] = lambda _: None
    clock.now += TTL + 1
    found.expire()
    assert found.get(listening.identifier) is listening
    assert found.get(calling.identifier) is calling
    stream.detach(sink)
    calling.inflight.clear()
    clock.now += TTL + 1
    found.expire()
    assert len(found) == 0


def test_the_longest_idle_session_makes_room(found: Sessions) -> None:
    busy, idle, last = (found.create("v") for _ in range(3))
    busy.streams.open("get", Sink())
    found.get(last.identifier)
    for _ in range(sessions.MAX_SESSIONS - 2):
        found.create("v")
    assert len(found) == sessions.MAX_SESSIONS
    assert found.get(idle.identifier) is None
    assert found.get(busy.identifier) is busy
    assert found.get(last.identifier) is last


def test_who_left_is_told_once_after_its_calls_were_cancelled(found: Sessions) -> None:
    told: list[object] = []
    session = found.create("v")
    session.inflight[1] = told.append
    found.left = told.append
    found.end(session)
    found.end(session)
    assert told == [None, session]


def test_ten_thousand_sessions_leave_nothing_behind(found: Sessions, clock: Clock) -> None:
    def use() -> None:
        for _ in range(10_000):
            session = found.create("2025-11-25", None, b'{"roots":{}}', b'{"name":"c","version":"1"}')
            session.push(b'{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}')
        clock.now += TTL + 1
        found.expire()
        assert len(found) == 0

    use()  # what is made once and kept, such as caches
    gc.collect()
    tracemalloc.start()
    try:
        use()
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] < 100_000
    finally:
        tracemalloc.stop()


def test_what_is_worth_keeping_of_a_session_is_what_makes_it_again(found: Sessions) -> None:
    session: Session = found.create("v", "one", b'{"x":{}}', b'{"name":"c"}')
    session.subscriptions |= {("b", "u"), ("a", "u")}
    session.log_level = "error"
    again = sessions._decode(sessions._encode(session.stored()))
    assert again == session.stored()
    assert again.subscriptions == (("a", "u"), ("b", "u"))
