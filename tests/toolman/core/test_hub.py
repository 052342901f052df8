from __future__ import annotations

import pytest
from gateway_world import EVERYTHING, Client, FakeServer, World, layer, offers, server, session, settings, until, world
from msgspec import Raw
from toolman.core.hub import MAX_FOLLOWED
from toolman.core.listening import Filter
from toolman.upstreams import Failure

pytestmark = [pytest.mark.requirement("T-03"), pytest.mark.requirement("T-07")]

CHANGED = "notifications/tools/list_changed"


async def test_a_change_of_the_visible_tools_is_told_once_to_everybody_who_sees_them() -> None:
    async with world(settings("s", "t")) as there:
        (_, ear), (_, other) = there.open(), there.open("t")
        client = Client()
        there.hub.listen(client, b"1", Filter(tools_list_changed=True), client.send)
        for number in range(5):
            there.offer("s", "t", f"u{number}")
        await until(lambda: ear.heard)
        await there.told()
        assert ear.methods() == [CHANGED]
        assert other.heard == []
        assert [message["method"] for message in client.heard[1:]] == [CHANGED]
        assert client.heard[1]["params"] == {"_meta": {"io.modelcontextprotocol/subscriptionId": 1}}


async def test_nothing_is_told_of_what_is_hidden_or_changed_back() -> None:
    async with world(settings("s", layers=[layer(tools={"deny": ["x*"]})])) as there:
        _, ear = there.open()
        there.offer("s", "t", "x1")
        await there.told()
        there.offer("s", "u")
        there.offer("s", "t")
        await there.told()
        assert ear.heard == []


async def test_each_kind_is_told_of_by_itself() -> None:
    async with world(settings("s")) as there:
        _, ear = there.open()
        client = Client()
        there.hub.listen(client, b'"a"', Filter(prompts_list_changed=True), client.send)
        there.offer("s", "t", prompts=["p"], templates=["x:{a}"])
        await until(lambda: ear.heard)
        assert ear.methods() == ["notifications/prompts/list_changed", "notifications/resources/list_changed"]
        assert [message["method"] for message in client.heard[1:]] == ["notifications/prompts/list_changed"]


async def test_who_has_listed_since_is_told_nothing() -> None:
    async with world(settings("s")) as there:
        made, ear = there.open()
        there.offer("s", "u")
        made.listed["tools"] = there.gateway.view(made).generation["tools"]
        await there.told()
        assert ear.heard == []


async def test_who_never_listed_is_not_told_while_servers_start() -> None:
    async with world(settings("s", "slow"), slow=None) as there:
        there.servers["slow"].ready.clear()
        starting = World(settings("s", "slow"), {"s": FakeServer(offers(["t"])), "slow": there.servers["slow"]})
        starting.gateway.start()
        (made, ear), (_, silent) = starting.open(), starting.open()
        made.listed["tools"] = starting.gateway.view(made).generation["tools"]
        await until(lambda: ear.heard)
        assert silent.heard == []
        there.servers["slow"].ready.set()
        await starting.gateway.stop()


async def test_a_closed_listener_and_an_ended_session_hear_nothing() -> None:
    async with world(settings("s")) as there:
        made, ear = there.open()
        client = Client()
        listener = there.hub.listen(client, b"1", Filter(tools_list_changed=True), client.send)
        listener.close()
        listener.close()
        there.sessions.end(made)
        there.offer("s", "u")
        await there.told()
        assert ear.heard == []
        assert len(client.heard) == 1


async def test_a_resource_is_followed_once_at_the_server_and_its_updates_go_to_its_followers() -> None:
    async with world(settings("s"), s=offers(resources=["x:1", "x:2"])) as there:
        (one, ear), (two, other) = there.open(), there.open()
        client = Client()
        await there.hub.subscribe(one, "s", "x:1")
        await there.hub.subscribe(two, "s", "x:2")
        listener = there.hub.listen(client, b"7", Filter(resource_subscriptions=("x:1", "nobody's")), client.send)
        assert listener.honoured.resource_subscriptions == ("x:1",)
        peer = there.servers["s"].peer
        await until(lambda: peer.watched == {"x:1", "x:2"})
        meta = '"_meta":{"k":1.0,"io.modelcontextprotocol/subscriptionId":99}'
        peer.events.updated("x:1", Raw(b'{"uri":"x:1","title":"\xc3\xa4",' + meta.encode() + b"}"))
        assert [message["params"] for message in ear.heard] == [{"uri": "x:1", "title": "\u00e4", "_meta": {"k": 1.0}}]
        assert other.heard == []
        assert client.heard[1]["params"] == {
            "uri": "x:1",
            "title": "\u00e4",
            "_meta": {"k": 1.0, "io.modelcontextprotocol/subscriptionId": 7},
        }
        await there.hub.unsubscribe(one, "s", "x:1")
        listener.close()
        await until(lambda: peer.watched == {"x:2"})
        assert one.subscriptions == set()


async def test_updates_of_what_may_not_be_read_any_more_are_not_told() -> None:
    async with world(settings("s"), s=offers(resources=["x:1"])) as there:
        made, ear = there.open()
        await there.hub.subscribe(made, "s", "x:1")
        there.gateway.apply(settings("s", layers=[layer(resources={"deny": ["x:1"]})]))
        there.servers["s"].peer.events.updated("x:1", Raw(b'{"uri":"x:1"}'))
        await there.told()
        assert ear.methods() == ["notifications/resources/list_changed"]


async def test_a_server_cannot_tell_of_another_servers_resource() -> None:
    given = {"s": offers(resources=["x:1"]), "t": offers(resources=["y:1"])}
    async with world(settings("s", "t"), **given) as there:
        made, ear = there.open()
        await there.hub.subscribe(made, "s", "x:1")
        there.servers["t"].peer.events.updated("x:1", Raw(b'{"uri":"x:1"}'))
        there.servers["s"].peer.events.updated("x:1", Raw(b'{"uri":"x:1","URI":"y:1"}'))
        there.servers["s"].peer.events.updated("x:1", Raw(b"null"))
        assert ear.heard == []
        there.servers["s"].peer.events.updated("x:1", Raw(b'{"uri":"x:1","_meta":null}'))
        assert [message["params"] for message in ear.heard] == [{"uri": "x:1"}]


@pytest.mark.requirement("T-14")
async def test_what_is_followed_is_followed_at_a_server_that_is_started_anew() -> None:
    async with world(settings("s"), s=offers(resources=["x:1"])) as there:
        made, ear = there.open()
        await there.hub.subscribe(made, "s", "x:1")
        there.hub.set_log_level(made, "debug")
        there.gateway.apply(settings(server("s", max_message=1024 * 1024)))
        peer = await until(lambda: len(there.servers["s"].lives) == 2 and there.servers["s"].peer)
        await until(lambda: peer.watched == {"x:1"} and peer.level == "debug")
        await there.gateway.introduced(made)
        await until(lambda: there.gateway.view(made).resources)
        peer.events.updated("x:1", Raw(b'{"uri":"x:1"}'))
        assert ear.methods()[-1] == "notifications/resources/updated"


async def test_nobody_follows_without_end() -> None:
    async with world(settings("s")) as there:
        made, _ = there.open()
        for number in range(MAX_FOLLOWED):
            await there.hub.subscribe(made, "s", f"x:{number}")
        with pytest.raises(Failure, match="at most 1000"):
            await there.hub.subscribe(made, "s", "x:more")
        too_many = Filter(resource_subscriptions=tuple(f"x:{number}" for number in range(MAX_FOLLOWED + 1)))
        with pytest.raises(Failure, match="at most 1000"):
            there.hub.listen(Client(), b"1", too_many, Client().send)


async def test_log_messages_go_to_the_sessions_that_see_the_server_and_want_them() -> None:
    async with world(settings("s", "t")) as there:
        (loud, ear), (_, silent), (elsewhere, other) = there.open(), there.open(), there.open("t")
        there.hub.set_log_level(loud, "warning")
        there.hub.set_log_level(elsewhere, "debug")
        peer = there.servers["s"].peer
        await until(lambda: peer.level == "warning")
        assert there.servers["t"].peer.level in {"", "debug"}
        await until(lambda: there.servers["t"].peer.level == "debug")
        peer.events.logged(Raw(b'{"level":"info","data":1}'))
        peer.events.logged(Raw(b'{"level":"error",\n"data":1.0,"x":null}'))
        assert [message["params"] for message in ear.heard] == [{"level": "error", "data": 1.0, "x": None}]
        assert silent.heard == other.heard == []


async def test_a_request_of_the_modern_era_makes_a_server_log_as_much_as_it_wants() -> None:
    async with world(settings("s")) as there:
        client = Client()
        peer = there.servers["s"].peer
        there.hub.need_log_level(client, "s", "error")
        await until(lambda: peer.level == "error")
        there.hub.need_log_level(client, "s", "debug")
        await until(lambda: peer.level == "debug")
        there.hub.need_log_level(client, "s", "emergency")
        there.hub.need_log_level(client, "s", "nonsense")
        await there.told()
        assert peer.level == "debug"


@pytest.mark.requirement("T-23")
async def test_a_session_that_is_brought_back_hears_of_what_it_did() -> None:
    async with world(settings("s"), s=offers(resources=["x:1"])) as there:
        made, ear = session(there.sessions)
        made.subscriptions.add(("s", "x:1"))
        made.log_level = "info"
        there.sessions.arrived(made)
        peer = there.servers["s"].peer
        await until(lambda: peer.watched == {"x:1"} and peer.level == "info")
        peer.events.updated("x:1", Raw(b'{"uri":"x:1"}'))
        assert ear.methods() == ["notifications/resources/updated"]


async def test_changes_that_come_while_many_clients_are_told_are_not_lost() -> None:
    chosen = settings(server("own", sessions="perSession"), layers=[EVERYTHING])
    async with world(chosen) as there:
        ears = []
        for _ in range(150):
            made, ear = there.open()
            await there.gateway.introduced(made)
            made.listed["tools"] = there.gateway.view(made).generation["tools"]
            ears.append(ear)
        await there.told()
        there.gateway.apply(settings(server("own", sessions="perSession"), layers=[layer(tools={"deny": ["t"]})]))
        await until(lambda: all(ear.methods()[-1:] == [CHANGED] for ear in ears))


async def test_a_server_that_comes_later_is_told_what_clients_want_of_its_log() -> None:
    async with world(settings("s")) as there:
        made, ear = there.open()
        there.hub.set_log_level(made, "notice")
        there.servers["new"] = FakeServer(offers(["t"]))
        there.gateway.apply(settings("s", "new"))
        await until(lambda: there.servers["new"].lives and there.servers["new"].peer.level == "notice")
        there.servers["new"].peer.events.logged(Raw(b'{"level":"error"}'))
        assert ear.methods() == ["notifications/message"]
        there.gateway.apply(settings("s"))
        there.servers["new"].peer.events.logged(Raw(b'{"level":"error"}'))
        assert ear.methods() == ["notifications/message"]
