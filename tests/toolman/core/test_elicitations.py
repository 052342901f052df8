from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from dispatch_world import ALL, running
from msgspec import Raw
from toolman.core import elicitations

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.requirement("T-03")

DONE = "notifications/elicitation/complete"
PAGE = {"mode": "url", "elicitationId": "1", "url": "https://x", "message": "m"}


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "audit"


async def test_who_was_sent_to_a_page_hears_that_it_is_done_and_nobody_else(log: Path) -> None:
    async with running(log) as world:
        (session, ear), (_, other) = world.session(ALL), world.session(ALL)
        answer = world.call(session)
        world.peer().ask("elicitation/create", PAGE)
        world.answer(session, answer.notes[0]["id"], result={"action": "accept"})
        world.peer().reply({})
        for params in (b'{"elicitationId":"1"}', b'{"elicitationId":"1"}', b'{"elicitationId":"2"}', b"[]", b"{}"):
            world.peer().events.notified(DONE, Raw(params))
        world.peer().events.notified(DONE, None)
        assert ear.heard == [{"jsonrpc": "2.0", "method": DONE, "params": {"elicitationId": "1"}}]
        assert other.heard == []


async def test_the_oldest_are_forgotten_and_sessions_that_are_over_hear_nothing(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(elicitations, "MAX_REMEMBERED", 1)
    async with running(log) as world:
        session, _ = world.session()
        known = elicitations.Elicitations()
        one, two = Raw(b'{"elicitationId":"1"}'), Raw(b'{"elicitationId":"2"}')
        known.note("s", one, session)
        known.note("s", two, session)
        assert known.take("s", one) is None
        assert known.take("o", two) is None
        world.sessions.end(session)
        assert known.take("s", two) is None
