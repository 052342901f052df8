from __future__ import annotations

import argparse
import itertools
from typing import Any

import msgspec
import pytest
from mcp_operator import cluster
from mcp_operator.plugin import calls, logs
from plugin_world import AskingWorld

from toolman import audit

pytestmark = pytest.mark.requirement("O-21")

ALLOWED = (
    b'{"time":"2026-01-01T00:00:00Z","client":"claude 1","session":"s","tool":"git__log","server":"git","name":"log",'
    b'"decision":"allowed","reason":"Allowed","outcome":"ok","ms":12.3}'
)
DENIED = (
    b'{"time":"2026-01-01T00:00:01Z","session":"s","tool":"git__push","server":"git","name":"push",'
    b'"decision":"denied","reason":"Denied","layer":"ToolPolicy/base","outcome":"refused","ms":0.1}'
)
AUDITED = (
    b'{"time":"2026-01-01T00:00:02Z","session":"s","tool":"git__add","server":"git","name":"add","decision":"allowed",'
    b'"reason":"Allowed","would_deny":["ToolPolicy/trial"],"outcome":"ok","ms":1}'
)
NOISE = (b"INFO toolman started", b"{", b'{"tool": 1}', b'{"a": "b"}', b"\xff\xfe", b"")


def _stamped(*lines: bytes, start: int = 0) -> list[bytes]:
    seconds = itertools.count(start)
    return [b"2026-01-01T00:00:%02d.5Z %s\n" % (next(seconds), line) for line in lines]


@pytest.fixture
def world() -> AskingWorld:
    made = AskingWorld()
    made.asked.requests.pods = {"dev": ["dev"]}
    return made


def _logs(world: AskingWorld, **options: Any) -> list[str]:  # noqa: ANN401 - of a command line
    usual = {"denied": False, "tool": [], "since": None, "tail": None, "follow": False, "output": "text"}
    return list(logs.run(argparse.Namespace(agent="dev", **{**usual, **options}), world.person))


def test_calls_are_shown_a_line_each_and_other_lines_of_the_log_are_not(world: AskingWorld) -> None:
    world.asked.requests.logs = {"dev": [_stamped(NOISE[0], ALLOWED, *NOISE[1:], DENIED, AUDITED)]}
    assert _logs(world) == [
        "2026-01-01T00:00:00 ALLOWED git/log ok 12 ms claude 1\n",
        "2026-01-01T00:00:01 DENIED git/push Denied ToolPolicy/base\n",
        "2026-01-01T00:00:02 ALLOWED git/add ok 1 ms would be denied by ToolPolicy/trial\n",
    ]


@pytest.mark.parametrize(
    ("options", "tools"),
    [({"denied": True}, ["git/push", "git/add"]), ({"tool": ["p*"]}, ["git/push"]), ({"tool": ["x"]}, [])],
)
def test_calls_can_be_chosen(world: AskingWorld, options: dict[str, Any], tools: list[str]) -> None:
    world.asked.requests.logs = {"dev": [_stamped(ALLOWED, DENIED, AUDITED)]}
    assert [line.split()[2] for line in _logs(world, **options)] == tools


def test_programs_get_the_records_as_they_are(world: AskingWorld) -> None:
    world.asked.requests.logs = {"dev": [_stamped(DENIED)]}
    assert _logs(world, output="json") == [DENIED.decode() + "\n"]


def test_the_log_is_bounded_where_it_is_read(world: AskingWorld) -> None:
    world.asked.requests.logs = {"dev": [[]]}
    _logs(world, tail=10, since=90)
    ((_, query),) = world.asked.requests.asked
    assert query == {
        "container": "toolman",
        "timestamps": "true",
        "follow": "false",
        "tailLines": "10",
        "sinceSeconds": "90",
    }


def test_following_goes_on_where_a_connection_broke_off_and_shows_nothing_twice(world: AskingWorld) -> None:
    broken = cluster.UnreachableError("broke off")
    world.asked.requests.logs = {"dev": [[*_stamped(ALLOWED, DENIED), broken], _stamped(DENIED, AUDITED, start=1)]}
    assert len(_logs(world, follow=True)) == 3
    assert world.asked.requests.asked[1][1]["sinceTime"] == "2026-01-01T00:00:01.5Z"


def test_a_log_that_cannot_be_read_is_an_error(world: AskingWorld) -> None:
    world.asked.requests.logs = {"dev": [[cluster.UnreachableError("down")]]}
    with pytest.raises(cluster.UnreachableError):
        _logs(world)
    world.asked.requests.pods = {}
    with pytest.raises(cluster.NotFoundError, match="no Pod runs for MCPAgent dev in namespace team"):
        _logs(world)


def test_all_pods_of_an_agent_are_read(world: AskingWorld) -> None:
    world.asked.requests.pods = {"dev": ["b", "a"]}
    world.asked.requests.logs = {"a": [_stamped(ALLOWED)], "b": [_stamped(DENIED)]}
    assert len(_logs(world, follow=True)) == 2
    assert [pod for pod, _ in world.asked.requests.asked] == ["a", "b"]


def test_what_a_client_calls_itself_cannot_write_to_the_terminal(world: AskingWorld) -> None:
    evil = ALLOWED.replace(b"claude 1", b"\\u001b[2J\\nINFO")
    world.asked.requests.logs = {"dev": [_stamped(evil)]}
    (line,) = _logs(world)
    assert line.rstrip("\n").isprintable()


def test_records_are_read_as_toolman_writes_them() -> None:
    record = audit.Record(
        time=audit.now(), session="s", tool="t", decision="denied", reason="Denied", outcome="refused", ms=1.0
    )
    call = calls.parse(msgspec.json.encode(record))
    assert call is not None
    assert (call.tool, call.decision, call.outcome) == ("t", "denied", "refused")
