"""What toolmans report comes back bounded and wakes whom it concerns; a difference counts when it is seen twice."""

from __future__ import annotations

import json
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from fake_cluster import AGENT, SERVER, FakeCluster
from mcp_operator import reports, sightings
from mcp_operator.own_secrets import ReportTokens
from mcp_operator.reports import Reports, Target
from mcp_operator.sightings import Drift, Sighting, UnreadableError, Upstream
from mcp_operator.workqueue import Key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.requirement("O-03")

PLACE = ("team", "dev")
TARGET = Target("agent-uid", "pod-uid", "192.0.2.7")
BOUND = 20.0


def entry(name: str, pin: str = "same", *, allowed: bool = True, server: str = "git") -> dict[str, Any]:
    return {
        "server": server,
        "kind": "tools",
        "name": name,
        "exposed": name,
        "allowed": allowed,
        "reason": "",
        "pin": pin,
    }


def report(*entries: dict[str, Any], **more: object) -> bytes:
    server = {"name": "git", "kind": "pipes", "running": True, "serverInfo": {}}
    written = {"version": "1", "configuration": {}, "servers": [server], "entries": list(entries), "sessions": 1}
    return json.dumps({**written, **more}).encode()


class World:
    """Reports over toolmans that say what a test wants."""

    def __init__(self) -> None:
        self.woken: list[Key] = []
        self.says: bytes | Exception = report(entry("read"))
        self.shown: list[tuple[str, str]] = []
        self.tokens = ReportTokens(FakeCluster(), "mcp-system", lambda size: b"k" * size)
        self.reports = Reports(self.tokens, self.woken.append, fetch=self.fetch)
        self.reports.track(*PLACE, [TARGET])

    def fetch(self, address: str, token: str) -> bytes:
        self.shown.append((address, token))
        if isinstance(self.says, Exception):
            raise self.says
        return self.says

    def ask(self, *, times: int = 1) -> float:
        delay = 0.0
        for _ in range(times):
            delay = self.reports.ask(PLACE, TARGET)
        return delay


@pytest.fixture
def world() -> World:
    return World()


def test_what_a_toolman_sees_is_kept_and_wakes_its_agent_once(world: World) -> None:
    world.says = report(entry("read"), entry("write", allowed=False))
    assert world.ask(times=3) == reports.INTERVAL
    found = world.reports.of_agent(*PLACE)
    assert found is not None
    assert (found.visible, found.total, found.upstreams[0].name, found.upstreams[0].running) == (1, 2, "git", True)
    assert world.woken == [Key(AGENT.kind, *PLACE)]


@pytest.mark.requirement("O-36")
def test_of_many_toolmans_each_is_asked_less_often(world: World) -> None:
    for number in range(999):
        world.reports.track("team", f"x{number}", [TARGET])
    assert world.ask() == 1000 / reports.RATE > reports.INTERVAL


def test_each_toolman_is_asked_with_a_token_of_its_own(world: World) -> None:
    world.ask()
    world.reports.ask(PLACE, TARGET._replace(agent_uid="other"))
    (_, first), (_, second) = world.shown
    assert first != second
    assert world.tokens.digest("agent-uid") not in {first, second}


def test_a_difference_counts_when_it_is_seen_twice(world: World) -> None:
    world.says = report(entry("read", "differs"), entry("new", "added", allowed=False), entry("old", "missing"))
    assert world.ask() == reports.SOON
    assert world.reports.drift("team", "git") == ""
    world.ask()
    assert world.reports.drift("team", "git") == "changed: read; added: new; missing: old. Seen by MCPAgent/dev"
    assert Key(SERVER.kind, "team", "git") in world.woken
    world.says = report(entry("read"))
    world.ask()
    assert world.reports.drift("team", "git") == ""
    assert world.woken.count(Key(SERVER.kind, "team", "git")) == 2


def test_a_difference_of_a_moment_is_none(world: World) -> None:
    world.says = report(entry("read", "differs"))
    world.ask()
    world.says = report(entry("read"))
    world.ask()
    assert Key(SERVER.kind, "team", "git") not in world.woken


def test_a_server_of_another_namespace_has_nothing_to_do_with_it(world: World) -> None:
    world.says = report(entry("read", "differs"))
    world.ask(times=2)
    assert world.reports.drift("other", "git") == ""
    assert world.reports.drift("team", "files") == ""


def test_what_is_gone_is_forgotten_and_its_servers_are_looked_at(world: World) -> None:
    world.says = report(entry("read", "differs"))
    world.ask(times=2)
    world.woken.clear()
    world.reports.track(*PLACE, [])
    assert world.woken == [Key(SERVER.kind, "team", "git")]
    assert world.reports.of_agent(*PLACE) is None
    world.ask()
    assert world.reports.of_agent(*PLACE) is None, "an answer of a Pod that is gone"


@pytest.mark.parametrize("failure", [ConnectionRefusedError(), TimeoutError(), OSError("x")])
def test_a_toolman_that_does_not_answer_changes_nothing(world: World, failure: Exception) -> None:
    world.ask()
    world.says = failure
    assert world.ask() == reports.INTERVAL
    assert world.reports.of_agent(*PLACE) is not None


def test_pods_are_asked_soon_and_again_and_nobody_is_asked_after_the_end() -> None:
    world = World()
    now = [0.0]
    asked = threading.Event()

    def fetch(_address: str, _token: str) -> bytes:
        asked.set()
        return report(entry("read"))

    found = Reports(world.tokens, world.woken.append, clock=lambda: now[0], fetch=fetch)
    now[0] = 10.0
    found.track(*PLACE, [TARGET])
    now[0] += reports.SOON
    found.start()
    assert asked.wait(BOUND)
    found.stop()
    found._thread.join(BOUND)
    assert not found._thread.is_alive()


@pytest.mark.parametrize(
    "answer",
    [b"", b"{", b"[]", b'{"entries": 5}', b"\xff", b"[" * 100_000, b'{"entries": [{"server": 1}]}', b" " * 5_000_000],
)
def test_what_is_no_report_is_an_error_without_any_of_it(answer: bytes) -> None:
    with pytest.raises(UnreadableError):
        sightings.read(answer)


def test_hostile_names_and_texts_are_bounded_and_printable() -> None:
    wild = "\x1b[31m\u202e" + "x" * 10_000
    entries = [entry(f"{wild}{number}", "added") for number in range(100)]
    servers = [{"name": wild, "problem": wild} for _ in range(100)]
    found = sightings.read(report(*entries, servers=servers, configuration={"inForce": False, "problem": wild}))
    assert len(found.upstreams) == sightings.MAX_SERVERS
    texts = [found.problem, found.upstreams[0].name, found.upstreams[0].problem, next(iter(found.drifts)).tool]
    assert all(text.isprintable() and len(text) <= sightings.TEXT_LENGTH for text in texts)
    assert len(sightings.explain(found.drifts, ["a"] * 500)) < 5_000


def test_many_differences_are_counted_and_some_are_named() -> None:
    text = sightings.explain([Drift("git", f"tool{number:02}", "added") for number in range(15)], ["MCPAgent/dev"])
    assert text.startswith("added: tool00, tool01")
    assert "and 5 more. Seen by MCPAgent/dev" in text


class Toolman:
    """Something that listens where a toolman should."""

    def __init__(self, answer: Callable[[socket.socket], None]) -> None:
        self._answer = answer
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self.heard = b""
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        connection, _ = self._listening.accept()
        with connection:
            self.heard = connection.recv(65536)
            try:
                self._answer(connection)
            except OSError:
                return

    def close(self) -> None:
        self._listening.close()
        self._thread.join(BOUND)


@pytest.fixture
def toolman(request: pytest.FixtureRequest) -> Iterator[Toolman]:
    made = Toolman(request.param)
    yield made
    made.close()


def _well(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{}")


def _endless(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        connection.sendall(b"x" * 65536)


def _trickling(connection: socket.socket) -> None:
    until = time.monotonic() + BOUND
    while time.monotonic() < until:
        connection.sendall(b"H")
        threading.Event().wait(0.05)


def _refusing(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 401 Unauthorized\r\n\r\nno")


@pytest.mark.parametrize("toolman", [_well], indirect=True)
def test_a_report_is_asked_for_with_the_token(toolman: Toolman) -> None:
    assert reports.get_report("127.0.0.1", "secret", toolman.port) == b"{}"
    assert toolman.heard.startswith(b"GET /report HTTP/1.1\r\n")
    assert b"\r\nAuthorization: Bearer secret\r\n" in toolman.heard


@pytest.mark.parametrize("toolman", [_endless, _trickling, _refusing], indirect=True)
def test_an_answer_without_an_end_or_without_a_report_is_given_up(
    toolman: Toolman, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports, "TIMEOUT", 0.5)
    with pytest.raises(OSError, match=r"too|timed|report"):
        reports.get_report("127.0.0.1", "secret", toolman.port)


@pytest.mark.requirement("O-15")
def test_of_several_toolmans_of_an_agent_the_worst_is_told_and_one_that_goes_takes_only_its_own_along(
    world: World,
) -> None:
    other = Target("agent-uid", "other-uid", "192.0.2.8")
    world.reports.track(*PLACE, [TARGET, other])
    world.ask()
    world.says = report(entry("read", "differs"), entry("write"))
    for _ in range(2):
        world.reports.ask(PLACE, other)
    found = world.reports.of_agent(*PLACE)
    assert found is not None
    assert (found.visible, found.total) == (1, 2)
    assert "changed: read" in world.reports.drift("team", "git")
    world.woken.clear()
    world.reports.track(*PLACE, [TARGET])
    assert world.reports.drift("team", "git") == ""
    assert world.woken == [Key(SERVER.kind, "team", "git")]
    assert world.reports.of_agent(*PLACE) == Sighting(1, 1, (Upstream("git", running=True, problem=""),))


def test_no_toolman_has_told_anything_before_it_was_asked(world: World) -> None:
    assert world.reports.of_agent(*PLACE) is None
