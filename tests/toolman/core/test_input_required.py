from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from dispatch_world import ALL, Modern, dumps, running, standard
from gateway_world import layer, server, settings, until
from toolman.core import asking, input_required, questions
from toolman.upstreams import Failure

if TYPE_CHECKING:
    from pathlib import Path

    from dispatch_world import Answer, World

pytestmark = pytest.mark.requirement("T-03")

FORM = {"message": "Who?", "requestedSchema": {"type": "object", "properties": {}, "x": 1.0}}
ANSWER = {"action": "accept", "content": {"name": "Ada", "big": 2**60}}
GENEROUS = settings(server(server_requests=("elicitation", "sampling", "roots")))


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(input_required, "GATHER", 0)
    return tmp_path / "audit"


async def turn() -> None:
    """Let what is due be done."""
    await asyncio.sleep(0)
    await asyncio.sleep(0)


async def asked(world: World, caller: Any, **params: Any) -> Answer:  # noqa: ANN401
    """Call a tool of a legacy server that asks something; give how that came to the client."""
    answer = world.call(caller, **params)
    world.peer().ask("elicitation/create", FORM)
    await turn()
    return answer


def again(world: World, caller: Any, answer: Answer, **changes: object) -> Answer:  # noqa: ANN401
    """Send the same call with what was asked for."""
    keys = answer.result["inputRequests"]
    params = {"inputResponses": dict.fromkeys(keys, ANSWER), "requestState": answer.result["requestState"]} | changes
    return world.call(caller, **params)


async def test_a_question_of_a_legacy_server_becomes_a_result_and_the_retry_its_answer(log: Path) -> None:
    async with running(log) as world:
        first = world.call(Modern(ALL), arguments={"a": 1})
        answers = world.peer().ask("elicitation/create", FORM)
        await turn()
        assert first.result["resultType"] == "input_required"
        (request,) = first.result["inputRequests"].values()
        assert request == {"method": "elicitation/create", "params": FORM}
        assert answers == []
        second = again(world, Modern(ALL), first, arguments={"a": 1})
        assert answers == [(b',"result":', dumps(ANSWER))]
        assert second.raw is None
        world.peer().reply({"content": []})
        assert second.result["resultType"] == "complete"
        assert len(world.peer().calls) == 1
        assert [record["outcome"] for record in world.audit()] == ["ok"]


async def test_questions_that_come_together_are_asked_together_and_what_is_left_open_again(log: Path) -> None:
    async with running(log, GENEROUS) as world:
        first = world.call(Modern(ALL))
        one, two = world.peer().ask("elicitation/create", FORM), world.peer().ask("roots/list")
        await turn()
        keys = list(first.result["inputRequests"])
        assert len(keys) == 2
        second = again(world, Modern(ALL), first, inputResponses={keys[1]: {"roots": []}, "extra": {}})
        assert (one, two) == ([], [(b',"result":', b'{"roots":[]}')])
        await turn()
        assert list(second.result["inputRequests"]) == keys[:1]
        third = again(world, Modern(ALL), second)
        assert len(one) == 1
        three = world.peer().ask("sampling/createMessage", {"messages": []})
        await turn()
        assert third.result["resultType"] == "input_required"
        last = again(world, Modern(ALL), third)
        world.peer().reply({})
        assert (len(three), last.result["resultType"]) == (1, "complete")


async def test_questions_that_a_server_asks_before_it_answers_a_ping_are_asked_together(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(log, GENEROUS) as world:
        pinged, ponged = asyncio.Event(), asyncio.Event()

        async def busy(method: str, _params: object, _limit: float) -> bytes:
            assert method == "ping"
            pinged.set()
            await ponged.wait()
            return b"{}"

        monkeypatch.setattr(world.peer(), "request", busy)
        answer = world.call(Modern(ALL))
        world.peer().ask("elicitation/create", FORM)
        await pinged.wait()
        world.peer().ask("roots/list")
        assert answer.raw is None
        ponged.set()
        assert len((await answer.done()).result["inputRequests"]) == 2


@pytest.mark.parametrize("says", [Failure("Method not found"), None])
async def test_a_server_that_answers_no_ping_while_it_waits_has_its_question_asked_all_the_same(
    log: Path, monkeypatch: pytest.MonkeyPatch, says: Failure | None
) -> None:
    monkeypatch.setattr(asking, "_SETTLING", 0.01)
    async with running(log) as world:

        async def deaf(*_: object) -> bytes:
            if says is not None:
                raise says
            await asyncio.Event().wait()
            return b""

        monkeypatch.setattr(world.peer(), "request", deaf)
        answer = world.call(Modern(ALL))
        world.peer().ask("elicitation/create", FORM)
        assert len((await answer.done()).result["inputRequests"]) == 1


async def test_notes_go_to_the_request_that_is_open_under_its_own_token(log: Path) -> None:
    async with running(log) as world:
        first = world.call(Modern(ALL), _meta={"progressToken": "a"})
        call = world.peer().call
        call.progressed({"progressToken": b"9", "progress": b"1"})  # type: ignore[dict-item]
        world.peer().ask("elicitation/create", FORM)
        await turn()
        call.progressed({"progressToken": b"9", "progress": b"2"})  # type: ignore[dict-item]
        second = again(world, Modern(ALL), first, _meta={"progressToken": "b"})
        call.progressed({"progressToken": b"9", "progress": b"3"})  # type: ignore[dict-item]
        world.peer().reply({})
        assert [note["params"] for note in first.notes] == [{"progressToken": "a", "progress": 1}]
        assert [note["params"] for note in second.notes] == [{"progressToken": "b", "progress": 3}]


@pytest.mark.parametrize(
    "changes",
    [
        {"requestState": "x"},
        {"requestState": "1.9999999999.AAAA"},
        {"requestState": "\u00e9.\ud83d.x"},
        {"arguments": {"a": 2}},
        {"name": "s__u"},
    ],
)
async def test_a_state_that_was_changed_or_is_for_something_else_is_refused_and_spoils_nothing(
    log: Path, changes: dict[str, Any]
) -> None:
    async with running(log) as world:
        first = await asked(world, Modern(ALL), arguments={"a": 1})
        params = {"name": "s__t", "arguments": {"a": 1}, "requestState": first.result["requestState"]} | changes
        assert world.send(Modern(ALL), "tools/call", params).error["code"] == -32602
        assert again(world, Modern(ALL), first, arguments={"a": 1}).raw is None


async def test_a_state_is_its_callers_alone_and_works_once(log: Path) -> None:
    async with running(log) as world:
        first = await asked(world, Modern(ALL, "anna"))
        assert again(world, Modern(ALL, "bert"), first).error["code"] == -32602
        assert again(world, Modern(ALL), first).error["code"] == -32602
        assert again(world, Modern(ALL, "anna"), first).raw is None
        assert "used already" in again(world, Modern(ALL, "anna"), first).error["message"]


async def test_a_client_that_never_comes_back_loses_its_call(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(input_required, "LIFETIME", 0.01)
    async with running(log) as world:
        first = world.call(Modern(ALL))
        answers = world.peer().ask("elicitation/create", FORM)
        await turn()
        await until(lambda: world.peer().cancelled)
        assert answers == [questions.UNANSWERED]
        world.now += 10
        assert "too old" in again(world, Modern(ALL), first).error["message"]
        assert world.audit()[-1]["outcome"] == "cancelled"


async def test_an_outcome_that_comes_before_the_client_does_is_kept_for_it(log: Path) -> None:
    async with running(log) as world:
        first = await asked(world, Modern(ALL))
        world.peer().reply({"content": ["gave up waiting"]})
        assert again(world, Modern(ALL), first).result["content"] == ["gave up waiting"]
        first = await asked(world, Modern(ALL))
        world.peer().reply({"content": ["x" * input_required.MAX_KEPT]})
        assert "too big" in again(world, Modern(ALL), first).error["message"]


async def test_the_client_that_has_come_back_can_cancel(log: Path) -> None:
    async with running(log) as world:
        second = again(world, Modern(ALL), await asked(world, Modern(ALL)))
        assert second.cancel is not None
        second.cancel(None)
        assert world.peer().cancelled == [world.peer().call]


async def test_only_so_many_calls_are_held(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(input_required, "MAX_HELD", 1)
    async with running(log) as world:
        await asked(world, Modern(ALL))
        world.call(Modern(ALL))
        answers = world.peer().ask("elicitation/create", FORM)
        assert b"Method not found" in answers[0][1]


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("sampling/createMessage", {}),
        ("roots/list", None),
        ("elicitation/create", {"mode": "url"}),
        ("tasks/get", {"taskId": "1"}),
        ("x/y", {}),
    ],
)
@pytest.mark.requirement("T-10")
async def test_what_a_server_may_not_ask_or_a_client_cannot_answer_is_refused(
    log: Path, method: str, params: object
) -> None:
    async with running(log) as world:
        for caller in (Modern(b'{"elicitation":{}}'), world.session(b'{"elicitation":{}}')[0]):
            answer = world.call(caller)
            answers = world.peer().ask(method, params)
            assert b"-32601" in answers[0][1]
            world.peer().reply({})
            assert answer.notes == []
            assert "inputRequests" not in answer.result
        assert {record.get("kind") for record in world.audit()} == {None, "server_requests"}


@pytest.mark.requirement("T-10")
async def test_layers_narrow_what_a_server_may_ask(log: Path) -> None:
    narrowed = settings("s", layers=[layer(server_requests={"allow": ["roots"]})])
    async with running(log, narrowed) as world:
        world.call(Modern(ALL))
        assert b"-32601" in world.peer().ask("elicitation/create", FORM)[0][1]


def needed(**requests: object) -> dict[str, object]:
    return {"resultType": "input_required", "inputRequests": requests, "requestState": "s\u00e9cret"}


ELICIT = {"method": "elicitation/create", "params": FORM}


async def test_what_a_modern_server_asks_goes_through_to_modern_clients_untouched(log: Path) -> None:
    raw = b'{"resultType":"input_required","inputRequests":{"k":{"method":"elicitation/create","params":{ }}},"x":1.0}'
    async with running(log, s=standard("modern")) as world:
        answer = world.call(Modern(ALL))
        world.peer().reply(raw)
        assert answer.bytes == raw
        world.call(Modern(ALL), inputResponses={"k": ANSWER}, requestState="s\u00e9cret")
        assert world.peer().sent["requestState"] == "s\u00e9cret"
        assert world.peer().sent["inputResponses"] == {"k": ANSWER}


async def test_what_a_modern_server_asks_is_put_to_a_legacy_client_and_the_call_made_again(log: Path) -> None:
    async with running(log, GENEROUS, s=standard("modern")) as world:
        session, _ = world.session(ALL)
        answer = world.call(session, arguments={"a": 2**60}, _meta={"progressToken": 7})
        world.peer().reply(needed(one=ELICIT, two={"method": "roots/list"}))
        assert [note["method"] for note in answer.notes] == ["elicitation/create", "roots/list"]
        world.answer(session, answer.notes[1]["id"], result={"roots": []})
        assert len(world.peer().calls) == 1
        world.answer(session, answer.notes[0]["id"], result=ANSWER)
        assert world.peer().sent == {
            "name": "t",
            "arguments": {"a": 2**60},
            "inputResponses": {"two": {"roots": []}, "one": ANSWER},
            "requestState": "s\u00e9cret",
        }
        world.peer().reply({"resultType": "complete", "content": []})
        assert answer.result == {"content": []}
        assert session.inflight == {}
        assert session.questions == {}


async def test_a_modern_server_that_asks_for_nothing_is_called_again_at_once_and_not_for_ever(log: Path) -> None:
    async with running(log, s=standard("modern")) as world:
        answer = world.call(world.session(ALL)[0])
        for _ in range(input_required.MAX_ROUNDS):
            world.peer().reply({"resultType": "input_required", "requestState": "s"})
            await turn()
        assert answer.raw is None
        world.peer().reply({"resultType": "input_required", "requestState": "s"})
        assert "again and again" in answer.error["message"]
        assert len(world.peer().calls) == input_required.MAX_ROUNDS + 1


async def test_a_client_that_refuses_to_answer_ends_the_call_with_its_own_error(log: Path) -> None:
    async with running(log, s=standard("modern")) as world:
        session, ear = world.session(ALL)
        answer = world.call(session)
        world.peer().reply(needed(one=ELICIT, two=ELICIT))
        world.answer(session, answer.notes[0]["id"], error={"code": -1, "message": "no"})
        assert answer.error == {"code": -1, "message": "no"}
        assert ear.heard[0]["method"] == "notifications/cancelled"
        assert session.questions == {}


async def test_a_call_can_be_cancelled_while_its_client_is_asked(log: Path) -> None:
    async with running(log, s=standard("modern")) as world:
        session, _ = world.session(ALL)
        answer = world.send(session, "tools/call", {"name": "s__t"}, "w")
        world.peer().reply(needed(one=ELICIT))
        world.notify(session, "notifications/cancelled", {"requestId": "w"})
        assert answer.error["message"] == "cancelled by the client"
        world.answer(session, answer.notes[0]["id"], result=ANSWER)
        assert len(world.peer().calls) == 1


@pytest.mark.requirement("T-10")
@pytest.mark.parametrize("era", ["legacy", "modern"])
async def test_one_thing_that_may_not_be_asked_ends_the_whole_result(log: Path, era: str) -> None:
    sampling = {"method": "sampling/createMessage", "params": {}}
    escaped = b'{"resultType":"input\\u005frequired","inputRequests":{"a":{"method":"roots\\/list"}}}'
    async with running(log, s=standard("modern")) as world:

        def caller(capabilities: bytes) -> Any:  # noqa: ANN401
            return Modern(capabilities) if era == "modern" else world.session(capabilities)[0]

        answer = world.call(caller(ALL))
        world.peer().reply(needed(one=ELICIT, two=sampling))
        assert "may not ask" in answer.error["message"]
        answer = world.call(caller(ALL))
        world.peer().reply(escaped)
        assert "may not ask" in answer.error["message"]
        answer = world.call(caller(b"{}"))
        world.peer().reply(needed(one=ELICIT))
        assert answer.error["code"] == -32021
        assert answer.error["data"] == {"requiredCapabilities": {"elicitation": {}}}


async def test_a_flood_of_questions_is_no_result(log: Path) -> None:
    async with running(log, s=standard("modern")) as world:
        answer = world.call(world.session(ALL)[0])
        world.peer().reply(needed(**{str(number): ELICIT for number in range(100)}))
        assert "cannot be passed on" in answer.error["message"]
