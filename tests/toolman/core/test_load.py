from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from dispatch_world import Modern, running
from toolman.core import load
from toolman.core.load import BUSY, Load

if TYPE_CHECKING:
    from collections.abc import Hashable
    from pathlib import Path

pytestmark = [pytest.mark.requirement("T-32"), pytest.mark.requirement("T-05")]

KIB = 1024


class Heavy:
    def __init__(self, owner: Hashable, held: Load) -> None:
        self.owner = owner
        self._held = held
        self.is_cancelled = False

    def cancel(self, reason: object) -> None:
        assert reason is None
        self.is_cancelled = True
        self._held.give(self)


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Load:
    monkeypatch.setattr(load, "MAX_BYTES", 100 * KIB)
    return Load([])


def test_who_has_most_bytes_on_their_way_makes_room(held: Load) -> None:
    flood = [Heavy("flood", held) for _ in range(3)]
    other = Heavy("other", held)
    assert [held.take(each, 30 * KIB) for each in flood] == [None, None, None]
    assert held.take(other, 30 * KIB) is None
    assert [each.is_cancelled for each in (*flood, other)] == [True, False, False, False]


def test_who_has_most_already_gets_no_more(held: Load) -> None:
    flood = [Heavy("flood", held) for _ in range(4)]
    assert [held.take(each, 30 * KIB) for each in flood] == [None, None, None, BUSY]
    assert not any(each.is_cancelled for each in flood)


def test_small_ones_are_not_weighed_and_what_is_over_weighs_nothing(held: Load) -> None:
    flood = [Heavy("flood", held) for _ in range(3)]
    for each in flood:
        held.take(each, 30 * KIB)
    assert held.take(Heavy("flood", held), KIB) is None
    held.give(flood[0])
    assert held.take(Heavy("flood", held), 30 * KIB) is None


def test_the_session_with_most_calls_loses_its_oldest_when_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "MAX_CALLS", 2)
    cancelled: list[str] = []
    sessions: list[Any] = [
        SimpleNamespace(inflight={1: lambda _: cancelled.append("one")}),
        SimpleNamespace(inflight={1: lambda _: cancelled.append("first"), 2: lambda _: cancelled.append("second")}),
    ]
    held = Load(sessions)
    for number in range(3):
        held.take(Heavy(number, held), 1)
    assert cancelled == ["first"]
    assert Load([]).take(Heavy("a", held), 1) is None


async def test_calls_that_nobody_waits_for_do_not_pile_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "MAX_BYTES", 100 * KIB)
    monkeypatch.setattr(load, "MAX_CALLS", 5)
    async with running(tmp_path / "audit") as world:
        session, _ = world.session()
        big = [world.call(session, arguments={"x": "x" * 60 * KIB}) for _ in range(2)]
        assert big[1].error["code"] == -32000
        answers = [world.call(session) for _ in range(5)]
        assert big[0].error["code"] == -32000
        assert all(answer.raw is None for answer in answers)
        assert world.call(Modern()).raw is None
        assert answers[0].raw is not None
        assert len(session.inflight) == 4
