"""The webhooks' route, its bounds, and what is answered when there is no answer in time."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from mcp_operator import cluster
from mcp_operator.admission import app
from mcp_operator.admission.answers import Answer
from mcp_operator.admission.app import Application, Webhook

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mcp_operator.admission.answers import Request

pytestmark = pytest.mark.requirement("O-15")

REVIEW = {"request": {"uid": "7", "operation": "CREATE", "namespace": "team", "object": {"metadata": {}}}}
LATE = Answer(denied="too late")


class World:
    """An application with one webhook."""

    def __init__(self, seconds: float = 30.0, clock: Callable[[], float] = time.monotonic) -> None:
        self.held = threading.Event()
        self.held.set()
        self.judged: list[Request] = []
        self.answer: Answer | Exception = Answer(denied="no")
        webhook = Webhook(judge=self.judge, seconds=seconds, late=LATE, threads=1)
        self.application = Application({"x": webhook}, self.find, clock)

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


async def test_what_a_refusal_quotes_makes_no_lines_of_its_own_in_the_log(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    world.answer = Answer(denied="metadata.annotations.toolman.dev/x\n2026 ERROR forged\x1b[2J: is the operator's own")
    await world.post()
    (line,) = [record.getMessage() for record in caplog.records if "was refused" in record.getMessage()]
    assert line.isprintable()


async def test_other_paths_are_not_there_whatever_is_sent(world: World) -> None:
    assert (await world.post("/x", b"{")).status_code == 404
    assert world.judged == []


async def test_a_workload_that_is_refused_again_and_again_fills_no_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="mcp_operator.admission.app")
    now = [0.0]
    world = World(clock=lambda: now[0])
    for seconds in (0, 10, 599, 600, 610):
        now[0] = seconds
        await world.post()
    assert [record.getMessage() for record in caplog.records] == ["x: CREATE in team was refused: no"] * 2
    world.answer = Answer(denied="for another reason")
    await world.post()
    assert "another reason" in caplog.records[-1].getMessage()
    world.application.close()


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


async def test_a_question_that_was_answered_as_late_before_its_turn_costs_nothing() -> None:
    world = World(seconds=0.05)
    world.held.clear()
    for _ in range(3):
        assert _response(await world.post())["status"]["message"] == "too late"
    await asyncio.sleep(0)
    world.held.set()
    world.application._pools["x"].shutdown()
    assert len(world.judged) == 1


async def test_beyond_so_many_questions_further_ones_do_not_wait(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "WAITING", 0)
    assert _response(await world.post())["status"]["message"] == "too late"
    assert world.judged == []
