from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from dispatch_world import ALL, dumps, running
from gateway_world import server, settings, until
from toolman.core import input_required, questions

if TYPE_CHECKING:
    from pathlib import Path


pytestmark = pytest.mark.requirement("T-03")

FORM = {"message": "Who?", "requestedSchema": {"type": "object", "properties": {}, "x": 1.0}}
ANSWER = {"action": "accept", "content": {"name": "Ada", "big": 2**60}}
GENEROUS = settings(server(server_requests=("elicitation", "sampling", "roots")))


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(input_required, "GATHER", 0)
    return tmp_path / "audit"


async def test_a_legacy_client_is_asked_on_its_own_stream_and_its_answer_goes_back(log: Path) -> None:
    async with running(log) as world:
        (one, _), (other, _) = world.session(ALL), world.session(ALL)
        answer = world.call(one)
        answers = world.peer().ask("elicitation/create", FORM)
        (question,) = answer.notes
        assert (question["method"], question["params"]) == ("elicitation/create", FORM)
        assert isinstance(question["id"], int)
        world.answer(other, question["id"], result=ANSWER)
        world.answer(one, str(question["id"]), result=ANSWER)
        assert answers == []
        world.answer(one, question["id"], result=ANSWER)
        world.answer(one, question["id"], result=ANSWER)
        assert answers == [(b',"result":', dumps(ANSWER))]
        failing = world.peer().ask("elicitation/create", FORM)
        world.answer(one, answer.notes[1]["id"], error={"code": -1, "message": "no"})
        assert failing == [(b',"error":', b'{"code":-1,"message":"no"}')]
        world.peer().reply({})
        assert answer.result == {}


async def test_a_client_whose_request_takes_no_stream_is_asked_on_its_other_one(log: Path) -> None:
    async with running(log) as world:
        session, ear = world.session(ALL)
        answer = world.call(session)
        answer.takes_notes = False
        answers = world.peer().ask("elicitation/create", FORM)
        world.answer(session, ear.heard[0]["id"], result=ANSWER)
        assert len(answers) == 1


async def test_questions_end_with_the_call_that_they_belong_to(log: Path) -> None:
    async with running(log) as world:
        session, ear = world.session(ALL)
        answer = world.call(session)
        world.peer().ask("elicitation/create", FORM)
        world.peer().reply({})
        assert ear.heard[0]["params"] == {"requestId": answer.notes[0]["id"]}
        assert session.questions == {}
        world.call(session)
        world.peer().ask("elicitation/create", FORM)
        world.sessions.end(session)
        assert session.questions == {}
        assert len(world.peer().cancelled) == 1


async def test_a_client_that_does_not_answer_is_not_waited_for_without_end(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(questions, "PATIENCE", 0.01)
    monkeypatch.setattr(questions, "MAX_OPEN", 1)
    async with running(log) as world:
        world.call(world.session(ALL)[0])
        one, two = world.peer().ask("elicitation/create", FORM), world.peer().ask("elicitation/create", FORM)
        assert two == [questions.TOO_MANY]
        await until(lambda: one)
        assert one == [questions.UNANSWERED]
