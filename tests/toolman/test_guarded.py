"""toolman as the guard of a shared server: who is served, with which layers, and what one caller has of another's."""

from __future__ import annotations

import contextlib
import signal
import socket
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from guard_world import OWN, PING, World, caller, layer, serving, token
from toolman_harness import LIMIT, is_alive, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future
    from pathlib import Path

    from toolman_harness import Starter

META = {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}}

pytestmark = pytest.mark.requirement("O-04")


@pytest.fixture
def world(tmp_path: Path, starter: Starter) -> Iterator[World]:
    found = World(tmp_path, starter)
    with serving(found.api, found.authority):
        yield found


def test_each_caller_sees_and_uses_what_its_own_layers_allow(world: World) -> None:
    world.callers = [caller("one", layer("rich", "d*")), caller("two", layer("fail")), caller("three")]
    world.start()
    one, two, three = (world.visitor(world.api.know(pod)).initialize() for pod in ("one", "two", "three"))
    assert "rich" in one.tools()
    assert one.call("rich")
    assert two.tools() == ["fail"]
    assert two.request("tools/call", {"name": "rich", "arguments": {}})["error"]["code"] == -32602
    assert three.tools() == []
    denied = next(record for record in world.toolman.audit() if record["decision"] == "denied")
    assert (denied["caller"], denied["reason"], denied["layer"]) == ("MCPAgent/two", "NotListed", "MCPAgent/a")
    allowed = next(record for record in world.toolman.audit() if record["decision"] == "allowed")
    assert allowed["caller"] == "MCPAgent/one"


def test_layers_for_all_callers_are_asked_first(world: World) -> None:
    world.callers = [caller("one", layer("*"))]
    world.write()
    first = {"source": "MCPServer/s", "tools": {"deny": ["rich"]}}
    world.start()
    world.write(layers=[first])
    world.toolman.said("and is in force")
    assert "rich" not in world.visitor(world.api.know("one")).initialize().tools()


@pytest.mark.parametrize(
    ("shown", "status", "reason"),
    [
        (None, 401, "NoToken"),
        ("not a token", 401, "Rejected"),
        (token("one", serial=7), 401, "Rejected"),
        (token("one", audience="https://kubernetes.default.svc"), 401, "Rejected"),
        (token("stranger"), 403, "UnknownPod"),
    ],
)
def test_who_shows_no_token_of_a_caller_is_refused(world: World, shown: str | None, status: int, reason: str) -> None:
    world.callers = [caller("one", layer("*"))]
    world.start()
    world.api.know("stranger")
    response = world.visitor(shown).post(PING)
    assert response.status_code == status
    assert "error" in response.json()
    assert world.refused() == {reason: 1}
    assert world.visitor(shown).http.get("/other").status_code == status or shown is not None


def test_a_token_for_another_audience_is_refused_whatever_it_says_itself(world: World) -> None:
    world.callers = [caller("one", layer("*"))]
    world.start()
    world.api.audiences = ["https://kubernetes.default.svc"]
    assert world.visitor(world.api.know("one")).post(PING).status_code == 401


def test_a_token_is_looked_at_once_and_never_written_down(world: World) -> None:
    world.callers = [caller("one", layer("*"))]
    world.start()
    shown = world.api.know("one")
    client = world.visitor(shown).initialize()
    for _ in range(5):
        client.tools()
    bad = token("one", serial=5)
    for _ in range(3):
        assert world.visitor(bad).post(PING).status_code == 401
    assert world.api.asked == [shown, bad]
    assert world.refused() == {"Rejected": 3}
    assert world.api.shown == {f"Bearer {OWN}"}
    client.call("rich")
    written = world.toolman.log + world.toolman.audit_file.read_text() + world.report().text
    assert shown not in written
    assert bad not in written
    assert OWN not in written


def test_a_session_belongs_to_its_caller_alone(world: World) -> None:
    world.callers = [caller("one", layer("*")), caller("two", layer("*"))]
    world.start()
    one = world.visitor(world.api.know("one")).initialize()
    thief = world.visitor(world.api.know("two"))
    thief.http.headers["Mcp-Session-Id"] = one.http.headers["Mcp-Session-Id"]
    assert thief.post(PING).status_code == 404
    assert thief.http.delete("/mcp").status_code == 404
    assert one.post(PING).status_code == 200


def test_limits_are_counted_for_each_caller(world: World) -> None:
    world.callers = [caller(pod, layer("*", callsPerMinute=2)) for pod in ("one", "two")]
    world.start()
    one, two = (world.visitor(world.api.know(pod)).initialize() for pod in ("one", "two"))
    one.call("rich")
    one.call("rich")
    assert one.request("tools/call", {"name": "rich", "arguments": {}})["error"]["code"] == -32005
    assert two.call("rich")


def test_all_callers_share_one_process_of_a_shared_server(world: World) -> None:
    world.callers = [caller("one", layer("*")), caller("two", layer("*"))]
    world.start()
    pids = {world.visitor(world.api.know(pod)).initialize().ask("state")["pid"] for pod in ("one", "two")}
    assert len(pids) == 1


def test_a_server_with_a_process_for_each_session_ends_it_with_its_caller(world: World) -> None:
    world.server |= {"sessions": "perSession"}
    world.callers = [caller("one", layer("*")), caller("two", layer("*"))]
    world.write()
    world.toolman = world.starter.start("serve", "--config", str(world.path))
    world.toolman.said("listening at")
    one, two = (world.visitor(world.api.know(pod)).initialize() for pod in ("one", "two"))
    pids = [client.ask("state")["pid"] for client in (one, two)]
    assert len(set(pids)) == 2
    world.change(caller("two", layer("*")))
    until(lambda: not is_alive(pids[0]))
    assert two.ask("state")["pid"] == pids[1]


def test_a_caller_that_is_removed_is_cut_off_at_once(world: World) -> None:
    world.callers = [caller("one", layer("*")), caller("two", layer("*"))]
    world.start()
    one = world.visitor(world.api.know("one")).initialize()
    with ThreadPoolExecutor() as pool, one.events() as events:
        waiting = pool.submit(one.request, "tools/call", {"name": "wait", "arguments": {}})
        until(lambda: world.report().json()["sessions"] == 1)
        world.change(caller("two", layer("*")))
        assert _is_refused(waiting)
        assert list(_until_cut(events)) == []
    response = world.visitor(world.api.know("one")).post(PING)
    assert response.status_code == 403
    assert world.report().json()["sessions"] == 0


def test_a_call_without_a_session_ends_with_its_caller(world: World) -> None:
    world.callers = [caller("one", layer("*"))]
    world.start()
    one = world.visitor(world.api.know("one"))
    begun = world.folder / "begun"
    params = {"name": "mute", "arguments": {"path": str(begun)}, "_meta": META}
    headers = {"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": "tools/call", "Mcp-Name": "mute"}
    with ThreadPoolExecutor() as pool:
        message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
        waiting = pool.submit(lambda: one.post(message, **headers).json())
        until(begun.exists)
        world.change()
        assert _is_refused(waiting)
    ended = until(lambda: [record for record in world.toolman.audit() if record["tool"] == "mute"])
    assert (ended[0]["caller"], ended[0]["outcome"]) == ("MCPAgent/one", "cancelled")


def test_an_agents_toolman_comes_in_with_its_token_and_trusts_one_authority_alone(world: World) -> None:
    world.callers = [caller("one", layer("rich", "state")), caller("two", layer("fail"))]
    world.start()
    shown = world.folder / "projected"
    shown.write_text(world.api.know("one") + "\n")
    upstream = {
        "kind": "http",
        "url": f"https://localhost:{world.port}/mcp",
        "token": {"file": str(shown)},
        "ca": str(world.authority.certificate),
    }
    config = {"naming": "plain", "servers": [{"name": "s", "upstream": upstream}], "layers": [{"source": "a"}]}
    _, agent, _ = world.starter.serve(config)
    assert sorted(agent.tools()) == ["rich", "state"]
    assert agent.call("rich")
    renewed = world.api.know("one", serial=2)
    shown.write_text(renewed)
    until(lambda: agent.call("rich") and renewed in world.api.asked)


def test_changed_layers_reach_a_session_and_are_told(world: World) -> None:
    world.callers = [caller("one", layer("*"))]
    world.start()
    one = world.visitor(world.api.know("one")).initialize()
    assert len(one.tools()) > 1
    with one.events() as events:
        world.change(caller("one", layer("rich")))
        assert next(iter(events))["method"] == "notifications/tools/list_changed"
    assert one.tools() == ["rich"]


def test_a_caller_that_is_added_is_served_without_a_restart(world: World) -> None:
    world.start()
    shown = world.api.know("late")
    assert world.visitor(shown).post(PING).status_code == 403
    world.change(caller("late", layer("*")))
    assert world.visitor(shown).initialize().tools()


def test_without_the_api_those_who_are_known_go_on_and_nobody_else(world: World) -> None:
    world.callers = [caller("one", layer("*")), caller("two", layer("*"))]
    world.start()
    one = world.visitor(world.api.know("one")).initialize()
    world.api.status = 500
    assert one.tools()
    response = world.visitor(world.api.know("two")).post(PING)
    assert response.status_code == 503
    assert "Kubernetes API" in response.json()["error"]["message"]
    assert response.headers["Retry-After"] == "1"
    world.api.status = 0
    assert world.visitor(world.api.know("two")).initialize().tools()


def test_an_answer_counts_no_longer_than_the_cache_says_and_an_outage_may_last(world: World) -> None:
    world.guard |= {"cache": "100ms", "outage": "100ms"}
    world.callers = [caller("one", layer("*"))]
    world.start()
    one = world.visitor(world.api.know("one")).initialize()
    world.api.status = 500
    until(lambda: one.post(PING).status_code == 503)
    world.api.status = 0
    world.api.good.clear()
    assert one.post(PING).status_code == 401


def test_who_is_known_goes_on_through_an_outage_and_is_asked_about_again_after_it(world: World) -> None:
    world.guard["cache"] = "50ms"
    world.callers = [caller("one", layer("*")), caller("two", layer("*"))]
    world.start()
    one = world.visitor(world.api.know("one")).initialize()
    world.api.status = 500
    until(lambda: one.post(PING).status_code == 200 and "the Kubernetes API: it answers" in world.toolman.log)
    assert {one.post(PING).status_code for _ in range(20)} == {200}
    assert world.visitor(world.api.know("two")).post(PING).status_code == 503
    asked = len(world.api.asked)
    assert one.post(PING).status_code == 200
    assert len(world.api.asked) == asked  # an API that is down is not asked with every call
    world.api.status = 0
    world.api.good.clear()
    until(lambda: one.post(PING).status_code == 401)


def test_a_guard_that_is_taken_out_of_the_file_stays(world: World) -> None:
    world.callers = [caller("one", layer("*"))]
    world.start()
    world.write(guard=None, layers=[layer("*")])
    world.toolman.said("guard cannot be added or removed while toolman runs")
    assert world.visitor(None).post(PING).status_code == 401


def test_a_renewed_certificate_is_used_without_a_restart(world: World) -> None:
    world.callers = [caller("one", layer("*"))]
    world.start()
    shown = world.api.know("one")
    old = world.visitor(shown).initialize()
    before = _certificate(world)
    world.renew()
    until(lambda: _certificate(world) != before)
    assert old.tools()
    assert world.visitor(shown).initialize().tools()
    (world.authority.folder / "guard.key").write_text("nonsense")
    until(lambda: _certificate(world) and "the certificate cannot be read again" in world.toolman.log)
    assert world.visitor(shown).initialize().tools()


def test_an_end_lets_calls_finish_and_sends_clients_elsewhere(world: World) -> None:
    world.guard["drain"] = 2
    world.callers = [caller("one", layer("*"))]
    world.start()
    one = world.visitor(world.api.know("one")).initialize()
    with ThreadPoolExecutor() as pool:
        call = pool.submit(one.call, "wait", seconds=3)
        until(lambda: httpx.get(f"http://127.0.0.1:{world.admin}/readyz").status_code == 200)
        world.toolman.process.send_signal(signal.SIGTERM)
        until(lambda: httpx.get(f"http://127.0.0.1:{world.admin}/readyz").status_code == 503)
        late = world.visitor(world.api.know("one"))
        response = late.post(PING, **{"Mcp-Session-Id": one.http.headers["Mcp-Session-Id"]})
        assert (response.status_code, response.headers["Connection"]) == (200, "close")
        assert call.result(LIMIT)
    assert world.toolman.process.wait(LIMIT) == 0


def test_an_end_takes_what_comes_behind_the_streams_that_it_ends(world: World) -> None:
    world.guard["drain"] = 6
    world.callers = [caller("one", layer("*"))]
    world.start()
    one = world.visitor(world.api.know("one")).initialize()
    with one.http.stream("GET", "/mcp") as early:
        assert "Connection" not in early.headers
        world.toolman.process.send_signal(signal.SIGTERM)
        until(lambda: httpx.get(f"http://127.0.0.1:{world.admin}/readyz").status_code == 503)
        with one.http.stream("GET", "/mcp") as late:
            assert late.headers["Connection"] == "close"
        early_port = _port(early)
        early.read()  # it ends as streams do: whole
    with one.http.stream("POST", "/mcp", json=PING) as response:
        assert (response.status_code, response.headers["Connection"]) == (200, "close")
        assert _port(response) == early_port
    assert world.toolman.process.wait(LIMIT) == 0


def test_an_end_waits_as_long_as_clients_are_sent_to_it_and_no_longer_than_it_may(world: World) -> None:
    world.guard |= {"drain": 4, "maxDrain": 10}
    world.callers = [caller("one", layer("*"))]
    world.start()
    session = world.visitor(world.api.know("one")).initialize().http.headers["Mcp-Session-Id"]
    began = time.monotonic()
    world.toolman.process.send_signal(signal.SIGTERM)
    while time.monotonic() < began + 6:
        late = world.visitor(world.api.know("one"))
        assert late.post(PING, **{"Mcp-Session-Id": session}).status_code == 200
    assert world.toolman.process.wait(LIMIT) == 0
    assert time.monotonic() > began + 6.5


def test_an_end_does_not_wait_for_ever_for_clients_that_go_on_coming(world: World) -> None:
    world.guard |= {"drain": 1, "maxDrain": 2}
    world.callers = [caller("one", layer("*"))]
    world.start()
    world.toolman.process.send_signal(signal.SIGTERM)
    end = time.monotonic() + LIMIT
    while world.toolman.process.poll() is None:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", world.port), LIMIT).close()
        assert time.monotonic() < end
    assert world.toolman.process.returncode == 0


def test_an_end_waits_for_those_whose_tokens_are_looked_at(world: World) -> None:
    world.callers = [caller("one", layer("*"))]
    world.start()
    world.api.seconds = 1.0
    with ThreadPoolExecutor() as pool:
        one = world.visitor(world.api.know("one"))
        discover = {"jsonrpc": "2.0", "id": 1, "method": "server/discover", "params": {"_meta": META}}
        headers = {"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": "server/discover"}
        asked = pool.submit(lambda: one.post(discover, **headers))
        until(lambda: world.api.asked)
        world.toolman.process.send_signal(signal.SIGTERM)
        assert asked.result(LIMIT).status_code == 200
    assert world.toolman.process.wait(LIMIT) == 0


def test_the_report_is_for_who_knows_what_was_hashed(world: World) -> None:
    world.callers = [caller("one")]
    world.start()
    assert world.report("wrong").status_code == 401
    found = world.report().json()
    assert {entry["allowed"] for entry in found["entries"]} == {True}
    assert found["servers"][0]["running"] is True


def test_a_guard_is_ready_when_its_server_is(world: World) -> None:
    world.server["upstream"]["command"] = ["false"]
    world.write()
    world.toolman = world.starter.start("serve", "--config", str(world.path))
    world.toolman.said("next start in")
    assert httpx.get(f"http://127.0.0.1:{world.admin}/readyz").status_code == 503
    assert httpx.get(f"http://127.0.0.1:{world.admin}/livez").status_code == 200


def _certificate(world: World) -> str:
    return ssl.get_server_certificate(("localhost", world.port))


def _port(response: httpx.Response) -> int:
    address: tuple[str, int] = response.extensions["network_stream"].get_extra_info("client_addr")
    return address[1]


def _is_refused(waiting: Future[dict[str, Any]]) -> bool:
    try:
        return "error" in waiting.result(LIMIT)
    except httpx.HTTPError:
        return True


def _until_cut(events: Iterator[dict[str, object]]) -> Iterator[dict[str, object]]:
    try:
        yield from events
    except httpx.HTTPError:
        return
