from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from dispatch_world import ALL, Modern, running
from gateway_world import server, settings
from toolman.config import Http
from toolman.core import input_required
from toolman.core.calls import QUIET

if TYPE_CHECKING:
    from pathlib import Path

    from dispatch_world import Answer, World
    from toolman.exchange import Call

pytestmark = pytest.mark.requirement("T-03")

FORM = {"message": "Who?", "requestedSchema": {}}


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(input_required, "GATHER", 0)
    return tmp_path / "audit"


async def ask(world: World, call: Call) -> list[object]:
    """Have the server ask, as if its peer took a call for the one that it belongs to."""
    calls, world.peer().calls = world.peer().calls, [call]
    answers: list[object] = list(world.peer().ask("elicitation/create", FORM))
    world.peer().calls = calls
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return answers


def is_asked(answer: Answer) -> bool:
    return answer.raw is not None and "inputRequests" in answer.result


async def test_a_client_whose_calls_all_wait_for_answers_is_not_asked_more(log: Path) -> None:
    async with running(log) as world:
        for _ in range(2):
            world.call(Modern(ALL, "anna"))
            await ask(world, world.peer().calls[-1])
        assert len(await ask(world, world.peer().calls[1])) == 1


async def test_a_call_waits_for_its_client_once_it_was_asked_and_all_is_quiet(log: Path) -> None:
    async with running(log) as world:
        answer = world.call(Modern(ALL))
        call = world.peer().call
        assert not call.is_waiting(call.heard + QUIET + 1)
        await ask(world, call)
        assert is_asked(answer)
        assert not call.is_waiting(call.heard + QUIET)
        assert call.is_waiting(call.heard + QUIET + 1)
        world.call(Modern(ALL), inputResponses={}, requestState=answer.result["requestState"])
        assert not call.is_waiting(call.heard + QUIET + 1)


async def test_a_client_with_a_credential_is_asked_in_the_call_that_does_not_wait(log: Path) -> None:
    async with running(log) as world:
        world.call(Modern(ALL, "anna"))
        await ask(world, world.peer().calls[0])
        second = world.call(Modern(ALL, "anna"))
        await ask(world, world.peer().calls[0])
        assert is_asked(second)


async def test_what_comes_on_a_calls_own_stream_belongs_to_it(log: Path) -> None:
    remote = settings(server(upstream=Http(url="http://localhost:1/mcp")))
    async with running(log, remote) as world:
        first, second = world.call(Modern(ALL)), world.call(Modern(ALL))
        await ask(world, world.peer().calls[0])
        assert is_asked(first)
        assert second.raw is None


async def test_a_failure_for_want_of_a_capability_says_which(log: Path) -> None:
    async with running(log) as world:
        failed, well = world.call(Modern()), world.call(Modern(principal="anna"))
        for number in (0, 1):
            assert len(await ask(world, world.peer().calls[number])) == 1
        world.peer().calls[0].replied((b',"result":', b'{"content":[],"isError":true}'))
        world.peer().calls[1].replied((b',"result":', b'{"content":[]}'))
        assert failed.error["code"] == -32021
        assert failed.error["data"] == {"requiredCapabilities": {"elicitation": {}}}
        assert well.result["content"] == []
