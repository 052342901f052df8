from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from dispatch_world import ALL, Answer, Modern, running, standard
from gateway_world import layer, server, settings, until
from msgspec import Raw
from toolman.exchange import Question

from toolman import jsonrpc

if TYPE_CHECKING:
    from pathlib import Path

    from toolman.jsonrpc import Outcome

pytestmark = pytest.mark.requirement("T-03")

SUBSCRIPTION = "io.modelcontextprotocol/subscriptionId"
EVERYTHING = {"toolsListChanged": True, "promptsListChanged": True, "resourceSubscriptions": ["r://1", "r://1"]}


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "audit"


async def test_a_session_follows_a_resource_until_it_says_otherwise(log: Path) -> None:
    async with running(log) as world:
        session, ear = world.session()
        assert (await world.send(session, "resources/subscribe", {"uri": "r://1"}).done()).result == {}
        await until(lambda: world.peer().watched == {"r://1"})
        world.peer().events.updated("r://1", Raw(b'{"uri":"r://1","x":1}'))
        assert ear.heard[0]["params"] == {"uri": "r://1", "x": 1}
        assert (await world.send(session, "resources/unsubscribe", {"uri": "r://1"}).done()).result == {}
        await until(lambda: not world.peer().watched)
        world.peer().events.updated("r://1", Raw(b'{"uri":"r://1"}'))
        assert len(ear.heard) == 1
        assert session.inflight == {}


@pytest.mark.requirement("T-10")
async def test_what_may_not_be_read_may_not_be_followed(log: Path) -> None:
    denied = settings("s", "o", layers=[layer(resources={"deny": ["r://*"]})])
    async with running(log, denied, s=standard(), o=standard()) as world:
        session, _ = world.session()
        for uri in ("r://1", "r://{id}/x", "nope"):
            answer = world.send(session, "resources/subscribe", {"uri": uri})
            assert answer.error == {"code": -32002, "message": "Resource not found", "data": {"uri": uri}}
        assert world.peer().watched == frozenset()
        assert session.inflight == {}


async def test_what_is_listened_to_carries_its_subscription(log: Path) -> None:
    async with running(log, s=standard("modern")) as world:
        answer = world.send(Modern(), "subscriptions/listen", {"notifications": EVERYTHING}, "listen:0")
        assert answer.notes[0]["method"] == "notifications/subscriptions/acknowledged"
        assert answer.notes[0]["params"]["notifications"]["resourceSubscriptions"] == ["r://1"]
        world.gateway.apply(settings("s", layers=[layer(tools={"deny": ["t"]})]))
        await until(lambda: len(answer.notes) > 1)
        assert "notifications/tools/list_changed" in {note["method"] for note in answer.notes}
        assert {note["params"]["_meta"][SUBSCRIPTION] for note in answer.notes} == {"listen:0"}
        world.dispatcher.end_listens()
        assert answer.result == {"resultType": "complete", "_meta": {SUBSCRIPTION: "listen:0"}}


async def test_a_client_that_closes_listens_no_more(log: Path) -> None:
    async with running(log) as world:
        answer = world.send(Modern(), "subscriptions/listen", {"notifications": EVERYTHING})
        assert answer.cancel is not None
        answer.cancel(None)
        assert answer.raw is not None
        world.gateway.apply(settings("s", layers=[layer(tools={"deny": ["t"]})]))
        world.dispatcher.end_listens()
        assert len(answer.notes) == 1


@pytest.mark.parametrize("params", [None, {}, {"notifications": []}, {"notifications": {"resourceSubscriptions": "x"}}])
async def test_what_cannot_be_understood_is_not_listened_to(log: Path, params: object) -> None:
    async with running(log) as world:
        assert world.send(Modern(), "subscriptions/listen", params).error["code"] == -32602


async def test_more_than_can_be_followed_is_refused(log: Path) -> None:
    async with running(log) as world:
        uris = [f"r://{number}/x" for number in range(2000)]
        answer = world.send(Modern(), "subscriptions/listen", {"notifications": {"resourceSubscriptions": uris}})
        assert "unsubscribe" in answer.error["message"]


async def test_what_belongs_to_no_call_goes_to_the_only_session_that_has_the_server(log: Path) -> None:
    own = settings(server(sessions="perSession"))
    async with running(log, own, s=standard(), wait=False) as world:
        session, ear = world.session(ALL)
        await world.gateway.introduced(session)
        answers: list[Outcome] = []
        peer = world.peer()
        peer.events.asked(Question("elicitation/create", Raw(b"{}"), answers.append))
        await until(lambda: ear.heard)
        world.answer(session, ear.heard[0]["id"], result={"action": "decline"})
        assert answers == [(b',"result":', b'{"action": "decline"}')] or answers[0][0] == b',"result":'
        peer.events.asked(Question("roots/list", None, answers.append))
        assert b"-32601" in answers[1][1]
        peer.events.notified("notifications/elicitation/complete", Raw(b'{"elicitationId":"1"}'))
        peer.events.notified("notifications/cancelled", None)
        assert [message["method"] for message in ear.heard[1:]] == ["notifications/elicitation/complete"]


async def test_what_belongs_to_no_call_of_a_shared_server_goes_to_nobody(log: Path) -> None:
    async with running(log) as world:
        _, ear = world.session(ALL)
        answers: list[Outcome] = []
        world.peer().events.asked(Question("elicitation/create", None, answers.append))
        world.peer().events.notified("x/y", None)
        assert b"-32601" in answers[0][1]
        assert ear.heard == []


async def test_changed_roots_are_told_to_servers_that_hear_of_one_client_alone(log: Path) -> None:
    asking: Any = {"server_requests": ("roots",)}
    mine = settings(server("a", sessions="perSession", **asking), server("b", **asking))
    async with running(log, mine, a=standard(), b=standard(), wait=False) as world:
        session, _ = world.session(ALL)
        await world.gateway.introduced(session)
        world.notify(session, "notifications/initialized")
        world.notify(session, "notifications/roots/list_changed")
        world.notify(session, "notifications/x/y")
        assert world.peer("a").notified == ["notifications/roots/list_changed"]
        assert world.peer("b").notified == []


async def test_a_client_that_takes_no_events_cannot_listen(log: Path) -> None:
    class Deaf(Answer):
        def note(self, message: bytes) -> bool:
            del message
            return False

    async with running(log) as world:
        body = b'{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen","params":{"notifications":{}}}'
        answer = Deaf()
        world.dispatcher.request(Modern(), jsonrpc.parse(body), answer)
        world.dispatcher.end_listens()
        assert answer.raw is not None
