from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from dispatch_world import Modern, running, standard

from toolman import jsonrpc

if TYPE_CHECKING:
    from pathlib import Path

LEGACY_ONLY = ["ping", "logging/setLevel", "resources/subscribe", "resources/unsubscribe", "tasks/result", "tasks/list"]
MODERN_ONLY = ["server/discover", "subscriptions/listen", "tasks/update"]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "audit"


@pytest.mark.requirement("T-05")
async def test_equal_ids_of_several_clients_do_not_meet_and_one_clients_are_refused(log: Path) -> None:
    async with running(log) as world:
        one, other = world.session()[0], world.session()[0]
        first = world.send(one, "tools/call", {"name": "s__t"}, "same")
        second = world.send(other, "tools/call", {"name": "s__u"}, "same")
        refused = world.send(one, "tools/call", {"name": "s__t"}, "same")
        assert "still on its way" in refused.error["message"]
        assert world.send(one, "ping", {}, 7).result == {}
        world.peer().calls[1].replied(jsonrpc.result(b'{"n":2}'))
        world.peer().calls[0].replied(jsonrpc.result(b'{"n":1}'))
        assert (first.result, second.result) == ({"n": 1}, {"n": 2})
        world.send(one, "tools/call", {"name": "s__t"}, "same")
        assert list(one.inflight) == ["same"]


@pytest.mark.requirement("T-01")
async def test_each_era_has_its_own_methods(log: Path) -> None:
    async with running(log) as world:
        session, _ = world.session()
        for method in LEGACY_ONLY:
            assert world.send(Modern(), method, {"taskId": "1"}).error["code"] == -32601, method
        for method in MODERN_ONLY:
            assert world.send(session, method, {}).error["code"] == -32601, method
        for caller in (session, Modern()):
            for method in ("x/y", "initialize", "Tools/call", "tools/call ", "tools/Call", "sampling/createMessage"):
                assert world.send(caller, method, {"name": "s__t"}).error["code"] == -32601, method
        assert world.peer().calls == []


@pytest.mark.requirement("T-01")
async def test_what_no_server_has_is_an_unknown_method(log: Path) -> None:
    async with running(log, s=standard(capabilities={"tools": {}})) as world:
        session, _ = world.session()
        for method in ("logging/setLevel", "completion/complete", "resources/subscribe", "tasks/get", "tasks/list"):
            assert world.send(session, method, {}).error["code"] == -32601, method


async def test_a_bug_while_a_request_waits_is_an_answer_and_a_line_in_the_log(
    log: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(log) as world:
        session, _ = world.session()

        async def broken(*_: object) -> None:
            raise ZeroDivisionError

        monkeypatch.setattr(world.gateway.hub, "subscribe", broken)
        answer = await world.send(session, "resources/subscribe", {"uri": "r://1"}).done()
        assert answer.error["code"] == -32603
        assert "resources/subscribe failed" in caplog.text
        assert not session.inflight
