from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from dispatch_world import Modern, dumps, running, standard
from gateway_world import layer, settings
from msgspec import Raw
from toolman.core import tasks as tasks_module

if TYPE_CHECKING:
    from pathlib import Path

    from dispatch_world import World

pytestmark = pytest.mark.requirement("T-03")

EXTENSION = "io.modelcontextprotocol/tasks"
LEGACY = standard(capabilities={"tools": {}, "tasks": {"list": {}, "cancel": {}, "requests": {"tools": {"call": {}}}}})
NEW = standard("modern", {"tools": {}, "extensions": {EXTENSION: {}}})
ABLE = dumps({"extensions": {EXTENSION: {}}})


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "audit"


def made(world: World, caller: Any, own: str = "1", server: str = "s") -> dict[str, Any]:  # noqa: ANN401
    """Make a task of a legacy server."""
    answer = world.call(caller, f"{server}__t", task={"ttl": 1})
    world.peer(server).reply({"task": {"taskId": own, "status": "working", "x": 1.0}, "_meta": {}})
    task: dict[str, Any] = answer.result["task"]
    return task


async def test_a_task_is_asked_about_by_who_made_it_and_by_nobody_else(log: Path) -> None:
    async with running(log, s=LEGACY) as world:
        (one, _), (other, _) = world.session(), world.session()
        assert made(world, one) == {"taskId": "1", "status": "working", "x": 1.0}
        assert world.peer().sent["task"] == {"ttl": 1}
        for method in ("tasks/get", "tasks/cancel", "tasks/result"):
            answer = world.send(one, method, {"taskId": "1"})
            assert world.peer().sent == {"taskId": "1"}
            world.peer().reply(b'{"taskId": "1", "status": "working"}')
            assert answer.bytes == b'{"taskId": "1", "status": "working"}'
            unknown = world.send(other, method, {"taskId": "1"})
            assert unknown.bytes == world.send(one, method, {"taskId": "nope"}).bytes
            assert unknown.error["code"] == -32602


@pytest.mark.requirement("T-10")
async def test_a_task_of_a_tool_that_is_hidden_meanwhile_is_unknown(log: Path) -> None:
    async with running(log, s=LEGACY) as world:
        session, _ = world.session()
        made(world, session)
        world.gateway.apply(settings("s", layers=[layer(tools={"deny": ["t"]})]))
        assert world.send(session, "tasks/get", {"taskId": "1"}).error["message"] == "Unknown task"
        world.peer().answers["tasks/list"] = [b'{"tasks":[{"taskId":"1"}]}']
        assert (await world.send(session, "tasks/list").done()).result == {"tasks": []}


async def test_equal_ids_of_two_servers_are_told_apart(log: Path) -> None:
    async with running(log, a=LEGACY, b=LEGACY) as world:
        session, ear = world.session()
        assert made(world, session, server="a")["taskId"] == "1"
        assert made(world, session, server="b")["taskId"] == "b.1"
        answer = world.send(session, "tasks/get", {"taskId": "b.1"})
        assert world.peer("b").sent == {"taskId": "1"}
        world.peer("b").reply({"taskId": "1", "status": "completed"})
        assert answer.result == {"taskId": "b.1", "status": "completed"}
        answer = world.send(session, "tasks/result", {"taskId": "b.1"})
        related = {"io.modelcontextprotocol/related-task": {"taskId": "1"}}
        world.peer("b").reply({"content": [], "_meta": related})
        assert answer.result["_meta"] == {"io.modelcontextprotocol/related-task": {"taskId": "b.1"}}
        world.peer("b").events.notified("notifications/tasks/status", Raw(b'{"taskId":"1","status":"working"}'))
        world.peer("b").events.notified("notifications/tasks/status", Raw(b'{"taskId":"7"}'))
        world.peer("b").events.notified("notifications/tasks/status", Raw(b"[]"))
        assert ear.heard == [
            {
                "jsonrpc": "2.0",
                "method": "notifications/tasks/status",
                "params": {"taskId": "b.1", "status": "working"},
            }
        ]


async def test_a_list_has_the_tasks_of_the_client_alone_from_all_pages_of_all_servers(log: Path) -> None:
    async with running(log, a=LEGACY, b=LEGACY, c=LEGACY) as world:
        (one, _), (other, _) = world.session(), world.session()
        made(world, one, "1", "a")
        made(world, one, "2", "a")
        made(world, other, "3", "a")
        made(world, one, "1", "b")
        made(world, one, "9", "c")
        world.peer("a").answers["tasks/list"] = [
            b'{"tasks":[{"taskId":"3"},{"taskId":"1","x":1.0}],"nextCursor":""}',
            b'{"tasks":[{"taskId":"2"}],"nextCursor":"more"}',
        ]
        world.peer("b").answers["tasks/list"] = [b'{"tasks":[{"taskId":"1"}]}']
        world.peer("c").answers["tasks/list"] = [b"[]"]
        answer = await world.send(one, "tasks/list").done()
        assert answer.bytes == b'{"tasks":[{"taskId":"1","x":1.0},{"taskId":"2"},{"taskId":"b.1"}]}'
        assert world.send(one, "tasks/list", {"cursor": "x"}).error["code"] == -32602


async def test_tasks_end_with_their_session_and_the_oldest_make_room(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks_module, "MAX_TASKS", 2)
    async with running(log, s=LEGACY) as world:
        (one, _), (other, _) = world.session(), world.session()
        for own in "123":
            made(world, one, own)
        assert world.send(one, "tasks/get", {"taskId": "1"}).error["code"] == -32602
        assert world.send(one, "tasks/get", {"taskId": "3"}).raw is None
        world.sessions.end(one)
        made(world, other, "4")
        assert len(world.dispatcher._context.tasks._tasks) == 1


async def test_the_eras_know_nothing_of_each_others_tasks(log: Path) -> None:
    async with running(log, l=LEGACY, m=NEW) as world:
        session, _ = world.session(ABLE)
        world.call(session, "m__t", task={"ttl": 1})
        sent = world.peer("m").call.outgoing
        assert "task" not in sent.params
        assert sent.capabilities == b'{"extensions":{}}'
        answer = world.send(Modern(ABLE), "tools/call", {"name": "l__t", "task": {}})
        assert "task" not in world.peer("l").sent
        world.peer("l").reply({"content": []})
        assert answer.result["content"] == []
        world.call(session, "m__t")
        world.peer("m").reply({"resultType": "task", "taskId": "1"})
        assert world.send(session, "tasks/get", {"taskId": "1"}).error["code"] == -32602


async def test_a_modern_task_is_its_principals_and_goes_through_untouched(log: Path) -> None:
    raw = b'{"resultType":"task", "taskId":"1","status":"working","x":1.0}'
    async with running(log, s=NEW) as world:
        answer = world.call(Modern(ABLE, "anna"))
        assert world.peer().call.outgoing.capabilities == ABLE
        world.peer().reply(raw)
        assert answer.bytes == raw
        for method in ("tasks/get", "tasks/update", "tasks/cancel"):
            answer = world.send(Modern(ABLE, "anna"), method, {"taskId": "1", "inputResponses": {"k": {}}})
            assert world.peer().sent == {"taskId": "1", "inputResponses": {"k": {}}}
            assert world.peer().call.outgoing.name == "1"
            world.peer().reply(b'{"resultType":"complete", "taskId":"1"}')
            assert answer.bytes == b'{"resultType":"complete", "taskId":"1"}'
            for principal in ("bert", ""):
                assert world.send(Modern(ABLE, principal), method, {"taskId": "1"}).error["code"] == -32602


async def test_clients_that_cannot_be_told_apart_get_ids_that_cannot_be_guessed(log: Path) -> None:
    async with running(log, s=NEW) as world:
        answer = world.call(Modern(ABLE))
        world.peer().reply({"resultType": "task", "taskId": "1", "status": "working"})
        shown = answer.result["taskId"]
        assert shown.startswith("1.")
        assert len(shown) > 16
        assert world.send(Modern(ABLE), "tasks/get", {"taskId": "1"}).error["code"] == -32602
        answer = world.send(Modern(ABLE), "tasks/get", {"taskId": shown})
        assert world.peer().sent == {"taskId": "1"}
        world.peer().reply({"resultType": "complete", "taskId": "1", "status": "working"})
        assert answer.result["taskId"] == shown


@pytest.mark.requirement("T-10")
async def test_what_a_task_asks_for_is_decided_on_and_tasks_go_to_those_alone_who_can(log: Path) -> None:
    sampling = {"k": {"method": "sampling/createMessage", "params": {}}}
    async with running(log, s=NEW) as world:
        caller = Modern(ABLE, "anna")
        world.call(caller)
        world.peer().reply({"resultType": "task", "taskId": "1"})
        answer = world.send(caller, "tasks/get", {"taskId": "1"})
        world.peer().reply({"resultType": "complete", "taskId": "1", "inputRequests": sampling})
        assert "may not ask" in answer.error["message"]
        answer = world.call(Modern())
        world.peer().reply({"resultType": "task", "taskId": "1"})
        assert "does not know" in answer.error["message"]
    denied = settings("s", layers=[layer(extensions={"deny": ["*"]})])
    async with running(log, denied, s=NEW) as world:
        world.call(Modern(ABLE))
        assert world.peer().call.outgoing.capabilities == b'{"extensions":{}}'
        assert world.send(Modern(ABLE), "tasks/get", {"taskId": "1"}).error["code"] == -32601


async def test_several_servers_may_have_modern_tasks(log: Path) -> None:
    async with running(log, a=NEW, b=NEW) as world:
        caller = Modern(ABLE, "anna")
        assert EXTENSION in world.send(caller, "server/discover", {}).result["capabilities"]["extensions"]
        for name, shown in (("a", "1"), ("b", "b.1")):
            answer = world.call(caller, f"{name}__t")
            world.peer(name).reply({"resultType": "task", "taskId": "1"})
            assert answer.result["taskId"] == shown
        world.send(caller, "tasks/get", {"taskId": "b.1"})
        assert world.peer("b").sent == {"taskId": "1"}
