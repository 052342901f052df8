from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from dispatch_world import Modern, running
from gateway_world import layer, settings
from toolman.core.ledger import client_name
from toolman.policy import Layer

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "audit"


@pytest.mark.requirement("T-31")
async def test_the_audit_log_tells_hidden_from_unknown_and_holds_no_arguments(log: Path) -> None:
    async with running(log, settings("s", layers=[layer(tools={"allow": ["t"]})])) as world:
        session, _ = world.session()
        world.call(session, "s__t", arguments={"secret": "hunter2"})
        world.peer().reply({"content": []})
        world.call(session, "s__u", arguments={"secret": "hunter2"})
        world.call(session, "nope")
        records = world.audit()
        assert [(r["decision"], r["reason"], r.get("layer"), r["outcome"]) for r in records] == [
            ("allowed", "Allowed", None, "ok"),
            ("denied", "NotListed", "L", "refused"),
            ("denied", "Unknown", None, "refused"),
        ]
        assert (records[0]["client"], records[0]["session"], records[0]["bytes"]) == ("c/1", session.label, 14)
        assert (records[0]["tool"], records[0]["name"], records[0]["server"]) == ("s__t", "t", "s")
        assert "hunter2" not in str(records)


@pytest.mark.requirement("T-11")
async def test_what_a_layer_in_audit_mode_would_deny_is_called_and_recorded(log: Path) -> None:
    would = Layer(source="W", enforcement="audit", tools=layer(tools={"deny": ["t"]}).tools)
    async with running(log, settings("s", layers=[layer(), would])) as world:
        world.call(Modern())
        world.peer().reply({"content": []})
        assert world.audit()[0]["would_deny"] == ["W"]
        assert 'would_deny_total{kind="tools"} 1' in world.gateway.metrics.text()


@pytest.mark.requirement("T-31")
@pytest.mark.parametrize(
    ("info", "name"),
    [
        (None, ""),
        (b'{"name":"claude","version":"2"}', "claude/2"),
        (b'{"name":"x"}', "x"),
        (b'{"name":1}', ""),
        (b'{"name":"%b"}' % (b"x" * 1000), "x" * 128),
    ],
)
def test_a_client_has_the_name_that_it_gives_itself(info: bytes | None, name: str) -> None:
    assert client_name(info) == name
