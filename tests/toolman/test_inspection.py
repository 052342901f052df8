"""What the admin port says, to whom."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import httpx
import ports
import pytest
from toolman_harness import SCRIPTED, until

if TYPE_CHECKING:
    from pathlib import Path

    from toolman_harness import Client, Starter, Toolman

pytestmark = pytest.mark.requirement("T-30")

TOKEN = "correct horse"


class World:
    """A toolman with an admin port."""

    def __init__(
        self, starter: Starter, *layers: dict[str, Any], with_token: bool = True, is_hashed: bool = False
    ) -> None:
        self.port = ports.free()
        token = starter.folder / "token"
        token.write_text(TOKEN)
        digest = hashlib.sha256(TOKEN.encode()).hexdigest()
        shown = {"sha256": digest} if is_hashed else {"file": str(token)}
        admin = {"host": "127.0.0.1", "port": self.port} | ({"token": shown} if with_token else {})
        server = {"name": "git", "upstream": {"kind": "process", "command": SCRIPTED}}
        self.config = {"admin": admin, "servers": [server], "layers": [{"source": "all"}, *layers]}
        self.running: Toolman
        self.client: Client
        self.path: Path
        self.running, self.client, self.path = starter.serve(self.config)
        self.client.tools()  # the server has been listed

    def get(self, path: str, token: str = "") -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.get(f"http://127.0.0.1:{self.port}{path}", headers=headers)

    def metrics(self) -> dict[str, float]:
        lines = [line.rpartition(" ") for line in self.get("/metrics").text.splitlines() if not line.startswith("#")]
        return {name: float(value) for name, _, value in lines}


def test_metrics_are_open_and_name_no_tool(starter: Starter) -> None:
    world = World(starter, {"source": "x", "tools": {"deny": ["state"]}})
    world.client.call("git__echo", text="x")
    for tool in ("git__state", "git__no-such-tool"):
        assert "error" in world.client.request("tools/call", {"name": tool, "arguments": {}})
    found = world.metrics()
    assert found['toolman_requests_total{era="legacy",method="tools/call",outcome="ok"}'] == 1
    assert found['toolman_call_seconds_count{server="git",outcome="ok"}'] == 1
    assert found['toolman_denied_total{kind="tools"}'] == 2
    assert found['toolman_upstream_up{server="git"}'] == 1
    assert found["toolman_sessions"] == 1
    assert found['toolman_list_tools{stage="upstream"}'] == found['toolman_list_tools{stage="visible"}'] + 1
    text = world.get("/metrics").text
    assert "state" not in text.replace("# HELP", "")
    assert "echo" not in text


@pytest.mark.requirement("T-11")
def test_what_a_layer_in_audit_mode_would_deny_is_counted_logged_and_done(starter: Starter) -> None:
    world = World(starter, {"source": "thinking", "enforcement": "audit", "tools": {"allow": []}})
    world.client.call("git__echo", text="x")
    assert world.metrics()['toolman_would_deny_total{kind="tools"}'] == 1
    until(world.running.audit)
    assert world.running.audit()[-1]["would_deny"] == ["thinking"]


@pytest.mark.requirement("T-12")
def test_a_limit_that_is_reached_is_a_clear_error_counted_and_audited(starter: Starter) -> None:
    world = World(starter, {"source": "cap", "limits": {"callsPerMinute": 1}})
    world.client.call("git__echo", text="x")
    error = world.client.request("tools/call", {"name": "git__echo", "arguments": {}})["error"]
    assert error["code"] == -32005
    assert error["message"].startswith("limit callsPerMinute of 1 is reached: try again in ")
    assert error["data"]["limit"] == "callsPerMinute"
    assert "cap" not in json.dumps(error)
    assert world.metrics()['toolman_limited_total{limit="callsPerMinute"}'] == 1
    until(lambda: len(world.running.audit()) == 2)
    assert (world.running.audit()[-1]["reason"], world.running.audit()[-1]["layer"]) == ("Limit", "cap")


@pytest.mark.requirement("T-12")
def test_a_result_that_is_too_large_is_an_error_that_names_the_limit(starter: Starter) -> None:
    world = World(starter, {"source": "cap", "limits": {"maxResultBytes": 50}})
    error = world.client.request("tools/call", {"name": "git__echo", "arguments": {"text": "x" * 100}})["error"]
    assert "maxResultBytes of 50" in error["message"]


def test_the_report_is_for_who_shows_the_token(starter: Starter) -> None:
    world = World(starter, {"source": "x", "tools": {"deny": ["state"]}})
    assert world.get("/report").status_code == 401
    assert world.get("/report", "wrong").status_code == 401
    report = world.get("/report", TOKEN).json()
    assert report["servers"][0] | {"startedAt": 0} == {
        "name": "git",
        "kind": "process",
        "running": True,
        "startedAt": 0,
        "era": "legacy",
        "version": "2025-11-25",
        "serverInfo": {"name": "scripted", "version": "1"},
    }
    by_name = {entry["name"]: entry for entry in report["entries"]}
    assert by_name["state"]["allowed"] is False
    assert (by_name["state"]["reason"], by_name["state"]["source"]) == ("Denied", "x")
    assert by_name["echo"]["hash"].startswith("sha256:")
    assert report["sessions"] == 1


@pytest.mark.requirement("O-03")
def test_the_report_loads_nothing_and_its_token_may_be_known_by_its_hash_alone(starter: Starter) -> None:
    world = World(starter, is_hashed=True)
    assert world.get("/report").status_code == 401
    refused = world.get("/report", "wrong")
    assert (refused.status_code, refused.headers["www-authenticate"].partition(" ")[0]) == (401, "Bearer")
    found = world.get("/report", TOKEN)
    assert found.json()["servers"][0]["running"] is True
    assert found.headers["connection"] == "close", "what loads the rest keeps connections"


def test_without_a_token_in_the_configuration_there_is_no_report(starter: Starter) -> None:
    world = World(starter, with_token=False)
    assert world.get("/report", TOKEN).status_code == 404


@pytest.mark.requirement("T-14")
def test_a_file_that_cannot_be_used_is_seen_in_metrics_and_report(starter: Starter) -> None:
    world = World(starter)
    world.path.write_text('{"nonsense":1}')
    until(lambda: world.metrics()["toolman_config_last_reload_successful"] == 0)
    assert world.metrics()['toolman_config_reloads_total{result="refused"}'] == 1
    problem = world.get("/report", TOKEN).json()["configuration"]
    assert problem["inForce"] is False
    assert "unknown field `nonsense`" in problem["problem"]
    assert world.client.call("git__echo", text="x")
    world.path.write_text(json.dumps(world.config | {"naming": "plain"}))
    until(lambda: world.metrics()["toolman_config_last_reload_successful"] == 1)
    assert world.client.call("echo", text="x")
