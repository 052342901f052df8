from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import pytest
from gateway_world import (
    EVERYTHING,
    LIMIT,
    Client,
    FakeServer,
    World,
    layer,
    listed,
    offers,
    server,
    session,
    settings,
    until,
    world,
)
from msgspec import Raw
from toolman.config import ConfigError, Docker, Listen, Timeouts
from toolman.exchange import REFUSED, Question
from toolman.policy import Layer, Limits
from toolman.upstreams import Failure

from toolman import manifest

pytestmark = pytest.mark.requirement("T-07")

OWN = server("own", sessions="perSession")


async def test_a_slow_and_a_dead_server_hide_their_own_things_alone() -> None:
    given = {"dead": FakeServer(None), "slow": FakeServer(offers(["t"])), "s": FakeServer(offers(["t"]))}
    given["slow"].ready.clear()
    there = World(settings("dead", "slow", "s"), given)
    there.gateway.start()
    try:
        client = Client()
        assert not there.gateway.is_introduced(client)
        await until(lambda: listed(there.gateway.view(client)) == ["s__t"])
        assert not there.gateway.view(client).is_complete
        given["slow"].ready.set()
        await until(lambda: listed(there.gateway.view(client)) == ["slow__t", "s__t"])
        assert there.gateway.is_introduced(client)
        assert there.gateway.problems() == {"dead": "it does not start"}
    finally:
        await there.gateway.stop()


async def test_a_list_waits_a_moment_for_a_slow_server_where_there_are_others(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"slow": FakeServer(offers(["t"])), "s": FakeServer(offers(["t"]))}
    given["slow"].ready.clear()
    there = World(settings("slow", "s"), given)
    there.gateway.start()
    try:
        monkeypatch.setattr("toolman.core.keepers.MOMENT", 0.01)
        await until(lambda: listed(there.gateway.view(Client())))
        await there.gateway.introduced(Client())
        assert not there.gateway.is_introduced(Client())
        waiting = asyncio.ensure_future(there.gateway.introduced(Client("slow")))
        await asyncio.wait([waiting], timeout=0.05)
        assert not waiting.done()
        given["slow"].ready.set()
        async with asyncio.timeout(LIMIT):
            await waiting
        assert listed(there.gateway.view(Client("slow"))) == ["slow__t"]
    finally:
        await there.gateway.stop()


async def test_a_server_that_is_given_up_hides_its_things_and_brings_them_back() -> None:
    async with world(settings("s", "t")) as there:
        made, ear = there.open()
        there.gateway.offered(("s", None), None)
        assert listed(there.gateway.view(made)) == ["t__t"]
        await until(lambda: ear.methods() == ["notifications/tools/list_changed"])
        assert "prompts" in json.loads(there.gateway.hello(made).capabilities)
        there.offer("s", "t")
        assert listed(there.gateway.view(made)) == ["s__t", "t__t"]
        await until(lambda: len(ear.heard) == 2)


async def test_endpoints_for_one_server_see_that_one_alone() -> None:
    async with world(settings("s", "t")) as there:
        assert listed(there.gateway.view(Client("t"))) == ["t__t"]
        for number in range(100):
            assert listed(there.gateway.view(Client(f"no-such-server-{number}"))) == []
        assert len(there.gateway.views._views) == 2


async def test_an_endpoint_for_one_server_does_not_wait_for_others() -> None:
    given = {"slow": FakeServer(offers(["t"])), "s": FakeServer(offers(["t"]))}
    given["slow"].ready.clear()
    there = World(settings("slow", "s"), given)
    there.gateway.start()
    try:
        await there.gateway.introduced(Client("s"))
        assert there.gateway.is_introduced(Client("s"))
        assert not there.gateway.is_introduced(Client())
    finally:
        await there.gateway.stop()


async def test_a_client_is_told_what_there_is_for_it() -> None:
    hello = {"capabilities": b'{"tools":{},"logging":{}}', "instructions": "be kind"}
    async with world(settings("s", "t"), s=offers(["t"], hello=hello)) as there:
        everything = json.loads(there.gateway.hello(Client()).capabilities)
        assert everything.keys() == {"tools", "prompts", "resources", "logging"}
        assert there.gateway.hello(Client()).instructions == "be kind"
        assert json.loads(there.gateway.hello(Client("s")).capabilities).keys() == {"tools", "logging"}


async def test_what_a_server_that_is_gone_says_is_not_heard() -> None:
    async with world(settings("s")) as there:
        made, ear = there.open()
        keeper = there.gateway.upstream("s", made)
        there.gateway.apply(settings())
        keeper.listed(offers(["other"]))
        handed_on: list[Any] = []
        there.gateway.on_asked = lambda *what: handed_on.append(what)
        there.gateway.on_notified = lambda *what: handed_on.append(what)
        answers: list[Any] = []
        keeper.asked(Question("roots/list", None, answers.append))
        keeper.notified("notifications/x", None)
        keeper.logged(json_raw({"level": "error"}))
        keeper.updated("x:1", json_raw({"uri": "x:1"}))
        assert listed(there.gateway.view(made)) == []
        assert handed_on == []
        assert answers == [REFUSED]
        with pytest.raises(Failure, match="not there any more"):
            there.gateway.upstream("s", made)
        await there.told()
        assert ear.methods() == ["notifications/tools/list_changed"]


class TestSessionsWithServersOfTheirOwn:
    pytestmark = pytest.mark.requirement("T-22")

    async def test_each_has_one_and_sees_what_that_one_offers(self) -> None:
        async with world(settings(OWN, "s")) as there:
            (one, _), (two, _) = there.open(), there.open()
            await there.gateway.introduced(one)
            await there.gateway.introduced(two)
            assert len(there.servers["own"].lives) == 2
            mine, other = there.gateway.upstream("own", one), there.gateway.upstream("own", two)
            assert mine is not other
            assert there.gateway.upstream("s", one) is there.gateway.upstream("s", two)
            mine.listed(offers(["mine"]))
            assert listed(there.gateway.view(one)) == ["own__mine", "s__t"]
            assert listed(there.gateway.view(two)) == ["own__t", "s__t"]

    async def test_only_that_session_is_told_of_its_changes(self) -> None:
        async with world(settings(OWN)) as there:
            (one, ear), (two, other) = there.open(), there.open()
            for each in (one, two):
                await there.gateway.introduced(each)
                each.listed["tools"] = there.gateway.view(each).generation["tools"]
            there.gateway.upstream("own", one).listed(offers(["t", "u"]))
            there.hub.set_log_level(two, "debug")
            there.hub.set_log_level(one, "debug")
            there.gateway.upstream("own", one).logged(json_raw({"level": "info"}))
            await until(lambda: len(ear.heard) == 2)
            assert other.heard == []

    async def test_they_end_with_the_session_and_begin_no_more(self) -> None:
        async with world(settings(OWN, "s")) as there:
            made, _ = there.open()
            await there.gateway.introduced(made)
            there.sessions.end(made)
            await until(lambda: there.servers["own"].peer.is_closed)
            assert [home for home, _ in there.gateway.supervisors()] == [("s", None)]
            with pytest.raises(Failure, match="ended"):
                there.gateway.upstream("own", made)
            await there.gateway.introduced(made)
            assert listed(there.gateway.view(made)) == ["s__t"]
            assert [sight.owner for sight in there.gateway.views._views] == [None]
            assert not there.servers["s"].peer.is_closed

    async def test_a_server_is_told_what_its_own_client_can(self) -> None:
        chosen = settings(server("own", sessions="perSession", server_requests=("roots",)))
        async with world(chosen) as there:
            made, _ = session(there.sessions, None, b'{"roots":{"listChanged":true},"sampling":{}}')
            await there.gateway.introduced(made)
            assert json.loads(there.servers["own"].capabilities) == {"roots": {"listChanged": True}}

    async def test_who_has_no_session_has_none(self) -> None:
        async with world(settings(OWN, "s")) as there:
            client = Client()
            assert listed(there.gateway.view(client)) == ["s__t"]
            assert there.gateway.is_introduced(client)
            with pytest.raises(Failure, match="send initialize first"):
                there.gateway.upstream("own", client)
            assert there.servers["own"].lives == []

    async def test_only_endpoints_with_such_servers_need_sessions(self) -> None:
        async with world(settings(OWN, "s")) as there:
            assert [there.gateway.is_stateless_for(scope) for scope in (None, "own", "s")] == [False, False, True]
        async with world(settings(server("box", upstream=Docker(image="x")))) as there:
            assert not there.gateway.is_stateless_for(None)
        async with world(settings("s")) as there:
            assert there.gateway.is_stateless_for(None)

    async def test_they_are_replaced_when_their_configuration_changes(self) -> None:
        async with world(settings(OWN)) as there:
            made, _ = there.open()
            await there.gateway.introduced(made)
            there.gateway.apply(settings(server("own", sessions="perSession", max_message=1024 * 1024)))
            await until(lambda: len(there.servers["own"].lives) == 2)
            assert there.servers["own"].lives[0].is_closed
            await until(lambda: listed(there.gateway.view(made)) == ["own__t"])

    async def test_a_server_that_becomes_every_sessions_own_is_one_for_each(self) -> None:
        async with world(settings("own")) as there:
            made, ear = there.open()
            assert listed(there.gateway.view(made)) == ["own__t"]
            there.gateway.apply(settings(OWN))
            await until(lambda: ear.methods() == ["notifications/tools/list_changed"])
            await there.gateway.introduced(made)
            assert listed(there.gateway.view(made)) == ["own__t"]
            there.gateway.apply(settings("own"))
            await until(lambda: listed(there.gateway.view(made)) == ["own__t"])
            there.sessions.end(made)
            assert {sight.owner for sight in there.gateway.views._views} == {None}

    async def test_what_cannot_be_made_is_told_when_it_is_needed(self) -> None:
        async with world(settings(OWN)) as there:
            made, _ = there.open()
            there.refuse("own")
            with pytest.raises(Failure, match="nothing can be made of it"):
                there.gateway.upstream("own", made)
            await there.gateway.introduced(made)


@pytest.mark.requirement("T-14")
class TestApplying:
    async def test_layers_count_at_once_and_touch_no_server(self) -> None:
        async with world(settings("s"), s=offers(["t", "u"])) as there:
            made, ear = there.open()
            keeper = there.gateway.upstream("s", made)
            there.gateway.apply(settings("s", layers=[layer(tools={"deny": ["t"]})]))
            assert listed(there.gateway.view(made)) == ["s__u"]
            assert there.gateway.upstream("s", made) is keeper
            await until(lambda: ear.methods() == ["notifications/tools/list_changed"])
            assert len(there.servers["s"].lives) == 1

    @pytest.mark.parametrize(
        "changes",
        [
            {"layers": [Layer(source="few", limits=Limits(max_tools=1))]},
            {"naming": "plain"},
            {"servers": (server("s", manifest=(manifest.Tool("t", "sha256:0"),)),)},
            {"servers": (server("s", manifest=(), pin="audit"),)},
            {"servers": (server("new"), server("s"))},
        ],
    )
    async def test_naming_limits_pins_and_order_touch_no_server(self, changes: dict[str, Any]) -> None:
        async with world(settings("s"), s=offers(["t", "u"])) as there:
            there.servers["new"] = FakeServer(offers(["n"]))
            before = there.gateway.view(Client())
            there.gateway.apply(settings(*changes.pop("servers", ("s",)), **changes))
            after = there.gateway.view(Client())
            assert after is not before
            await there.gateway.introduced(Client())
            assert len(there.servers["s"].lives) == 1
            assert not there.servers["s"].peer.is_closed

    async def test_what_is_waited_for_is_as_the_new_configuration_has_it(self) -> None:
        async with world(settings("s")) as there:
            there.gateway.apply(settings(server("s", timeouts=Timeouts(idle=7))))
            assert there.gateway.upstream("s", Client()).server.timeouts.idle == 7
            assert len(there.servers["s"].lives) == 1

    async def test_servers_come_and_go(self) -> None:
        async with world(settings("s", "t")) as there:
            there.servers["new"] = FakeServer(offers(["n"]))
            there.gateway.apply(settings("new", "t"))
            await until(lambda: there.servers["s"].peer.is_closed)
            await until(lambda: listed(there.gateway.view(Client())) == ["new__n", "t__t"])
            assert len(there.servers["t"].lives) == 1

    async def test_it_is_applied_whole_or_not_at_all(self) -> None:
        async with world(settings("s", "t")) as there:
            there.refuse("bad")
            before = there.gateway.config
            with pytest.raises(ConfigError, match="nothing can be made of it"):
                there.gateway.apply(
                    settings("bad", server("t", max_message=70_000), layers=[layer(tools={"deny": ["*"]})])
                )
            assert there.gateway.config is before
            assert listed(there.gateway.view(Client())) == ["s__t", "t__t"]
            assert len(there.servers["t"].lives) == 1

    async def test_it_does_not_start_with_a_server_of_which_nothing_can_be_made(self) -> None:
        there = World(settings("bad"), {})
        there.refuse("bad")
        with pytest.raises(ConfigError, match="nothing can be made of it"):
            there.gateway.start()
        await there.gateway.stop()

    async def test_a_server_is_begun_anew_when_the_one_before_has_ended(self) -> None:
        async with world(settings("s")) as there:
            order: list[str] = []
            first = there.servers["s"].peer
            closing = first.close

            async def close() -> None:
                await asyncio.sleep(0)
                await closing()
                order.append("closed")

            first.close = close  # type: ignore[method-assign]
            there.servers["s"].on_connect = lambda: order.append("connected")
            there.gateway.apply(settings(server("s", max_message=70_000)))
            there.gateway.apply(settings(server("s", max_message=80_000)))
            await until(lambda: listed(there.gateway.view(Client())) == ["s__t"])
            assert order == ["closed", "connected"]

    async def test_limits_of_calls_are_those_of_the_layers_in_force(self) -> None:
        bounded = Layer(source="few", limits=Limits(calls_per_minute=1))
        async with world(settings("s")) as there:
            there.gateway.apply(settings("s", layers=[bounded]))
            assert [hasattr(there.gateway.limiter.admit("s"), "error") for _ in range(2)] == [False, True]

    async def test_an_address_that_stays_is_said_to_stay(self, caplog: pytest.LogCaptureFixture) -> None:
        async with world(settings("s")) as there:
            with caplog.at_level(logging.WARNING):
                there.gateway.apply(settings("s", listen=Listen(port=1)))
            assert "until toolman is restarted" in caplog.text


async def test_the_log_names_collisions_and_what_differs_from_manifests(caplog: pytest.LogCaptureFixture) -> None:
    pinned = server("t", manifest=(manifest.Tool("gone", "sha256:0"),), pin="audit")
    with caplog.at_level(logging.INFO):
        async with world(settings("s", pinned, naming="plain"), t=offers(["t", "\x1b[2J"], prompts=["p"])) as there:
            assert listed(there.gateway.view(Client())) == ["\x1b[2J"]
    assert "more than one tool would be called t, so none is shown" in caplog.text
    assert "not what was verified, by their servers' manifests: t/\\x1b[2J, t/gone, t/t" in caplog.text
    assert "1 of 3 tools are visible" in caplog.text
    assert "\x1b" not in caplog.text


@pytest.mark.parametrize("is_own", [False, True])
async def test_questions_and_notifications_of_no_call_are_handed_on_with_whose_server_it_is(is_own: bool) -> None:  # noqa: FBT001
    chosen = settings(OWN if is_own else server("own"), layers=[EVERYTHING])
    async with world(chosen) as there:
        made, _ = there.open()
        await there.gateway.introduced(made)
        heard: list[Any] = []
        there.gateway.on_asked = lambda home, question: heard.append((home, question))
        there.gateway.on_notified = lambda home, method, _: heard.append((home, method))
        keeper = there.gateway.upstream("own", made)
        keeper.asked("question")  # type: ignore[arg-type]
        keeper.notified("notifications/x", None)
        home = ("own", made.owner if is_own else None)
        assert heard == [(home, "question"), (home, "notifications/x")]


async def test_whoever_is_told_that_a_session_is_over_is_told_first() -> None:
    async with world(settings(OWN)) as there:
        made, _ = there.open()
        await there.gateway.introduced(made)
        running: list[bool] = []
        there.gateway.on_left = lambda each: running.append(there.gateway.keeper(("own", each.owner)) is not None)
        there.sessions.end(made)
        assert running == [True]


def json_raw(value: object) -> Raw:
    return Raw(json.dumps(value).encode())


async def test_where_no_prefix_helps_none_is_recommended(caplog: pytest.LogCaptureFixture) -> None:
    same = offers(["t"], resources=["x:y"])
    async with world(settings("s", "t"), s=same, t=same):
        assert "would be called x:y, so none is shown: deny all but one; each server's own endpoint" in caplog.text
        assert "naming: prefixed" not in caplog.text
