from __future__ import annotations

import pytest
from toolman.front import population
from toolman.front.population import Population

pytestmark = pytest.mark.requirement("T-32")


class Member:
    def __init__(self, unread: int = 0) -> None:
        self.ended: list[str] = []
        self.waiting_to_be_read = unread

    def expire(self, *, is_slow: bool) -> None:
        self.ended.append("slow" if is_slow else "idle")

    def shutdown(self) -> None:
        self.ended.append("shutdown")

    def abort(self) -> None:
        self.ended.append("abort")
        self.waiting_to_be_read = 0


class Waiter:
    def __init__(self) -> None:
        self.shown = 0

    def keep_alive(self) -> None:
        self.shown += 1


class World:
    def __init__(self) -> None:
        self.now = 100.0
        self.timers: list[object] = []
        self.all = Population(lambda: self.now, lambda *timer: self.timers.append(timer))

    def enter(self, limit: int = 100, unread: int = 0) -> Member:
        member = Member(unread)
        assert self.all.enter(member, limit)
        return member

    def idle(self, limit: int = 100) -> Member:
        member = self.enter(limit)
        self.all.busy(member)
        self.all.idle(member)
        return member

    def later(self, seconds: float) -> None:
        self.now += seconds
        self.all.look()


@pytest.fixture
def world() -> World:
    return World()


def test_who_has_never_asked_anything_makes_room_first_then_the_idlest(world: World) -> None:
    first, second = world.idle(), world.idle()
    new = world.enter()
    world.enter(3)
    assert (new.ended, first.ended, second.ended) == (["idle"], [], [])
    world.enter(3)
    world.all.busy(world.enter(3))
    world.enter(3)
    assert first.ended == ["idle"]


def test_a_slow_one_makes_room_at_once_if_nobody_is_idle(world: World) -> None:
    slow = world.enter()
    world.all.busy(slow)
    world.all.slow(slow, 10, population.HEAD_TIME)
    world.enter(1)
    assert slow.ended == ["abort"]
    assert len(world.all) == 1


def test_nobody_enters_where_all_are_being_served(world: World) -> None:
    world.all.busy(world.enter())
    assert not world.all.enter(Member(), 1)


def test_who_asks_nothing_for_long_is_ended_and_who_asks_is_not(world: World) -> None:
    idle, new, busy = world.idle(), world.enter(), world.enter()
    world.all.busy(busy)
    world.later(population.NEW_TIME)
    assert (idle.ended, new.ended) == ([], ["idle"])
    world.later(population.KEEP_ALIVE)
    assert (idle.ended, busy.ended) == (["idle"], [])


def test_a_slow_head_has_less_time_than_a_slow_body(world: World) -> None:
    head, body = world.enter(), world.enter()
    for member in (head, body):
        world.all.slow(member, 0, population.HEAD_TIME)
    world.all.slow(body, 5, population.BODY_TIME)
    world.later(population.HEAD_TIME)
    assert (head.ended, body.ended) == (["slow"], [])
    world.all.slow(body, 6, population.BODY_TIME)
    world.later(population.BODY_TIME - population.HEAD_TIME)
    assert "slow" in body.ended


def test_bodies_that_are_not_complete_are_bounded_together(world: World) -> None:
    members = [world.enter() for _ in range(20)]
    for member in members:
        world.all.slow(member, population.MAX_RECEIVING // 16, population.BODY_TIME)
    assert [bool(member.ended) for member in members] == [True] * 4 + [False] * 16
    for member in members:
        world.all.leave(member)
    assert world.all._receiving == 0


def test_who_reads_nothing_for_long_is_given_up_and_who_reads_slowly_is_not(world: World) -> None:
    stuck, slow = world.enter(unread=1000), world.enter(unread=1000)
    for member in (stuck, slow):
        world.all.busy(member)
        world.all.stuck(member)
    slow.waiting_to_be_read = 900
    world.later(population.UNREAD_TIME - 1)
    slow.waiting_to_be_read = 800
    world.later(1)
    assert (stuck.ended, slow.ended) == (["abort"], [])


def test_what_is_not_read_is_bounded_together(world: World) -> None:
    small, big = world.enter(unread=10), world.enter(unread=population.MAX_UNREAD)
    world.all.stuck(small)
    world.all.stuck(big)
    assert (small.ended, big.ended) == ([], ["abort"])


def test_who_waits_is_shown_life_now_and_then(world: World) -> None:
    waiter = Waiter()
    world.all.wait(waiter)
    assert world.all.is_serving
    world.later(population.QUIET_TIME - 1)
    assert waiter.shown == 0
    world.later(1)
    world.later(population.QUIET_TIME)
    assert waiter.shown == 2
    world.all.answered(waiter)
    world.later(population.QUIET_TIME)
    assert waiter.shown == 2
    assert not world.all.is_serving


def test_refused_ones_have_few_places_and_little_time(world: World) -> None:
    members = [Member() for _ in range(population.MAX_REFUSED + 1)]
    for member in members:
        world.all.linger(member)
    assert [bool(member.ended) for member in members] == [True] + [False] * population.MAX_REFUSED
    world.later(population.LINGER_TIME)
    assert all(member.ended for member in members)


def test_nothing_is_looked_at_while_nobody_is_there(world: World) -> None:
    assert world.timers == []
    member = world.enter()
    assert len(world.timers) == 1
    world.all._tick()
    assert len(world.timers) == 2
    world.all.leave(member)
    world.all._tick()
    assert len(world.timers) == 2


async def test_at_the_end_all_are_asked_to_go_and_who_stays_is_cut(world: World) -> None:
    members = [world.enter() for _ in range(2)]
    await world.all.end(0)
    assert [member.ended for member in members] == [["shutdown", "abort"]] * 2


def test_who_sends_most_ahead_of_its_answers_goes_when_all_send_too_much(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(population, "MAX_AHEAD", 100)
    first, second, third = world.enter(), world.enter(), world.enter()
    world.all.ahead(first, 60)
    world.all.ahead(second, 40)
    world.all.ahead(second, 0)
    world.all.ahead(third, 40)
    assert (first.ended, second.ended, third.ended) == ([], [], [])
    world.all.ahead(second, 20)
    assert (first.ended, second.ended, third.ended) == (["abort"], [], [])
    world.all.leave(third)
    world.all.ahead(second, 100)
    assert second.ended == []
