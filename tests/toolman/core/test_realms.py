"""Callers of one server: what each follows is its own, and the server is asked once for what any of them wants."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from gateway_world import EVERYTHING, Client, Ear, FakeServer, layer, listed, offers, server, settings, until
from msgspec import Raw
from toolman.core.realms import Realm, Trunk
from toolman.exchange import REFUSED, Question
from toolman.sessions import Session, Sessions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from toolman.config import Config
    from toolman.policy import Layer

pytestmark = pytest.mark.requirement("O-04")

TWO = ["file:///a", "file:///b"]


class Shared:
    """A trunk with one server, and realms."""

    def __init__(self, chosen: Config) -> None:
        self.config = chosen
        self.servers = {each.name: FakeServer(offers(["t", "u"], resources=TWO)) for each in chosen.servers}
        self.trunk = Trunk(chosen, lambda of: self.servers[of.name], self._sessions())
        self.realms: list[Realm] = []

    def realm(self, *layers: Layer) -> Realm:
        """Let a caller in."""
        chosen = msgspec.structs.replace(self.config, layers=layers or (EVERYTHING,))
        made = Realm(self.trunk, chosen, self._sessions())
        made.start()
        self.realms.append(made)
        return made

    @property
    def peer(self) -> Any:  # noqa: ANN401 - a FakePeer
        return self.servers["s"].peer

    def _sessions(self) -> Sessions:
        return Sessions(asyncio.get_running_loop().time, 60.0)


@asynccontextmanager
async def shared(**changes: Any) -> AsyncIterator[Shared]:  # noqa: ANN401 - settings of the server
    found = Shared(settings(server(**changes), naming="plain"))
    found.trunk.start()
    if not changes:
        await until(lambda: found.trunk.is_ready)
    try:
        yield found
    finally:
        for realm in found.realms:
            await realm.stop()
        await found.trunk.stop()


def _open(realm: Realm) -> tuple[Session, Ear]:
    session = realm.sessions.create("2025-11-25")
    realm.view(session)
    return session, Ear(session)


async def test_each_sees_by_its_own_layers_and_one_process_serves_all() -> None:
    async with shared() as world:
        narrow, wide = world.realm(layer(tools={"allow": ["t"]})), world.realm()
        assert listed(narrow.view(Client())) == ["t"]
        assert listed(wide.view(Client())) == ["t", "u"]
        assert narrow.upstream("s", Client()) is wide.upstream("s", Client())
        assert len(world.servers["s"].lives) == 1


async def test_what_a_server_lists_anew_is_seen_and_told_by_all() -> None:
    async with shared() as world:
        realms = [world.realm(), world.realm(layer(tools={"allow": ["v"]}))]
        ears = [_open(realm)[1] for realm in realms]
        realms[0].upstream("s", Client()).listed(offers(["v"]))
        assert [listed(realm.view(Client())) for realm in realms] == [["v"], ["v"]]
        for ear in ears:
            await until(lambda ear=ear: "notifications/tools/list_changed" in ear.methods())


async def test_a_server_is_asked_for_what_any_follows_and_only_followers_hear() -> None:
    async with shared() as world:
        first, second = world.realm(), world.realm()
        (one, ear_one), (two, ear_two) = _open(first), _open(second)
        await first.hub.subscribe(one, "s", TWO[0])
        await second.hub.subscribe(two, "s", TWO[1])
        await until(lambda: world.peer.watched == frozenset(TWO))
        world.trunk.updated(("s", None), TWO[0], Raw(b'{"uri":"file:///a"}'))
        assert ear_one.methods() == ["notifications/resources/updated"]
        assert ear_two.methods() == []
        first.leave()
        await until(lambda: world.peer.watched == frozenset(TWO[1:]))


async def test_who_may_not_read_a_resource_does_not_hear_of_it() -> None:
    async with shared() as world:
        blind = world.realm(layer(resources={"deny": ["*"]}))
        session, ear = _open(blind)
        await blind.hub.subscribe(session, "s", TWO[0])
        world.trunk.updated(("s", None), TWO[0], Raw(b'{"uri":"file:///a"}'))
        assert ear.methods() == []


async def test_a_server_logs_for_whoever_wants_most_and_nobody_hears_of_others_calls() -> None:
    async with shared() as world:
        first, second = world.realm(), world.realm()
        (one, ear_one), (two, _) = _open(first), _open(second)
        first.hub.set_log_level(one, "warning")
        second.hub.set_log_level(two, "debug")
        await until(lambda: world.peer.level == "debug")
        world.trunk.logged(("s", None), Raw(b'{"level":"error","data":"of somebody\'s call"}'))
        assert ear_one.methods() == []
        second.leave()
        await until(lambda: world.peer.level == "warning")


async def test_a_question_outside_a_call_is_refused() -> None:
    async with shared() as world:
        world.realm()
        heard: list[object] = []
        world.trunk.asked(("s", None), Question("elicitation/create", None, heard.append))
        assert heard == [REFUSED]


async def test_another_configuration_reaches_realms_with_a_server_that_is_begun_anew() -> None:
    async with shared() as world:
        realm = world.realm()
        session, _ = _open(realm)
        await realm.hub.subscribe(session, "s", TWO[0])
        before = world.peer
        changed = settings(server(max_message=1024 * 1024), naming="plain")
        world.trunk.apply(changed)
        realm.apply(changed)
        await until(lambda: world.peer is not before)
        await until(lambda: world.peer.watched == frozenset(TWO[:1]))
        await until(lambda: listed(realm.view(Client())) == ["t", "u"])
        assert before.is_closed


async def test_a_realm_that_leaves_ends_its_own_servers_and_no_others() -> None:
    async with shared(sessions="perSession") as world:
        first, second = world.realm(), world.realm()
        (one, _), (two, _) = _open(first), _open(second)
        ours, theirs = first.upstream("s", one), second.upstream("s", two)
        await until(lambda: ours.peer is not None and theirs.peer is not None)
        assert len(list(world.trunk.supervisors())) == 2
        assert (world.trunk.count_sessions(), len(list(world.trunk.all_sessions()))) == (2, 2)
        await first.stop()
        assert ours.peer is None
        assert theirs.peer is not None
        assert second.upstream("s", two) is theirs
