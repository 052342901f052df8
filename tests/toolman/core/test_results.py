from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from dispatch_world import Modern, running, standard

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "audit"


@pytest.mark.requirement("T-03")
async def test_results_get_and_lose_what_the_eras_have(log: Path) -> None:
    async with running(log, l=standard(), m=standard("modern")) as world:
        old = world.call(Modern(), "l__t")
        world.peer("l").reply(b'{"content":[],"_meta":{"k":1},"resultType":"x"}')
        assert old.result == {
            "resultType": "complete",
            "content": [],
            "_meta": {"k": 1, "io.modelcontextprotocol/serverInfo": {"name": "fake", "version": "1"}},
        }
        new = world.call(world.session()[0], "m__t")
        world.peer("m").reply(b'{"resultType":"complete","content":[ 1 ],"ttlMs":1,"cacheScope":"public","x":1.0}')
        assert new.bytes == b'{"content":[ 1 ],"x":1.0}'
        same = world.call(Modern(), "m__t")
        world.peer("m").reply(b'{ "resultType":"complete", "text":"\\u00e9 input_required" }')
        assert same.bytes == b'{ "resultType":"complete", "text":"\\u00e9 input_required" }'
        read = world.send(Modern(), "resources/read", {"uri": "r://7/x"})
        assert read.error["code"] == -32602  # two servers may own it


@pytest.mark.requirement("T-05")
@pytest.mark.parametrize("result", [b"[]", b'"x"', b'{"a":1,"a":2}', b'{"ResultType":"input_required"}'])
async def test_a_result_that_could_be_read_in_two_ways_is_not_passed_between_eras(log: Path, result: bytes) -> None:
    async with running(log, l=standard(), m=standard("modern")) as world:
        answer = world.call(world.session()[0], "m__t")
        world.peer("m").reply(result)
        assert "cannot be passed on" in answer.error["message"]
