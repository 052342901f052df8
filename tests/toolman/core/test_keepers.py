from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from gateway_world import LIMIT, FakeServer, offers, server, until
from msgspec import Raw
from toolman.config import Timeouts
from toolman.core.keepers import Keepers, can_stay
from toolman.exchange import REFUSED, Question

from toolman import config, manifest

if TYPE_CHECKING:
    from toolman.core.subscriptions import Home
    from toolman.upstreams.offers import Offers

pytestmark = [pytest.mark.requirement("T-14"), pytest.mark.requirement("T-22")]


HOME: Home = ("s", None)


class Ears:
    """Note whose offers they hear of, and what else."""

    def __init__(self) -> None:
        self.offers: list[Home] = []
        self.heard: list[tuple[object, ...]] = []

    def offered(self, home: Home, offers: Offers | None) -> None:
        del offers
        self.offers.append(home)

    def updated(self, home: Home, uri: str, params: Raw) -> None:
        self.heard.append((home, uri, params))

    def logged(self, home: Home, params: Raw) -> None:
        self.heard.append((home, params))

    def notified(self, home: Home, method: str, params: Raw | None) -> None:
        self.heard.append((home, method, params))

    def asked(self, home: Home, question: Question) -> None:
        self.heard.append((home, question))


@pytest.mark.parametrize(
    ("changes", "stays"),
    [
        ({}, True),
        ({"manifest": (manifest.Tool("t", "h"),), "pin": "audit", "timeouts": Timeouts(idle=1)}, True),
        ({"upstream": config.Process(command=("y",))}, False),
        ({"upstream": config.Process(command=("x",), env={"A": "b"})}, False),
        ({"sessions": "perSession"}, False),
        ({"max_message": 70_000}, False),
        ({"server_requests": ()}, False),
    ],
)
def test_a_server_stays_if_what_it_runs_with_stays(changes: dict[str, object], stays: bool) -> None:  # noqa: FBT001
    assert can_stay(server("s"), server("s", **changes)) is stays


async def test_one_begins_where_nothing_was_and_is_found_by_its_home() -> None:
    there, ears = FakeServer(offers(["t"])), Ears()
    keepers = Keepers(lambda _: there, ears)
    made = keepers.make(server("s"), b"{}")
    keepers.add(HOME, made)
    await until(lambda: ears.offers == [HOME])
    assert keepers.get(HOME) is made
    assert list(keepers) == [(HOME, made)]
    await keepers.stop()
    assert there.peer.is_closed
    assert list(keepers) == []


async def test_one_that_was_replaced_before_it_could_begin_never_begins() -> None:
    there, ears = FakeServer(offers(["t"])), Ears()
    keepers = Keepers(lambda _: there, ears)
    first, second, third = (keepers.make(server("s"), b"{}") for _ in range(3))
    keepers.add(HOME, first)
    await until(lambda: ears.offers == [HOME])
    for after in (second, third):
        keepers.remove(HOME)
        keepers.add(HOME, after)
    await until(lambda: ears.offers == [HOME, HOME])
    assert len(there.lives) == 2
    await keepers.stop()


async def test_one_that_takes_anothers_place_is_waited_for() -> None:
    there, ears = FakeServer(offers(["t"])), Ears()
    keepers = Keepers(lambda _: there, ears)
    assert not keepers.is_introduced(HOME)
    await keepers.introduced([HOME], lambda: False)
    keepers.add(HOME, keepers.make(server("s"), b"{}"))
    await keepers.introduced([HOME], lambda: False)
    assert keepers.is_introduced(HOME)
    keepers.remove(HOME)
    keepers.add(HOME, keepers.make(server("s"), b"{}"))
    assert not keepers.is_introduced(HOME)
    await keepers.introduced([HOME], lambda: False)
    assert keepers.is_introduced(HOME)
    assert len(there.lives) == 2
    await keepers.stop()


async def test_what_is_a_sessions_own_ends_with_it() -> None:
    servers = {"mine": FakeServer(offers()), "shared": FakeServer(offers()), "other": FakeServer(offers())}
    keepers = Keepers(lambda of: servers[of.name], Ears())
    keepers.add(("mine", "me"), keepers.make(server("mine"), b"{}"))
    keepers.add(("other", "you"), keepers.make(server("other"), b"{}"))
    keepers.add(("shared", None), keepers.make(server("shared"), b"{}"))
    await until(lambda: all(each.lives for each in servers.values()))
    assert keepers.remove_all_of("me") == [("mine", "me")]
    assert keepers.is_gone("me")
    assert not keepers.is_gone("you")
    await until(lambda: servers["mine"].peer.is_closed)
    assert not servers["other"].peer.is_closed
    await keepers.stop()
    assert keepers._leaving == {}


async def test_only_so_many_sessions_that_are_over_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("toolman.core.keepers._REMEMBERED", 2)
    keepers = Keepers(lambda _: FakeServer(None), Ears())
    for owner in ("a", "b", "c"):
        keepers.remove_all_of(owner)
    assert [keepers.is_gone(owner) for owner in ("a", "b", "c")] == [False, True, True]


async def test_stopping_waits_for_those_that_are_ending() -> None:
    there = FakeServer(offers())
    keepers = Keepers(lambda _: there, Ears())
    keepers.add(HOME, keepers.make(server("s"), b"{}"))
    await until(lambda: there.lives)
    keepers.remove(HOME)
    async with asyncio.timeout(LIMIT):
        await keepers.stop()
    assert there.peer.is_closed


async def test_only_those_in_force_are_heard() -> None:
    ears = Ears()
    keepers = Keepers(lambda _: FakeServer(None), ears)
    made = keepers.make(server("s"), b"{}")
    answers: list[object] = []
    question = Question("roots/list", None, answers.append)

    def speak() -> None:
        made.updated("x:1", Raw(b"{}"))
        made.logged(Raw(b"{}"))
        made.notified("notifications/x", None)
        made.asked(question)

    speak()
    assert ears.heard == []
    assert answers == [REFUSED]
    keepers.add(HOME, made)
    speak()
    assert [heard[0] for heard in ears.heard] == [HOME] * 4
    keepers.remove(HOME)
    speak()
    assert len(ears.heard) == 4
    assert answers == [REFUSED, REFUSED]
    await keepers.stop()
