from __future__ import annotations

import asyncio

import pytest

from toolman import answer, jsonrpc

pytestmark = pytest.mark.requirement("F-07")

RESULT = jsonrpc.result(b"{}")


async def test_notes_come_first_even_if_the_outcome_is_there_already() -> None:
    found = answer.Answer(asyncio.get_running_loop())
    found.note(b"1")
    found.note(b"2")
    found.finish(RESULT)
    assert [await found.next() for _ in range(3)] == [b"1", b"2", None]
    assert found.outcome is RESULT


async def test_who_waits_is_woken() -> None:
    found = answer.Answer(asyncio.get_running_loop())
    waiting = asyncio.create_task(found.next())
    await asyncio.sleep(0)
    found.note(b"1")
    assert await waiting == b"1"
    waiting = asyncio.create_task(found.next())
    await asyncio.sleep(0)
    found.finish(RESULT)
    assert await waiting is None


async def test_the_first_outcome_counts() -> None:
    found = answer.Answer(asyncio.get_running_loop())
    found.finish(RESULT)
    found.finish(jsonrpc.error(1, "late"))
    assert found.outcome is RESULT


async def test_silence_gives_a_sign_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer, "KEEP_ALIVE", 0.01)
    found = answer.Answer(asyncio.get_running_loop())
    async with asyncio.timeout(10):
        assert await found.next() == b""


@pytest.mark.parametrize("size", [0, 1000, 1024 * 1024])
async def test_notes_that_nobody_reads_are_bounded(size: int) -> None:
    found = answer.Answer(asyncio.get_running_loop())
    for number in range(70_000 if size == 0 else 10_000 if size == 1000 else 10):
        found.note(b"%d" % number + b"x" * size)
    found.finish(RESULT)
    left = []
    while (note := await found.next()) is not None:
        left.append(note)
    assert left
    assert not left[0].startswith(b"0")
    assert sum(map(len, left)) <= answer.MAX_WAITING
