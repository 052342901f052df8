from __future__ import annotations

import pytest

from toolman import sessions

pytestmark = pytest.mark.requirement("F-07")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


async def test_an_idle_session_ends_and_a_used_one_does_not() -> None:
    clock = Clock()
    found = sessions.Sessions(clock)
    idle, used = found.create("v"), found.create("v")
    clock.now += sessions.IDLE - 1
    assert found.get(used.identifier) is used
    clock.now += 2
    found.expire()
    assert list(found) == [used]
    assert found.get(idle.identifier) is None


async def test_an_idle_session_is_gone_even_before_it_is_looked_for() -> None:
    clock = Clock()
    found = sessions.Sessions(clock)
    idle = found.create("v")
    clock.now += sessions.IDLE + 1
    assert found.get(idle.identifier) is None


async def test_a_session_with_an_open_stream_is_not_idle() -> None:
    clock = Clock()
    found = sessions.Sessions(clock)
    session = found.create("v")
    stream = session.open_stream()
    clock.now += sessions.IDLE + 1
    found.expire()
    assert found.get(session.identifier) is session
    session.close_stream(stream)
    clock.now += sessions.IDLE + 1
    found.expire()
    assert len(found) == 0


async def test_the_longest_idle_session_makes_room() -> None:
    found = sessions.Sessions(Clock())
    busy, idle, last = (found.create("v") for _ in range(3))
    busy.open_stream()
    found.get(last.identifier)
    for _ in range(sessions.MAX_SESSIONS - 2):
        found.create("v")
    assert len(found) == sessions.MAX_SESSIONS
    assert found.get(idle.identifier) is None
    assert found.get(busy.identifier) is busy
    assert found.get(last.identifier) is last


async def test_too_many_streams_end_the_oldest() -> None:
    session = sessions.Sessions(Clock()).create("v")
    streams = [session.open_stream() for _ in range(sessions.MAX_STREAMS + 1)]
    assert [stream.is_ended for stream in streams] == [True, *[False] * sessions.MAX_STREAMS]


async def test_many_changes_before_a_stream_looks_are_one() -> None:
    stream = sessions.Stream()
    for _ in range(5):
        stream.notify()
    assert stream.wake.is_set()
    assert stream.is_changed
