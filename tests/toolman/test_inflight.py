from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

import pytest
from toolman.exchange import Call, Outgoing
from toolman.upstreams import inflight
from toolman.upstreams.inflight import OWN, InFlight

if TYPE_CHECKING:
    from collections.abc import Hashable

pytestmark = [pytest.mark.requirement("T-03"), pytest.mark.requirement("T-05")]


class Waiting(Call):
    """A call that may wait for its client."""

    def __init__(self, owner: Hashable, number: int, *, waits: bool = False, log_level: str | None = None) -> None:
        super().__init__(Outgoing("tools/call", {}, log_level=log_level), math.inf, owner)
        self.number = number
        self.waits = waits

    def is_waiting(self, now: float) -> bool:
        return self.waits and now >= self.heard


async def flying(*calls: Call) -> InFlight:
    found = InFlight(lambda _: None, frozenset)
    for call in calls:
        found.add(call)
    return found


async def test_what_names_no_call_is_the_newest_ones_of_the_only_client() -> None:
    first, second = Waiting("a", 1), Waiting("a", 2)
    calls = await flying(Waiting(OWN, 7), first, second)
    assert calls.newest() == calls.asking() == (second, False)
    assert (await flying(Waiting(OWN, 7))).asking() == (None, True)


async def test_between_two_clients_it_is_nobodys() -> None:
    calls = await flying(Waiting("a", 1), Waiting("b", 2))
    assert calls.newest() == calls.asking() == (None, False)


async def test_who_waits_for_an_answer_keeps_no_other_from_being_asked_but_hears_no_log_of_it() -> None:
    active = Waiting("b", 2)
    calls = await flying(Waiting("a", 1, waits=True), active)
    assert calls.asking() == (active, False)
    assert calls.newest() == (None, False)


async def test_when_all_wait_nobody_is_asked_more() -> None:
    calls = await flying(Waiting("a", 1, waits=True), Waiting("b", 2, waits=True))
    assert calls.asking() == (None, False)


@pytest.mark.parametrize("waits", [False, True])
async def test_what_a_server_says_of_a_call_that_was_given_up_is_no_other_clients(*, waits: bool) -> None:
    given_up, other = Waiting("a", 1), Waiting("b", 2, waits=waits)
    calls = await flying(given_up)
    assert calls.give_up(given_up)
    assert not calls.give_up(given_up)
    assert calls.newest() == calls.asking() == (None, False)  # nor that of all who listen
    calls.add(other)
    assert calls.newest() == calls.asking() == (None, False)
    assert calls.pop(1) is None  # the late answer
    assert calls.newest() == (other, False)


async def test_a_client_that_gives_a_call_up_is_still_asked_in_its_others() -> None:
    given_up, other = Waiting("a", 1), Waiting("a", 2)
    calls = await flying(given_up, other)
    calls.give_up(given_up)
    assert calls.newest() == calls.asking() == (other, False)


async def test_calls_that_were_given_up_are_forgotten_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inflight, "LINGERS", 0.0)
    first, other = Waiting("a", 1), Waiting("b", 2)
    calls = await flying(first, other)
    calls.give_up(first)
    assert calls.newest() == (other, False)


async def test_no_more_than_so_many_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inflight, "MAX_GIVEN_UP", 1)
    first, second, other = Waiting("a", 1), Waiting("b", 2), Waiting("b", 3)
    calls = await flying(first, second, other)
    calls.give_up(first)
    assert calls.newest() == (None, False)
    calls.give_up(second)
    assert calls.newest() == (other, False)


async def test_a_call_that_wants_no_logs_has_none_when_it_was_given_up() -> None:
    silent, other = Waiting("a", 1), Waiting("b", 2, log_level="info")
    calls = await flying(silent, other)
    calls.give_up(silent)
    assert calls.newest(logging_only=True) == (other, False)


async def test_the_end_of_a_life_forgets_what_was_given_up() -> None:
    first = Waiting("a", 1)
    calls = await flying(first)
    calls.give_up(first)
    calls.fail("over")
    await asyncio.sleep(0)
    assert calls.newest() == (None, True)


async def test_a_call_is_told_later_once_all_others_are_sure_to_wait_for_their_own_answers() -> None:
    active, asked = Waiting("b", 2), Waiting("a", 1, waits=True)
    calls = await flying(asked, active, Waiting("c", 3))
    asked.heard = math.inf  # something was heard of it just now
    assert calls.later(2) == (active, False)  # the third was not there yet when the question came
    asked.heard = 0.0
    assert calls.later(2) == (active, True)
    assert calls.later(3) == (None, True)
    calls.remove(active)
    assert calls.later(2) == (None, True)
