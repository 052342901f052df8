"""The webhooks' route, its bounds, and what is answered when there is no answer in time."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from mcp_operator import cluster
from mcp_operator.admission import app
from mcp_operator.admission.answers import Answer
from mcp_operator.admission.app import Application, Webhook

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mcp_operator.admission.answers import Request

pytestmark = pytest.mark.requirement("O-15")

REVIEW = {"request": {"uid": "7", "operation": "CREATE", "namespace": "team", "object": {"metadata": {}}}}
LATE = Answer(denied="too late")


class World:
    """An application with one webhook."""

    def __init__(self, seconds: float = 30.0) -> None:
        self.held = threading.Event()
        self.held.set()
        self.judged: list[Request] = []
        self.answer: Answer | Exception = Answer(denied="no")
        webhook = Webhook(judge=self.judge, seconds=seconds, late=LATE, threads=1)
        self.application = Application({"x": webhook}, self.find)

    def judge(self, request: Request) -> Answer:
        self.held.wait(30)
        self.judged.append(request)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def find(self, path: str) -> str:
        if path == "/down":
            raise cluster.UnreachableError("no")
        return "x" if path == "/secret/x" else ""

    async def post(self, path: str = "/secret/x", content: bytes | None = None) -> httpx.Response:
        transport = httpx.ASGITransport(self.application.asgi(), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.post(path, content=json.dumps(REVIEW).encode() if content is None else content)


@pytest.fixture
def world() -> Iterator[World]:
    found = World()
    yield found
    found.application.close()


def _response(answer: httpx.Response) -> dict[str, Any]:
    found: dict[str, Any] = answer.json()["response"]
    return found


async def test_a_question_is_answered_with_its_uid(world: World) -> None:
    answer = _response(await world.post())
    assert (answer["uid"], answer["allowed"], answer["status"]["message"]) == ("7", False, "no")


async def test_other_paths_are_not_there_whatever_is_sent(world: World) -> None:
    assert (await world.post("/x", b"{")).status_code == 404
    assert world.judged == []


async def test_what_is_no_question_or_too_long_is_refused_unread(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (await world.post(content=b"{}")).status_code == 400
    monkeypatch.setattr(app, "MAX_BODY", 10)
    assert (await world.post()).status_code == 400
    assert world.judged == []


async def test_a_bug_is_no_answer_so_that_the_failure_policy_decides(world: World) -> None:
    world.answer = ValueError("bug")
    assert (await world.post()).status_code == 500


async def test_while_the_path_cannot_be_checked_nobody_is_answered(world: World) -> None:
    assert (await world.post("/down")).status_code == 503


async def test_what_takes_too_long_is_answered_before_the_api_server_gives_up() -> None:
    world = World(seconds=0.05)
    world.held.clear()
    assert _response(await world.post())["status"]["message"] == "too late"
    world.held.set()
    world.application.close()


async def test_beyond_so_many_questions_further_ones_do_not_wait(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "WAITING", 0)
    assert _response(await world.post())["status"]["message"] == "too late"
    assert world.judged == []
